//! Which benchmarks get a round next, where the budget may not hold them all.

use std::time::Duration;

/// What a round and a pilot take, until one was measured.
const ROUND: Duration = Duration::from_millis(600);
const PILOT: Duration = Duration::from_secs(2);
/// So many rounds it takes to decide most benchmarks; with fewer than [`FEW`] of its own nothing better is known of one.
const USUAL: usize = 24;
const FEW: usize = 8;

/// A benchmark that is not decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    /// Its place in the suite.
    pub(crate) nth: usize,
    /// Whether its pilot is done.
    pub(crate) tried_out: bool,
    /// Rounds it has.
    pub(crate) rounds: usize,
    /// Rounds it needs at this pace, as far as they tell; never more than are allowed.
    pub(crate) more: usize,
    /// Decides among those that are alike.
    pub(crate) lot: u64,
}

/// How long something took, on average.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    times: u32,
    took: Duration,
}

impl Pace {
    fn add(&mut self, took: Duration) {
        (self.times, self.took) = (self.times.saturating_add(1), self.took.saturating_add(took));
    }

    fn mean(self) -> Option<Duration> {
        self.took.checked_div(self.times)
    }
}

/// Spends a budget so that as many benchmarks as it holds are decided: those that need least go first. Where it holds all, each sweep is of all.
///
/// Who gets a round depends on what was seen before it alone, so the error rates are those of any other order.
#[derive(Debug)]
pub(crate) struct Schedule {
    pilots: Pace,
    rounds: Pace,
    of: Vec<Pace>, // by place in the suite
}

impl Schedule {
    pub(crate) fn new(benches: usize) -> Self {
        Self { pilots: Pace::default(), rounds: Pace::default(), of: vec![Pace::default(); benches] }
    }

    /// A pilot took so long.
    pub(crate) fn piloted(&mut self, took: Duration) {
        self.pilots.add(took);
    }

    /// A round of a benchmark took so long, with its control if it has one.
    pub(crate) fn measured(&mut self, nth: usize, took: Duration) {
        self.rounds.add(took);
        self.of[nth].add(took);
    }

    /// About how long it takes to decide a benchmark.
    pub(crate) fn expected(&self, open: &Open) -> Duration {
        let round = self.of[open.nth].mean().or(self.rounds.mean()).unwrap_or(ROUND);
        let pilot = if open.tried_out { Duration::ZERO } else { self.pilots.mean().unwrap_or(PILOT) };
        let rounds = if open.rounds < FEW { (USUAL - open.rounds).min(open.more) } else { open.more };
        pilot.saturating_add(round.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)))
    }

    /// Those that get a round each, the nearest to a decision first: as many as can be decided in the time that is `left`, and one at least.
    pub(crate) fn sweep(&self, open: &[Open], left: Duration) -> Vec<usize> {
        let mut order: Vec<(Duration, u64, usize)> =
            open.iter().map(|one| (self.expected(one), one.lot, one.nth)).collect();
        order.sort_unstable();
        let mut spent = Duration::ZERO;
        let held = order.iter().take_while(|(expected, ..)| {
            spent = spent.saturating_add(*expected);
            spent <= left
        });
        let held = held.count().max(1);
        order.into_iter().take(held).map(|(_, _, nth)| nth).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Rule;
    use crate::gate::judge::{Evidence, finished};
    use crate::selftest::Dice;

    const BENCHES: usize = 18;
    const SPREADS: [f64; 3] = [0.01, 0.02, 0.2];

    /// How many of the benchmarks are decided in a budget, when `choose` says who gets a round.
    fn decided(
        budget: Duration,
        choose: impl Fn(&Schedule, &[Open], Duration) -> Vec<usize>,
    ) -> (usize, Vec<usize>) {
        let (rule, mut dice) = (Rule::default(), Dice::new(1));
        let mut suite: Vec<Evidence> = (0..BENCHES).map(|_| Evidence::new(rule.slowdown)).collect();
        let (mut schedule, mut tried_out) = (Schedule::new(BENCHES), [false; BENCHES]);
        let mut spent = Duration::ZERO;
        loop {
            let done = finished(&suite, &rule);
            let open: Vec<Open> = (0..BENCHES)
                .filter(|nth| !done[*nth])
                .map(|nth| Open {
                    nth,
                    tried_out: tried_out[nth],
                    rounds: suite[nth].rounds(),
                    more: suite[nth].rounds_left(rule.alpha / BENCHES as f64, &rule),
                    lot: nth as u64,
                })
                .collect();
            if open.is_empty() || spent >= budget {
                let rounds = suite.iter().map(Evidence::rounds).collect();
                return (done.iter().filter(|done| **done).count(), rounds);
            }
            for nth in choose(&schedule, &open, budget.saturating_sub(spent)) {
                if !std::mem::replace(&mut tried_out[nth], true) {
                    spent += PILOT;
                    schedule.piloted(PILOT);
                }
                suite[nth].add(SPREADS[nth % SPREADS.len()] * dice.normal());
                spent += ROUND;
                schedule.measured(nth, ROUND);
            }
        }
    }

    /// Eighteen benchmarks, ninety seconds. The control: a sweep of all, which decides none.
    #[test]
    fn a_budget_that_does_not_hold_all_decides_some() {
        let small = Duration::from_secs(90);
        let (some, _) = decided(small, Schedule::sweep);
        let all = |_: &Schedule, open: &[Open], _: Duration| open.iter().map(|one| one.nth).collect();
        let (none, _) = decided(small, all);
        assert_eq!((some, none), (6, 0));
    }

    #[test]
    fn in_a_budget_that_holds_all_each_sweep_is_of_all_that_is_open() {
        let (some, rounds) = decided(Duration::from_secs(100_000), Schedule::sweep);
        assert!(some == BENCHES && rounds.iter().all(|rounds| *rounds >= 8), "{rounds:?}");
        let schedule = Schedule::new(3);
        let open = |nth| Open { nth, tried_out: true, rounds: 10, more: 150 - nth, lot: 0 };
        let open = [0, 1, 2].map(open);
        assert_eq!(schedule.sweep(&open, Duration::from_secs(3_600)), [2, 1, 0]);
        assert_eq!(schedule.sweep(&open, Duration::ZERO), [2], "one at least");
    }

    #[test]
    fn a_lot_decides_among_those_of_which_nothing_is_known() {
        let schedule = Schedule::new(4);
        let open = |nth: usize| Open { nth, tried_out: false, rounds: 0, more: 150, lot: [7, 1, 9, 3][nth] };
        let two = 2 * (PILOT + ROUND * u32::try_from(USUAL).unwrap());
        assert_eq!(schedule.sweep(&[0, 1, 2, 3].map(open), two), [1, 3]);
    }
}
