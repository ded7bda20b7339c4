//! The writer: makes durable what was appended, and removes what nobody needs any more. One task.
//!
//! Chunks that come within a few milliseconds, or while a sync is under way, are synced together. A segment is
//! synced before the next one begins, so that what is missing in it later is damage and not torn. A sync
//! that failed is never tried again: the kernel may have dropped what it could not write.

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::frame;
use super::open::{Position, Segment};
use super::saved;
use super::segment::file_name;
use super::state::{Pending, Written};
use super::{Compression, DiskLog, LogError};
use crate::bugs::{self, Bug};
use crate::record::Timestamp;

/// A file that keeps room on the disk for the file of cursors, and what part of a segment it takes.
const SPARE: &str = "spare";
const SPARE_PART: u64 = 32;
/// How often cursors are stored, and segments looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long nothing must have come before a segment with room in it is given up.
const IDLE: Duration = Duration::from_secs(2);
/// Bytes that are written with one call.
const WRITE_AT_ONCE: u64 = 1 << 20;
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
    /// The length of the spare file; 0: there is none that is known of.
    spare: u64,
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
        spare: 0,
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
        self.keep_spare().await;
        loop {
            self.check_damage()?;
            let (group, is_closing) = self.take_group();
            let is_idle = group.is_empty();
            if !is_idle {
                match self.commit(group).await {
                    // What is not durable was not settled: it comes again.
                    Err(LogError::Io(error)) if self.log.state().is_closing && is_full(&error) => {
                        return Ok(self.save().await?);
                    }
                    committed => committed?,
                }
            }
            let is_over = is_closing && self.log.state().pending.is_empty();
            let is_due = is_over || Instant::now() >= self.look_at;
            if is_due || self.log.state().is_room_wanted() {
                self.trim(MaySeal::Yes).await?;
            }
            if is_over {
                return Ok(self.save().await?);
            }
            if is_due {
                self.save_as_far_as_possible().await?;
                self.keep_spare().await;
                self.look_at = Instant::now() + EVERY;
            } else if self.log.state().is_cut_wanted() {
                self.save_as_far_as_possible().await?;
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

    /// A lane could not read: nobody goes on.
    fn check_damage(&self) -> Result<(), LogError> {
        let damage = self.log.damage.lock().unwrap_or_else(PoisonError::into_inner).take();
        damage.map_or(Ok(()), Err)
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

    /// Writes and syncs a group, a segment's share of it after the other.
    async fn commit(&mut self, group: Vec<Pending>) -> Result<(), LogError> {
        let synced = self.log.state().durable;
        let mut share = Share::default();
        for pending in group {
            if !pending.is_written {
                share.group.push(pending);
                continue;
            }
            let (pending, encoded) = self.encode(pending, synced).await?;
            let (header, pieces) = encoded.ok_or(LogError::TooLarge)?;
            let len = header.frame_len();
            let is_full = self
                .growing
                .as_ref()
                .is_none_or(|growing| growing.len > 0 && growing.len + len > self.log.settings.segment_size);
            if is_full {
                self.finish(std::mem::take(&mut share)).await?;
                self.seal().await?;
                self.begin(pending.first, len).await?;
            }
            let growing = self.growing.as_mut().expect("it was begun");
            share
                .frames
                .push(Written { header, at: Position { segment: growing.first, offset: growing.len } });
            share.parts.extend(pieces);
            share.size += len;
            growing.len += len;
            share.group.push(pending);
            if share.size >= WRITE_AT_ONCE {
                self.write(&mut share).await?;
            }
        }
        self.finish(share).await
    }

    /// A chunk as a frame. What takes long is done where it holds nobody up.
    async fn encode(
        &self,
        pending: Pending,
        synced: u64,
    ) -> Result<(Pending, Option<frame::Encoded>), LogError> {
        let compression = self.log.settings.compression;
        let encode = move || {
            let encoded = frame::encode(&pending.chunk, pending.first, synced, compression);
            (pending, encoded)
        };
        match compression {
            Compression::None => Ok(encode()),
            Compression::Zstd => Ok(tokio::task::spawn_blocking(encode).await.map_err(io::Error::other)?),
        }
    }

    /// Makes a share durable, and only then says so.
    async fn finish(&mut self, mut share: Share) -> Result<(), LogError> {
        if !share.frames.is_empty() {
            self.write(&mut share).await?;
            if !bugs::is(Bug::SettleBeforeSync) {
                self.sync().await?;
            }
        }
        let is_drained = {
            let mut state = self.log.state();
            state.commit(share.group, share.frames, &self.log.accounting);
            state.is_drained()
        };
        self.log.readable.notify_waiters();
        self.log.room.give();
        if is_drained {
            self.log.closed.notify_waiters();
        }
        if bugs::is(Bug::SettleBeforeSync) {
            self.sync().await?;
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
        let mut state = self.log.state();
        (state.is_disk_full, state.growing) = (false, Some(first));
        drop(state);
        self.growing = Some(Growing { name, first, len: 0 });
        Ok(())
    }

    /// Writes what of a share is not written yet: the last bytes of the segment that grows.
    async fn write(&mut self, share: &mut Share) -> Result<(), LogError> {
        let (parts, size) = (std::mem::take(&mut share.parts), std::mem::take(&mut share.size));
        let Some(Growing { name, len, .. }) = &self.growing else { return Ok(()) };
        let (name, offset) = (name.clone(), len - size);
        if parts.is_empty() {
            return Ok(());
        }
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
        self.log.state().growing = None;
        Ok(())
    }

    /// The disk has no room: what can go goes, and sources wait, since nothing that was appended is durable.
    async fn wait_for_disk(&mut self, error: io::Error) -> Result<(), LogError> {
        let now = Instant::now();
        self.warn_of_full_disk(&error);
        self.log.state().is_disk_full = true;
        self.trim(MaySeal::No).await?;
        // Cuts are not late: what a sink takes gives the disk room.
        if now >= self.look_at || self.log.state().is_cut_wanted() {
            self.save_as_far_as_possible().await?;
            self.look_at = now + EVERY;
        }
        self.check_damage()?;
        if self.log.state().is_closing {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// Removes what nobody needs.
    async fn trim(&mut self, may_seal: MaySeal) -> Result<(), LogError> {
        let settings = &self.log.settings;
        let now = Timestamp::now();
        let is_kept = |segment: &Segment| {
            !settings.retain.is_zero() && now.seconds_since(segment.newest) < settings.retain.as_secs_f64()
        };
        let gives_up_growing = {
            let state = self.log.state();
            let is_idle = state.appended_at.elapsed() >= IDLE && !state.segments.back().is_some_and(is_kept);
            state.is_growing_for_nobody() && (is_idle || state.is_room_wanted())
        };
        if gives_up_growing && may_seal == MaySeal::Yes {
            self.seal().await?;
        }
        // What was given up for the sake of room gives none before it is removed.
        let may_give_up = self.doomed.is_empty();
        let removable = self.log.state().take_removable(is_kept, may_give_up, &self.log.accounting);
        self.doomed.extend(removable);
        if self.doomed.is_empty() {
            return Ok(());
        }
        // First it is written down that they are not missing.
        match self.save().await {
            Err(error) if is_full(&error) => return Ok(()),
            saved => saved?,
        }
        while let Some(segment) = self.doomed.pop() {
            if let Err(error) = self.log.storage.remove(&segment.name()).await {
                self.doomed.push(segment);
                return Err(error.into());
            }
            self.log.state().doomed_bytes -= segment.bytes;
        }
        self.keep_spare().await;
        self.log.room.give();
        self.log.readable.notify_waiters();
        Ok(())
    }

    /// Stores cursors, cuts and positions, if there is anything new.
    async fn save(&mut self) -> io::Result<()> {
        let (saved, cuts) = self.log.state().remember();
        let content = saved.to_bytes();
        if self.saved.as_ref() != Some(&content) {
            self.replace(content).await?;
        }
        self.log.state().cuts_are_durable(cuts);
        self.log.cut.notify_waiters();
        Ok(())
    }

    async fn replace(&mut self, content: Bytes) -> io::Result<()> {
        let storage = &self.log.storage;
        match storage.replace(saved::FILE, content.clone()).await {
            // What this file says gives the disk room again, and nothing else does.
            Err(error) if is_full(&error) => {
                storage.remove(SPARE).await?;
                self.spare = 0;
                storage.replace(saved::FILE, content.clone()).await?;
            }
            replaced => replaced?,
        }
        self.saved = Some(content);
        Ok(())
    }

    /// The same; a full disk keeps the older ones, which repeats records and loses none.
    async fn save_as_far_as_possible(&mut self) -> io::Result<()> {
        match self.save().await {
            Err(error) if is_full(&error) => {
                self.warn_of_full_disk(&error);
                Ok(())
            }
            saved => saved,
        }
    }

    /// Keeps a little room on the disk: it is given up when the file of cursors needs it and there is no other.
    async fn keep_spare(&mut self) {
        let needed = 2 * self.saved.as_ref().map_or(0, Bytes::len) as u64;
        if self.spare > 0 && self.spare >= needed {
            return;
        }
        let len = needed.max(self.log.settings.segment_size / SPARE_PART);
        let storage = &self.log.storage;
        // A disk that has no room for it is found out where room is needed.
        let made = match storage.remove(SPARE).await {
            Ok(()) => storage.create(SPARE, len).await,
            failed => failed,
        };
        self.spare = if made.is_ok() { len } else { 0 };
    }

    fn warn_of_full_disk(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.warned.is_none_or(|at| now >= at + Duration::from_secs(60)) {
            let error = error.to_string();
            warn!(error, "the disk of the log is full: sources wait, sinks go on with what is there");
            self.warned = Some(now);
        }
    }
}

/// What of a group goes into one segment.
#[derive(Default)]
struct Share {
    group: Vec<Pending>,
    frames: Vec<Written>,
    /// Not written yet, and how many bytes that is.
    parts: Vec<Bytes>,
    size: u64,
}

/// Whether the segment that grows may end now: not in the middle of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MaySeal {
    Yes,
    No,
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
