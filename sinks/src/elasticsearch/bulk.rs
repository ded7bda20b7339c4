//! The body of a bulk request: an action line and a document for each record, in one buffer.

use pump_core::plugin::{Batch, SinkError};

use super::config::Op;
use crate::http::hex;

/// Bytes of an action line at the most, and of the newline after the document.
const PER_RECORD: usize = ACTION_LEN + 1;
/// `{"create":{"_id":"…"}}` and its newline.
const ACTION_LEN: usize = 22 + 32;

/// The index stands in the path, so that the action lines have the id only.
pub(super) async fn body(batch: &Batch, op: Op) -> Result<Vec<u8>, SinkError> {
    let begin: &[u8] = match op {
        Op::Create => b"{\"create\":{\"_id\":\"",
        Op::Index => b"{\"index\":{\"_id\":\"",
    };
    let mut out = Vec::with_capacity(batch.size() + batch.len() * PER_RECORD);
    let mut slices = batch.slices();
    while let Some(slice) = slices.next().await? {
        for entry in slice.entries() {
            out.extend_from_slice(begin);
            out.extend_from_slice(&hex(entry.id()));
            out.extend_from_slice(b"\"}}\n");
            out.extend_from_slice(entry.body());
            out.push(b'\n');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_made_once_and_large_enough() {
        let bodies = ["{\"n\":1}", "{\"n\":2,\"text\":\"longer\"}"];
        let batch = pump_core::testing::batch(&bodies, "records");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let out = runtime.block_on(body(&batch, Op::Create)).expect("it is in memory");
        let text = String::from_utf8(out.clone()).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[1], lines[3]), (bodies[0], bodies[1]));
        assert_eq!(lines[0].len() + 1, ACTION_LEN);
        assert!(lines[0].starts_with("{\"create\":{\"_id\":\"") && lines[0].ends_with("\"}}"));
        // `batch.size()` counts each body's newline already.
        assert!(out.len() <= batch.size() + bodies.len() * PER_RECORD);
    }
}
