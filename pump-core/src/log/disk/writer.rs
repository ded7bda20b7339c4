//! The writer: makes durable what was appended, and removes what nobody needs any more. One task.
//!
//! Chunks that come within a few milliseconds, or while a sync is under way, are synced together. A segment is
//! synced before the next one begins, so that what is missing in it later is damage and not torn. A sync
//! that failed is never tried again: the kernel may have dropped what it could not write.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::frame;
use super::open::{Position, Segment};
use super::saved;
use super::segment::file_name;
use super::state::{Pending, Written};
use super::{DiskLog, LogError};
use crate::bugs::{self, Bug};
use crate::record::Timestamp;

/// How often cursors are stored, and segments looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long nothing must have come before a segment with room in it is given up.
const IDLE: Duration = Duration::from_secs(2);
/// Bytes that are written with one call.
const WRITE_AT_ONCE: usize = 1 << 20;
/// What is committed together at most, in bytes, so that others need not wait long.
const MAX_GROUP: usize = 8 << 20;

/// The segment that grows.
struct Growing {
    name: String,
    first: u64,
    len: u64,
}

struct Writer<'a> {
    log: &'a DiskLog,
    growing: Option<Growing>,
    /// Taken out, and not removed yet.
    doomed: Vec<Segment>,
    saved: Option<Bytes>,
    look_at: Instant,
    /// When it was said last that the disk is full.
    warned: Option<Instant>,
}

/// Runs until the log is closed and everything is written, or cannot be.
pub(super) async fn run(log: &DiskLog) -> Result<(), LogError> {
    let mut writer = Writer {
        log,
        growing: None,
        doomed: Vec::new(),
        saved: None,
        look_at: Instant::now() + EVERY,
        warned: None,
    };
    let outcome = writer.run().await;
    // Whatever is left comes again.
    log.state().end_settlements();
    outcome
}

