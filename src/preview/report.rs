//! What `pump test` prints: per sink what becomes of each record, then what cannot be decoded, then sums.
//!
//! As text, control characters are made visible, so that no record plays tricks on a terminal; as JSON
//! they are escaped.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pump_core::dead_letter::DeadLetter;
use pump_core::edit::Scratch;
use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::preview::Sent;
use pump_core::record::{Kind, Record};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::input::{Flaw, Input, Lot};
use crate::output;

/// Sums of one sink.
pub(super) struct Totals {
    sink: Arc<str>,
    sent: u64,
    filtered: u64,
    not_taken: u64,
    bytes: u64,
}

impl Totals {
    pub(super) fn new(sink: Arc<str>) -> Self {
        Self { sink, sent: 0, filtered: 0, not_taken: 0, bytes: 0 }
    }
}

/// Collects what is to be printed until it is flushed.
pub(super) struct Report {
    as_json: bool,
    text: String,
    scratch: Scratch,
}

impl Report {
    pub(super) fn new(as_json: bool) -> Self {
        Self { as_json, text: String::new(), scratch: Scratch::default() }
    }

    /// Prints what there is; returns whether anybody still reads.
    pub(super) fn flush(&mut self) -> anyhow::Result<bool> {
        let is_read = output::write(self.text.as_bytes())?;
        self.text.clear();
        Ok(is_read)
    }

    /// A sink's records follow.
    pub(super) fn sink(&mut self, name: &str, type_name: &str, is_required: bool) {
        let need = if is_required { "required" } else { "best effort" };
        self.say(|text| writeln!(text, "sink {} ({type_name}, {need})", output::plain(name)));
    }

    pub(super) fn sent(&mut self, totals: &mut Totals, lot: &Lot, sent: &Sent) {
        totals.sent += 1;
        totals.bytes += sent.size() as u64;
        let record = sent.record();
        let id = has_id(lot, record.kind()).then(|| sent.id().to_string());
        let mut fields = Vec::new();
        let (what, body) = match sent.body() {
            Some(body) => ("body", Content::of(body)),
            None => {
                let view = sent.view(&mut self.scratch);
                FullEncoder.encode(record, &view, &Additions::default(), &mut fields);
                ("fields", Content::of(&fields))
            }
        };
        if self.as_json {
            let mut line = line(&totals.sink, number(lot, record), "sent");
            line["kind"] = record.kind().name().into();
            line["route"] = sent.route().into();
            line["id"] = id.into();
            return self.push_json(&line, Some((what, &body)));
        }
        let number = number(lot, record);
        self.say(|text| {
            write!(text, "  record {number}: sent")?;
            if !sent.route().is_empty() {
                write!(text, " to {}", output::plain(sent.route()))?;
            }
            match id {
                Some(id) => writeln!(text, ", id {id}")?,
                None => writeln!(text, ", id by its place in the buffer")?,
            }
            writeln!(text, "    {}{}", if what == "fields" { "fields " } else { "" }, body.plain())
        });
    }

    pub(super) fn filtered(&mut self, totals: &mut Totals, lot: &Lot, record: Record<'_>, by: &str) {
        totals.filtered += 1;
        let number = number(lot, record);
        if self.as_json {
            let mut line = line(&totals.sink, number, "filtered");
            line["kind"] = record.kind().name().into();
            line["by"] = format!("filter.{by}").into();
            return self.push_json(&line, None);
        }
        self.say(|text| writeln!(text, "  record {number}: filtered by filter.{by}"));
    }

    /// None of these records is for the sink.
    pub(super) fn not_taken(&mut self, totals: &mut Totals, lot: &Lot, reason: &str) {
        for record in lot.sample.chunk().records() {
            totals.not_taken += 1;
            let number = number(lot, record);
            if self.as_json {
                let mut line = line(&totals.sink, number, "not_taken");
                line["kind"] = record.kind().name().into();
                line["reason"] = reason.into();
                self.push_json(&line, None);
            } else {
                self.say(|text| writeln!(text, "  record {number}: not taken: {reason}"));
            }
        }
    }

    /// What is no record, after all sinks.
    pub(super) fn flaws(&mut self, flaws: &[(u64, Flaw)]) {
        if !flaws.is_empty() {
            self.say(|text| writeln!(text, "no records"));
        }
        for (number, flaw) in flaws {
            match flaw {
                Flaw::Undecodable(letter) => self.undecodable(*number, letter),
                Flaw::NoLetter(error) if self.as_json => {
                    let mut line = json!({ "sink": null, "record": number, "outcome": "no_letter" });
                    line["detail"] = error.to_string().into();
                    self.push_json(&line, None);
                }
                Flaw::NoLetter(error) => {
                    let error = output::plain(&error.to_string());
                    self.say(|text| writeln!(text, "  record {number}: cannot be read: {error}"));
                }
            }
        }
    }

