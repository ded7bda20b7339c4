//! How sources wait for room in a log: one after the other, so that a large request is not starved by small ones.

use tokio::sync::{Mutex, Notify};

/// The way in. Each log says for itself what room there is.
#[derive(Debug, Default)]
pub(super) struct Room {
    turnstile: Mutex<()>,
    given: Notify,
}

impl Room {
    /// Waits for its turn, and then until `is_taken`, which is asked again each time that room was given.
    /// `no_longer` is called when that is over, also because the source has stopped waiting.
    pub(super) async fn wait(&self, is_taken: impl FnMut() -> bool, no_longer: impl Fn()) {
        struct Wanted<F: Fn()>(F);
        impl<F: Fn()> Drop for Wanted<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        let _turn = self.turnstile.lock().await;
        let _wanted = Wanted(no_longer);
        until(&self.given, is_taken).await;
    }

    /// There may be room now.
    pub(super) fn give(&self) {
        self.given.notify_one();
    }
}

/// Returns once it is so; looks again whenever it is told to.
pub(super) async fn until(told: &Notify, mut is_so: impl FnMut() -> bool) {
    loop {
        let mut told = std::pin::pin!(told.notified());
        // What is told from here on is not missed.
        told.as_mut().enable();
        if is_so() {
            return;
        }
        told.await;
    }
}
