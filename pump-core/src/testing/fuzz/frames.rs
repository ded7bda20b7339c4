//! Frames of the disk log.
//!
//! The first byte of an input says what the others are: a frame as it stands; a frame whose checksums are
//! put right, so that they do not keep the fuzzer out; one whose lengths are put right as well; or what a
//! chunk is made of. Whatever a frame holds is read without a panic and without asking for more memory
//! than there are bytes; a frame of ours gives the chunk back, and a flipped bit in it is noticed.

use bytes::{Bytes, BytesMut};
use crc32c::crc32c;

use super::records::encoded;
use crate::edit::Scratch;
use crate::encode::{CsvEncoder, Encoder, FullEncoder, TykStdoutEncoder};
use crate::log::disk::Compression;
use crate::log::disk::frame::{ALIGNMENT, FrameError, HEADER_LEN, Header, MAGIC, encode};
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, RecordId, Timestamp};

/// Where in a header the lengths and the checksums stand; `frame.rs` has the whole of it.
const FLAGS: usize = 5;
const SOURCE_LEN: usize = 8;
const PARTITION_LEN: usize = 10;
const STORED_LEN: usize = 12;
const RAW_LEN: usize = 16;
const RECORDS: usize = 20;
const CONTENT_CRC: usize = 72;
const HEADER_CRC: usize = HEADER_LEN - 4;
/// A span, and a span with an id.
const PER_RECORD: [usize; 2] = [12, 28];
/// Of each record a frame keeps a span of 12 bytes and a chunk as much again.
const MEMORY_PER_BYTE: usize = 2;

pub(super) fn run(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else { return };
    match mode & 3 {
        0 => read(rest),
        1 => read(&with_checksums(rest.to_vec())),
        2 => read(&with_checksums(with_lengths(rest.to_vec()))),
        _ => written(rest),
    }
}

/// Reads a frame as the log does: header, checksum, chunk.
fn decode(frame: &Bytes) -> Result<(Header, Chunk), FrameError> {
    let header = Header::parse(frame)?;
    let content = frame.slice(HEADER_LEN..);
    header.check(&content)?;
    header.names(&content)?;
    Ok((header, header.chunk(content)?))
}

fn read(frame: &[u8]) {
    let frame = Bytes::copy_from_slice(frame);
    let Ok((header, chunk)) = decode(&frame) else { return };
    // What is compressed takes what its header says, which is bounded.
    let given = frame.len().max(header.raw_len as usize);
    assert!(chunk.size() <= MEMORY_PER_BYTE * given + size_of::<Chunk>(), "more than it was given");
    assert_eq!(header.end() - header.first, chunk.len() as u64);
    used(&chunk);
    // It came from another version, or from an attacker: what we make of it is still a frame.
    let (again, pieces) =
        encode(&chunk, header.first, header.synced, Compression::None).expect("it fitted before");
    let (same_header, same) = decode(&pieces.concat().into()).expect("we wrote it");
    assert_eq!(again, same_header);
    assert_same(&chunk, &same);
}

/// What lanes do with a record; it may be unsound, so that only a panic would be wrong.
fn used(chunk: &Chunk) {
    let (key, mut scratch) = (IdKey::default(), Scratch::default());
    for record in chunk.records() {
        record.id(&key);
        assert!(chunk.positions().start <= record.position());
        let view = super::records::EDITS.apply(record.view(), &mut scratch);
        for encoder in [&FullEncoder as &dyn Encoder, &TykStdoutEncoder, &CsvEncoder] {
            encoded(encoder, record, &view);
        }
    }
}

/// Makes a chunk of the bytes, writes it and reads it back.
fn written(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return };
    let chunk = chunk(head, rest);
    let number = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let (first, synced) = (number(8), number(10));
    let compression = if first.is_multiple_of(2) { Compression::None } else { Compression::Zstd };
    let (header, pieces) = encode(&chunk, first, synced, compression).expect("it is small");
    let frame = Bytes::from(pieces.concat());
    assert_eq!((header.first, header.synced, header.frame_len()), (first, synced, frame.len() as u64));
    assert!(frame.len().is_multiple_of(ALIGNMENT));
    let padding = &frame[HEADER_LEN + header.content_len() as usize..];
    assert!(padding.len() < ALIGNMENT && padding.iter().all(|byte| *byte == 0));
    let (same_header, same) = decode(&frame).expect("we wrote it");
    assert_eq!(header, same_header);
    assert_same(&chunk, &same);
    used(&same);
    damaged(&frame, frame.len() - padding.len(), number(12) as usize);
}

