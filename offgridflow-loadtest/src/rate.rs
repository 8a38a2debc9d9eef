//! How many operations a second, as a function of time.

use std::time::Duration;

use crate::error::ConfigError;

/// Twice the area under a rate of one operation a second for one second, in the units of [`Rate::area`]:
/// micro-operations a second × nanoseconds, doubled so that the area of a ramp is an integer too.
pub(crate) const OPERATION: u128 = 2 * MICROS * 1_000_000_000;
const MICROS: u128 = 1_000_000;

const MAX_PER_SEC: f64 = 1e8;
const MAX_SPAN: Duration = Duration::from_secs(100 * 86_400);

/// A rate over time: constant stretches and linear ramps, one after the other.
///
/// Rates are held in millionths of an operation a second and times in nanoseconds, so that the area under
/// the curve (how many operations are due by an instant) is exact integer arithmetic on every system.
///
/// ```
/// use {offgridflow_loadtest::Rate, std::time::Duration};
/// let rate = Rate::ramp(0.0, 1_000.0, Duration::from_secs(10)).hold(Duration::from_secs(60));
/// assert_eq!(rate.operations(), 65_000);
/// assert_eq!(rate.at(Duration::from_secs(5)), 500.0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rate {
    stages: Vec<Stage>,
}

/// One linear stretch; `area` and `start_ns` are what came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    from: u64, // millionths of an operation a second
    to: u64,
    span_ns: u64,
    start_ns: u64,
    start_area: u128,
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
        Self::default().push(micros(from_per_sec), micros(to_per_sec), span)
    }

    /// Stays at the last rate for `span`.
    #[must_use]
    pub fn hold(self, span: Duration) -> Self {
        let last = self.last();
        self.push(last, last, span)
    }

    /// Changes linearly from the last rate to `per_sec` over `span`.
    #[must_use]
    pub fn then_ramp_to(self, per_sec: f64, span: Duration) -> Self {
        let last = self.last();
        self.push(last, micros(per_sec), span)
    }

    /// Jumps to `per_sec` and stays there for `span`.
    #[must_use]
    pub fn then(self, per_sec: f64, span: Duration) -> Self {
        self.push(micros(per_sec), micros(per_sec), span)
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
        let Ok(at_ns) = u64::try_from(at.as_nanos()) else { return 0.0 };
        let stage = self.stages.iter().rev().find(|stage| stage.start_ns <= at_ns && at_ns < stage.end_ns());
        stage.map_or(0.0, |stage| stage.rate_at(at_ns - stage.start_ns) / 1e6)
    }

    /// The highest rate reached, in operations a second.
    #[must_use]
    pub fn peak(&self) -> f64 {
        let peak = self.stages.iter().map(|stage| stage.from.max(stage.to)).max();
        as_f64(peak.unwrap_or(0)) / 1e6
    }

    /// How many operations a steady arrival process starts: the integral, a begun operation counted whole.
    #[must_use]
    pub fn operations(&self) -> u64 {
        u64::try_from(self.area().div_ceil(OPERATION)).unwrap_or(u64::MAX)
    }

    /// Refuses what no generator can run.
    ///
    /// # Errors
    /// A rate that is not a number between 0 and 100 million, a stretch of no length or beyond 100 days, or
    /// a plan in which less than one operation is ever due.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |hint: &str| Err(ConfigError::new("rate", hint));
        if self.stages.is_empty() || self.stages.iter().any(|stage| stage.span_ns == 0) {
            return bad("every stretch needs a duration above zero");
        }
        if self.duration() > MAX_SPAN {
            return bad("a run may last at most 100 days");
        }
        if self.stages.iter().any(|stage| stage.from == u64::MAX || stage.to == u64::MAX) {
            return bad("a rate must be a number from 0 to 100 000 000 operations a second");
        }
        if self.area() == 0 {
            return bad("nothing is ever due: raise the rate above zero");
        }
        Ok(())
    }

    /// The whole area, in units of which [`OPERATION`] make an operation.
    pub(crate) fn area(&self) -> u128 {
        self.stages.last().map_or(0, |stage| stage.start_area + stage.area(stage.span_ns))
    }

    /// The first nanosecond by which `area` lies under the curve; `None` at and beyond the whole area.
    ///
    /// Where a pause begins exactly at `area`, the answer is the end of the pause: what is due then has not
    /// begun before.
    pub(crate) fn when(&self, area: u128) -> Option<u64> {
        let next = self.stages.partition_point(|stage| stage.start_area <= area);
        let stage = self.stages.get(next.checked_sub(1)?)?;
        if area >= stage.end_area() {
            return None;
        }
        Some(stage.start_ns + stage.when(area - stage.start_area))
    }

    fn push(mut self, from: u64, to: u64, span: Duration) -> Self {
        let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).min(nanos(MAX_SPAN) + 1);
        let stage = Stage {
            from,
            to,
            span_ns,
            start_ns: self.end_ns(),
            start_area: self.stages.last().map_or(0, Stage::end_area),
        };
        self.stages.push(stage);
        self
    }

    fn last(&self) -> u64 {
        self.stages.last().map_or(0, |stage| stage.to)
    }

    fn end_ns(&self) -> u64 {
        self.stages.last().map_or(0, Stage::end_ns)
    }
}

