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
    Leak(Box<LeakAlarm>),
    Limit(Box<Nearing>),
}

impl Detector {
    /// What the condition needs, if it is one on memory.
    pub(super) fn of(watch: &Watch) -> Option<Self> {
        match watch {
            Watch::Leak { window, options } => {
                Some(Self::Leak(Box::new(LeakAlarm::new(*window, options.clone()))))
            }
            Watch::TimeToLimit { less_than, options } => {
                Some(Self::Limit(Box::new(Nearing::new(*less_than, options.clone()))))
            }
            _ => None,
        }
    }

    pub(super) fn level(&mut self, seen: &Observation) -> Option<Level> {
        let bytes = seen.memory_bytes?;
        match self {
            Self::Leak(alarm) => Some(leak(alarm, seen, bytes)),
            Self::Limit(nearing) => nearing.level(seen, bytes),
        }
    }
}

fn leak(alarm: &mut LeakAlarm, seen: &Observation, bytes: u64) -> Level {
    alarm.set_limit(seen.limit_bytes);
    let raised = alarm.push(seen.at, bytes);
    let words = alarm.last().map_or("no whole window yet".to_owned(), ToString::to_string);
    let verdict = raised.map(|alarm| alarm.verdict);
    Level { verdict: verdict.clone(), ..Level::of(verdict.is_some(), words) }
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