/// A bit that flips is noticed, and so is an end that is missing.
fn damaged(frame: &Bytes, len: usize, chosen: usize) {
    // One in the header, and one anywhere.
    for bit in [chosen % (8 * HEADER_LEN), chosen % (8 * len)] {
        let mut flipped = BytesMut::from(&frame[..len]);
        flipped[bit / 8] ^= 1 << (bit % 8);
        decode(&flipped.freeze()).expect_err("a bit was flipped");
    }
    assert_eq!(decode(&frame.slice(..chosen % len)).err(), Some(FrameError::CutOff));
}

/// The head's bytes say what sort of chunk; an entry ends where its length, before it, says.
fn chunk(head: &[u8; 16], rest: &[u8]) -> Chunk {
    let sorts = [
        (Kind::Transaction, Codec::Msgpack),
        (Kind::Transaction, Codec::Protobuf),
        (Kind::Uptime, Codec::Msgpack),
        (Kind::Event, Codec::Json),
        (Kind::Audit, Codec::Json),
        (Kind::AppLog, Codec::Json),
    ];
    let (kind, codec) = sorts[usize::from(head[0]) % sorts.len()];
    let received =
        Timestamp { seconds: i64::from(i32::from_le_bytes([head[4], head[5], head[6], head[7]])), nanos: 7 };
    let name = |byte: u8| "n\u{e9}".repeat(usize::from(byte % 9));
    let partition = Partition::new(name(head[2]));
    let head_of = ChunkHead { source: name(head[1]).into(), partition, kind, codec, received };
    let (mut at, mut entries) = (0, Vec::new());
    let first = u64::from(head[14]) << (head[15] % 56);
    while let Some(length) = rest.get(at..).and_then(<[u8]>::first_chunk) {
        let start = at + 2;
        at = rest.len().min(start + usize::from(u16::from_le_bytes(*length)));
        entries.push((first + entries.len() as u64, start..at));
    }
    let end = first + entries.len() as u64;
    let chunk = Chunk::parse(head_of, Bytes::copy_from_slice(rest), first..end, entries).chunk;
    if head[3] & 1 == 0 {
        return chunk;
    }
    let ids: Vec<_> =
        (0..chunk.len()).map(|index| RecordId([head[3].wrapping_add(index as u8); 16])).collect();
    chunk.with_ids(ids)
}

fn assert_same(one: &Chunk, other: &Chunk) {
    let (head, other_head) = (one.head(), other.head());
    assert_eq!(head.source, other_head.source);
    assert_eq!(head.partition.name(), other_head.partition.name());
    assert_eq!(
        (head.kind, head.codec, head.received),
        (other_head.kind, other_head.codec, other_head.received)
    );
    assert_eq!((one.bytes(), one.spans(), one.ids()), (other.bytes(), other.spans(), other.ids()));
    assert_eq!(one.positions(), other.positions());
}

/// Makes what stands in a header agree with the bytes behind it.
fn with_lengths(mut frame: Vec<u8>) -> Vec<u8> {
    let Some(content) = frame.len().checked_sub(HEADER_LEN) else { return frame };
    let mut left = content;
    for at in [SOURCE_LEN, PARTITION_LEN] {
        let len = usize::from(frame[at]).min(left);
        left -= len;
        frame[at..at + 2].copy_from_slice(&(len as u16).to_le_bytes());
    }
    let records = usize::from(frame[RECORDS]).min(left / PER_RECORD[usize::from(frame[FLAGS] & 1)]);
    left -= records * PER_RECORD[usize::from(frame[FLAGS] & 1)];
    for (at, number) in [(RECORDS, records), (STORED_LEN, left), (RAW_LEN, left)] {
        frame[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes());
    }
    frame
}

/// Puts both checksums right, and what is checked before them.
fn with_checksums(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < HEADER_LEN {
        return frame;
    }
    frame[..4].copy_from_slice(&MAGIC);
    frame = with_header_checksum(frame);
    // How much content there is, the header says; where it makes no sense there is no content to check.
    let Ok(header) = Header::parse(&frame) else { return frame };
    let content = header.content_len() as usize;
    if let Some(content) = frame.get(HEADER_LEN..HEADER_LEN + content) {
        let crc = crc32c(content);
        frame[CONTENT_CRC..CONTENT_CRC + 4].copy_from_slice(&crc.to_le_bytes());
    }
    with_header_checksum(frame)
}

fn with_header_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&frame[..HEADER_CRC]);
    frame[HEADER_CRC..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    frame
}
