//! Reads the file of records, tells what is in it, and cuts it into entries.
//!
//! | what | told by |
//! |---|---|
//! | stored dead letters | a line that is one, unless `--kind` or `--codec` is given |
//! | lines of JSON | `{` at the start, `--codec json`, or a kind that is written in JSON |
//! | entries with their lengths before them (four bytes, big endian) | a zero byte at the start: no record begins so, and no entry is so large that its length would not |
//! | msgpack, entries one after the other | a map or an array at the start; the first entry says whether they are transactions or uptime |
//! | protobuf, one entry | anything else: such messages have no end of their own |

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pump_core::dead_letter::{DeadLetter, LineError};
use pump_core::news;
use pump_core::preview::Sample;
use pump_core::record::{
    Chunk, ChunkHead, Codec, IdKey, Kind, Parsed, Partition, Timestamp, View, split_msgpack,
};

use crate::cli::Failure;

/// A file of records is held in memory, so it has a bound.
const MAX_INPUT: u64 = 256 << 20;
/// How much of it goes through the lanes at once.
const LOT_SIZE: usize = 1 << 20;

/// What is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Letters,
    Lines(Kind),
    Msgpack(Kind),
    /// Each entry has its length before it.
    Lengths(Kind, Codec),
    /// One transaction.
    Protobuf,
}

/// Records that go through the lanes at once.
pub(super) struct Lot {
    /// The number of its first entry in the file, from 1.
    pub(super) first: u64,
    pub(super) sample: Sample,
    /// Whether the records have the places in the buffer that they came from.
    pub(super) has_places: bool,
}

/// An entry that is no sound record.
pub(super) enum Flaw {
    Undecodable(Box<DeadLetter>),
    /// A line among dead letters that is none.
    NoLetter(LineError),
}

/// The file, read.
pub(super) struct Input {
    pub(super) lots: Vec<Lot>,
    /// With their numbers in the file, from 1.
    pub(super) flaws: Vec<(u64, Flaw)>,
    /// How many entries were looked at.
    pub(super) entries: u64,
    /// Letters whose records would get other ids than they had.
    pub(super) strangers: u64,
}

/// The whole file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(MAX_INPUT + 1).read_to_end(&mut bytes);
    let result = match path.as_os_str() == "-" {
        true => read(&mut io::stdin().lock()),
        false => File::open(path).and_then(|mut file| read(&mut file)),
    };
    let shown = path.display();
    match result {
        Err(error) => Err(Failure::Usage(format!("cannot read {shown}: {error}"))),
        Ok(size) if size as u64 > MAX_INPUT => {
            Err(Failure::Usage(format!("{shown} is larger than 256 MiB: take a part of it")))
        }
        Ok(_) => Ok(bytes.into()),
    }
}

