//! A frame: one chunk in a segment file.
//!
//! ```text
//! header (80 bytes): magic, version, what the chunk is, lengths, places, positions, two checksums
//! content:           source, partition, spans, ids if it has some, the bytes as they came (or their zstd)
//! padding:           zeros up to a multiple of 8
//! ```
//!
//! Numbers are little-endian. The header has a checksum (CRC32C) of its own, so that a scan may hop from frame to frame, and
//! the content has another. `synced` says how far the log was durable when the frame was written: what a
//! later frame calls durable was not torn off by a crash, so where it cannot be read it is damaged.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crc32c::{crc32c, crc32c_append};

use super::Compression;
use crate::record::{Chunk, ChunkHead, ChunkParts, Codec, Kind, Partition, RecordId, Span, Timestamp};

/// The length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 80;
/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// The first four bytes of every frame: "pump log", shortened.
pub(crate) const MAGIC: [u8; 4] = *b"pmpL";
const VERSION: u8 = 1;
/// Each record has an id that came along.
const HAS_IDS: u8 = 1;
/// The bytes are compressed with zstd.
const IS_ZSTD: u8 = 2;
const SPAN_LEN: usize = 12;
const ID_LEN: usize = 16;
/// What a frame's content may take: far more than any source hands over at once.
pub(crate) const MAX_CONTENT: usize = 1 << 30;