impl Stage {
    fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.span_ns)
    }

    fn end_area(&self) -> u128 {
        self.start_area.saturating_add(self.area(self.span_ns))
    }

    fn rate_at(&self, ns: u64) -> f64 {
        let (from, to) = (as_f64(self.from), as_f64(self.to));
        from + (to - from) * (as_f64(ns) / as_f64(self.span_ns.max(1)))
    }

    /// Twice the area over the first `ns` of this stage: `2·from·ns + (to − from)·ns²/span`, rounded down.
    fn area(&self, ns: u64) -> u128 {
        let (ns, span) = (u128::from(ns), u128::from(self.span_ns.max(1)));
        let flat = 2 * u128::from(self.from) * ns;
        let slope = u128::from(self.from.abs_diff(self.to));
        let (whole, rest) = (ns * ns / span, ns * ns % span);
        let change = |round_up: u128| slope * whole + (slope * rest + round_up) / span;
        if self.to >= self.from { flat + change(0) } else { flat - change(span - 1) }
    }

    /// The first nanosecond at which `area`, at most this stage's, is reached: a floating-point guess,
    /// corrected exactly.
    fn when(&self, area: u128) -> u64 {
        if self.from == self.to {
            let ns = area.div_ceil((2 * u128::from(self.from)).max(1));
            return u64::try_from(ns).map_or(self.span_ns, |ns| ns.min(self.span_ns));
        }
        let reached = |ns: u64| self.area(ns) >= area;
        let guess = self.guess(area);
        let mut step = 1;
        let (mut low, mut high) = (guess, guess); // area is reached at `high`, and not before `low`
        while low > 0 && reached(low) {
            high = low;
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while !reached(high) {
            low = high;
            high = (high + step).min(self.span_ns);
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        high
    }

    /// Solves the quadratic in the form that does not cancel; only a starting point, so rounding is harmless.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a guess within [0, span], corrected by exact arithmetic"
    )]
    fn guess(&self, area: u128) -> u64 {
        let (from, to, span, area) = (self.from as f64, self.to as f64, self.span_ns as f64, area as f64);
        let root = libm::sqrt((from * from + (to - from) / span * area).max(0.0));
        let guess = area / (from + root);
        if guess.is_finite() { (guess as u64).min(self.span_ns) } else { 0 }
    }
}

/// Millionths, rounded to the nearest; `u64::MAX` marks what [`Rate::validate`] refuses.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
fn micros(per_sec: f64) -> u64 {
    if (0.0..=MAX_PER_SEC).contains(&per_sec) { libm::round(per_sec * 1e6) as u64 } else { u64::MAX }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "for display and guesses")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
