//! A run described by a handful of numbers, under the names people know.

use std::time::Duration;

use crate::{
    error::{ConfigError, bounded, positive},
    executor::{Closed, Executor},
    rate::Rate,
};

/// The classic settings of a load test. With [`requests_per_second`](Self::requests_per_second) the loop is
/// open, and the workers are the cap on operations in flight; without it the loop is closed.
///
/// ```
/// use {offgridflow_loadtest::Settings, std::time::Duration};
/// let settings = Settings { requests_per_second: Some(1_000.0), concurrent_workers: 200, ..Settings::default() };
/// assert!(settings.validate().is_ok());
/// // Little's law: 1 000 a second, each holding a worker for half a second, needs 500 workers.
/// let refused = Settings { think_time: Duration::from_millis(500), ..settings }.validate().unwrap_err();
/// assert_eq!(refused.field, "concurrent_workers");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long the full load lasts, ramps not included. Default 30 s.
    pub duration: Duration,
    /// Closed loop: how many workers. Open loop: how many operations may be in flight. Default 256.
    pub concurrent_workers: usize,
    /// The rate of the whole run, in operations a second; `None`, the default, makes the loop closed.
    pub requests_per_second: Option<f64>,
    /// How long the load grows from nothing, before `duration`. Default zero.
    pub ramp_up: Duration,
    /// How long the load falls to nothing, after `duration`. Default zero.
    pub ramp_down: Duration,
    /// How long a worker rests after an answer; see [`Closed::think_time`]. Default zero.
    pub think_time: Duration,
    /// When an operation is given up, from its dispatch. Default 10 s.
    pub timeout: Duration,
    /// The share of operations that may fail, from 0 to 1, before the run is red. Default 0.01; `None` and
    /// 1 do not judge failures.
    pub failure_threshold: Option<f64>,
    /// How long an answer is expected to take: only used to refuse plans that cannot work out. Default zero.
    pub expected_latency: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(30),
            concurrent_workers: 256,
            requests_per_second: None,
            ramp_up: Duration::ZERO,
            ramp_down: Duration::ZERO,
            think_time: Duration::ZERO,
            timeout: Duration::from_secs(10),
            failure_threshold: Some(0.01),
            expected_latency: Duration::ZERO,
        }
    }
}

impl Settings {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// Zero durations, impossible rates, no workers, a threshold that is not a share, and plans that Little's
    /// law rules out: rate × (expected latency + think time) above the workers.
    pub fn validate(&self) -> Result<(), ConfigError> {
        positive("duration", self.duration)?;
        positive("timeout", self.timeout)?;
        bounded("ramp_up", self.ramp_up)?;
        bounded("ramp_down", self.ramp_down)?;
        bounded("think_time", self.think_time)?;
        bounded("expected_latency", self.expected_latency)?;
        if self.concurrent_workers == 0 {
            return Err(ConfigError::new("concurrent_workers", "at least one worker is needed"));
        }
        if let Some(rate) = self.requests_per_second {
            if rate.is_nan() || rate <= 0.0 {
                return Err(ConfigError::new(
                    "requests_per_second",
                    "must be a number above zero; leave it out for a closed loop",
                ));
            }
            self.rate(rate)
                .validate()
                .map_err(|error| ConfigError::new("requests_per_second", error.hint))?;
            littles_law(rate, self.expected_latency + self.think_time, self.concurrent_workers)?;
        }
        match self.failure_threshold {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(ConfigError::new("failure_threshold", "must be a share from 0 to 1, for example 0.01"))
            }
            _ => Ok(()),
        }
    }

    /// The share of failures that is judged, if one is.
    pub(crate) fn judged_share(&self) -> Option<f64> {
        self.failure_threshold.filter(|&share| share < 1.0)
    }

    /// The executor they describe.
    #[must_use]
    pub fn executor(&self) -> Executor {
        match self.requests_per_second {
            Some(rate) => Executor::open(self.rate(rate)),
            None => Executor::Closed(Closed {
                workers: self.concurrent_workers,
                duration: self.duration,
                ramp_up: self.ramp_up,
                ramp_down: self.ramp_down,
                think_time: self.think_time,
                ..Closed::default()
            }),
        }
    }

    /// The rate of an open loop; nothing for a closed one.
    #[cfg(feature = "cli")]
    pub(crate) fn open_rate(&self) -> Rate {
        self.requests_per_second.map_or_else(Rate::default, |per_sec| self.rate(per_sec))
    }

    fn rate(&self, per_sec: f64) -> Rate {
        let start =
            if self.ramp_up.is_zero() { Rate::default() } else { Rate::ramp(0.0, per_sec, self.ramp_up) };
        let held = start.then(per_sec, self.duration);
        if self.ramp_down.is_zero() { held } else { held.ramp_down(self.ramp_down) }
    }
}

/// Operations in the system = rate × time each stays (Little 1961).
pub(crate) fn littles_law(per_sec: f64, stay: Duration, workers: usize) -> Result<(), ConfigError> {
    let needed = libm::ceil(per_sec * stay.as_secs_f64() - 1e-9);
    #[expect(clippy::cast_precision_loss, reason = "worker counts are far below 2^53")]
    let have = workers as f64;
    if needed <= have {
        return Ok(());
    }
    let hint = format!(
        "{per_sec}/s × {stay:?} keeps {needed} operations busy at a time, more than the {workers} allowed: raise it to {needed} or lower the rate"
    );
    Err(ConfigError::new("concurrent_workers", hint))
}