/// What stands in a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    flags: u8,
    pub(crate) kind: Kind,
    codec: Codec,
    source_len: u16,
    partition_len: u16,
    /// Bytes as they are stored.
    stored_len: u32,
    /// Bytes as they came.
    pub(crate) raw_len: u32,
    pub(crate) records: u32,
    /// The place of its first record.
    pub(crate) first: u64,
    /// All places below were durable when this was written.
    pub(crate) synced: u64,
    /// The positions that it settles.
    pub(crate) positions: (u64, u64),
    pub(crate) received: Timestamp,
    content_crc: u32,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header does not begin as it must, or its checksum is wrong.
    #[error("there is no frame")]
    NoFrame,
    /// A newer pump wrote it.
    #[error(
        "the frame has version {0}, which this pump cannot read: use the pump that wrote it, or a newer one"
    )]
    Version(u8),
    /// Sound, and of a sort that this build does not know.
    #[error("the frame {0}, which this build cannot read: use the pump that wrote it, or a newer one")]
    Unsupported(&'static str),
    /// Fewer bytes than the header says.
    #[error("the frame is cut off")]
    CutOff,
    /// The content's checksum is wrong.
    #[error("the frame's content does not match its checksum")]
    Checksum,
    /// The disk does not give it.
    #[error("the disk does not give it")]
    Unreadable,
    /// The checksum is right and the content makes no sense.
    #[error("the frame's content makes no sense: {0}")]
    Content(&'static str),
}

impl Header {
    /// Reads a header; `bytes` begin with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Err(FrameError::CutOff) };
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("it is inside"));
        let u64_at = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().expect("it is inside"));
        if header[..4] != MAGIC || crc32c(&header[..HEADER_LEN - 4]) != u32_at(HEADER_LEN - 4) {
            return Err(FrameError::NoFrame);
        }
        if header[4] != VERSION {
            return Err(FrameError::Version(header[4]));
        }
        let flags = header[5];
        if flags & !(HAS_IDS | IS_ZSTD) != 0 {
            return Err(FrameError::Unsupported("has a flag"));
        }
        let header = Self {
            flags,
            kind: kind_of(header[6]).ok_or(FrameError::Unsupported("has records of a kind"))?,
            codec: codec_of(header[7]).ok_or(FrameError::Unsupported("has a codec"))?,
            source_len: u16_at(8),
            partition_len: u16_at(10),
            stored_len: u32_at(12),
            raw_len: u32_at(16),
            records: u32_at(20),
            first: u64_at(24),
            synced: u64_at(32),
            positions: (u64_at(40), u64_at(48)),
            received: Timestamp { seconds: u64_at(56) as i64, nanos: u32_at(64).min(999_999_999) },
            content_crc: u32_at(72),
        };
        if header.content_len() > MAX_CONTENT as u64
            || u64::from(header.raw_len) > MAX_CONTENT as u64
            || header.first.checked_add(u64::from(header.records)).is_none()
        {
            return Err(FrameError::Content("its lengths are out of bounds"));
        }
        Ok(header)
    }

    /// The place after its last record.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.records)
    }

    /// The bytes that follow the header, without padding.
    pub(crate) fn content_len(&self) -> u64 {
        let ids = if self.flags & HAS_IDS != 0 { ID_LEN } else { 0 };
        u64::from(self.source_len)
            + u64::from(self.partition_len)
            + u64::from(self.records) * (SPAN_LEN + ids) as u64
            + u64::from(self.stored_len)
    }

    /// Bytes from this frame to the next.
    pub(crate) fn frame_len(&self) -> u64 {
        (HEADER_LEN as u64 + self.content_len()).next_multiple_of(ALIGNMENT as u64)
    }

    /// Whether the content (without padding, or with it) is what was written.
    pub(crate) fn check(&self, content: &[u8]) -> Result<(), FrameError> {
        let content = content.get(..self.content_len() as usize).ok_or(FrameError::CutOff)?;
        if crc32c(content) == self.content_crc { Ok(()) } else { Err(FrameError::Checksum) }
    }

    /// Source and partition, of a checked content.
    pub(crate) fn names<'c>(&self, content: &'c [u8]) -> Result<(&'c str, &'c str), FrameError> {
        let (source, rest) =
            content.split_at_checked(usize::from(self.source_len)).ok_or(FrameError::CutOff)?;
        let partition = rest.get(..usize::from(self.partition_len)).ok_or(FrameError::CutOff)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| FrameError::Content("a name is no text"));
        Ok((text(source)?, text(partition)?))
    }

    /// The chunk of a content, whose checksum is checked first. The partition is a handle of the chunk's own.
    pub(crate) fn chunk(&self, content: Bytes) -> Result<Chunk, FrameError> {
        self.check(&content)?;
        let (source, partition) = self.names(&content)?;
        let head = ChunkHead {
            source: Arc::from(source),
            partition: Partition::new(partition),
            kind: self.kind,
            codec: self.codec,
            received: self.received,
        };
        let records = self.records as usize;
        let spans_at = usize::from(self.source_len) + usize::from(self.partition_len);
        let ids_at = spans_at + records * SPAN_LEN;
        let has_ids = self.flags & HAS_IDS != 0;
        let bytes_at = if has_ids { ids_at + records * ID_LEN } else { ids_at };
        let bytes = content.slice(bytes_at..self.content_len() as usize);
        let bytes = if self.flags & IS_ZSTD != 0 { self.decompress(&bytes)? } else { bytes };
        if bytes.len() != self.raw_len as usize {
            return Err(FrameError::Content("its bytes are more or fewer than they were"));
        }
        let spans = content[spans_at..ids_at].chunks_exact(SPAN_LEN).map(|span| {
            let at = |index: usize| u32::from_le_bytes(*span[index..].first_chunk().expect("it is inside"));
            Span { start: at(0), end: at(4), position: at(8) }
        });
        let ids = content[ids_at..bytes_at]
            .chunks_exact(ID_LEN)
            .map(|id| RecordId(*id.first_chunk().expect("it is as long as an id")));
        let parts = ChunkParts {
            head,
            bytes,
            spans: spans.collect(),
            positions: self.positions.0..self.positions.1,
            ids: has_ids.then(|| ids.collect()),
        };
        Chunk::from_parts(parts).ok_or(FrameError::Content("a record lies outside of its bytes"))
    }

    #[cfg(feature = "zstd")]
    fn decompress(&self, bytes: &[u8]) -> Result<Bytes, FrameError> {
        // As much as was said, which the checksum covers, and no more.
        let raw = zstd::bulk::decompress(bytes, self.raw_len as usize);
        raw.map(Bytes::from).map_err(|_| FrameError::Content("its bytes cannot be decompressed"))
    }

    #[cfg(not(feature = "zstd"))]
    fn decompress(&self, _: &[u8]) -> Result<Bytes, FrameError> {
        Err(FrameError::Unsupported("is compressed with zstd"))
    }

    fn write(&self, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.flags, kind_number(self.kind), codec_number(self.codec)]);
        out.extend_from_slice(&self.source_len.to_le_bytes());
        out.extend_from_slice(&self.partition_len.to_le_bytes());
        for number in [self.stored_len, self.raw_len, self.records] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.first, self.synced, self.positions.0, self.positions.1] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.received.seconds.to_le_bytes());
        for number in [self.received.nanos, 0, self.content_crc] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
}

