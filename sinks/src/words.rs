//! How ids are written, and what is kept of a server's words.

use pump_core::record::RecordId;

/// How much of a server's words is kept, in bytes.
pub(crate) const MAX_DETAIL: usize = 512;

/// As ids are written everywhere.
pub(crate) fn hex(id: RecordId) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(id.0) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    text
}

/// A server's own words on one line, cut to a bearable length.
pub(crate) fn words(text: &str) -> String {
    cut(text, MAX_DETAIL).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text's beginning, of so many bytes at the most.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_a_request_is_written_as_everywhere() {
        for number in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            let id = RecordId(number.to_be_bytes());
            assert_eq!(hex(id), id.to_string().as_bytes());
        }
    }
}
