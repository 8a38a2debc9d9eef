use std::time::{Duration, SystemTime};

use super::condition::Watch;
use super::{Budget, Explanation, Fired, Observation, Place, Trigger, TriggerState};
use crate::Series;
use crate::trend::{LeakAlarm, Shape, TrendDetector, Verdict, WindowDetector};

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
mod tests;
