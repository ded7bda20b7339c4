//! Opening: every frame is checked, a torn tail is cut off, damage is refused or set aside.
//!
//! What the log was told to be durable and is not there any more is damage, wherever it lies: a later frame, or
//! the state file, says how far the log was durable. What is torn and was never durable was never settled
//! either; it comes again from its source.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tracing::warn;

use super::books::{Counts, Heads};
use super::frame::FrameError;
use super::gaps;
use super::held::Held;
use super::saved::{self, Saved, SavedError};
use super::segment::{Frame, Hole, Scan, file_name, first_place, make_durable, salvage, salvaged_name, scan};
use super::{DiskSettings, Storage};
use crate::record::Timestamp;

/// How often what is damaged is set aside.
const MAX_LOOKS: usize = 4;

/// Where a lane reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The first place of the segment.
    pub(crate) segment: u64,
    /// In bytes.
    pub(crate) offset: u64,
}

/// One segment, as far as it is durable.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// The place after its last record.
    pub(crate) end: u64,
    /// Bytes of frames.
    pub(crate) bytes: u64,
    /// When the newest of its chunks was received.
    pub(crate) newest: Timestamp,
    /// Everything in the log before it.
    pub(crate) before: Counts,
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        file_name(self.first)
    }
}

/// Where a lane of an earlier process goes on.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) place: u64,
    pub(crate) at: Position,
    pub(crate) passed: Counts,
}

/// A run of places that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first place that is lost.
    pub from: u64,
    /// The place after it.
    pub to: u64,
    /// Where it was: the segment's name, and the offset in bytes if it is still there.
    pub segment: String,
    /// What is wrong there.
    pub reason: Box<str>,
}

impl Gap {
    /// How many records are lost.
    pub fn records(&self) -> u64 {
        self.to - self.from
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk says no.
    #[error("the disk log cannot be read or written")]
    Io(#[from] io::Error),
    /// Records that were safe are not there any more.
    #[error(
        "the disk log is damaged: {} records are lost ({}); what can be read of the damaged segments is kept if \
         you start once with --accept-gap, which sets them aside; `pump log verify` shows what is wrong",
        .0.iter().map(Gap::records).sum::<u64>(),
        .0.iter().map(describe).collect::<Vec<_>>().join("; ")
    )]
    Damaged(Vec<Gap>),
    /// A newer pump wrote it.
    #[error("{0}")]
    Newer(Box<str>),
}

fn describe(gap: &Gap) -> String {
    format!("{} from place {} on in {}: {}", gap.records(), gap.from, gap.segment, gap.reason)
}

/// What a log has, before anybody uses it.
pub(crate) struct Recovered {
    pub(crate) saved: Saved,
    pub(crate) segments: Vec<Segment>,
    pub(crate) heads: Heads,
    pub(crate) written: Counts,
    pub(crate) starts: BTreeMap<String, Start>,
    pub(crate) held: Held,
    pub(crate) next_place: u64,
    /// Newly accepted, to be reported.
    pub(crate) gaps: Vec<Gap>,
}

/// Reads the whole log once; makes it sound where that was asked for.
pub(crate) async fn recover(
    storage: &Arc<dyn Storage>,
    settings: &DiskSettings,
) -> Result<Recovered, OpenError> {
    let storage = &**storage;
    finish_salvages(storage).await?;
    let mut saved = read_saved(storage).await?;
    let mut accepted: Vec<Gap> = Vec::new();
    for _ in 0..MAX_LOOKS {
        let look = look(storage, &saved).await?;
        if !look.gaps.is_empty() || !look.damaged.is_empty() {
            if !look.gaps.is_empty() && !settings.accept_gap {
                return Err(OpenError::Damaged(look.gaps));
            }
            // First it is written down that they are accepted: the rest may then be interrupted and done again.
            look.gaps.iter().for_each(|gap| gaps::add(&mut saved.gaps, gap.from, gap.to));
            saved.end = saved.end.max(look.next_place);
            // What is lost here its source may still have.
            if !look.gaps.is_empty() {
                saved.held.clear();
                saved.held_from = saved.end;
            }
            storage.replace(saved::FILE, saved.to_bytes()).await?;
            for (name, len) in &look.damaged {
                salvage(storage, name, *len).await?;
            }
            accepted.extend(look.gaps);
            continue;
        }
        for Torn { name, sound_len, has_garbage } in &look.torn {
            if *has_garbage {
                warn!(
                    segment = name,
                    sound_len, "a torn tail was cut off: what it had was not settled, it comes again"
                );
            }
            storage.truncate(name, *sound_len).await?;
        }
        for name in &look.useless {
            storage.remove(name).await?;
        }
        if let Some(Unproven { name, from, end }) = &look.unproven {
            make_durable(storage, name, *from, *end).await?;
        }
        saved.gaps.retain(|(_, to)| look.segments.first().is_some_and(|first| first.first < *to));
        let Look { segments, heads, written, mut starts, held, next_place, .. } = look;
        // What was to be removed and is gone only now, no lane goes back to.
        let oldest = segments.first().map_or((next_place, &written), |first| (first.first, &first.before));
        let at = Position { segment: oldest.0, offset: 0 };
        for start in starts.values_mut().filter(|start| start.at < at) {
            *start = Start { place: start.place.max(oldest.0), at, passed: oldest.1.clone() };
        }
        return Ok(Recovered { saved, segments, heads, written, starts, held, next_place, gaps: accepted });
    }
    // What is still damaged after its segment was set aside is damaged by the disk as we look.
    Err(OpenError::Damaged(accepted))
}

