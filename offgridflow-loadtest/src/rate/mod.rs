//! How many operations a second, as a function of time.

mod sine;
mod stage;

use std::{sync::Arc, time::Duration};

use crate::error::ConfigError;
use stage::{Shape, Stage, between};

/// Twice the area under a rate of one operation a second for one second, in the units of [`Rate::area`]:
/// micro-operations a second × nanoseconds, doubled so that the area of a ramp is an integer too.
pub(crate) const OPERATION: u128 = 2 * MICROS * 1_000_000_000;
const MICROS: u128 = 1_000_000;

const MAX_PER_SEC: f64 = 1e8;
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(100 * 86_400);
const MIN_PERIOD: Duration = Duration::from_millis(1);
const MAX_STEPS: u32 = 10_000;

const BAD_RATE: &str = "a rate must be a number from 0 to 100 000 000 operations a second";
const NO_SPAN: &str = "every stretch needs a duration above zero";

/// A rate over time: constant stretches, linear ramps, staircases and waves, one after the other.
///
/// Rates are held in millionths of an operation a second and times in nanoseconds, so that the area under
/// the curve (how many operations are due by an instant) is exact integer arithmetic on every system. A sine
/// is the polyline of 1 024 chords a period whose corners lie on it, at most 5 millionths of the amplitude off;
/// whole periods hold `mean × period` exactly.
///
/// What no generator can run (not a number, negative, infinite, of no length) is remembered for
/// [`validate`](Self::validate), which every run calls; until then it adds no operations.
///
/// ```
/// use {offgridflow_loadtest::Rate, std::time::Duration};
/// let rate = Rate::ramp(0.0, 1_000.0, Duration::from_secs(10)).hold(Duration::from_secs(60));
/// assert_eq!(rate.operations(), 65_000);
/// assert_eq!(rate.at(Duration::from_secs(5)), 500.0);
///
/// // A day in two minutes: 300/s on average, 500/s at its height.
/// let minute = Duration::from_secs(60);
/// let day = Rate::sine(300.0, 200.0, 2 * minute, 2 * minute);
/// assert_eq!((day.operations(), day.peak()), (36_000, 500.0));
/// // 100/s, 200/s, 300/s, 400/s for a minute each: where does it break?
/// assert_eq!(Rate::steps(100.0, 400.0, 4, minute).operations(), 60_000);
/// assert!(Rate::constant(f64::NAN, minute).validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rate {
    stages: Vec<Stage>,
    fault: Option<&'static str>, // the first one, for `validate`
}

impl Rate {
    /// `per_sec` operations a second for `span`.
    #[must_use]
    pub fn constant(per_sec: f64, span: Duration) -> Self {
        Self::ramp(per_sec, per_sec, span)
    }

    /// A linear change from one rate to another, in operations a second, over `span`.
    #[must_use]
    pub fn ramp(from_per_sec: f64, to_per_sec: f64, span: Duration) -> Self {
        let mut rate = Self::default();
        let (from, to) = (rate.micros(from_per_sec), rate.micros(to_per_sec));
        rate.line(from, to, span)
    }

    /// A staircase; see [`then_steps`](Self::then_steps).
    #[must_use]
    pub fn steps(from_per_sec: f64, to_per_sec: f64, steps: u32, each: Duration) -> Self {
        Self::default().then_steps(from_per_sec, to_per_sec, steps, each)
    }

    /// A wave; see [`then_sine`](Self::then_sine).
    #[must_use]
    pub fn sine(mean_per_sec: f64, amplitude_per_sec: f64, period: Duration, span: Duration) -> Self {
        Self::default().then_sine(mean_per_sec, amplitude_per_sec, period, span)
    }

    /// Stays at the last rate for `span`.
    #[must_use]
    pub fn hold(self, span: Duration) -> Self {
        let last = self.last();
        self.line(last, last, span)
    }

    /// Changes linearly from the last rate to `per_sec` over `span`.
    #[must_use]
    pub fn then_ramp_to(mut self, per_sec: f64, span: Duration) -> Self {
        let (last, to) = (self.last(), self.micros(per_sec));
        self.line(last, to, span)
    }

    /// Jumps to `per_sec` and stays there for `span`.
    #[must_use]
    pub fn then(mut self, per_sec: f64, span: Duration) -> Self {
        let rate = self.micros(per_sec);
        self.line(rate, rate, span)
    }

    /// Climbs (or descends) in `steps` equal steps, of which the first is at `from_per_sec` and the last at
    /// `to_per_sec`, each held for `each`. From 2 to 10 000 steps.
    #[must_use]
    pub fn then_steps(mut self, from_per_sec: f64, to_per_sec: f64, steps: u32, each: Duration) -> Self {
        if !(2..=MAX_STEPS).contains(&steps) {
            return self.refuse("a staircase has from 2 to 10 000 steps");
        }
        let (from, to) = (self.micros(from_per_sec), self.micros(to_per_sec));
        (0..steps).fold(self, |rate, step| {
            let level = between(from, to, step.into(), u64::from(steps) - 1);
            rate.line(level, level, each)
        })
    }

