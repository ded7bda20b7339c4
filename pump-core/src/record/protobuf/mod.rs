//! Reads protobuf as gateways write it.
//!
//! [`wire`] reads fields of any message, [`transaction`] knows those of a record. Proto3 makes every
//! field optional and lets pieces of a message come apart; both are read as the standard says.

mod transaction;
mod wire;

pub(super) use wire::{Occurrences, map_entry};

use super::{DecodeError, Transaction};

/// Checks one record.
pub(super) fn walk_transaction(body: &[u8]) -> Result<(), DecodeError> {
    transaction::read::<true>(body, &mut Transaction::default()).map_err(|(fault, at)| fault.at(at))
}

/// The fields of a walked record; what is unsound ends the reading.
pub(super) fn transaction(body: &[u8]) -> Transaction<'_> {
    let mut transaction = Transaction::default();
    let _walked = transaction::read::<false>(body, &mut transaction);
    transaction
}
