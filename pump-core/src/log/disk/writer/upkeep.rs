//! What the writer does beside writing: it removes what nobody needs any more, stores cursors, and waits for a disk
//! that is full.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::super::LogError;
use super::super::open::Segment;
use super::super::saved;
use super::{Done, EVERY, Writer};
use crate::record::Timestamp;

/// A file that keeps room on the disk for the file of cursors, and what part of a segment it takes.
const SPARE: &str = "spare";
const SPARE_PART: u64 = 32;
/// How long nothing must have come before a segment with room in it is given up.
const IDLE: Duration = Duration::from_secs(2);

impl Writer<'_> {
    /// The disk has no room: what can go goes, and sources wait, since nothing that was appended is durable.
    pub(super) async fn wait_for_disk(&mut self, error: io::Error) -> Result<(), LogError> {
        let now = Instant::now();
        // Whoever passes what is being synced gives room.
        self.finish_sync().await?;
        self.warn_of_full_disk(&error);
        self.log.state().is_disk_full = true;
        self.trim().await?;
        self.finish_removal().await?;
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

    /// Removes what nobody needs. It goes on beside the writing: room is given when it is done.
    pub(super) async fn trim(&mut self) -> Result<(), LogError> {
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
        let has_written = !self.share.group.is_empty() || self.syncing.is_some();
        if gives_up_growing && !has_written {
            self.seal().await?;
        }
        // What was given up for the sake of room gives none before it is removed.
        let may_give_up = self.doomed.is_empty() && self.removing.is_none();
        let removable = self.log.state().take_removable(is_kept, may_give_up, &self.log.accounting);
        self.doomed.extend(removable);
        if self.doomed.is_empty() || self.removing.is_some() {
            return Ok(());
        }
        // First it is written down that they are not missing.
        match self.save().await {
            Err(error) if is_full(&error) => return Ok(()),
            saved => saved?,
        }
        let segments = std::mem::take(&mut self.doomed);
        self.removing = Some(segments.iter().map(|segment| segment.bytes).sum());
        let storage = self.log.storage.clone();
        self.beside.spawn(async move {
            for segment in &segments {
                if let Err(error) = storage.remove(&segment.name()).await {
                    return Done::Removal(Err(error));
                }
            }
            Done::Removal(Ok(()))
        });
        Ok(())
    }

    /// Waits for the removal that is under way.
    pub(super) async fn finish_removal(&mut self) -> Result<(), LogError> {
        while self.removing.is_some()
            && let Some(done) = self.beside.join_next().await
        {
            self.ended(done.map_err(io::Error::other)?).await?;
        }
        Ok(())
    }

    /// What was being removed is gone: there is room.
    pub(super) async fn removed(&mut self) {
        self.log.state().doomed_bytes -= self.removing.take().unwrap_or_default();
        self.keep_spare().await;
        self.log.room.give();
        self.log.readable.notify_waiters();
    }

    /// Stores cursors, cuts and positions, if there is anything new.
    pub(super) async fn save(&mut self) -> io::Result<()> {
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
    pub(super) async fn save_as_far_as_possible(&mut self) -> io::Result<()> {
        match self.save().await {
            Err(error) if is_full(&error) => {
                self.warn_of_full_disk(&error);
                Ok(())
            }
            saved => saved,
        }
    }

    /// Keeps a little room on the disk: it is given up when the file of cursors needs it and there is no other.
    pub(super) async fn keep_spare(&mut self) {
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

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
