use std::time::{Duration, SystemTime};

use super::condition::Watch;
use super::{Budget, Observation, Place, Trigger};
use crate::trend::{LeakAlarm, Shape, TrendDetector, Verdict, WindowDetector};
use crate::{Series, trend::Spoken};

/// How often a time to the limit is worked out: it costs a millisecond.
const JUDGE_EVERY: Duration = Duration::from_secs(10);

/// Watches observations, and says when a capture is due. Pure: it has no clock and takes no capture.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use offgridflow_profile::{Budget, Observation, Trigger, TriggerEngine};
///
/// let trigger = Trigger::cpu_above(1.5).lasting(Duration::from_secs(3));
/// let mut engine = TriggerEngine::new(vec![trigger], Budget::default());
/// let busy = |second| {
///     let mut seen = Observation::new(Duration::from_secs(second));
///     seen.cpu_cores = Some(1.9);
///     seen
/// };
/// let fired: Vec<_> = (0..60).flat_map(|second| engine.step(&busy(second), SystemTime::now())).collect();
/// assert_eq!(fired.len(), 1);
/// assert_eq!(fired[0].why, "cpu above 1.5 cores for 3 s: 1.90 cores");
/// println!("{}", engine.explain(SystemTime::now())[0]); // … rests for 10 min after a capture
/// ```
#[derive(Debug)]
pub struct TriggerEngine {
    armed: Vec<Armed>,
    budget: Budget,
    now: Duration,
}

/// A trigger fired: a capture is due.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fired {
    /// What it watches, in one word.
    pub kind: &'static str,
    /// What holds, in one sentence.
    pub why: String,
    /// For how long it has held.
    pub held: Duration,
    /// The place it holds for, where it is one of one place.
    pub place: Option<Place>,
    /// The verdict on memory, where that is what it rests on.
    pub verdict: Option<Verdict>,
}

/// What a trigger sees, and why it does not fire.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The condition, in words.
    pub trigger: String,
    /// What it saw last, in words.
    pub seen: String,
    /// What it is doing.
    pub state: TriggerState,
    /// Captures it asked for.
    pub fired: u64,
    /// Times it would have fired, were there budget left.
    pub withheld: u64,
}

/// What a trigger is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum TriggerState {
    /// What it watches is not known, so it cannot hold.
    Blind,
    /// The condition does not hold.
    Quiet,
    /// It holds, not yet for long enough.
    Holds {
        /// For how long.
        since: Duration,
    },
    /// It has fired, and rests.
    Rests {
        /// For how much longer.
        left: Duration,
    },
    /// It holds for long enough, and there is no budget left.
    OutOfBudget,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; ", self.trigger, self.seen)?;
        match self.state {
            TriggerState::Blind => f.write_str("cannot hold without that")?,
            TriggerState::Quiet => f.write_str("does not hold")?,
            TriggerState::Holds { since } => write!(f, "holds for {}", Spoken(since))?,
            TriggerState::Rests { left } => write!(f, "rests for {} after a capture", Spoken(left))?,
            TriggerState::OutOfBudget => f.write_str("holds, and the budget is spent")?,
        }
        write!(f, "; {} captures, {} withheld", self.fired, self.withheld)
    }
}

#[derive(Debug)]
struct Armed {
    trigger: Trigger,
    detector: Detector,
    since: Option<Duration>,
    held_at: Duration, // the last observation on which it held, while `since` is known
    unseen: Duration,  // time since `since` of which nothing is known
    gap: bool,         // whether there was a gap since `held_at`
    rests_until: Option<Duration>,
    withheld_now: bool,
    seen: Option<String>,
    fired: u64,
    withheld: u64,
}

#[derive(Debug)]
enum Detector {
    None,
    Alarm(Box<LeakAlarm>),
    Window { detector: Box<WindowDetector>, judged: Option<Duration>, last: Option<Verdict> },
}

/// What a condition says of one observation.
struct Level {
    seen: String,
    holds: bool,
    /// It does not hold, and that is no evidence against it.
    excused: bool,
    place: Option<Place>,
    verdict: Option<Verdict>,
}

impl Level {
    fn of(holds: bool, seen: String) -> Self {
        Self { seen, holds, excused: false, place: None, verdict: None }
    }
}