/// A frame in pieces that go one after the other, and its header.
pub(crate) type Encoded = (Header, [Bytes; 3]);

/// Writes a chunk as a frame: its bytes are shared and not copied, unless they are to be compressed. `None`: a name
/// or a size is over what a frame can hold.
pub(crate) fn encode(chunk: &Chunk, first: u64, synced: u64, compression: Compression) -> Option<Encoded> {
    let head = chunk.head();
    let (source, partition) = (head.source.as_bytes(), head.partition.name().as_bytes());
    let ids = chunk.ids().unwrap_or_default();
    let raw_len = chunk.bytes().len();
    let (bytes, is_zstd) = match compression {
        Compression::None => (chunk.bytes().clone(), 0),
        Compression::Zstd => {
            compress(chunk.bytes()).map_or((chunk.bytes().clone(), 0), |bytes| (bytes, IS_ZSTD))
        }
    };
    let meta_len = source.len() + partition.len() + chunk.len() * SPAN_LEN + ids.len() * ID_LEN;
    let mut meta = BytesMut::with_capacity(HEADER_LEN + meta_len);
    meta.resize(HEADER_LEN, 0);
    meta.extend_from_slice(source);
    meta.extend_from_slice(partition);
    for Span { start, end, position } in chunk.spans() {
        for number in [start, end, position] {
            meta.extend_from_slice(&number.to_le_bytes());
        }
    }
    ids.iter().for_each(|id| meta.extend_from_slice(&id.0));
    let positions = chunk.positions();
    let header = Header {
        flags: is_zstd | if chunk.ids().is_some() { HAS_IDS } else { 0 },
        kind: head.kind,
        codec: head.codec,
        source_len: source.len().try_into().ok()?,
        partition_len: partition.len().try_into().ok()?,
        stored_len: bytes.len().try_into().ok()?,
        raw_len: raw_len.try_into().ok()?,
        records: chunk.len().try_into().ok()?,
        first,
        synced,
        positions: (positions.start, positions.end),
        received: head.received,
        content_crc: crc32c_append(crc32c(&meta[HEADER_LEN..]), &bytes),
    };
    if header.content_len() > MAX_CONTENT as u64 {
        return None;
    }
    let mut start = BytesMut::with_capacity(HEADER_LEN);
    header.write(&mut start);
    meta[..HEADER_LEN].copy_from_slice(&start);
    let padding = header.frame_len() as usize - HEADER_LEN - header.content_len() as usize;
    Some((header, [meta.freeze(), bytes, Bytes::from_static(&[0; ALIGNMENT]).slice(..padding)]))
}

/// The bytes at zstd's fastest ordinary level; `None`: they would not become fewer, or this build has no zstd.
fn compress(bytes: &[u8]) -> Option<Bytes> {
    #[cfg(feature = "zstd")]
    return zstd::bulk::compress(bytes, 1)
        .ok()
        .filter(|smaller| smaller.len() < bytes.len())
        .map(Bytes::from);
    #[cfg(not(feature = "zstd"))]
    return None.filter(|_: &Bytes| !bytes.is_empty());
}

const KINDS: [Kind; 5] = [Kind::Transaction, Kind::Uptime, Kind::AppLog, Kind::Audit, Kind::Event];
const CODECS: [Codec; 3] = [Codec::Msgpack, Codec::Protobuf, Codec::Json];

// The numbers are those of the arrays, and must never change.
fn kind_of(number: u8) -> Option<Kind> {
    KINDS.get(usize::from(number)).copied()
}

fn kind_number(kind: Kind) -> u8 {
    KINDS.iter().position(|own| *own == kind).expect("every kind is there") as u8
}

fn codec_of(number: u8) -> Option<Codec> {
    CODECS.get(usize::from(number)).copied()
}

fn codec_number(codec: Codec) -> u8 {
    CODECS.iter().position(|own| *own == codec).expect("every codec is there") as u8
}
