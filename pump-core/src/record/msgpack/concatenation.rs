//! Finds entries that were written one after the other, such as what `redis-cli --raw` prints of a list.

use std::ops::Range;

use super::cursor::Cursor;

/// Cuts a file of entries apart. An entry begins with a map or an array; other bytes, such as line
/// breaks, belong to the entry before them, whose walk passes over them. Where an entry cannot be
/// followed to its end, nobody can say where the next one begins, so the rest is one entry.
pub fn split_msgpack(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        at += entry_size(rest);
        Some(start..at)
    })
}

/// At least 1, so that the way through a file ends.
fn entry_size(rest: &[u8]) -> usize {
    let mut cursor = Cursor::new(rest);
    if cursor.skip(0).is_err() {
        return rest.len();
    }
    let after = cursor.rest.iter().position(|byte| is_container(*byte)).unwrap_or(cursor.rest.len());
    rest.len() - cursor.rest.len() + after
}

/// Whether a map or an array begins with this byte.
fn is_container(byte: u8) -> bool {
    matches!(byte, 0x80..=0x9f | 0xdc..=0xdf)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(bytes: &[u8]) -> Vec<&[u8]> {
        split_msgpack(bytes).map(|range| &bytes[range]).collect()
    }

    #[test]
    fn entries_are_cut_where_the_next_map_or_array_begins() {
        assert!(split(b"").is_empty());
        assert_eq!(split(b"\x81\xa1a\x01\x80\x91\x05"), [&b"\x81\xa1a\x01"[..], b"\x80", b"\x91\x05"]);
    }

    #[test]
    fn line_breaks_between_entries_belong_to_the_one_before() {
        assert_eq!(split(b"\x80\n\x80\r\n"), [&b"\x80\n"[..], b"\x80\r\n"]);
    }

    #[test]
    fn an_entry_without_an_end_takes_the_rest() {
        assert_eq!(split(b"\x80\x82\xa1a\x80"), [&b"\x80"[..], b"\x82\xa1a\x80"]);
        assert_eq!(split(b"\xc1\x80"), [b"\xc1\x80"]);
    }

    proptest! {
        #[test]
        fn entries_lie_one_behind_the_other_over_the_whole_file(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            prop_assert_eq!(split(&bytes).concat(), bytes);
        }
    }
}
