//! A schedule whose time can be steered.

use std::{sync::Arc, time::Duration};

use super::plan_time::{AS_PLANNED, SharedTime};
use crate::{error::ConfigError, schedule::ArrivalProcess};

/// The arrivals of a plan, at the speed that its time passes.
#[derive(Debug)]
pub(crate) struct Steered {
    planned: Arc<dyn ArrivalProcess>,
    time: SharedTime,
}

impl Steered {
    pub(crate) fn new(planned: Arc<dyn ArrivalProcess>, time: SharedTime) -> Self {
        Self { planned, time }
    }
}

impl ArrivalProcess for Steered {
    fn intended(&self, k: u64) -> Option<Duration> {
        self.planned.intended(k).map(|plan| self.time.run_at(plan))
    }

    fn operations(&self) -> u64 {
        self.planned.operations()
    }

    fn duration(&self) -> Duration {
        self.time.run_at(self.planned.duration())
    }

    fn rate_at(&self, at: Duration) -> f64 {
        let (plan, speed) = self.time.look(|time| (time.plan_at(at), time.speed_at(at)));
        self.planned.rate_at(plan) * factor(speed)
    }

    fn peak_rate(&self) -> f64 {
        self.planned.peak_rate() * factor(self.time.look(super::plan_time::PlanTime::top_speed))
    }

    fn remarks(&self) -> Vec<String> {
        self.planned.remarks()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.planned.validate()
    }
}

/// By how much a speed is more than planned.
#[expect(clippy::cast_precision_loss, reason = "speeds are far below 2^53 billionths")]
pub(super) fn factor(speed: u64) -> f64 {
    speed as f64 / AS_PLANNED as f64
}
