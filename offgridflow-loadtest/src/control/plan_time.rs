//! How fast the plan's own time passes, as a function of the run's.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// The speed at which a plan goes as planned.
pub(super) const AS_PLANNED: u64 = 1_000_000_000;

/// When something is due that waits for the end of a pause: beyond every run.
pub(super) const FAR: Duration = Duration::from_secs(200 * 86_400);

/// Stretches of the run in each of which plan time passes at one speed. Whole nanoseconds and billionths, so that all shards compute the same.
#[derive(Debug, Clone)]
pub(super) struct PlanTime {
    stretches: Vec<Stretch>, // at least one, the first from zero; in time order
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: u64,  // of the run, in nanoseconds
    at: u64,    // of the plan, in nanoseconds
    speed: u64, // in billionths; zero is a pause
}

impl Default for PlanTime {
    fn default() -> Self {
        Self { stretches: vec![Stretch { from: 0, at: 0, speed: AS_PLANNED }] }
    }
}

impl PlanTime {
    /// Goes on at this speed from then on, or from the latest change, if that is later. What lies before stays as it is.
    pub(super) fn alter(&mut self, from: Duration, speed: u64) -> Duration {
        let last = self.last();
        let from = nanos(from).max(last.from);
        let at = last.plan_at(from);
        if from == last.from {
            self.stretches.pop();
        }
        self.stretches.push(Stretch { from, at, speed });
        Duration::from_nanos(from)
    }

    fn last(&self) -> Stretch {
        self.stretches[self.stretches.len() - 1]
    }

    fn stretch_at(&self, run: u64) -> Stretch {
        let next = self.stretches.partition_point(|stretch| stretch.from <= run);
        self.stretches[next.saturating_sub(1)]
    }

    /// Where in the plan the run is.
    pub(super) fn plan_at(&self, run: Duration) -> Duration {
        let run = nanos(run);
        Duration::from_nanos(self.stretch_at(run).plan_at(run))
    }

    /// When in the run the plan gets there; [`FAR`] while that waits for the end of a pause. Never decreases.
    pub(super) fn run_at(&self, plan: Duration) -> Duration {
        let plan = nanos(plan);
        let next = self.stretches.partition_point(|stretch| stretch.at <= plan);
        let stretch = self.stretches[next.saturating_sub(1)];
        if stretch.speed == 0 {
            return FAR;
        }
        let over = u128::from(plan - stretch.at) * u128::from(AS_PLANNED);
        let over = u64::try_from(over.div_ceil(u128::from(stretch.speed))).unwrap_or(u64::MAX);
        Duration::from_nanos(stretch.from.saturating_add(over)).min(FAR)
    }

    /// The speed at an instant of the run.
    pub(super) fn speed_at(&self, run: Duration) -> u64 {
        self.stretch_at(nanos(run)).speed
    }

    /// The highest speed there was.
    pub(super) fn top_speed(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.speed).max().unwrap_or(AS_PLANNED)
    }

    /// How much of a stretch of the run was paused.
    pub(super) fn paused_within(&self, from: Duration, to: Duration) -> Duration {
        let (from, to) = (nanos(from), nanos(to));
        let overlap = |(begin, end): (u64, u64)| end.min(to).saturating_sub(begin.max(from));
        Duration::from_nanos(self.pauses().map(overlap).sum())
    }

    /// Since when, by `run`, it has gone on without a pause; `None` within one.
    pub(super) fn goes_on_since(&self, run: Duration) -> Option<Duration> {
        let run = nanos(run);
        let begun = self.pauses().take_while(|&(from, _)| from < run).last();
        match begun {
            Some((_, to)) if run <= to => None,
            Some((_, to)) => Some(Duration::from_nanos(to)),
            None => Some(Duration::ZERO),
        }
    }

    /// From when to when; one that goes on has no end.
    fn pauses(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let ends = self.stretches.iter().skip(1).map(|next| next.from).chain([u64::MAX]);
        let all = self.stretches.iter().zip(ends);
        all.filter(|(stretch, _)| stretch.speed == 0).map(|(stretch, end)| (stretch.from, end))
    }
}

