//! Segment files: frames one after the other. Only the last one grows; each is removed as a whole.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::Storage;
use super::frame::{ALIGNMENT, FrameError, HEADER_LEN, Header, MAGIC};

const SUFFIX: &str = ".log";
/// Small frames are read many at a time.
const READ_AHEAD: usize = 1 << 20;
/// What is passed over where the disk does not give it.
const UNREADABLE: usize = 4 << 10;

/// The name of the segment that begins with that place.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The place that the name of a segment says.
pub(super) fn first_place(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A frame that was read: its content is checked.
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) content: Bytes,
}

/// Reads frames, many small ones at once.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    name: String,
    at: u64,
    window: Bytes,
}

impl FrameReader {
    /// The frame at an offset of a segment that ends at `end`.
    pub(crate) async fn read(
        &mut self,
        storage: &dyn Storage,
        name: &str,
        offset: u64,
        end: u64,
    ) -> io::Result<Result<Frame, FrameError>> {
        if end.saturating_sub(offset) < HEADER_LEN as u64 {
            return Ok(Err(FrameError::CutOff));
        }
        let start = self.bytes(storage, name, offset, HEADER_LEN, end).await?;
        let header = match Header::parse(&start) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        // What says that more was durable than there is before it, nobody wrote.
        if header.synced > header.first {
            return Ok(Err(FrameError::NoFrame));
        }
        if end - offset < HEADER_LEN as u64 + header.content_len() {
            return Ok(Err(FrameError::CutOff));
        }
        let len = header.content_len() as usize;
        let content = self.bytes(storage, name, offset + HEADER_LEN as u64, len, end).await?;
        Ok(header.check(&content).map(|()| Frame { header, content }))
    }

    /// The header at an offset.
    async fn header(
        &mut self,
        storage: &dyn Storage,
        name: &str,
        offset: u64,
        end: u64,
    ) -> Result<Header, FrameError> {
        let start = self.bytes(storage, name, offset, HEADER_LEN, end).await;
        Header::parse(&start.map_err(|_| FrameError::Unreadable)?)
    }

    /// So many bytes from an offset on, fewer where the file is shorter than was said.
    async fn bytes(
        &mut self,
        storage: &dyn Storage,
        name: &str,
        offset: u64,
        len: usize,
        end: u64,
    ) -> io::Result<Bytes> {
        let is_inside = self.name == name
            && offset >= self.at
            && offset + len as u64 <= self.at + self.window.len() as u64;
        if !is_inside {
            if len > READ_AHEAD / 2 {
                return storage.read(name, offset, len).await;
            }
            let ahead = (end - offset).min(READ_AHEAD as u64) as usize;
            self.window = storage.read(name, offset, ahead).await?;
            (self.name, self.at) = (name.to_owned(), offset);
        }
        let from = (offset - self.at) as usize;
        Ok(self.window.slice(from..(from + len).min(self.window.len())))
    }

    /// Lets go of what was read ahead.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a segment has where there should be a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The first place that is not there.
    pub from: u64,
    /// The place of the next sound frame; `None`: there is none.
    pub to: Option<u64>,
    /// Why it is no frame.
    pub error: FrameError,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) holes: Vec<Hole>,
    /// The offset after the last sound frame before the first hole.
    pub(crate) sound_len: u64,
    /// The place after the last sound frame.
    pub(crate) end: u64,
    /// All places below were durable when one of the frames was written.
    pub(crate) synced: u64,
    /// Frames that no other says to be durable: their offsets, and the places after them.
    pub(crate) unproven: VecDeque<(u64, u64)>,
    pub(crate) frames: u64,
}

/// Looks at every frame of a segment. `visit` gets each one before the first hole, with its offset; the others are
/// looked at for what they say of the hole.
pub(crate) async fn scan(
    storage: &dyn Storage,
    name: &str,
    len: u64,
    is_known_gap: &(dyn Fn(u64, u64) -> bool + Sync),
    visit: &mut (dyn FnMut(u64, &Frame) + Send),
) -> io::Result<Scan> {
    let first = first_place(name).unwrap_or_default();
    let mut scan = Scan { end: first, ..Scan::default() };
    let (mut reader, mut offset) = (FrameReader::default(), 0);
    while offset < len {
        let found = match read_sound(storage, &mut reader, name, offset, len).await {
            Ok(frame) if frame.header.first == scan.end || is_known_gap(scan.end, frame.header.first) => {
                Some((offset, frame))
            }
            Ok(frame) if frame.header.first > scan.end => {
                let error = FrameError::Content("frames before it are missing");
                scan.holes.push(Hole { offset, from: scan.end, to: Some(frame.header.first), error });
                Some((offset, frame))
            }
            failed => {
                let error = failed.err().unwrap_or(FrameError::Content("its places were there before"));
                let next = find(storage, &mut reader, name, offset, len, scan.end).await?;
                let to = next.as_ref().map(|(_, frame)| frame.header.first);
                // A frame ends where zeros begin: that is the end of what was written.
                let is_end = next.is_none() && is_zero(storage, name, offset, len).await?;
                if !is_end {
                    scan.holes.push(Hole { offset, from: scan.end, to, error });
                }
                next
            }
        };
        let Some((at, frame)) = found else { break };
        if scan.holes.is_empty() {
            visit(at, &frame);
            scan.sound_len = (at + frame.header.frame_len()).min(len);
        }
        scan.frames += 1;
        scan.end = frame.header.end();
        scan.synced = scan.synced.max(frame.header.synced);
        scan.unproven.push_back((at, scan.end));
        while scan.unproven.front().is_some_and(|(_, end)| *end <= scan.synced) {
            scan.unproven.pop_front();
        }
        offset = at + frame.header.frame_len();
    }
    Ok(scan)
}