impl Form {
    /// By what the command line says, then by the first bytes.
    pub(super) fn tell(bytes: &[u8], kind: Option<Kind>, codec: Option<Codec>) -> Result<Self, Failure> {
        let is_text = bytes.trim_ascii_start().first() == Some(&b'{');
        if is_text && kind.is_none() && codec.is_none() && lines(bytes).any(|line| is_letter(&bytes[line])) {
            return Ok(Self::Letters);
        }
        let has_lengths = bytes.first() == Some(&0);
        let start = if has_lengths { bytes.get(4..).unwrap_or_default() } else { bytes };
        let told = || match (kind, start.first()) {
            (Some(Kind::AppLog | Kind::Audit | Kind::Event), _) => Codec::Json,
            (Some(Kind::Uptime), _) => Codec::Msgpack,
            _ if is_text => Codec::Json,
            (_, Some(0x80..=0x9f | 0xdc..=0xdf) | None) => Codec::Msgpack,
            _ => Codec::Protobuf,
        };
        let codec = codec.unwrap_or_else(told);
        let kind = match (kind, codec) {
            (Some(kind), _) => kind,
            (None, Codec::Msgpack) if has_lengths => kind_of(with_lengths(bytes).next().map(|at| &bytes[at])),
            (None, Codec::Msgpack) => kind_of(split_msgpack(bytes).next().map(|at| &bytes[at])),
            (None, Codec::Protobuf) => Kind::Transaction,
            (None, Codec::Json) => {
                let message = "say with --kind what the lines are: app_log, audit or event";
                return Err(Failure::Usage(message.into()));
            }
        };
        match (kind, codec) {
            (Kind::Transaction, Codec::Msgpack | Codec::Protobuf) | (Kind::Uptime, Codec::Msgpack)
                if has_lengths =>
            {
                Ok(Self::Lengths(kind, codec))
            }
            (Kind::Transaction | Kind::Uptime, Codec::Msgpack) => Ok(Self::Msgpack(kind)),
            (Kind::Transaction, Codec::Protobuf) => Ok(Self::Protobuf),
            (Kind::AppLog | Kind::Audit | Kind::Event, Codec::Json) => Ok(Self::Lines(kind)),
            (Kind::Transaction, Codec::Json) => Err(Failure::Usage(
                "transactions are written in msgpack or protobuf, not in JSON: give the entries as they are in \
                 the buffer"
                    .into(),
            )),
            (Kind::Uptime, _) => Err(Failure::Usage("uptime records are written in msgpack".into())),
            (Kind::AppLog | Kind::Audit | Kind::Event, _) => {
                Err(Failure::Usage(format!("{} records are written in JSON", kind.name())))
            }
        }
    }
}

impl Input {
    /// Up to `limit` entries. `source` is whom they came from, but for letters, which say so themselves.
    pub(super) fn parse(
        bytes: &Bytes,
        form: Form,
        source: Option<&Arc<str>>,
        limit: usize,
        id_key: &IdKey,
    ) -> Self {
        let mut input = Self { lots: Vec::new(), flaws: Vec::new(), entries: 0, strangers: 0 };
        let (kind, codec) = match form {
            Form::Letters => {
                lines(bytes).take(limit).for_each(|line| input.add_letter(&bytes[line], id_key));
                return input;
            }
            Form::Lines(kind) => (kind, Codec::Json),
            Form::Msgpack(kind) => (kind, Codec::Msgpack),
            Form::Lengths(kind, codec) => (kind, codec),
            Form::Protobuf => (Kind::Transaction, Codec::Protobuf),
        };
        let head = head(source.cloned().unwrap_or_else(|| "".into()), kind, codec);
        let mut lot: Vec<Range<usize>> = Vec::new();
        for entry in entries(bytes, form).take(limit) {
            if lot.first().is_some_and(|first| entry.end - first.start > LOT_SIZE) {
                input.add(&head, bytes, std::mem::take(&mut lot));
            }
            lot.push(entry);
        }
        input.add(&head, bytes, lot);
        input
    }

    fn add(&mut self, head: &ChunkHead, bytes: &Bytes, entries: Vec<Range<usize>>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (start, end) = (first.start, last.end);
        let positions = self.entries + 1..self.entries + 1 + entries.len() as u64;
        let parts = entries.into_iter().map(|entry| entry.start - start..entry.end - start);
        let parsed = Chunk::parse(
            head.clone(),
            bytes.slice(start..end),
            positions.clone(),
            positions.clone().zip(parts),
        );
        self.entries += positions.end - positions.start;
        let flaws = parsed.undecodable.iter().map(|entry| {
            let letter = DeadLetter::undecodable(head, entry);
            (entry.position, Flaw::Undecodable(letter.into()))
        });
        self.flaws.extend(flaws);
        let sample = Sample::new(parsed.chunk);
        self.lots.push(Lot { first: positions.start, sample, has_places: false });
    }

