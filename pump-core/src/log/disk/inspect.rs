//! A look at a log that nobody runs: what is in it, and what is wrong with it. It reads every frame, and changes
//! nothing: what a start would find damaged is damaged here, in the same words.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::held::SavedPosition;
use super::open::{OpenError, look, read_saved};
use super::saved::{self, Saved, SavedError};
use super::segment::{Frame, FrameReader, first_place, next_sound};
use super::{Gap, Storage};
use crate::log::Places;
use crate::record::Timestamp;

/// Numbers of records by source and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Records(pub BTreeMap<String, BTreeMap<&'static str, u64>>);

impl Records {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    pub(super) fn add(&mut self, frame: &Frame, records: u64) {
        let Ok((source, _)) = frame.header.names(&frame.content) else { return };
        if !self.0.contains_key(source) {
            self.0.insert(source.to_owned(), BTreeMap::new());
        }
        let kinds = self.0.get_mut(source).expect("it was put there");
        *kinds.entry(frame.header.kind.name()).or_default() += records;
    }
}

/// What a log has.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Everything below this place was passed by every required sink.
    pub begin: u64,
    /// The next record's place.
    pub end: u64,
    /// Whether there is a state file, and what is wrong with it.
    pub has_state: bool,
    /// What is wrong with the state file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_damage: Option<String>,
    /// In the order of their places.
    pub segments: Vec<SegmentReport>,
    /// In the order of their names.
    pub lanes: Vec<LaneReport>,
    /// What sources need not give again.
    pub held: Vec<SavedPosition>,
    /// Runs of places that are lost and were accepted as such.
    pub gaps: Vec<(u64, u64)>,
    /// Files of segments that a start with an accepted gap has set aside.
    pub set_aside: Vec<Aside>,
    /// What is lost and not accepted.
    pub damages: Vec<Damage>,
    /// Where a crash has torn the end off: what was there was not settled, and comes again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_at: Option<(String, u64)>,
}

impl Report {
    /// Records that can be read.
    pub fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records.total()).sum()
    }

    /// Whether a start would find anything wrong.
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty() && self.state_damage.is_none()
    }

    /// Whether there is a log at all.
    pub fn is_empty(&self) -> bool {
        !self.has_state && self.segments.is_empty() && self.set_aside.is_empty()
    }
}

/// One segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub name: String,
    /// The place of its first record.
    pub first: u64,
    /// The place of its last.
    pub last: Option<u64>,
    /// Bytes of sound frames.
    pub bytes: u64,
    /// Bytes that the file has; the newest is made in advance.
    pub file_bytes: u64,
    /// Sound frames.
    pub frames: u64,
    /// What can be read.
    pub records: Records,
    /// When its first records were received.
    pub oldest: Option<String>,
    /// When its last were.
    pub newest: Option<String>,
}

/// How far a sink was when the log was written last.
#[derive(Debug, Clone, Serialize)]
pub struct LaneReport {
    /// The sink's name.
    pub name: String,
    /// It needs nothing below this place.
    pub cursor: u64,
    /// What can be read from there on and is not known to have an outcome, whether the sink takes it or not.
    pub ahead: Records,
    /// Batches that may have been delivered, and will be repeated as they were.
    pub batches: usize,
    #[serde(skip)]
    closed: Places,
}

/// A file that was set aside.
#[derive(Debug, Clone, Serialize)]
pub struct Aside {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Records that are lost.
#[derive(Debug, Clone, Serialize)]
pub struct Damage {
    /// Where.
    pub segment: String,
    /// The first place that is lost.
    pub from: u64,
    /// The place after the last.
    pub to: u64,
    /// How many those are.
    pub records: u64,
    /// What is wrong there.
    pub reason: String,
}

impl From<Gap> for Damage {
    fn from(gap: Gap) -> Self {
        let records = gap.records();
        let Gap { from, to, segment, reason } = gap;
        Self { segment, from, to, records, reason: reason.into() }
    }
}

/// Looks at everything.
pub async fn inspect(storage: &dyn Storage) -> Result<Report, OpenError> {
    let files = storage.list().await?;
    let (has_state, state_damage) = match files.iter().find(|(name, _)| name == saved::FILE) {
        None => (false, None),
        Some((_, len)) => {
            let read = Saved::from_bytes(&storage.read(saved::FILE, 0, *len as usize).await?);
            (true, read.err().filter(|error| *error == SavedError::Damaged).map(|error| error.to_string()))
        }
    };
    let saved = read_saved(storage).await?;
    let look = look(storage, &saved).await?;
    let lanes = saved.cursors.iter().map(|(name, cursor)| {
        let cuts = saved.cuts.get(name).cloned().unwrap_or_default();
        let (batches, closed) = (cuts.cuts.len(), cuts.closed);
        LaneReport { name: name.clone(), cursor: *cursor, ahead: Records::default(), batches, closed }
    });
    let mut report = Report {
        begin: saved.begin,
        end: look.next_place,
        has_state,
        state_damage,
        lanes: lanes.collect(),
        damages: look.gaps.into_iter().map(Damage::from).collect(),
        torn_at: look.torn.into_iter().find(|torn| torn.has_garbage).map(|torn| (torn.name, torn.sound_len)),
        gaps: saved.gaps,
        held: saved.held,
        ..Report::default()
    };
    for (name, len) in &files {
        if let Some(first) = first_place(name) {
            let segment = segment(storage, name, *len, first, &mut report.lanes).await?;
            report.segments.push(segment);
        } else if name.ends_with(".damaged") {
            report.set_aside.push(Aside { name: name.clone(), bytes: *len });
        }
    }
    Ok(report)
}

/// Everything of a segment that can be read, also behind damage.
async fn segment(
    storage: &dyn Storage,
    name: &str,
    len: u64,
    first: u64,
    lanes: &mut [LaneReport],
) -> Result<SegmentReport, OpenError> {
    let mut report = SegmentReport {
        name: name.to_owned(),
        first,
        last: None,
        bytes: 0,
        file_bytes: len,
        frames: 0,
        records: Records::default(),
        oldest: None,
        newest: None,
    };
    let (mut oldest, mut newest): (Option<Timestamp>, Option<Timestamp>) = (None, None);
    let (mut reader, mut offset, mut next) = (FrameReader::default(), 0, first);
    while let Some((at, frame)) = next_sound(storage, &mut reader, name, offset, len, next).await? {
        let header = &frame.header;
        (offset, next) = (at + header.frame_len(), header.end());
        report.frames += 1;
        report.bytes += header.frame_len();
        report.last = next.checked_sub(1).or(report.last);
        report.records.add(&frame, u64::from(header.records));
        oldest = Some(oldest.map_or(header.received, |oldest| oldest.min(header.received)));
        newest = newest.max(Some(header.received));
        for lane in lanes.iter_mut().filter(|lane| lane.cursor < header.end()) {
            let ahead = lane.cursor.max(header.first)..header.end();
            let inside = |run: &Range<u64>| run.end.min(ahead.end).saturating_sub(run.start.max(ahead.start));
            let closed: u64 = lane.closed.runs().iter().map(inside).sum();
            lane.ahead.add(&frame, (ahead.end - ahead.start).saturating_sub(closed));
        }
    }
    (report.oldest, report.newest) =
        (oldest.map(|time| time.to_string()), newest.map(|time| time.to_string()));
    Ok(report)
}
