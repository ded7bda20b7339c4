//! Which series there are, across windows: a daemon keeps every name that it has heard, so the bound holds for all of
//! them together.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// How long a series may be silent before another takes its room.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// How often silent ones are looked for, while there is no room.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The series that have a name of their own.
#[derive(Debug)]
pub(super) struct KnownSeries {
    max: usize,
    /// By hash, under a key that nobody knows: two that meet share their room, nothing else.
    seen: HashMap<u64, Instant>,
    hasher: RandomState,
    swept: Option<Instant>,
}

impl KnownSeries {
    pub(super) fn new(max: usize) -> Self {
        Self { max, seen: HashMap::new(), hasher: RandomState::new(), swept: None }
    }

    /// Whether this one is known, or there is room for it. Called once per series and window.
    pub(super) fn admit(&mut self, series: &[u8], now: Instant) -> bool {
        let hash = self.hasher.hash_one(series);
        if let Some(last) = self.seen.get_mut(&hash) {
            *last = now;
            return true;
        }
        if self.seen.len() >= self.max && self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY) {
            self.seen.retain(|_, last| now < *last + FORGOTTEN_AFTER);
            self.swept = Some(now);
        }
        let has_room = self.seen.len() < self.max;
        if has_room {
            self.seen.insert(hash, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_is_silent_for_an_hour_makes_room() {
        let mut known = KnownSeries::new(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(known.admit(b"a", at(0)) && known.admit(b"b", at(0)));
        assert!(!known.admit(b"c", at(1)), "there is no room");
        assert!(known.admit(b"a", at(3_000)), "what is known stays");
        assert!(!known.admit(b"c", at(3_599)));
        assert!(!known.admit(b"c", at(3_601)), "nobody has looked since");
        assert!(known.admit(b"c", at(3_700)), "b is forgotten");
        assert!(!known.admit(b"b", at(3_701)));
        assert!(known.admit(b"a", at(3_702)));
    }
}
