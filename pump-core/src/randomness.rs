//! Where a pump takes its random numbers from.
//!
//! By default from the system. A seeded pump draws the same numbers each time it lives through the same things,
//! so that a simulation can live through them again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use uuid::{Builder, Uuid};

/// Random numbers. A handle; clones draw from the same row.
#[derive(Debug, Clone, Default)]
pub struct Randomness(Option<Arc<Seeded>>);

#[derive(Debug)]
struct Seeded {
    generator: Mutex<StdRng>,
    began: Instant,
}

impl Randomness {
    /// Always the same numbers for the same seed. Its clock is the runtime's, which tests pause; it says 1970 at
    /// the moment `began`.
    pub fn seeded(seed: u64, began: Instant) -> Self {
        let generator = Mutex::new(StdRng::seed_from_u64(seed));
        Self(Some(Arc::new(Seeded { generator, began })))
    }

    /// A number in 0..1.
    pub fn fraction(&self) -> f64 {
        self.draw(StdRng::random).unwrap_or_else(rand::random)
    }

    /// 128 random bits.
    pub fn bits(&self) -> u128 {
        self.draw(StdRng::random).unwrap_or_else(rand::random)
    }

    /// An identifier that sorts by time (RFC 9562, version 7).
    pub fn uuid_v7(&self) -> Uuid {
        let Some(seeded) = &self.0 else { return Uuid::now_v7() };
        let bits = self.bits().to_be_bytes();
        let [.., a, b, c, d, e, f, g, h, i, j] = bits;
        let since: Duration = seeded.began.elapsed();
        Builder::from_unix_timestamp_millis(since.as_millis() as u64, &[a, b, c, d, e, f, g, h, i, j])
            .into_uuid()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
        let seeded = self.0.as_ref()?;
        Some(draw(&mut seeded.generator.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_draws_the_same_numbers() {
        let draw = |randomness: Randomness| (randomness.fraction(), randomness.bits(), randomness.uuid_v7());
        let seeded = |seed| Randomness::seeded(seed, Instant::now());
        assert_eq!(draw(seeded(7)), draw(seeded(7)));
        assert_ne!(draw(seeded(7)), draw(seeded(8)));
        assert_ne!(draw(Randomness::default()), draw(Randomness::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn identifiers_of_a_seeded_pump_sort_by_the_runtime_s_time() {
        let randomness = Randomness::seeded(1, Instant::now());
        let before = randomness.uuid_v7();
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(before < randomness.uuid_v7());
    }
}
