//! The writer: makes durable what was appended, and removes what nobody needs any more. One task.
//!
//! Chunks that come within a few milliseconds, or while a sync is under way, are synced together: while the disk is
//! busy with one share, the next one is encoded and written, and its sync begins when the other has ended. A segment is
//! synced before the next one begins, so that what is missing in it later is damage and not torn. A sync
//! that failed is never tried again: the kernel may have dropped what it could not write.

mod upkeep;

use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::frame;
use super::open::{Position, Segment};
use super::segment::file_name;
use super::state::{Pending, Written};
use super::{Compression, DiskLog, LogError};
use crate::bugs::{self, Bug};
use upkeep::is_full;

/// How often cursors are stored, and segments looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes that are written with one call.
const WRITE_AT_ONCE: u64 = 1 << 20;
/// A share that has so many bytes gets no more: others need not wait long for it, and as much again is written
/// while it is synced.
const MAX_SHARE: usize = 4 << 20;

/// The segment that grows.
struct Growing {
    name: String,
    first: u64,
    len: u64,
}

struct Writer<'a> {
    log: &'a DiskLog,
    growing: Option<Growing>,
    /// Written, and to be synced next.
    share: Share,
    /// Being synced.
    syncing: Option<Share>,
    /// Taken out, and not given to be removed yet.
    doomed: Vec<Segment>,
    /// Bytes of the segments that are being removed.
    removing: Option<u64>,
    /// A sync and a removal, at most one of each. They go with the writer.
    beside: JoinSet<Done>,
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
        share: Share::default(),
        syncing: None,
        doomed: Vec::new(),
        removing: None,
        beside: JoinSet::new(),
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
            while let Some(done) = self.beside.try_join_next() {
                self.ended(done.map_err(io::Error::other)?).await?;
            }
            let (group, is_closing) = self.take_group();
            let is_idle = group.is_empty();
            match self.write_group(group).await {
                // What is not durable was not settled: it comes again.
                Err(LogError::Io(error)) if self.log.state().is_closing && is_full(&error) => {
                    return Ok(self.save().await?);
                }
                written => written?,
            }
            if self.syncing.is_none() {
                self.begin_sync().await?;
            }
            let is_over = is_closing && self.log.state().pending.is_empty();
            if is_over {
                self.finish_share().await?;
                // What is doomed since it began goes now.
                self.finish_removal().await?;
            }
            let is_due = is_over || Instant::now() >= self.look_at;
            if is_due || self.log.state().is_room_wanted() {
                self.trim().await?;
            }
            if is_over {
                self.finish_removal().await?;
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
                self.wait_for_work().await?;
            }
        }
    }

    /// Waits until there is something to write, something beside has ended, or it is time to look.
    async fn wait_for_work(&mut self) -> Result<(), LogError> {
        let first = self.log.state().pending.front().map(|first| first.since);
        // What is due and was not taken has no room in the share: it waits for the sync.
        let due =
            first.filter(|_| self.share.len < MAX_SHARE).map(|since| since + self.log.settings.commit_after);
        let wake_at = due.map_or(self.look_at, |due| due.min(self.look_at));
        tokio::select! {
            biased;
            Some(done) = self.beside.join_next() => self.ended(done.map_err(io::Error::other)?).await?,
            () = self.log.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
        Ok(())
    }

    /// A lane could not read: nobody goes on.
    fn check_damage(&self) -> Result<(), LogError> {
        let damage = self.log.damage.lock().unwrap_or_else(PoisonError::into_inner).take();
        damage.map_or(Ok(()), Err)
    }

    /// What is to be written now: nothing while it may wait for more, or the share is full.
    fn take_group(&self) -> (Vec<Pending>, bool) {
        let mut state = self.log.state();
        let in_hand = self.share.len + self.syncing.as_ref().map_or(0, |share| share.len);
        let is_due = state.pending.front().is_some_and(|first| {
            state.is_closing
                || state.pending_bytes - in_hand >= self.log.settings.commit_bytes
                || Instant::now() >= first.since + self.log.settings.commit_after
        });
        let mut group = Vec::new();
        let mut len = self.share.len;
        while is_due
            && len < MAX_SHARE
            && let Some(next) = state.pending.pop_front()
        {
            len += next.chunk.size();
            group.push(next);
        }
        (group, state.is_closing)
    }

    /// Writes a group: it becomes a part of the share. Where a segment ends, the share is synced first.
    async fn write_group(&mut self, group: Vec<Pending>) -> Result<(), LogError> {
        let synced = self.log.state().durable;
        for pending in group {
            self.share.len += pending.chunk.size();
            if !pending.is_written {
                self.share.group.push(pending);
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
                self.write().await?;
                self.finish_share().await?;
                self.seal().await?;
                self.begin(pending.first, len).await?;
            }
            let growing = self.growing.as_mut().expect("it was begun");
            let at = Position { segment: growing.first, offset: growing.len };
            growing.len += len;
            self.share.frames.push(Written { header, at });
            self.share.parts.extend(pieces);
            self.share.unwritten += len;
            self.share.group.push(pending);
            if self.share.unwritten >= WRITE_AT_ONCE {
                self.write().await?;
            }
        }
        self.write().await
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

    /// Makes durable all that was written.
    async fn finish_share(&mut self) -> Result<(), LogError> {
        self.finish_sync().await?;
        self.begin_sync().await?;
        self.finish_sync().await
    }

    /// Begins to make the share durable, if there is anything in it. No other is being synced.
    async fn begin_sync(&mut self) -> Result<(), LogError> {
        let share = std::mem::take(&mut self.share);
        let Some(growing) = self.growing.as_ref().filter(|_| !share.frames.is_empty()) else {
            self.commit(share);
            return Ok(());
        };
        let (storage, name) = (self.log.storage.clone(), growing.name.clone());
        if bugs::is(Bug::SettleBeforeSync) {
            self.commit(share);
            return storage.sync(&name).await.map_err(LogError::Sync);
        }
        self.syncing = Some(share);
        self.beside.spawn(async move { Done::Sync(storage.sync(&name).await) });
        Ok(())
    }

    /// Waits for the sync that is under way.
    async fn finish_sync(&mut self) -> Result<(), LogError> {
        while self.syncing.is_some()
            && let Some(done) = self.beside.join_next().await
        {
            self.ended(done.map_err(io::Error::other)?).await?;
        }
        Ok(())
    }

    /// Something has ended that went on beside the writing.
    async fn ended(&mut self, done: Done) -> Result<(), LogError> {
        match done {
            Done::Sync(synced) => {
                synced.map_err(LogError::Sync)?;
                let share = self.syncing.take().unwrap_or_default();
                self.commit(share);
            }
            Done::Removal(removed) => {
                removed?;
                self.removed().await;
            }
        }
        Ok(())
    }

    /// A share is durable: only now anybody is told.
    fn commit(&self, share: Share) {
        if share.group.is_empty() {
            return;
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

    /// Writes what of the share is not written yet: the last bytes of the segment that grows.
    async fn write(&mut self) -> Result<(), LogError> {
        let (parts, size) =
            (std::mem::take(&mut self.share.parts), std::mem::take(&mut self.share.unwritten));
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

    /// Ends the segment that grows: what is in it was synced, so that the next one may begin.
    async fn seal(&mut self) -> Result<(), LogError> {
        if let Some(Growing { name, len, .. }) = self.growing.take() {
            self.log.storage.truncate(&name, len).await?;
        }
        self.log.state().growing = None;
        Ok(())
    }
}

/// What is synced together: all of it in one segment.
#[derive(Default)]
struct Share {
    group: Vec<Pending>,
    /// Bytes of its chunks.
    len: usize,
    frames: Vec<Written>,
    /// Not written yet, and how many bytes that is.
    parts: Vec<Bytes>,
    unwritten: u64,
}

/// What has ended beside the writing.
enum Done {
    Sync(io::Result<()>),
    Removal(io::Result<()>),
}
