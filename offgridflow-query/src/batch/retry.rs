//! When to try again, and when to stop.

use std::time::Duration;

/// How transient failures are retried: exponential back-off with full jitter, bounded in attempts and in time.
///
/// Jitter is drawn between half and the whole of the step, from a seeded generator, so that writers that failed
/// together do not come back together.
///
/// ```
/// use offgridflow_query::Retry;
/// assert_eq!(Retry::default().attempts, 8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, at least 1. Default: 8.
    pub attempts: u32,
    /// The first pause; each further one is twice as long. Default: 50 ms.
    pub base: Duration,
    /// The longest pause. Default: 2 s.
    pub cap: Duration,
    /// No try starts later than this after the first one. Default: 15 s.
    pub budget: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(2),
            budget: Duration::from_secs(15),
        }
    }
}

impl Retry {
    /// One try and no second.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The pause after `failed` tries that took `elapsed` so far; `None` when the budget is spent.
    pub(crate) fn pause(&self, failed: u32, elapsed: Duration, jitter: &mut Jitter) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let step = self.base.saturating_mul(1 << failed.saturating_sub(1).min(20)).min(self.cap);
        let share = step.as_secs_f64() * jitter.between_half_and_one();
        let pause = Duration::try_from_secs_f64(share).unwrap_or(step);
        (elapsed.saturating_add(pause) <= self.budget).then_some(pause)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to spread retries.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn between_half_and_one(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        0.5 + (z >> 11) as f64 / (1u64 << 54) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_stay_within_their_step_and_the_budget(seed: u64, failed in 1u32..40, elapsed_ms in 0u64..20_000) {
            let retry = Retry { attempts: 30, ..Retry::default() };
            let elapsed = Duration::from_millis(elapsed_ms);
            match retry.pause(failed, elapsed, &mut Jitter::new(seed)) {
                Some(pause) => {
                    prop_assert!(failed < 30 && pause <= retry.cap && elapsed + pause <= retry.budget);
                    prop_assert!(pause >= retry.base / 2);
                }
                None => prop_assert!(failed >= 30 || elapsed + retry.cap > retry.budget),
            }
        }
    }
}