    fn undecodable(&mut self, number: u64, letter: &DeadLetter) {
        if self.as_json {
            let line = json!({
                "sink": null,
                "record": number,
                "outcome": "undecodable",
                "kind": letter.kind,
                "codec": letter.codec,
                "source": &*letter.source,
                "reason": letter.reason,
                "detail": &*letter.detail,
            });
            return self.push_json(&line, Some(("body", &Content::of(&letter.body))));
        }
        let detail = output::plain(&letter.detail);
        let (kind, source) = (letter.kind.name(), output::plain(&letter.source));
        let raw = output::raw(&letter.body);
        self.say(|text| {
            writeln!(text, "  record {number}: a dead letter of {kind} from {source}, {detail}")?;
            writeln!(text, "    {} bytes: {raw}", letter.body.len())
        });
    }

    /// The sums; as JSON, `warning` with them.
    pub(super) fn summary(&mut self, input: &Input, totals: &[Totals], warning: Option<&str>) {
        let records: usize = input.lots.iter().map(|lot| lot.sample.chunk().len()).sum();
        let (entries, flaws) = (input.entries, input.flaws.len());
        if self.as_json {
            let sinks = totals.iter().map(|of| {
                json!({
                    "sink": &*of.sink, "sent": of.sent, "bytes": of.bytes, "filtered": of.filtered,
                    "not_taken": of.not_taken,
                })
            });
            let sinks = sinks.collect::<Vec<_>>();
            let sums = json!({
                "entries": entries, "records": records, "undecodable": flaws, "sinks": sinks,
                "warning": warning,
            });
            return self.push_json(&json!({ "summary": sums }), None);
        }
        self.say(|text| {
            let records = output::counted(records as u64, "record");
            writeln!(text, "\n{records}; cannot be decoded: {flaws} of {entries}")?;
            for Totals { sink, sent, filtered, not_taken, bytes } in totals {
                let (sink, size) = (output::plain(sink), output::size(*bytes));
                writeln!(text, "{sink}: {sent} sent ({size}), {filtered} filtered, {not_taken} not taken")?;
            }
            Ok(())
        });
    }

    /// Adds text; nothing where JSON is wanted.
    fn say(&mut self, write: impl FnOnce(&mut String) -> std::fmt::Result) {
        if !self.as_json {
            write(&mut self.text).expect("a string takes everything");
        }
    }

    /// Adds a line of JSON, with what the sink gets as its last member.
    fn push_json(&mut self, line: &Value, content: Option<(&str, &Content<'_>)>) {
        let mut text = line.to_string();
        if let Some((name, content)) = content {
            text.pop();
            let _ = write!(text, ",{}}}", content.member(name));
        }
        // What is a control character here stands in a string: JSON on one line has none elsewhere.
        for c in text.chars() {
            match c.is_control() {
                true => drop(write!(self.text, "\\u{:04x}", u32::from(c))),
                false => self.text.push(c),
            }
        }
        self.text.push('\n');
    }
}

/// What a sink gets of a record.
enum Content<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Content<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Binary(bytes), Self::Text)
    }

    /// For a terminal.
    fn plain(&self) -> String {
        match self {
            Self::Text(text) => output::plain(text),
            Self::Binary(bytes) => bytes.escape_ascii().to_string(),
        }
    }

    /// As a member of a JSON object: fields are an object, a body is a string.
    fn member(&self, name: &str) -> String {
        match self {
            Self::Text(text) if name == "fields" => match serde_json::from_str::<&RawValue>(text) {
                Ok(fields) => format!("\"{name}\":{fields}"),
                Err(_) => format!("\"{name}\":{}", Value::from(*text)),
            },
            Self::Text(text) => format!("\"{name}\":{}", Value::from(*text)),
            Self::Binary(bytes) => format!("\"{name}_base64\":\"{}\"", STANDARD.encode(bytes)),
        }
    }
}

fn line(sink: &str, number: u64, outcome: &str) -> Value {
    json!({ "sink": sink, "record": number, "outcome": outcome })
}

/// The number of a record's entry in the file, from 1. An entry that holds two records has one number.
fn number(lot: &Lot, record: Record<'_>) -> u64 {
    lot.first + (record.position() - record.chunk().positions().start)
}

/// Whether the id is the one that the record would have: those of kinds that often repeat themselves
/// depend on the place in the buffer.
fn has_id(lot: &Lot, kind: Kind) -> bool {
    lot.has_places || matches!(kind, Kind::Transaction | Kind::Uptime)
}
