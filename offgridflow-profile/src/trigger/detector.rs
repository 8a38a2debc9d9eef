use std::time::Duration;

use super::Observation;
use super::condition::Watch;
use super::level::Level;
use crate::trend::{LeakAlarm, Shape, TrendDetector, WindowDetector};
use crate::{Series, TrendOptions, Verdict};

/// How often a time to the limit is worked out: it costs a millisecond.
const JUDGE_EVERY: Duration = Duration::from_secs(10);

/// Judges memory over many observations, for the conditions that rest on its trend.
#[derive(Debug)]
pub(super) enum Detector {
    Leak(Box<Leaking>),
    Limit(Box<Nearing>),
}

/// Answers of the allocator that are kept: the newest three hours of one each ten seconds.
const ALLOCATOR_READINGS: usize = 1_080;

impl Detector {
    /// What the condition needs, if it is one on memory.
    pub(super) fn of(watch: &Watch) -> Option<Self> {
        match watch {
            Watch::Leak { window, options } => Some(Self::Leak(Box::new(Leaking::new(*window, options)))),
            Watch::TimeToLimit { less_than, options } => {
                Some(Self::Limit(Box::new(Nearing::new(*less_than, options.clone()))))
            }
            _ => None,
        }
    }

    pub(super) fn level(&mut self, seen: &Observation) -> Option<Level> {
        let bytes = seen.memory_bytes?;
        match self {
            Self::Leak(leaking) => Some(leaking.level(seen, bytes)),
            Self::Limit(nearing) => nearing.level(seen, bytes),
        }
    }
}

/// Windows that agree, and whether it is the program that grows.
#[derive(Debug)]
pub(super) struct Leaking {
    alarm: LeakAlarm,
    own_limit: Option<u64>, // the trigger's, which goes before the system's
    allocated: WindowDetector,
    held: WindowDetector,
    /// What the alarm's window said in the end, where it was no leak of the program's.
    retained: Option<String>,
}

impl Leaking {
    fn new(window: Duration, options: &TrendOptions) -> Self {
        let detector = || WindowDetector::new(Series::with_capacity(ALLOCATOR_READINGS), options.clone());
        Self {
            alarm: LeakAlarm::new(window, options.clone()),
            own_limit: options.limit_bytes,
            allocated: detector(),
            held: detector(),
            retained: None,
        }
    }

    fn level(&mut self, seen: &Observation, bytes: u64) -> Level {
        self.listen(seen);
        self.alarm.set_limit(self.own_limit.or(seen.limit_bytes));
        let windows = self.alarm.last().cloned();
        let raised = self.alarm.push(seen.at, bytes).map(|alarm| self.explained(alarm.verdict));
        if self.alarm.last() != windows.as_ref() {
            self.retained = None;
        }
        if let Some(verdict) = raised.as_ref().filter(|verdict| verdict.shape == Shape::Retention) {
            self.retained = Some(verdict.why.clone());
        }
        let words = self.retained.clone().or_else(|| self.alarm.last().map(ToString::to_string));
        let verdict = raised.filter(|verdict| verdict.shape == Shape::Leak);
        let words = words.unwrap_or_else(|| "no whole window yet".to_owned());
        Level { verdict: verdict.clone(), ..Level::of(verdict.is_some(), words) }
    }

    /// What the allocator says, as often as it is asked.
    fn listen(&mut self, seen: &Observation) {
        let Some(allocated) = seen.allocated_bytes else { return };
        let newest = self.allocated.series().last().map(|sample| sample.at);
        if newest.is_none_or(|newest| seen.at >= newest.saturating_add(JUDGE_EVERY)) {
            self.allocated.push(seen.at, allocated);
            self.held.push(seen.at, seen.held_bytes.unwrap_or(allocated));
        }
    }

    fn explained(&self, verdict: Verdict) -> Verdict {
        verdict.explained(&self.allocated.verdict(), &self.held.verdict())
    }
}

/// Memory on its way to its limit.
#[derive(Debug)]
pub(super) struct Nearing {
    less_than: Duration,
    detector: WindowDetector,
    judged: Option<Duration>, // when `last` was worked out
    last: Option<Verdict>,
}

impl Nearing {
    fn new(less_than: Duration, options: TrendOptions) -> Self {
        let detector = WindowDetector::new(Series::default(), options);
        Self { less_than, detector, judged: None, last: None }
    }

    fn level(&mut self, seen: &Observation, bytes: u64) -> Option<Level> {
        self.detector.set_limit(Some(seen.limit_bytes?));
        self.detector.push(seen.at, bytes);
        if self.judged.is_none_or(|judged| seen.at >= judged.saturating_add(JUDGE_EVERY)) {
            (self.judged, self.last) = (Some(seen.at), Some(self.detector.verdict()));
        }
        let verdict = self.last.clone()?;
        let nearest = verdict.time_to_limit.map(|(nearest, _)| nearest);
        let holds = verdict.shape == Shape::Leak && nearest.is_some_and(|left| left < self.less_than);
        Some(Level { verdict: Some(verdict.clone()), ..Level::of(holds, verdict.why) })
    }
}
