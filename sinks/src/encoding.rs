//! How sinks that write lines encode a record.

use std::sync::Arc;

use pump_core::encode::{CsvEncoder, Encoder, FullEncoder, TykRecordEncoder, TykStdoutEncoder};
use pump_core::plugin::{Body, Format};
use pump_core::record::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use pump_core::encode::CSV_HEADER;

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// One row a line under a line of names; transactions only.
    Csv,
}

/// Where lines go: Tyk Pump writes other lines to standard output than into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    File,
    Stdout,
}

impl Encoding {
    /// The kinds that can be written, and how.
    pub(crate) fn plan(self, format: Format, target: Target) -> (Vec<Kind>, Body) {
        let kinds = match self {
            Self::Csv => vec![Kind::Transaction],
            Self::Ndjson => Kind::ALL.to_vec(),
        };
        let encoder: Arc<dyn Encoder> = match (self, format, target) {
            (Self::Csv, ..) => Arc::new(CsvEncoder),
            (Self::Ndjson, Format::Full, _) => Arc::new(FullEncoder),
            (Self::Ndjson, Format::Tyk, Target::File) => Arc::new(TykRecordEncoder),
            (Self::Ndjson, Format::Tyk, Target::Stdout) => Arc::new(TykStdoutEncoder),
        };
        (kinds, Body { encoder, terminator: b"\n" })
    }
}
