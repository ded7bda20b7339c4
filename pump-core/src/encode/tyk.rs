//! `tyk`: what Tyk Pump writes. Records of other kinds are written `full`.

use super::full::{self, FullEncoder};
use super::json;
use super::payload::payload;
use super::{Additions, Encoder};
use crate::record::{Record, View, Zone};

/// Writes the record as Tyk Pump's stdout pump writes it, without what it wraps around it.
#[derive(Debug, Clone, Copy)]
pub struct TykRecordEncoder;

impl Encoder for TykRecordEncoder {
    fn key(&self) -> &str {
        "tyk-record"
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        match view {
            View::Transaction(transaction) => full::transaction(transaction, payload, additions, out),
            _ => FullEncoder.encode(record, view, additions, out),
        }
    }
}

/// Writes the line of Tyk Pump's stdout pump (`format: json`). Its `time` is when the pump got the
/// record, so that a record that is sent again is the same line.
#[derive(Debug, Clone, Copy)]
pub struct TykStdoutEncoder;

impl Encoder for TykStdoutEncoder {
    fn key(&self) -> &str {
        "tyk-stdout"
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        if !matches!(view, View::Transaction(_)) {
            return FullEncoder.encode(record, view, additions, out);
        }
        out.extend_from_slice(b"{\"level\":\"info\",\"msg\":\"\",\"time\":");
        json::time(record.received(), &Zone::UTC, out);
        out.extend_from_slice(b",\"tyk-analytics-record\":");
        TykRecordEncoder.encode(record, view, additions, out);
        out.push(b'}');
    }
}
