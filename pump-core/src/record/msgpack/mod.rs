//! Reads msgpack as gateways write it, and accepts what Tyk Pump's decoder accepts.
//!
//! [`cursor`] reads single values, [`structure`] reads structures, [`transaction`] and [`uptime`] are
//! the records' fields, [`walk`] finds the records in an entry, [`concatenation`] finds entries in a
//! file. `docs/records.md` lists what is
//! accepted and where that differs from Tyk Pump.

mod concatenation;
pub(super) mod cursor;
mod structure;
pub(super) mod transaction;
mod uptime;
mod walk;

pub use concatenation::split_msgpack;
pub(super) use walk::{walk_transactions, walk_uptimes};

use super::{Transaction, Uptime};
use cursor::Cursor;

/// The fields of a walked record; what is unsound ends the reading.
pub(super) fn transaction(body: &[u8]) -> Transaction<'_> {
    let mut transaction = Transaction::default();
    let _walked = transaction::read(&mut Cursor::new(body), &mut transaction);
    transaction
}

/// The fields of a walked record; what is unsound ends the reading.
pub(super) fn uptime(body: &[u8]) -> Uptime<'_> {
    let mut uptime = Uptime::default();
    let _walked = uptime::read(&mut Cursor::new(body), &mut uptime);
    uptime
}