/// A salvage that was interrupted between its two renames.
async fn finish_salvages(storage: &dyn Storage) -> io::Result<()> {
    let files = storage.list().await?;
    let is_there = |name: &str| files.iter().any(|(own, _)| own == name);
    for name in files.iter().filter_map(|(name, _)| name.strip_suffix(".salvaged")) {
        let segment = format!("{name}.log");
        if is_there(&segment) {
            storage.remove(&salvaged_name(&segment)).await?;
        } else {
            storage.rename(&salvaged_name(&segment), &segment).await?;
        }
    }
    Ok(())
}

pub(crate) async fn read_saved(storage: &dyn Storage) -> Result<Saved, OpenError> {
    let files = storage.list().await?;
    let oldest = files.iter().find_map(|(name, _)| first_place(name)).unwrap_or_default();
    let without = Saved { begin: oldest, ..Saved::default() };
    let Some((_, len)) = files.iter().find(|(name, _)| name == saved::FILE) else { return Ok(without) };
    match Saved::from_bytes(&storage.read(saved::FILE, 0, *len as usize).await?) {
        Ok(saved) => Ok(saved),
        Err(error @ SavedError::Version(_)) => Err(OpenError::Newer(error.to_string().into())),
        Err(SavedError::Damaged) => {
            warn!("the disk log's state file is damaged: every sink begins at the oldest record");
            Ok(without)
        }
    }
}

/// What one look at everything found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) segments: Vec<Segment>,
    heads: Heads,
    written: Counts,
    starts: BTreeMap<String, Start>,
    held: Held,
    pub(super) next_place: u64,
    pub(super) gaps: Vec<Gap>,
    /// Segments in which something is damaged, and their lengths.
    damaged: Vec<(String, u64)>,
    pub(super) torn: Vec<Torn>,
    unproven: Option<Unproven>,
    /// Segments without a record, and those that should have been removed before a crash.
    useless: Vec<String>,
}

/// A segment that ends before its file does: the rest is room that was not used, or torn.
pub(super) struct Torn {
    pub(super) name: String,
    pub(super) sound_len: u64,
    pub(super) has_garbage: bool,
}

/// The end of the newest segment: it reads back, and nothing says that it was ever durable.
struct Unproven {
    name: String,
    from: u64,
    end: u64,
}

impl Look {
    /// Those places are missing; what is known of them already is no news.
    fn lose(&mut self, known: &mut Vec<(u64, u64)>, (from, to): (u64, u64), segment: &str, reason: &str) {
        for (from, to) in gaps::rest(known, from, to) {
            self.gaps.push(Gap { from, to, segment: segment.to_owned(), reason: reason.into() });
        }
        gaps::add(known, from, to);
    }
}

