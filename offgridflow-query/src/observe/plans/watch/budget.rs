//! How often a database may be asked for plans.

use std::time::Duration;

/// What looking may cost: at most so many questions a second on average, and a share of the time that statements took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanBudget {
    /// Questions a second, on average; ten may come at once. Default: 1.
    pub per_second: f64,
    /// Share of the time of all observed statements. Default: 0.01.
    pub share: f64,
    /// Time that may be spent before that share counts, so that a young program has plans too. Default: 100 ms.
    pub advance: Duration,
    /// Measures: runs each SELECT whose values are at hand once more, for 1 s at most (PostgreSQL's ANALYZE). Default: no.
    pub analyze: bool,
}

impl Default for PlanBudget {
    fn default() -> Self {
        Self { per_second: 1.0, share: 0.01, advance: Duration::from_millis(100), analyze: false }
    }
}

const BURST: f64 = 10.0;

/// What is left of a [`PlanBudget`].
#[derive(Debug)]
pub(crate) struct Purse {
    budget: PlanBudget,
    tokens: f64,
    seen: Duration, // since the watcher's start
    spent: Duration,
}

impl Purse {
    pub(crate) fn new(budget: PlanBudget) -> Self {
        Self { budget, tokens: BURST, seen: Duration::ZERO, spent: Duration::ZERO }
    }

    /// Whether one more question may be asked `now` after the start, when statements took `database` in all.
    pub(crate) fn take(&mut self, now: Duration, database: Duration) -> bool {
        let passed = now.saturating_sub(self.seen).as_secs_f64();
        self.seen = self.seen.max(now);
        self.tokens = (self.tokens + passed * self.budget.per_second.max(0.0)).min(BURST);
        let allowed = self.budget.advance.as_secs_f64() + database.as_secs_f64() * self.budget.share;
        if self.tokens < 1.0 || self.spent.as_secs_f64() > allowed {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    pub(crate) fn spend(&mut self, took: Duration) {
        self.spent += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn ten_at_once_then_one_a_second() {
        let mut purse = Purse::new(PlanBudget::default());
        let taken = |purse: &mut Purse, now| (0..50).filter(|_| purse.take(now, SECOND)).count();
        assert_eq!(taken(&mut purse, Duration::ZERO), 10);
        assert_eq!(taken(&mut purse, 3 * SECOND), 3);
        assert_eq!(taken(&mut purse, 2 * SECOND), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(&mut purse, 500 * SECOND), 10);
    }

    #[test]
    fn looking_takes_a_hundredth_of_the_databases_time_at_most() {
        let mut purse = Purse::new(PlanBudget::default());
        assert!(purse.take(Duration::ZERO, Duration::ZERO));
        purse.spend(Duration::from_millis(150));
        assert!(!purse.take(SECOND, Duration::ZERO), "the advance is spent");
        assert!(!purse.take(2 * SECOND, 4 * SECOND));
        assert!(purse.take(3 * SECOND, 6 * SECOND), "a hundredth of 6 s, and the advance");
    }
}
