//! Checks an entry: which records lie in it, and whether they are sound.
//!
//! Reading and checking are one and the same code, so a record that was walked can be read: the walk
//! reads the fields and drops them.

use std::ops::Range;

use super::super::{DecodeError, Transaction, Uptime};
use super::cursor::{Cursor, Fault};
use super::{transaction, uptime};

/// Calls `add` for each transaction in an entry.
pub(in super::super) fn walk_transactions(
    body: &[u8],
    add: &mut dyn FnMut(Range<usize>),
) -> Result<(), DecodeError> {
    walk(body, add, |cursor| transaction::read(cursor, &mut Transaction::default()))
}

/// Calls `add` for each uptime record in an entry.
pub(in super::super) fn walk_uptimes(
    body: &[u8],
    add: &mut dyn FnMut(Range<usize>),
) -> Result<(), DecodeError> {
    walk(body, add, |cursor| uptime::read(cursor, &mut Uptime::default()))
}

/// An entry holds one record. Some hold a second one behind it, and some hold bytes there that mean
/// nothing; to be counted as a record, what follows must be sound and have a key that we know, since
/// a few random bytes easily make an empty map or a lone nil.
fn walk(
    body: &[u8],
    add: &mut dyn FnMut(Range<usize>),
    read: impl Fn(&mut Cursor<'_>) -> Result<u32, Fault>,
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(body);
    let position = |cursor: &Cursor<'_>| body.len() - cursor.rest.len();
    read(&mut cursor).map_err(|fault| fault.at(position(&cursor)))?;
    let mut end = position(&cursor);
    add(0..end);
    while !cursor.rest.is_empty() && matches!(read(&mut cursor), Ok(known) if known > 0) {
        let start = end;
        end = position(&cursor);
        add(start..end);
    }
    Ok(())
}