pub(super) async fn look(storage: &dyn Storage, saved: &Saved) -> Result<Look, OpenError> {
    let mut look = Look { held: Held::restore(saved.held.clone()), ..Look::default() };
    let mut cursors: Vec<(&String, u64)> =
        saved.cursors.iter().map(|(name, cursor)| (name, *cursor)).collect();
    cursors.sort_by_key(|(_, cursor)| *cursor);
    let mut cursors = cursors.into_iter().peekable();
    let is_known_gap = |from: u64, to: u64| from <= to && gaps::rest(&saved.gaps, from, to).is_empty();
    let mut scans: Vec<(String, u64, Scan)> = Vec::new();
    for (name, len) in storage.list().await? {
        let Some(first) = first_place(&name) else { continue };
        let mut segment =
            Segment { first, end: first, bytes: 0, newest: Timestamp::EPOCH, before: look.written.clone() };
        let mut visit = |offset: u64, frame: &Frame| {
            let header = &frame.header;
            let Ok((source, partition)) = header.names(&frame.content) else { return };
            let number = look.heads.number(source, header.kind);
            while let Some((name, cursor)) = cursors.next_if(|(_, cursor)| *cursor < header.end()) {
                let mut passed = look.written.clone();
                passed.add(number, cursor.saturating_sub(header.first));
                let at = Position { segment: first, offset };
                look.starts.insert(name.clone(), Start { place: cursor, at, passed });
            }
            look.written.add(number, u64::from(header.records));
            if header.first >= saved.held_from {
                look.held.appended(&Arc::from(source), partition, header.positions.1);
            }
            segment.end = header.end();
            segment.bytes = offset + header.frame_len();
            segment.newest = segment.newest.max(header.received);
        };
        let found = scan(storage, &name, len, &is_known_gap, &mut visit).await?;
        if let Some(hole) = found
            .holes
            .iter()
            .find(|hole| matches!(hole.error, FrameError::Version(_) | FrameError::Unsupported(_)))
        {
            return Err(OpenError::Newer(format!("{name}: {}", hole.error).into()));
        }
        segment.bytes = segment.bytes.min(len);
        look.segments.push(segment);
        scans.push((name, len, found));
    }
    judge(&mut look, saved, scans);
    for (name, cursor) in cursors {
        let at = Position { segment: look.next_place, offset: 0 };
        look.starts.insert(
            name.clone(),
            Start { place: cursor.min(look.next_place), at, passed: look.written.clone() },
        );
    }
    Ok(look)
}

/// Tells what is damaged from what is torn.
fn judge(look: &mut Look, saved: &Saved, scans: Vec<(String, u64, Scan)>) {
    let synced = scans.iter().map(|(_, _, scan)| scan.synced).max().unwrap_or_default().max(saved.end);
    let mut known = saved.gaps.clone();
    let mut expected = saved.begin;
    let count = scans.len();
    for (number, (name, len, scan)) in scans.into_iter().enumerate() {
        let first = first_place(&name).unwrap_or_default();
        let is_gone = scan.frames > 0 && scan.end <= saved.begin;
        if is_gone {
            look.useless.push(name);
            continue;
        }
        look.lose(&mut known, (expected, first), &name, "a segment before it is missing");
        let is_last = number + 1 == count;
        let (mut torn_from, mut is_damaged) = (None, false);
        for Hole { offset, from, to, error } in scan.holes {
            // What comes after the hole may have reached the disk before it; nobody was told that it is safe.
            let is_behind = is_last && from >= synced;
            if is_behind && error != FrameError::Unreadable {
                torn_from = Some(from);
                break;
            }
            is_damaged = true;
            // Behind a sound frame is a hole of known size; the rest of a segment ends with the log, or where the
            // next one begins, which is seen there.
            let to = to.unwrap_or(if is_last { synced } else { from });
            if is_behind && to <= from {
                // It may be torn, or what a source was told to be safe just before a crash: what the disk does not
                // give is not thrown away unasked.
                let reason = format!("at byte {offset}: {error}, nobody knows what was there");
                look.gaps.push(Gap { from, to: from, segment: name.clone(), reason: reason.into() });
            }
            look.lose(&mut known, (from, to), &name, &format!("at byte {offset}: {error}"));
        }
        let first_unproven = scan.unproven.iter().find(|(_, end)| *end > synced).map(|(offset, _)| *offset);
        if let Some(from) = first_unproven.filter(|from| is_last && *from < scan.sound_len) {
            look.unproven = Some(Unproven { name: name.clone(), from, end: scan.sound_len });
        }
        if is_damaged {
            look.damaged.push((name, len));
        } else if scan.sound_len == 0 {
            look.useless.push(name);
        } else if scan.sound_len < len {
            look.torn.push(Torn { name, sound_len: scan.sound_len, has_garbage: torn_from.is_some() });
        }
        expected = torn_from.unwrap_or(scan.end);
    }
    look.lose(&mut known, (expected, synced), "the newest segment", "the end of the log is missing");
    look.segments.retain(|segment| !look.useless.contains(&segment.name()) && segment.end > segment.first);
    look.next_place = expected.max(synced);
}