impl TriggerEngine {
    /// Watches for each of these; all share one budget.
    #[must_use]
    pub fn new(triggers: Vec<Trigger>, budget: Budget) -> Self {
        Self { armed: triggers.into_iter().map(Armed::new).collect(), budget, now: Duration::ZERO }
    }

    /// Takes an observation; what fires. `wall` is what the budget counts by, and what survives a restart.
    pub fn step(&mut self, seen: &Observation, wall: SystemTime) -> Vec<Fired> {
        self.now = seen.at;
        let budget = &mut self.budget;
        self.armed.iter_mut().filter_map(|armed| armed.step(seen, wall, budget)).collect()
    }

    /// Why each trigger does not fire.
    #[must_use]
    pub fn explain(&self, wall: SystemTime) -> Vec<Explanation> {
        let spent = self.budget.left(wall) == 0;
        self.armed.iter().map(|armed| armed.explain(self.now, spent)).collect()
    }

    /// What was spent.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Armed {
    fn new(trigger: Trigger) -> Self {
        let detector = match &trigger.watch {
            Watch::Leak { window, options } => {
                Detector::Alarm(Box::new(LeakAlarm::new(*window, options.clone())))
            }
            Watch::TimeToLimit { options, .. } => Detector::Window {
                detector: Box::new(WindowDetector::new(Series::default(), options.clone())),
                judged: None,
                last: None,
            },
            _ => Detector::None,
        };
        Self {
            trigger,
            detector,
            since: None,
            held_at: Duration::ZERO,
            unseen: Duration::ZERO,
            gap: false,
            rests_until: None,
            withheld_now: false,
            seen: None,
            fired: 0,
            withheld: 0,
        }
    }

    fn step(&mut self, seen: &Observation, wall: SystemTime, budget: &mut Budget) -> Option<Fired> {
        let level = self.level(seen);
        self.seen = level.as_ref().map(|level| level.seen.clone());
        let level = self.held(seen, level)?;
        let held = self.hold(seen);
        let rests = self.rests_until.is_some_and(|until| seen.at < until);
        if rests || held < self.trigger.lasting {
            return None;
        }
        if !budget.take(wall) {
            self.withheld += u64::from(!std::mem::replace(&mut self.withheld_now, true));
            return None;
        }
        self.fired += 1;
        (self.since, self.withheld_now) = (None, false);
        self.rests_until = Some(seen.at.saturating_add(self.trigger.cooldown));
        let why = format!("{}: {}", self.trigger, level.seen);
        Some(Fired { kind: self.trigger.kind(), why, held, place: level.place, verdict: level.verdict })
    }

    /// The level, if it holds. If not it starts over, unless that may be for want of evidence: then it goes on as it was, for as long as it is asked
    /// to hold at most.
    fn held(&mut self, seen: &Observation, level: Option<Level>) -> Option<Level> {
        let gap = level.as_ref().is_none_or(|level| level.excused || !seen.late.is_zero());
        let level = level.filter(|level| level.holds);
        if level.is_none() {
            let blind = seen.at.saturating_sub(self.held_at);
            if gap && self.since.is_some() && blind <= self.trigger.lasting {
                self.gap = true;
            } else {
                (self.since, self.withheld_now) = (None, false);
            }
        }
        level
    }

    /// For how long it has held, without the time of which nothing is known.
    fn hold(&mut self, seen: &Observation) -> Duration {
        let before = std::mem::replace(&mut self.held_at, seen.at);
        let gap = std::mem::replace(&mut self.gap, false);
        let Some(since) = self.since else {
            (self.since, self.unseen) = (Some(seen.at), Duration::ZERO);
            return Duration::ZERO;
        };
        let unseen = if gap { seen.at.saturating_sub(before) } else { seen.late };
        self.unseen = self.unseen.saturating_add(unseen);
        seen.at.saturating_sub(since).saturating_sub(self.unseen)
    }

