//! How records become the bodies of requests.

use std::sync::Arc;

use pump_core::edit::Scratch;
use pump_core::encode::{Encoder, FullEncoder, TykRecordEncoder};
use pump_core::plugin::{Batch, Body, Entry, Format, PlanError, SinkError};

use super::config::{WebhookConfig, WebhookEncoding};
use super::template::{Envelope, RecordTemplate};

/// What requests look like.
#[derive(Debug)]
pub(super) enum Form {
    /// An array, with JSON around each record and around all of them.
    Json { envelope: Option<Envelope>, record: Option<RecordTemplate> },
    /// A line each.
    Ndjson { record: Option<RecordTemplate> },
    /// A request each.
    Single { body: Option<RecordTemplate> },
}

impl Form {
    /// From the settings; what is wrong with them otherwise.
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, PlanError> {
        let WebhookConfig { encoding, body, record, .. } = config;
        let template = |key: &'static str, text: &Option<String>| {
            let parsed = text.as_deref().map(RecordTemplate::parse).transpose();
            parsed.map_err(|message| PlanError::new(key, message))
        };
        match encoding {
            WebhookEncoding::Json => {
                let envelope = body.as_deref().map(Envelope::parse).transpose();
                let envelope = envelope.map_err(|message| PlanError::new("body", message))?;
                Ok(Self::Json { envelope, record: template("record", record)? })
            }
            WebhookEncoding::Ndjson if body.is_some() => {
                let message = "lines have nothing around all of them: what is around each is `record`";
                Err(PlanError::new("body", message))
            }
            WebhookEncoding::Ndjson => Ok(Self::Ndjson { record: template("record", record)? }),
            WebhookEncoding::Single if record.is_some() => {
                let message = "with `encoding: single` what is around the record is `body`";
                Err(PlanError::new("record", message))
            }
            WebhookEncoding::Single => Ok(Self::Single { body: template("body", body)? }),
        }
    }

    /// How the engine encodes a record, whatever is around it.
    pub(super) fn body(format: Format) -> Body {
        let encoder: Arc<dyn Encoder> = match format {
            Format::Full => Arc::new(FullEncoder),
            Format::Tyk => Arc::new(TykRecordEncoder),
        };
        // As lines have it, so that the encoding is shared with sinks that write lines.
        Body { encoder, terminator: b"\n" }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Json { .. } | Self::Single { .. } => "application/json",
            Self::Ndjson { .. } => "application/x-ndjson",
        }
    }

    /// The body of a request with all records of a batch.
    pub(super) async fn all(&self, batch: &Batch) -> Result<Vec<u8>, SinkError> {
        let nothing = Envelope::default();
        let (envelope, record, brackets, separator): (_, _, &[u8], _) = match self {
            Self::Json { envelope, record } => (envelope.as_ref().unwrap_or(&nothing), record, b"[]", b','),
            // One after the other, single records are lines.
            Self::Ndjson { record } | Self::Single { body: record } => (&nothing, record, b"", b'\n'),
        };
        let around = envelope.before.len() + envelope.after.len() + brackets.len();
        let mut out = Vec::with_capacity(batch.size() + around);
        out.extend_from_slice(&envelope.before);
        out.extend(brackets.first());
        let (mut slices, mut scratch) = (batch.slices(), Scratch::default());
        while let Some(slice) = slices.next().await? {
            match record {
                None if separator == b'\n' => slice.framed().for_each(|lines| out.extend_from_slice(&lines)),
                None => slice.entries().for_each(|entry| {
                    out.extend_from_slice(entry.body());
                    out.push(separator);
                }),
                Some(template) => slice.entries().for_each(|entry| {
                    template.render(&entry, &mut scratch, &mut out);
                    out.push(separator);
                }),
            }
        }
        if let Some(bracket) = brackets.last() {
            // The last comma has nothing behind it.
            out.pop();
            out.push(*bracket);
        }
        out.extend_from_slice(&envelope.after);
        Ok(out)
    }

    /// The body of a request with one record.
    pub(super) fn one(&self, entry: &Entry<'_>, scratch: &mut Scratch) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Single { body: Some(template) } => template.render(entry, scratch, &mut out),
            _ => out.extend_from_slice(entry.body()),
        }
        out
    }
}
