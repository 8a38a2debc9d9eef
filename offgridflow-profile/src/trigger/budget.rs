use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ProfileError;

/// How many captures may be taken, over a window that slides. It is data: kept across restarts as text, so that a process
/// that crashes and comes back does not capture without end.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use offgridflow_profile::Budget;
///
/// let (now, hour) = (SystemTime::now(), Duration::from_secs(3_600));
/// let mut budget = Budget::new(2, hour);
/// assert!(budget.take(now) && budget.take(now));
/// // The process starts anew.
/// let mut budget = Budget::new(2, hour).resume(&budget.to_text());
/// assert!(!budget.take(now + hour / 2));
/// assert!(budget.take(now + 2 * hour));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    captures: usize,
    per: Duration,
    spent: VecDeque<u64>, // milliseconds since 1970, ascending, at most `captures` long
}

impl Budget {
    /// At most so many captures in each stretch of time this long; a stretch below a millisecond counts as one. With none nothing is ever captured. A
    /// profiler refuses either zero.
    #[must_use]
    pub fn new(captures: usize, per: Duration) -> Self {
        Self { captures, per, spent: VecDeque::new() }
    }

    /// With what an earlier process spent, from [`to_text`](Self::to_text). Lines that are no numbers are left out.
    #[must_use]
    pub fn resume(mut self, text: &str) -> Self {
        self.spent = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        self.spent.make_contiguous().sort_unstable();
        while self.spent.len() > self.captures {
            self.spent.pop_front();
        }
        self
    }

    /// What was spent, a line each.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.spent.iter().map(|millis| format!("{millis}\n")).collect()
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, now: SystemTime) -> bool {
        let left = self.left(now) > 0;
        if left {
            let millis = millis(now);
            self.spent.insert(self.spent.partition_point(|spent| *spent <= millis), millis);
            if self.spent.len() > self.captures {
                self.spent.pop_front();
            }
        }
        left
    }

    /// How many are left. What was spent more than a window ahead of `now` comes from a clock that was wrong, and does not count.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> usize {
        let (now, per) = (millis(now), u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX).max(1));
        let counts = |spent: &&u64| spent.abs_diff(now) < per;
        self.captures.saturating_sub(self.spent.iter().filter(counts).count())
    }

    /// # Errors
    /// [`ProfileError::Setting`] when nothing could ever be captured, or all the time.
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        match (self.captures, self.per.is_zero()) {
            (0, _) => Err(ProfileError::setting(
                "budget captures",
                0,
                "must be above 0: leave out triggers for none",
            )),
            (_, true) => {
                Err(ProfileError::setting("budget per", 0, "must be longer than zero: an hour is usual"))
            }
            _ => Ok(()),
        }
    }

    /// At most so many…
    #[must_use]
    pub const fn captures(&self) -> usize {
        self.captures
    }

    /// …in each stretch of time this long.
    #[must_use]
    pub const fn per(&self) -> Duration {
        self.per
    }
}

impl Default for Budget {
    /// Four an hour.
    fn default() -> Self {
        Self::new(4, Duration::from_secs(3_600))
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the instants, and however often the process starts anew: no window holds more than the budget.
        #[test]
        fn no_window_holds_more_than_the_budget(gaps in proptest::collection::vec((0_u64..3_000, any::<bool>()), 0..80)) {
            let (most, per) = (3, Duration::from_secs(10));
            let mut budget = Budget::new(most, per);
            let (mut now, mut taken) = (1_000_000_u64, Vec::new());
            for (gap, restarts) in gaps {
                now += gap;
                if restarts {
                    budget = Budget::new(most, per).resume(&budget.to_text());
                }
                if budget.take(UNIX_EPOCH + Duration::from_millis(now)) {
                    taken.push(now);
                }
            }
            for window in taken.windows(most + 1) {
                prop_assert!(window[most] - window[0] >= 10_000);
            }
        }

        #[test]
        fn arbitrary_text_is_taken_for_what_it_is(text in ".*") {
            let budget = Budget::new(3, Duration::from_secs(10)).resume(&text);
            prop_assert!(budget.left(SystemTime::now()) <= 3);
        }
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing_and_one_that_was_far_ahead_blocks_nothing() {
        let now = SystemTime::now();
        let mut budget = Budget::new(1, Duration::from_secs(60));
        assert!(budget.take(now));
        assert!(!budget.take(now - Duration::from_secs(30)));
        assert!(budget.take(now - Duration::from_secs(3_600)));
    }
}