    /// What is seen; `None` where that is not known.
    fn level(&mut self, seen: &Observation) -> Option<Level> {
        match &self.trigger.watch {
            Watch::Leak { .. } | Watch::TimeToLimit { .. } => self.memory(seen),
            Watch::Cpu { cores } => {
                let busy = seen.cpu_cores?;
                let waited = seen.cpu_waited.unwrap_or(0.0);
                let words = match waited >= 0.01 {
                    true => format!("{busy:.2} cores, {waited:.2} more were wanted and not given"),
                    false => format!("{busy:.2} cores"),
                };
                Some(Level { excused: busy + waited > *cores, ..Level::of(busy > *cores, words) })
            }
            Watch::Latency { p99 } => {
                let latency = seen.latency_p99?;
                Some(Level::of(latency > *p99, format!("p99 of {latency:.1?}")))
            }
            Watch::Pressure { share } => {
                let stalled = seen.pressure?;
                Some(Level::of(stalled > *share, format!("stalled {:.1} % of the time", stalled * 100.0)))
            }
            Watch::Tasks { live } => {
                let most = seen.tasks.iter().max_by_key(|task| task.live)?;
                let level = Level::of(most.live > *live, format!("{} tasks of {}", most.live, most.place));
                Some(Level { place: Some(most.place), ..level })
            }
            Watch::Wait { mean } => {
                let longest = seen.waits.iter().max_by_key(|wait| wait.mean)?;
                let words = format!("{:.1?} at {}, {} waiting", longest.mean, longest.place, longest.waiting);
                Some(Level { place: Some(longest.place), ..Level::of(longest.mean > *mean, words) })
            }
        }
    }

    fn memory(&mut self, seen: &Observation) -> Option<Level> {
        let bytes = seen.memory_bytes?;
        match (&mut self.detector, &self.trigger.watch) {
            (Detector::Alarm(alarm), _) => {
                alarm.set_limit(seen.limit_bytes);
                let raised = alarm.push(seen.at, bytes);
                let words = alarm.last().map_or("no whole window yet".to_owned(), ToString::to_string);
                let verdict = raised.map(|alarm| alarm.verdict);
                Some(Level { verdict: verdict.clone(), ..Level::of(verdict.is_some(), words) })
            }
            (Detector::Window { detector, judged, last }, Watch::TimeToLimit { less_than, .. }) => {
                detector.set_limit(Some(seen.limit_bytes?));
                detector.push(seen.at, bytes);
                if judged.is_none_or(|judged| seen.at >= judged.saturating_add(JUDGE_EVERY)) {
                    (*judged, *last) = (Some(seen.at), Some(detector.verdict()));
                }
                let verdict = last.clone()?;
                let nearest = verdict.time_to_limit.map(|(nearest, _)| nearest);
                let holds = verdict.shape == Shape::Leak && nearest.is_some_and(|left| left < *less_than);
                Some(Level { verdict: Some(verdict.clone()), ..Level::of(holds, verdict.why) })
            }
            _ => None,
        }
    }

