//! Who waits for a delivery to be on disk.
//!
//! A delivery is dropped when its time is up, but the thread that writes for it cannot be: it asks here
//! whether anybody still waits, before it writes and again before what it wrote counts.

use std::io;

use tokio::sync::oneshot;

/// The writing thread's end.
#[derive(Debug)]
pub(super) struct Waiter(Option<oneshot::Sender<io::Result<()>>>);

impl Waiter {
    /// The delivery's end is what it awaits.
    pub(super) fn new() -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// Whether nobody waits any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Says that it is done. Whether that was heard: if not, it does not count.
    pub(super) fn tell(&mut self) -> bool {
        self.0.take().is_some_and(|sender| sender.send(Ok(())).is_ok())
    }

    /// Says why it could not be done, unless it was said that it is.
    pub(super) fn fail(&mut self, error: io::Error) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(Err(error));
        }
    }
}
