//! A JSON string as it is written: compared and unescaped without making another.
//!
//! Names are compared after unescaping, since a client may decide how a name is written: `"api\u005fkey"`
//! is `api_key` to whoever reads it, so it is to filters and redaction.

use std::borrow::Cow;

use super::Text;

/// A run of bytes that stand for themselves, or a character that was escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a [u8]),
    Escaped(char),
}

/// Whether a sound JSON string, quotes and all, says `text`.
pub(crate) fn says(written: &[u8], text: &[u8]) -> bool {
    let inner = without_quotes(written);
    if !inner.contains(&b'\\') {
        return inner == text;
    }
    let mut rest = text;
    for piece in pieces(inner) {
        let matched = match piece {
            Piece::Plain(bytes) => rest.strip_prefix(bytes),
            Piece::Escaped(char) => rest.strip_prefix(char.encode_utf8(&mut [0; 4]).as_bytes()),
        };
        match matched {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Appends what a sound JSON string says; bytes that are no UTF-8 stay as they are.
pub(crate) fn unescape(written: &[u8], out: &mut Vec<u8>) {
    for piece in pieces(without_quotes(written)) {
        match piece {
            Piece::Plain(bytes) => out.extend_from_slice(bytes),
            Piece::Escaped(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// What a sound JSON string says; allocates only where something is escaped or no UTF-8.
pub(crate) fn to_str(written: &[u8]) -> Cow<'_, str> {
    let inner = without_quotes(written);
    if !inner.contains(&b'\\') {
        return Text(inner).to_str();
    }
    let mut bytes = Vec::with_capacity(inner.len());
    unescape(written, &mut bytes);
    Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => Text(error.as_bytes()).to_str().into_owned(),
    })
}

fn without_quotes(written: &[u8]) -> &[u8] {
    let inner = written.strip_prefix(b"\"").unwrap_or(written);
    inner.strip_suffix(b"\"").unwrap_or(inner)
}

fn pieces(mut rest: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let plain = rest.iter().position(|byte| *byte == b'\\').unwrap_or(rest.len());
        if plain > 0 {
            let (piece, after) = rest.split_at(plain);
            rest = after;
            return Some(Piece::Plain(piece));
        }
        let (char, after) = escaped(rest)?;
        rest = after;
        Some(Piece::Escaped(char))
    })
}

/// The character of the escape at the start of `rest`, and what follows it.
fn escaped(rest: &[u8]) -> Option<(char, &[u8])> {
    let (kind, after) = rest.get(1..)?.split_first()?;
    let char = match kind {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return Some(unicode(after)),
        other => char::from(*other),
    };
    Some((char, after))
}

/// After `\u`: one code unit, or a pair of surrogates. Half a pair is U+FFFD.
fn unicode(rest: &[u8]) -> (char, &[u8]) {
    let Some((first, after)) = code_unit(rest) else {
        return (char::REPLACEMENT_CHARACTER, &[]);
    };
    if let 0xd800..0xdc00 = first
        && let Some((second @ 0xdc00..0xe000, after_pair)) = after.strip_prefix(b"\\u").and_then(code_unit)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), after_pair);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), after)
}

fn code_unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = rest.split_at_checked(4)?;
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((code, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_say_what_rfc_8259_says_they_say() {
        assert_eq!(to_str(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#), "a\"\\/\u{8}\u{c}\n\r\té😀z");
    }

    #[test]
    fn half_a_surrogate_pair_is_a_replacement_character() {
        assert_eq!(to_str(br#""\ud800""#), "\u{fffd}");
        assert_eq!(to_str(br#""\udc00x""#), "\u{fffd}x");
        assert_eq!(to_str(br#""\ud800\u0041""#), "\u{fffd}A");
        assert_eq!(to_str(br#""\ud800\ud83d\ude00""#), "\u{fffd}😀");
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(to_str("\"é\"".as_bytes()), Cow::Borrowed("é")));
        assert_eq!(to_str(b"\"a\xff\\n\""), "a\u{fffd}\n");
    }

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        for written in [r#""api_key""#, r#""api\u005fkey""#, r#""\u0061\u0070\u0069_\u006bey""#] {
            assert!(says(written.as_bytes(), b"api_key"), "{written}");
        }
        for written in [r#""api_ke""#, r#""api_keys""#, r#""api\u005fke""#, r#""api\u005fkeys""#, r#""""#] {
            assert!(!says(written.as_bytes(), b"api_key"), "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_another_writer_wrote_is_read_back(text: String) {
            let written = serde_json::to_string(&text)?;
            prop_assert_eq!(to_str(written.as_bytes()), text.as_str());
            prop_assert!(says(written.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn bytes_that_are_no_sound_string_do_no_harm(written: Vec<u8>) {
            let text = to_str(&written);
            let _ = says(&written, text.as_bytes());
        }
    }
}
