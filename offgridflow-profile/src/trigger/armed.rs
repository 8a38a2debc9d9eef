use std::time::{Duration, SystemTime};

use super::condition::Watch;
use super::detector::Detector;
use super::hold::Hold;
use super::level::Level;
use super::{Budget, Explanation, Fired, Observation, Trigger, TriggerState};

/// A trigger, and what it has seen.
#[derive(Debug)]
pub(super) struct Armed {
    trigger: Trigger,
    detector: Option<Detector>, // of a trigger on memory
    hold: Hold,
    rests_until: Option<Duration>,
    withheld_now: bool,
    seen: Option<String>,
    looked: bool,
    fired: u64,
    withheld: u64,
}

impl Armed {
    pub(super) fn new(trigger: Trigger) -> Self {
        Self {
            detector: Detector::of(&trigger.watch),
            trigger,
            hold: Hold::default(),
            rests_until: None,
            withheld_now: false,
            seen: None,
            looked: false,
            fired: 0,
            withheld: 0,
        }
    }

    pub(super) fn step(
        &mut self,
        seen: &Observation,
        wall: SystemTime,
        budget: &mut Budget,
    ) -> Option<Fired> {
        let level = self.level(seen);
        self.looked = true;
        self.seen = level.as_ref().map(|level| level.seen.clone());
        let level = self.held(seen, level)?;
        let held = self.hold.goes_on(seen);
        if self.rest(seen.at).is_some() || held < self.trigger.lasting {
            return None;
        }
        if !budget.take(wall) {
            self.withheld += u64::from(!std::mem::replace(&mut self.withheld_now, true));
            return None;
        }
        Some(self.fire(seen.at, held, level))
    }

    /// What is seen; `None` where that is not known.
    fn level(&mut self, seen: &Observation) -> Option<Level> {
        match self.trigger.watch {
            Watch::Leak { .. } | Watch::TimeToLimit { .. } => self.detector.as_mut()?.level(seen),
            Watch::Cpu { cores } => Level::cpu(seen, cores),
            Watch::Latency { p99 } => Level::latency(seen, p99),
            Watch::Pressure { share } => Level::pressure(seen, share),
            Watch::Tasks { live } => Level::tasks(seen, live),
            Watch::Wait { mean } => Level::wait(seen, mean),
        }
    }

    /// The level, if it holds. If not it starts over, unless that may be for want of evidence: then it goes on as it was, for as long as it is asked
    /// to hold at most.
    fn held(&mut self, seen: &Observation, level: Option<Level>) -> Option<Level> {
        let unsure = level.as_ref().is_none_or(|level| level.excused || !seen.late.is_zero());
        let level = level.filter(|level| level.holds);
        let goes_on = level.is_some() || unsure && self.hold.bridges(seen.at, self.trigger.lasting);
        if !goes_on {
            self.start_over();
        }
        level
    }

    fn start_over(&mut self) {
        self.hold.end();
        self.withheld_now = false;
    }

    fn fire(&mut self, at: Duration, held: Duration, level: Level) -> Fired {
        self.fired += 1;
        self.start_over();
        self.rests_until = Some(at.saturating_add(self.trigger.cooldown));
        let why = format!("{}: {}", self.trigger, level.seen);
        Fired { kind: self.trigger.kind(), why, held, place: level.place, verdict: level.verdict }
    }

    /// For how much longer it rests, if it does.
    fn rest(&self, now: Duration) -> Option<Duration> {
        self.rests_until.map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero())
    }

    pub(super) fn explain(&self, now: Duration, spent: bool) -> Explanation {
        Explanation {
            trigger: self.trigger.to_string(),
            seen: self.seen.clone().unwrap_or_else(|| {
                if self.looked { "what it watches is not known" } else { "nothing seen yet" }.to_owned()
            }),
            state: self.state(now, spent),
            fired: self.fired,
            withheld: self.withheld,
        }
    }

    fn state(&self, now: Duration, spent: bool) -> TriggerState {
        match (&self.seen, self.rest(now), self.hold.by(now)) {
            (None, _, _) if self.looked => TriggerState::Blind,
            (_, Some(left), _) => TriggerState::Rests { left },
            (_, _, Some(held)) if spent && held >= self.trigger.lasting => TriggerState::OutOfBudget,
            (_, _, Some(since)) => TriggerState::Holds { since },
            _ => TriggerState::Quiet,
        }
    }
}
