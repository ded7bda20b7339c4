//! The records that the suite sends: transactions, as a gateway writes them, each with its number in it.

use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp};

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
        let body = self.encode();
        let head = ChunkHead {
            source: "suite".into(),
            partition: Partition::new("only"),
            kind: Kind::Transaction,
            codec: Codec::Msgpack,
            received: Timestamp::now(),
        };
        let size = body.len();
        let chunk = Chunk::parse(head, body.into(), 0..1, [(0, 0..size)]).chunk;
        chunk.record(0).id(&IdKey::default()).to_string()
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

    #[test]
    fn a_sample_is_a_sound_record_and_is_found_again_by_its_number() {
        for number in [0, 7, 999_999] {
            let body = Sample::new(number).encode();
            let head = ChunkHead {
                source: "suite".into(),
                partition: Partition::new("only"),
                kind: Kind::Transaction,
                codec: Codec::Msgpack,
                received: Timestamp::now(),
            };
            let size = body.len();
            let parsed = Chunk::parse(head, body.into(), 0..1, [(0, 0..size)]);
            assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable);
            let record = parsed.chunk.record(0);
            let mut line = Vec::new();
            let additions = crate::encode::Additions::default();
            crate::encode::Encoder::encode(
                &crate::encode::FullEncoder,
                record,
                &record.view(),
                &additions,
                &mut line,
            );
            let line = String::from_utf8(line).expect("it is text");
            assert_eq!(numbers_in(&line).collect::<Vec<_>>(), [number]);
            assert!(line.contains(API_KEY) && line.contains(IP_ADDRESS), "{line}");
        }
        assert_ne!(Sample::new(1).id(), Sample::new(2).id());
    }
}