    fn add_letter(&mut self, line: &[u8], id_key: &IdKey) {
        self.entries += 1;
        let number = self.entries;
        let letter = match DeadLetter::from_line(line) {
            Ok((letter, _)) => letter,
            Err(error) => return self.flaws.push((number, Flaw::NoLetter(error))),
        };
        let head = ChunkHead {
            source: letter.source,
            partition: Partition::new(letter.partition),
            kind: letter.kind,
            codec: letter.codec,
            received: letter.received,
        };
        let positions = letter.position..letter.position.saturating_add(1);
        let entry = (letter.position, 0..letter.body.len());
        let Parsed { mut chunk, undecodable } = Chunk::parse(head, letter.body, positions, [entry]);
        if let Some(entry) = undecodable.first() {
            let letter = DeadLetter::undecodable(chunk.head(), entry);
            return self.flaws.push((number, Flaw::Undecodable(letter.into())));
        }
        if let (Some(id), 1) = (letter.id, chunk.len()) {
            // The pump's own news bring ids that nobody can compute.
            if *chunk.head().source == *news::SOURCE {
                chunk = chunk.with_ids([id]);
            } else if chunk.record(0).id(id_key) != id {
                self.strangers += 1;
            }
        }
        self.lots.push(Lot { first: number, sample: Sample::new(chunk), has_places: true });
    }
}

fn entries(bytes: &Bytes, form: Form) -> Box<dyn Iterator<Item = Range<usize>> + '_> {
    match form {
        Form::Letters | Form::Lines(_) => Box::new(lines(bytes)),
        Form::Msgpack(_) => Box::new(split_msgpack(bytes)),
        Form::Lengths(..) => Box::new(with_lengths(bytes)),
        Form::Protobuf => Box::new((!bytes.is_empty()).then_some(0..bytes.len()).into_iter()),
    }
}

/// The lines that are not blank, without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    let line = move |line: &[u8]| {
        let start = next;
        next += line.len() + 1;
        start..start + line.strip_suffix(b"\r").unwrap_or(line).len()
    };
    bytes.split(|byte| *byte == b'\n').map(line).filter(|range| !bytes[range.clone()].trim_ascii().is_empty())
}

/// Entries with their lengths before them. What is cut off at the end is an entry as far as it goes.
fn with_lengths(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let (start, length) = match rest.split_first_chunk() {
            Some((length, _)) => (at + 4, u32::from_be_bytes(*length) as usize),
            None => (at, rest.len()),
        };
        at = start.saturating_add(length).min(bytes.len());
        Some(start..at)
    })
}

/// Uptime when only a health check could be so: it has a URL and, read as a transaction, no method.
fn kind_of(entry: Option<&[u8]>) -> Kind {
    let chunk = |kind| {
        let bytes = Bytes::copy_from_slice(entry.unwrap_or_default());
        let (head, size) = (head("".into(), kind, Codec::Msgpack), bytes.len());
        Chunk::parse(head, bytes, 0..1, [(0, 0..size)]).chunk
    };
    let has = |kind, is: &dyn Fn(&View<'_>) -> bool| chunk(kind).records().any(|record| is(&record.view()));
    let has_url = |view: &View<'_>| matches!(view, View::Uptime(uptime) if !uptime.url.bytes().is_empty());
    let has_method =
        |view: &View<'_>| matches!(view, View::Transaction(record) if !record.method.bytes().is_empty());
    let is_uptime = has(Kind::Uptime, &has_url) && !has(Kind::Transaction, &has_method);
    if is_uptime { Kind::Uptime } else { Kind::Transaction }
}

fn head(source: Arc<str>, kind: Kind, codec: Codec) -> ChunkHead {
    ChunkHead { source, partition: Partition::new("test"), kind, codec, received: Timestamp::now() }
}

fn is_letter(line: &[u8]) -> bool {
    matches!(DeadLetter::from_line(line), Ok(_) | Err(LineError::Version(_)))
}

#[cfg(test)]
mod tests;