impl Writer<'_> {
    async fn run(&mut self) -> Result<(), LogError> {
        loop {
            let failure = self.log.damage.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            if let Some(failure) = failure {
                return Err(failure);
            }
            let (group, is_closing) = self.take_group();
            let is_idle = group.is_empty();
            if !is_idle {
                self.commit(group).await?;
            }
            let is_over = is_closing && self.log.state().pending.is_empty();
            let is_room_wanted = self.log.state().is_room_wanted();
            if is_over || is_room_wanted || Instant::now() >= self.look_at {
                self.look_at = Instant::now() + EVERY;
                self.trim().await?;
                let saved = self.save().await;
                if is_over {
                    return Ok(saved?);
                }
            }
            if is_idle {
                let due = self
                    .log
                    .state()
                    .pending
                    .front()
                    .map(|first| first.since + self.log.settings.commit_after);
                let wake_at = due.map_or(self.look_at, |due| due.min(self.look_at));
                tokio::select! {
                    biased;
                    () = self.log.work.notified() => {}
                    () = sleep_until(wake_at) => {}
                }
            }
        }
    }

    /// What is to be made durable now: nothing while it may wait for more.
    fn take_group(&self) -> (Vec<Pending>, bool) {
        let mut state = self.log.state();
        let is_due = state.pending.front().is_some_and(|first| {
            state.is_closing
                || state.pending_bytes >= self.log.settings.commit_bytes
                || Instant::now() >= first.since + self.log.settings.commit_after
        });
        let mut group = Vec::new();
        let mut size = 0;
        while is_due
            && let Some(next) = state.pending.front()
            && (group.is_empty() || size + next.chunk.size() <= MAX_GROUP)
        {
            size += next.chunk.size();
            group.extend(state.pending.pop_front());
        }
        (group, state.is_closing)
    }

    async fn commit(&mut self, group: Vec<Pending>) -> Result<(), LogError> {
        let synced = self.log.state().durable;
        let (mut frames, mut parts, mut size) = (Vec::new(), Vec::new(), 0);
        let mut from = self.growing.as_ref().map_or(0, |growing| growing.len);
        for Pending { chunk, first, .. } in group.iter().filter(|pending| pending.is_written) {
            let (header, pieces) = frame::encode(chunk, *first, synced).ok_or(LogError::TooLarge)?;
            let len = header.frame_len();
            let is_full = self
                .growing
                .as_ref()
                .is_none_or(|growing| growing.len > 0 && growing.len + len > self.log.settings.segment_size);
            if is_full {
                self.write(from, std::mem::take(&mut parts)).await?;
                self.seal().await?;
                self.begin(*first, len).await?;
                (from, size) = (0, 0);
            }
            let growing = self.growing.as_mut().expect("it was begun");
            frames.push(Written { header, at: Position { segment: growing.first, offset: growing.len } });
            growing.len += len;
            size += len as usize;
            parts.extend(pieces);
            if size >= WRITE_AT_ONCE {
                let end = growing.len;
                self.write(from, std::mem::take(&mut parts)).await?;
                (from, size) = (end, 0);
            }
        }
        if !frames.is_empty() {
            self.write(from, parts).await?;
            if !bugs::is(Bug::SettleBeforeSync) {
                self.sync().await?;
            }
        }
        let mut state = self.log.state();
        state.commit(group, frames, &self.log.accounting);
        state.is_growing = self.growing.is_some();
        let is_drained = state.is_drained();
        drop(state);
        self.log.readable.notify_waiters();
        self.log.room.notify_one();
        if is_drained {
            self.log.closed.notify_waiters();
        }
        Ok(())
    }

    /// Begins a segment; waits for a disk that is full.
    async fn begin(&mut self, first: u64, len: u64) -> Result<(), LogError> {
        let name = file_name(first);
        loop {
            match self.log.storage.create(&name, self.log.settings.segment_size.max(len)).await {
                Ok(()) => break,
                Err(error) if is_full(&error) => self.wait_for_disk(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.log.state().is_disk_full = false;
        self.growing = Some(Growing { name, first, len: 0 });
        Ok(())
    }

    async fn write(&mut self, offset: u64, parts: Vec<Bytes>) -> Result<(), LogError> {
        let Some(name) =
            self.growing.as_ref().map(|growing| growing.name.clone()).filter(|_| !parts.is_empty())
        else {
            return Ok(());
        };
        loop {
            match self.log.storage.write(&name, offset, parts.clone()).await {
                Ok(()) => break,
                // Some file systems know no room that is kept.
                Err(error) if is_full(&error) => self.wait_for_disk(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.log.state().is_disk_full = false;
        Ok(())
    }

    async fn sync(&self) -> Result<(), LogError> {
        let Some(growing) = &self.growing else { return Ok(()) };
        self.log.storage.sync(&growing.name).await.map_err(LogError::Sync)
    }

    /// Ends the segment that grows: what is in it is safe before the next one begins.
    async fn seal(&mut self) -> Result<(), LogError> {
        self.sync().await?;
        if let Some(Growing { name, len, .. }) = self.growing.take() {
            self.log.storage.truncate(&name, len).await?;
        }
        Ok(())
    }

    /// The disk has no room: what can go goes, and sources wait, since nothing that was appended is durable.
    async fn wait_for_disk(&mut self, error: io::Error) -> Result<(), LogError> {
        let now = Instant::now();
        if self.warned.is_none_or(|at| now >= at + Duration::from_secs(60)) {
            let error = error.to_string();
            warn!(error, "the disk of the log is full: sources wait, sinks go on with what is there");
            self.warned = Some(now);
        }
        {
            let mut state = self.log.state();
            state.is_disk_full = true;
            if state.is_closing {
                return Err(error.into());
            }
        }
        self.trim().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// Removes what nobody needs.
    async fn trim(&mut self) -> Result<(), LogError> {
        let settings = &self.log.settings;
        let now = Timestamp::now();
        let is_kept = |segment: &Segment| now.seconds_since(segment.newest) < settings.retain.as_secs_f64();
        let gives_up_growing = {
            let state = self.log.state();
            let is_idle = state.appended_at.elapsed() >= IDLE && !state.segments.back().is_some_and(is_kept);
            state.is_growing_for_nobody() && (is_idle || state.is_room_wanted())
        };
        if gives_up_growing && self.growing.is_some() {
            self.seal().await?;
            self.log.state().is_growing = false;
        }
        let removable = self.log.state().take_removable(is_kept, &self.log.accounting);
        self.doomed.extend(removable);
        if self.doomed.is_empty() {
            return Ok(());
        }
        // First it is written down that they are not missing.
        if let Err(error) = self.save().await {
            if is_full(&error) {
                return Ok(());
            }
            return Err(error.into());
        }
        while let Some(segment) = self.doomed.pop() {
            if let Err(error) = self.log.storage.remove(&segment.name()).await {
                self.doomed.push(segment);
                return Err(error.into());
            }
            self.log.state().doomed_bytes -= segment.bytes;
        }
        self.log.room.notify_one();
        self.log.readable.notify_waiters();
        Ok(())
    }

    /// Stores cursors and positions, if there is anything new.
    async fn save(&mut self) -> io::Result<()> {
        let content = self.log.state().to_save().to_bytes();
        if self.saved.as_ref() != Some(&content) {
            self.log.storage.replace(saved::FILE, content.clone()).await?;
            self.saved = Some(content);
        }
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