    /// Swings around `mean_per_sec` for `span`: `mean + amplitude·sin(2πt/period)`, beginning at the mean and
    /// rising. The amplitude is at most the mean, the period at least a millisecond; `span` may end anywhere
    /// in a period.
    #[must_use]
    pub fn then_sine(
        mut self,
        mean_per_sec: f64,
        amplitude_per_sec: f64,
        period: Duration,
        span: Duration,
    ) -> Self {
        let (mean, amplitude) = (self.micros(mean_per_sec), self.micros(amplitude_per_sec));
        if amplitude > mean {
            return self.refuse("the amplitude of a sine is at most its mean: a rate cannot fall below zero");
        }
        if !(MIN_PERIOD..=MAX_SPAN).contains(&period) {
            return self.refuse("the period of a sine is from 1 ms to 100 days");
        }
        if mean_per_sec + amplitude_per_sec > MAX_PER_SEC {
            return self.refuse(BAD_RATE);
        }
        if amplitude == 0 {
            return self.line(mean, mean, span);
        }
        self.stretch(Shape::Cycle(Arc::new(sine::period(mean, amplitude, nanos(period)))), span)
    }

    /// Falls linearly from the last rate to nothing over `span`.
    #[must_use]
    pub fn ramp_down(self, span: Duration) -> Self {
        self.then_ramp_to(0.0, span)
    }

    /// How long the whole takes.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end_ns())
    }

    /// The rate at `at`, in operations a second; zero outside. Where two stages meet, the later one's.
    #[must_use]
    pub fn at(&self, at: Duration) -> f64 {
        u64::try_from(at.as_nanos()).map_or(0.0, |at_ns| per_sec(self.micros_at(at_ns)))
    }

    /// The highest rate reached, in operations a second.
    #[must_use]
    pub fn peak(&self) -> f64 {
        per_sec(self.stages.iter().map(Stage::peak).max().unwrap_or(0))
    }

    /// How many operations a steady arrival process starts: the integral, a begun operation counted whole.
    #[must_use]
    pub fn operations(&self) -> u64 {
        u64::try_from(self.area().div_ceil(OPERATION)).unwrap_or(u64::MAX)
    }

    /// Refuses what no generator can run.
    ///
    /// # Errors
    /// A rate that is not a number between 0 and 100 million, a stretch of no length or beyond 100 days, a
    /// sine or staircase outside its bounds, or a plan in which less than one operation is ever due.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |hint: &str| Err(ConfigError::new("rate", hint));
        if let Some(fault) = self.fault {
            return bad(fault);
        }
        if self.stages.is_empty() {
            return bad(NO_SPAN);
        }
        if self.duration() > MAX_SPAN {
            return bad("a run may last at most 100 days");
        }
        if self.area() == 0 {
            return bad("nothing is ever due: raise the rate above zero");
        }
        Ok(())
    }

    /// What is wrong with a stretch, if anything is.
    #[cfg(feature = "cli")]
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The whole area, in units of which [`OPERATION`] make an operation.
    pub(crate) fn area(&self) -> u128 {
        self.stages.last().map_or(0, |stage| stage.end_area)
    }

    /// The first nanosecond by which `area` lies under the curve; `None` at and beyond the whole area.
    ///
    /// Where a pause begins exactly at `area`, the answer is the end of the pause: what is due then has not
    /// begun before.
    pub(crate) fn when(&self, area: u128) -> Option<u64> {
        let next = self.stages.partition_point(|stage| stage.start_area <= area);
        let stage = self.stages.get(next.checked_sub(1)?)?;
        if area >= stage.end_area {
            return None;
        }
        Some(stage.start_ns.saturating_add(stage.when(area - stage.start_area)))
    }

    /// The area over the first `ns`, rounded down.
    pub(crate) fn area_by(&self, ns: u64) -> u128 {
        self.stage_at(ns)
            .map_or_else(|| self.area(), |stage| stage.start_area + stage.area(ns - stage.start_ns))
    }

    fn micros_at(&self, ns: u64) -> u64 {
        self.stage_at(ns).map_or(0, |stage| stage.rate_at(ns - stage.start_ns))
    }

    /// The stage that holds `ns`; `None` from the end on.
    fn stage_at(&self, ns: u64) -> Option<&Stage> {
        let next = self.stages.partition_point(|stage| stage.start_ns <= ns);
        self.stages.get(next.checked_sub(1)?).filter(|stage| ns < stage.end_ns())
    }

    /// Millionths, rounded to the nearest; what is no rate is remembered and counts as zero.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    fn micros(&mut self, per_sec: f64) -> u64 {
        if (0.0..=MAX_PER_SEC).contains(&per_sec) {
            return libm::round(per_sec * 1e6) as u64;
        }
        self.fault.get_or_insert(BAD_RATE);
        0
    }

    fn refuse(mut self, fault: &'static str) -> Self {
        self.fault.get_or_insert(fault);
        self
    }

    fn line(self, from: u64, to: u64, span: Duration) -> Self {
        self.stretch(Shape::Line { from, to }, span)
    }

    fn stretch(mut self, shape: Shape, span: Duration) -> Self {
        if span.is_zero() {
            return self.refuse(NO_SPAN);
        }
        self.push(shape, nanos(span).min(nanos(MAX_SPAN) + 1));
        self
    }

    fn push(&mut self, shape: Shape, span_ns: u64) {
        let (start_ns, start_area) = (self.end_ns(), self.area());
        self.stages.push(Stage::new(shape, span_ns, start_ns, start_area));
    }

    fn last(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.rate_at(stage.span_ns))
    }

    fn end_ns(&self) -> u64 {
        self.stages.last().map_or(0, Stage::end_ns)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "rates are below 2^53 millionths")]
fn per_sec(micros: u64) -> f64 {
    micros as f64 / 1e6
}
