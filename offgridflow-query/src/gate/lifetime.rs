//! How old a connection may get: the limit, less a random part of a tenth of it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The largest part of the limit that is taken off: connections opened together close over this stretch.
const SPREAD: f64 = 0.1;

/// The stretch over which connections of this lifetime close.
pub(crate) fn spread(limit: Duration) -> Duration {
    limit.mul_f64(SPREAD)
}

/// Hands out lifetimes.
#[derive(Debug)]
pub(crate) struct Lifetimes {
    limit: Option<Duration>,
    random: AtomicU64, // the state of splitmix64
}

impl Lifetimes {
    /// Seeded at random, so that many processes started together do not agree.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self::seeded(limit, RandomState::new().hash_one(0))
    }

    fn seeded(limit: Option<Duration>, seed: u64) -> Self {
        Self { limit, random: AtomicU64::new(seed) }
    }

    /// How long the next connection may live.
    pub(crate) fn next(&self) -> Option<Duration> {
        let limit = self.limit?;
        Some(limit.mul_f64(1.0 - SPREAD * self.uniform()))
    }

    /// The next number of splitmix64, in 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(&self) -> f64 {
        let state = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_spread_over_a_tenth_and_never_exceed_the_limit() {
        let limit = Duration::from_secs(300);
        let lifetimes = Lifetimes::seeded(Some(limit), 7);
        let drawn: Vec<Duration> = (0..1_000).filter_map(|_| lifetimes.next()).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|&life| limit.mul_f64(0.9) <= life && life <= limit));
        for tenth in 0..10 {
            let from = 270.0 + 3.0 * f64::from(tenth);
            let here = drawn.iter().filter(|life| (from..from + 3.0).contains(&life.as_secs_f64())).count();
            assert!((60..140).contains(&here), "{here} of 1000 close between {from} s and 3 s later");
        }
    }

    #[test]
    fn no_limit_is_no_lifetime() {
        assert_eq!(Lifetimes::new(None).next(), None);
    }
}