/// The frame at an offset, if lanes could read it, too.
async fn read_sound(
    storage: &dyn Storage,
    reader: &mut FrameReader,
    name: &str,
    offset: u64,
    len: u64,
) -> Result<Frame, FrameError> {
    let frame = match reader.read(storage, name, offset, len).await {
        Ok(frame) => frame?,
        Err(_) => return Err(FrameError::Unreadable),
    };
    frame.header.chunk(frame.content.clone())?;
    Ok(frame)
}

/// The frame at an offset, or the next sound one behind whatever lies there; none whose places are below `from`.
pub(super) async fn next_sound(
    storage: &dyn Storage,
    reader: &mut FrameReader,
    name: &str,
    offset: u64,
    len: u64,
    from: u64,
) -> io::Result<Option<(u64, Frame)>> {
    match read_sound(storage, reader, name, offset, len).await {
        Ok(frame) if frame.header.first >= from => Ok(Some((offset, frame))),
        _ => find(storage, reader, name, offset, len, from).await,
    }
}

/// The next sound frame at or after an offset whose places are not below `from`.
async fn find(
    storage: &dyn Storage,
    reader: &mut FrameReader,
    name: &str,
    offset: u64,
    len: u64,
    from: u64,
) -> io::Result<Option<(u64, Frame)>> {
    let mut at = offset;
    while at < len {
        let block = read_block(storage, name, at).await;
        let mut next = at + block.as_ref().map_or(UNREADABLE, |block| block.len().max(ALIGNMENT)) as u64;
        for (index, start) in block.unwrap_or_default().chunks(ALIGNMENT).enumerate() {
            if !start.starts_with(&MAGIC) {
                continue;
            }
            let candidate = at + (index * ALIGNMENT) as u64;
            match read_sound(storage, reader, name, candidate, len).await {
                Ok(frame) if frame.header.first >= from => return Ok(Some((candidate, frame))),
                // A header that is sound says how long the frame is, and what looks like a frame in its bodies was
                // put there by whoever wrote them.
                Ok(_) | Err(FrameError::Checksum | FrameError::Content(_) | FrameError::CutOff) => {
                    if let Ok(header) = reader.header(storage, name, candidate, len).await {
                        next = candidate + header.frame_len();
                        break;
                    }
                }
                Err(_) => {}
            }
        }
        at = next;
    }
    Ok(None)
}

/// Some bytes from an offset on; `None`: the disk does not give them.
async fn read_block(storage: &dyn Storage, name: &str, at: u64) -> Option<Bytes> {
    match storage.read(name, at, READ_AHEAD).await {
        Ok(block) => Some(block),
        Err(_) => storage.read(name, at, UNREADABLE).await.ok(),
    }
}

async fn is_zero(storage: &dyn Storage, name: &str, offset: u64, len: u64) -> io::Result<bool> {
    let mut at = offset;
    while at < len {
        let Some(block) = read_block(storage, name, at).await else { return Ok(false) };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if block.is_empty() {
            break;
        }
        at += block.len() as u64;
    }
    Ok(true)
}

/// Writes a part of a segment once more, and syncs it. That it reads back says nothing of the disk: who wrote
/// it may have been killed before the sync, and what a failed sync left is not written unless it is changed.
pub(crate) async fn make_durable(storage: &dyn Storage, name: &str, from: u64, end: u64) -> io::Result<()> {
    let mut at = from;
    while at < end {
        let block = storage.read(name, at, (end - at).min(READ_AHEAD as u64) as usize).await?;
        if block.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = block.len() as u64;
        storage.write(name, at, vec![block]).await?;
        at += len;
    }
    storage.sync(name).await
}

/// Sets a damaged segment aside, as `PLACE.damaged`, and puts its sound frames into one of its name.
pub(crate) async fn salvage(storage: &dyn Storage, name: &str, len: u64) -> io::Result<()> {
    let stem = name.trim_end_matches(SUFFIX);
    let sound = salvaged_name(name);
    storage.remove(&sound).await?;
    storage.create(&sound, len).await?;
    let (mut reader, mut offset, mut written, mut end) = (FrameReader::default(), 0, 0, 0);
    while let Some((at, frame)) = find(storage, &mut reader, name, offset, len, end).await? {
        end = frame.header.end();
        let frame_len = frame.header.frame_len();
        let bytes = storage.read(name, at, frame_len as usize).await?;
        offset = at + frame_len;
        storage.write(&sound, written, vec![bytes]).await?;
        written += frame_len;
    }
    storage.sync(&sound).await?;
    storage.truncate(&sound, written).await?;
    let taken: Vec<String> = storage.list().await?.into_iter().map(|(name, _)| name).collect();
    let aside = (0..).map(|number| match number {
        0 => format!("{stem}.damaged"),
        _ => format!("{stem}-{number}.damaged"),
    });
    let aside = aside.into_iter().find(|name| !taken.contains(name)).expect("numbers do not end");
    storage.rename(name, &aside).await?;
    if written > 0 { storage.rename(&sound, name).await } else { storage.remove(&sound).await }
}

/// What a salvage writes before it takes the place of the segment.
pub(crate) fn salvaged_name(name: &str) -> String {
    format!("{}.salvaged", name.trim_end_matches(SUFFIX))
}