impl Stretch {
    fn plan_at(self, run: u64) -> u64 {
        let passed = u128::from(run - self.from) * u128::from(self.speed) / u128::from(AS_PLANNED);
        self.at.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The plan's time as all who go by it share it. Reading costs an uncontended lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedTime(Arc<RwLock<PlanTime>>);

impl PartialEq for SharedTime {
    /// Whether it is the same, not whether it goes the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedTime {}

impl SharedTime {
    pub(super) fn look<T>(&self, look: impl FnOnce(&PlanTime) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn alter(&self, from: Duration, speed: u64) -> Duration {
        self.0.write().unwrap_or_else(PoisonError::into_inner).alter(from, speed)
    }

    /// When in the run the plan gets there.
    pub(crate) fn run_at(&self, plan: Duration) -> Duration {
        self.look(|time| time.run_at(plan))
    }

    /// Where in the plan the run is.
    pub(crate) fn plan_at(&self, run: Duration) -> Duration {
        self.look(|time| time.plan_at(run))
    }

    /// Since when, by `run`, it has gone on without a pause; `None` within one.
    pub(crate) fn goes_on_since(&self, run: Duration) -> Option<Duration> {
        self.look(|time| time.goes_on_since(run))
    }

    /// How much of a stretch of the run was paused.
    pub(crate) fn paused_within(&self, from: Duration, to: Duration) -> Duration {
        self.look(|time| time.paused_within(from, to))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_moves_what_follows_by_its_length_and_nothing_before() {
        let mut time = PlanTime::default();
        time.alter(ms(300), 0);
        assert_eq!((time.run_at(ms(299)), time.run_at(ms(300))), (ms(299), FAR));
        assert_eq!(time.plan_at(ms(900)), ms(300), "it stands still");
        time.alter(ms(1_000), AS_PLANNED);
        assert_eq!((time.run_at(ms(299)), time.run_at(ms(300))), (ms(299), ms(1_000)));
        assert_eq!(time.run_at(ms(350)), ms(1_050));
        assert_eq!(time.paused_within(ms(200), ms(2_000)), ms(700));
        assert_eq!(time.paused_within(ms(400), ms(500)), ms(100));
        assert_eq!(time.goes_on_since(ms(300)), Some(ms(0)), "what ended before it is whole");
        assert_eq!(time.goes_on_since(ms(301)), None);
        assert_eq!(time.goes_on_since(ms(1_500)), Some(ms(1_000)));
    }

    #[test]
    fn at_twice_the_speed_gaps_are_half_as_long() {
        let mut time = PlanTime::default();
        time.alter(ms(100), 2 * AS_PLANNED);
        assert_eq!([100, 110, 200].map(|at| time.run_at(ms(at))), [100, 105, 150].map(ms));
        time.alter(ms(150), AS_PLANNED / 2);
        assert_eq!(time.run_at(ms(210)), ms(170));
        assert_eq!(time.top_speed(), 2 * AS_PLANNED);
    }

    proptest! {
        /// Whatever is asked for, and when: instants before a change stay, those after it come no earlier, and none overtakes another.
        #[test]
        fn a_change_reaches_back_to_nothing(
            changes in prop::collection::vec((0_u64..2_000_000_000, prop_oneof![Just(0_u64), 1_000_000..20_000_000_000_u64]), 1..8),
            mut instants in prop::collection::vec(0_u64..10_000_000_000, 2..64),
        ) {
            instants.sort_unstable();
            let (mut time, mut now) = (PlanTime::default(), 0);
            for (later, speed) in changes {
                let before = time.clone();
                now += later;
                let from = time.alter(Duration::from_nanos(now), speed);
                let at = before.plan_at(from);
                let mut last = Duration::ZERO;
                for plan in instants.iter().copied().map(Duration::from_nanos) {
                    let run = time.run_at(plan);
                    if plan < at {
                        prop_assert_eq!(run, before.run_at(plan));
                        prop_assert!(run <= from);
                    } else {
                        prop_assert!(run >= from);
                    }
                    prop_assert!(run >= last);
                    prop_assert!(run == FAR || time.plan_at(run) >= plan);
                    last = run;
                }
            }
        }
    }
}
