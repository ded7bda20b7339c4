//! The records that the suite sends: transactions, as a gateway writes them, each with its number in it.

use crate::edit::{Edits, Scratch};
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp, View};

/// The key that consumers of the sample's API have: nobody may see it once it is redacted.
pub(super) const API_KEY: &str = "sampleapikey";
/// The address of the sample's consumers: gone once it is omitted.
pub(super) const IP_ADDRESS: &str = "203.0.113.77";

/// A transaction of the suite's.
#[derive(Debug, Clone)]
pub struct Sample {
    number: u64,
    texts: Vec<(&'static str, String)>,
}

impl Sample {
    /// The record of that number, below 1,000,000; another number is another record.
    pub fn new(number: u64) -> Self {
        let texts = [
            ("Method", "GET"),
            ("Host", "upstream.internal"),
            ("Path", "/orders"),
            ("RawPath", "/orders"),
            ("UserAgent", "behaviour/1"),
            ("APIKey", API_KEY),
            ("APIVersion", "Default"),
            ("APIName", "Orders"),
            ("APIID", "orders"),
            ("OrgID", "acme"),
            ("IPAddress", IP_ADDRESS),
        ];
        let mut texts: Vec<_> = texts.map(|(name, value)| (name, value.to_owned())).into();
        texts.push(("Alias", format!("sample{number:06}end")));
        Self { number, texts }
    }

    /// The same with another text in a field, by its name on the gateway's wire, such as `APIName`.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.texts.retain(|(name, _)| *name != field);
        self.texts.push((field, value.into()));
        self
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Its id, as text.
    pub(super) fn id(&self) -> String {
        self.chunk().record(0).id(&IdKey::default()).to_string()
    }

    fn chunk(&self) -> Chunk {
        let (partition, received) = (Partition::new("only"), Timestamp::now());
        let (kind, codec) = (Kind::Transaction, Codec::Msgpack);
        let body = self.encode();
        let size = body.len();
        let head = ChunkHead { source: "suite".into(), partition, kind, codec, received };
        let parsed = Chunk::parse(head, body.into(), 0..1, [(0, 0..size)]);
        debug_assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable);
        parsed.chunk
    }

    /// As a gateway writes it, in msgpack.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0xde];
        let numbers = [("ResponseCode", 200), ("RequestTime", self.number % 1_000)];
        let count = self.texts.len() + numbers.len() + 1;
        out.extend_from_slice(&(count as u16).to_be_bytes());
        for (name, value) in &self.texts {
            text(&mut out, name);
            text(&mut out, value);
        }
        for (name, value) in numbers {
            text(&mut out, name);
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
        // One second after another, from a day in the past that never changes.
        text(&mut out, "TimeStamp");
        out.extend_from_slice(&[0x92, 0xce]);
        out.extend_from_slice(&(1_790_000_000_u32 + self.number as u32).to_be_bytes());
        out.push(0);
        out
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.push(0xdb);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// What `redact: { fields: { api_key: hash } }` makes of the samples' key.
pub(super) fn redacted_key() -> String {
    let redact = serde_json::from_str(r#"{ "fields": { "api_key": "hash" } }"#).expect("it is right");
    let edits = Edits::new(&[], &redact, &IdKey::default()).expect("the key is a text");
    let (chunk, mut scratch) = (Sample::new(0).chunk(), Scratch::default());
    let View::Transaction(edited) = edits.apply(chunk.record(0).view(), &mut scratch) else {
        unreachable!("samples are transactions");
    };
    String::from_utf8_lossy(edited.api_key.0).into_owned()
}

/// The numbers of the samples that a text speaks of.
pub fn numbers_in(text: &str) -> impl Iterator<Item = u64> {
    text.split("sample").skip(1).filter_map(|rest| {
        let digits = rest.get(..6).filter(|_| rest[6..].starts_with("end"))?;
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Additions, Encoder, FullEncoder};

    #[test]
    fn a_sample_is_a_sound_record_and_is_found_again_by_its_number() {
        for number in [0, 7, 999_999] {
            let chunk = Sample::new(number).chunk();
            let (record, mut line) = (chunk.record(0), Vec::new());
            FullEncoder.encode(record, &record.view(), &Additions::default(), &mut line);
            let line = String::from_utf8(line).expect("it is text");
            assert_eq!(numbers_in(&line).collect::<Vec<_>>(), [number]);
            assert!(line.contains(API_KEY) && line.contains(IP_ADDRESS), "{line}");
        }
        assert!(!redacted_key().is_empty() && redacted_key() != API_KEY);
        assert_ne!(Sample::new(1).id(), Sample::new(2).id());
    }
}