    fn explain(&self, now: Duration, spent: bool) -> Explanation {
        let held = self.since.map(|since| now.saturating_sub(since).saturating_sub(self.unseen));
        let rests = self.rests_until.map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero());
        let state = match (&self.seen, rests, held) {
            (None, _, _) => TriggerState::Blind,
            (_, Some(left), _) => TriggerState::Rests { left },
            (_, _, Some(held)) if spent && held >= self.trigger.lasting => TriggerState::OutOfBudget,
            (_, _, Some(since)) => TriggerState::Holds { since },
            _ => TriggerState::Quiet,
        };
        Explanation {
            trigger: self.trigger.to_string(),
            seen: self.seen.clone().unwrap_or_else(|| "what it watches is not known".to_owned()),
            state,
            fired: self.fired,
            withheld: self.withheld,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{TaskCount, TrendOptions, WaitTime};

    const PLACE: Place = Place { name: "export", file: "src/export.rs", line: 7 };

    fn at(second: u64) -> Observation {
        Observation::new(Duration::from_secs(second))
    }

    fn wall(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    fn run(
        engine: &mut TriggerEngine,
        seconds: std::ops::Range<u64>,
        see: impl Fn(&mut Observation),
    ) -> Vec<(u64, Fired)> {
        let step = |second| {
            let mut seen = at(second);
            see(&mut seen);
            engine.step(&seen, wall(second)).into_iter().map(move |fired| (second, fired)).collect::<Vec<_>>()
        };
        seconds.flat_map(step).collect()
    }

    #[test]
    fn a_level_must_hold_without_a_break() {
        let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
        let fired = run(&mut engine, 0..100, |seen| {
            seen.cpu_cores = Some(if seen.at.as_secs() % 10 == 9 { 0.5 } else { 1.9 });
        });
        assert!(fired.is_empty(), "{fired:?}");
        let fired = run(&mut engine, 100..120, |seen| seen.cpu_cores = Some(1.9));
        assert_eq!(fired.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [110]);
    }

    fn busy(engine: &mut TriggerEngine, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let fired = run(engine, seconds, |seen| seen.cpu_cores = Some(1.9));
        fired.into_iter().map(|(second, _)| second).collect()
    }

    /// A process that is not given CPU time observes late, and shows less than it wants.
    #[test]
    fn a_gap_is_neither_for_nor_against_a_level() {
        let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
        assert!(busy(&mut engine, 0..6).is_empty());
        let mut late = at(11);
        (late.cpu_cores, late.late) = (Some(0.4), Duration::from_secs(5));
        assert!(engine.step(&late, wall(11)).is_empty());
        // Five seconds held before the gap, and five must hold after it.
        assert_eq!(busy(&mut engine, 12..30), [17]);
    }

    #[test]
    fn what_was_wanted_and_not_given_does_not_break_a_level() {
        let starved = |waited: f64| {
            let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
            let fired = run(&mut engine, 0..60, |seen| {
                let given = if seen.at.as_secs() % 4 == 3 { 0.4 } else { 1.9 };
                (seen.cpu_cores, seen.cpu_waited) =
                    (Some(given), Some(1.9 - given).map(|less| less * waited));
            });
            fired.into_iter().map(|(second, fired)| (second, fired.held)).next()
        };
        assert_eq!(starved(0.0), None, "the control: it did not want more");
        let (second, held) = starved(1.0).unwrap();
        assert!((18..=26).contains(&second) && held >= Duration::from_secs(10), "{second} {held:?}");
        // What is wanted and never given does not hold: nothing was busy.
        let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
        let fired =
            run(&mut engine, 0..60, |seen| (seen.cpu_cores, seen.cpu_waited) = (Some(0.4), Some(1.5)));
        assert!(fired.is_empty(), "{fired:?}");
        let words = engine.explain(wall(60)).remove(0).to_string();
        assert!(words.contains("1.50 more were wanted and not given"), "{words}");
    }

    #[test]
    fn a_gap_that_is_too_long_starts_over() {
        let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
        let slow = |seen: &mut Observation| seen.latency_p99 = Some(Duration::from_secs(1));
        assert!(run(&mut engine, 0..9, slow).is_empty());
        assert!(run(&mut engine, 9..20, |_| {}).is_empty(), "nobody answered: not known");
        let fired = run(&mut engine, 20..40, slow);
        assert_eq!(fired[0].0, 30, "ten seconds from the start");
        let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
        let known = |seen: &mut Observation| {
            if seen.at.as_secs() % 3 < 2 {
                slow(seen);
            }
        };
        assert!(!run(&mut engine, 0..40, known).is_empty(), "now and then nobody answered");
    }

    #[test]
    fn each_kind_fires_and_names_its_place() {
        let second = Duration::from_secs(1);
        let triggers = vec![
            Trigger::latency_above(second),
            Trigger::pressure_above(0.2),
            Trigger::tasks_above(100),
            Trigger::wait_above(second),
        ];
        let mut engine = TriggerEngine::new(triggers, Budget::new(10, second));
        let fired = run(&mut engine, 0..30, |seen| {
            seen.latency_p99 = Some(2 * second);
            seen.pressure = Some(0.5);
            seen.tasks = vec![TaskCount { place: PLACE, live: 101 }];
            seen.waits = vec![WaitTime { place: PLACE, waiting: 3, mean: 2 * second }];
        });
        let words: Vec<&str> = fired.iter().map(|(_, fired)| fired.why.as_str()).collect();
        assert_eq!(
            words,
            [
                "latency p99 above 1s for 10 s: p99 of 2.0s",
                "memory pressure above 20.0 % for 10 s: stalled 50.0 % of the time",
                "more than 100 tasks of one place for 10 s: 101 tasks of export (src/export.rs:7)",
                "waits of one place above 1s for 10 s: 2.0s at export (src/export.rs:7), 3 waiting",
            ]
        );
        assert_eq!(fired[2].1.place, Some(PLACE));
    }

    #[test]
    fn after_a_capture_it_rests_and_then_fires_again() {
        let trigger = Trigger::cpu_above(1.0).cooldown(Duration::from_secs(60));
        let mut engine = TriggerEngine::new(vec![trigger], Budget::default());
        let fired = run(&mut engine, 0..100, |seen| seen.cpu_cores = Some(1.9));
        assert_eq!(fired.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [10, 70]);
        let rests = engine.explain(wall(99))[0].state;
        assert_eq!(rests, TriggerState::Rests { left: Duration::from_secs(31) });
    }

    #[test]
    fn a_spent_budget_withholds_and_survives_a_restart() {
        let hour = Duration::from_secs(3_600);
        let triggers = || vec![Trigger::cpu_above(1.0).cooldown(Duration::ZERO)];
        let mut engine = TriggerEngine::new(triggers(), Budget::new(2, hour));
        assert_eq!(run(&mut engine, 0..100, |seen| seen.cpu_cores = Some(1.9)).len(), 2);
        let explained = engine.explain(wall(99)).remove(0);
        assert_eq!((explained.state, explained.fired, explained.withheld), (TriggerState::OutOfBudget, 2, 1));
        let budget = Budget::new(2, hour).resume(&engine.budget().to_text());
        let mut again = TriggerEngine::new(triggers(), budget);
        assert!(run(&mut again, 0..100, |seen| seen.cpu_cores = Some(1.9)).is_empty());
    }

    #[test]
    fn what_is_not_known_never_holds_and_is_said() {
        let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
        assert!(run(&mut engine, 0..50, |_| {}).is_empty());
        let explained = engine.explain(wall(50)).remove(0);
        assert_eq!(explained.state, TriggerState::Blind);
        assert!(explained.to_string().contains("is not known"), "{explained}");
    }

    #[test]
    fn a_leak_towards_a_limit_fires_both_of_memory_s() {
        let minute = Duration::from_secs(60);
        let options = TrendOptions { min_window: minute, ..TrendOptions::default() };
        let triggers = vec![Trigger::leak_within(minute, options), Trigger::time_to_limit(60 * minute)];
        let mut engine = TriggerEngine::new(triggers, Budget::default());
        let leaks = |seen: &mut Observation| {
            seen.memory_bytes = Some((100 << 20) + (seen.at.as_secs() << 17));
            seen.limit_bytes = Some(300 << 20); // reached after 1 600 s
        };
        let fired = run(&mut engine, 0..1_200, leaks);
        let kinds: Vec<&str> = fired.iter().map(|(_, fired)| fired.kind).collect();
        assert!(kinds.contains(&"leak") && kinds.contains(&"limit"), "{fired:?}");
        assert!(fired.iter().all(|(_, fired)| fired.verdict.is_some()));
    }

    proptest! {
        /// Clocks step, both of them, and figures are whatever they are.
        #[test]
        fn arbitrary_observations_never_panic(
            steps in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<f64>(), any::<u64>(), 0_u64..1 << 40), 0..60)
        ) {
            let triggers = vec![
                Trigger::leak(),
                Trigger::time_to_limit(Duration::MAX),
                Trigger::cpu_above(1.0).lasting(Duration::from_secs(1)).cooldown(Duration::MAX),
                Trigger::latency_above(Duration::ZERO).lasting(Duration::MAX),
                Trigger::pressure_above(0.1).lasting(Duration::ZERO).cooldown(Duration::ZERO),
            ];
            let mut engine = TriggerEngine::new(triggers, Budget::default());
            for (at, late, figure, bytes, clock) in steps {
                let mut seen = Observation::new(Duration::from_nanos(at));
                seen.late = Duration::from_secs(late);
                (seen.memory_bytes, seen.limit_bytes) = (Some(bytes), Some(bytes / 2));
                (seen.cpu_cores, seen.cpu_waited, seen.pressure) = (Some(figure), Some(-figure), Some(figure));
                seen.latency_p99 = Some(Duration::from_nanos(late));
                engine.step(&seen, wall(clock));
                let _ = engine.explain(wall(0));
            }
        }
    }

    #[test]
    fn explanations_are_sentences() {
        let engine = TriggerEngine::new(vec![Trigger::leak()], Budget::default());
        let words = engine.explain(wall(0))[0].to_string();
        assert!(words.starts_with("leak in two windows of 1800 s or more: "), "{words}");
    }
}
