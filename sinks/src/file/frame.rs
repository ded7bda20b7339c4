//! Whole frames: what one delivery appends, and where the last of them ends in a file that was left
//! behind.
//!
//! A frame is a run of lines, one gzip member, or one zstd frame. Each can be read after any other,
//! so a file that ends with a whole frame is a whole file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use bytes::Bytes;

use super::config::Compression;
use crate::encoding::CSV_HEADER;

/// What a file that was left behind holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No record: it is empty, or has a line of csv names alone.
    Nothing,
    /// Not one whole frame.
    Torn,
    /// Whole frames up to here, in bytes from the start.
    Whole(u64),
}

/// Makes one frame of these pieces.
pub(super) fn frame(pieces: Vec<Bytes>, compression: Compression) -> io::Result<Vec<Bytes>> {
    match compression {
        Compression::None => Ok(pieces),
        Compression::Gzip => {
            // Level 1 takes a third of the time of the usual 6 for logs, and a tenth more room.
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
            Ok(vec![encoder.finish()?.into()])
        }
        #[cfg(feature = "zstd")]
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
            encoder.include_checksum(true)?;
            pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
            Ok(vec![encoder.finish()?.into()])
        }
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => Err(io::Error::other("this build has no zstd")),
    }
}

/// Whether the file begins as one of this compression does. An empty or very short one may be anything.
pub(super) fn is_of(file: &File, compression: Compression) -> io::Result<bool> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    let mut head = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    reader.take(ZSTD.len() as u64).read_to_end(&mut head)?;
    let begins = |magic: &[u8]| head.starts_with(magic) || magic.starts_with(&head);
    Ok(match compression {
        Compression::None => head.is_empty() || !(head.starts_with(GZIP) || head.starts_with(ZSTD)),
        Compression::Gzip => begins(GZIP),
        Compression::Zstd => begins(ZSTD),
    })
}

/// What a file that was left behind holds.
pub(super) fn found(file: &File, compression: Compression) -> io::Result<Found> {
    let mut reader = BufReader::with_capacity(256 << 10, file);
    reader.seek(SeekFrom::Start(0))?;
    found_in(&mut reader, file.metadata()?.len(), compression)
}

/// The same of a reader with so many bytes.
pub(super) fn found_in(reader: &mut impl BufRead, size: u64, compression: Compression) -> io::Result<Found> {
    // Whether it is csv is said by the file and not by the sink: two sinks may write under one name,
    // and by the rule of csv a line of JSON with an odd number of quotes would not end.
    let is_csv = compression == Compression::None && reader.fill_buf()?.starts_with(CSV_HEADER);
    let names = if is_csv { CSV_HEADER.len() as u64 } else { 0 };
    let whole = whole_length(reader, compression, is_csv)?;
    Ok(match whole {
        _ if size == names => Found::Nothing,
        whole if whole <= names => Found::Torn,
        whole => Found::Whole(whole),
    })
}

/// Where the last whole frame ends, in bytes from the start.
fn whole_length(reader: &mut impl BufRead, compression: Compression, is_csv: bool) -> io::Result<u64> {
    match compression {
        Compression::None => whole_lines(reader, is_csv),
        Compression::Gzip => whole_frames(reader, |reader| {
            io::copy(&mut flate2::bufread::GzDecoder::new(reader), &mut io::sink()).map(drop)
        }),
        #[cfg(feature = "zstd")]
        Compression::Zstd => whole_frames(reader, |reader| {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?.single_frame();
            io::copy(&mut decoder, &mut io::sink()).map(drop)
        }),
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => Err(io::Error::other("this build has no zstd")),
    }
}

/// After the last newline; in csv a newline within quotes ends no line.
fn whole_lines(reader: &mut impl BufRead, has_quotes: bool) -> io::Result<u64> {
    let (mut at, mut whole, mut is_quoted) = (0, 0, false);
    loop {
        let block = reader.fill_buf()?;
        if block.is_empty() {
            return Ok(whole);
        }
        for (offset, byte) in block.iter().enumerate() {
            match byte {
                b'"' if has_quotes => is_quoted = !is_quoted,
                b'\n' if !is_quoted => whole = at + offset as u64 + 1,
                _ => {}
            }
        }
        let length = block.len();
        at += length as u64;
        reader.consume(length);
    }
}

/// After the last frame that can be read to its end. A frame is torn when its decoder says so; when the
/// disk could not be read, nothing is known of the frames, and the error is returned.
fn whole_frames<R: BufRead>(
    reader: &mut R,
    read_one: impl Fn(&mut Counting<'_, R>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut whole = 0;
    loop {
        if reader.fill_buf()?.is_empty() {
            return Ok(whole);
        }
        let mut counting = Counting { reader, count: 0, has_failed: false };
        match read_one(&mut counting) {
            Ok(()) => whole += counting.count,
            Err(error) if counting.has_failed => return Err(error),
            // Torn or not a frame at all: what came before stays.
            Err(_) => return Ok(whole),
        }
    }
}

/// Counts what a decoder takes, which reads no further than its frame; and tells an error of the disk
/// from one of the decoder, which may wrap the former beyond recognition.
struct Counting<'a, R> {
    reader: &'a mut R,
    count: u64,
    has_failed: bool,
}

impl<R> Counting<'_, R> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        // Decoders try again when a read was interrupted.
        self.has_failed |= result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<R: BufRead> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        let count = self.note(read)?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counting<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.reader.fill_buf() {
            return self.note(Err(error));
        }
        // Asked again because a borrow cannot be returned on one path only; nothing is read twice.
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count += count as u64;
        self.reader.consume(count);
    }
}
