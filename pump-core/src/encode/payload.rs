//! What Tyk Pump's stdout pump makes of a recorded request or response.
//!
//! Usually that is base64 and stays as it is. Where a plugin of the gateway has put plain text there,
//! line breaks become spaces and tabs go, and a body that is JSON is compacted.

use super::json;
use crate::record::Text;

/// Appends the payload as a JSON string.
pub(super) fn payload(text: Text<'_>, out: &mut Vec<u8>) {
    let bytes = text.bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\t')) {
        return json::string(text, out);
    }
    out.push(b'"');
    match split(bytes) {
        Some((head, body)) => {
            on_one_line(head, out);
            out.push(b' ');
            json::tokens(body, |token| json::escaped(token, out));
        }
        None => on_one_line(bytes, out),
    }
    out.push(b'"');
}

/// Head and body, if the body is JSON.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&bytes[..at], &bytes[at + 4..]);
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    is_json.then_some((head, body))
}

fn on_one_line(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'\t')) {
        json::escaped(&text[..at], out);
        if text[at] == b'\n' {
            out.push(b' ');
        }
        text = &text[at + 1..];
    }
    json::escaped(text, out);
}
