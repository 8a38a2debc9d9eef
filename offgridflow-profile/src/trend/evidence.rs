use std::time::Duration;

use super::fall;
use super::floor::{Beneath, Floor};
use super::mann_kendall::mann_kendall;
use super::spoken::{Bytes, Rate, Spoken};
use super::steadiness::Steadiness;
use super::steps::{Step, median, remove_steps, segments};
use super::theil_sen::{SlopeInterval, median_slope, slope_interval};
use super::wandering::{differences, long_run_variance, p_of_drift};
use super::{Point, Series, Shape, TrendOptions, Verdict};

/// Rank autocorrelation of the detrended floor from which a series may be one that merely wanders.
const WANDERING: f64 = 0.5;
/// Part of the chance of an error that is spent on growth which no line fits.
const STEADY: f64 = 0.25;
const FLAT: SlopeInterval = SlopeInterval { estimate: 0.0, low: 0.0, high: 0.0 };
/// A leak's second half grows at least this share as fast as the whole; a warm-up's does not.
const LASTING: f64 = 0.4;
/// Growth that falls back by this share of itself is a cycle's.
const GIVEN_BACK: f64 = 0.6;
/// Windows as long as this one that would show three cycles, where this one holds a part of one or of two.
const THREE_CYCLES: u32 = 3;
/// Confidence of the interval that is shown.
const CONFIDENCE: f64 = 0.99;

/// What the statistics found, before it is given a name.
pub(super) struct Evidence {
    span: Duration,
    material: f64,
    beneath: Beneath,
    steps: Vec<Step>,
    p: f64,
    effective_n: f64,
    slope: SlopeInterval,
    second_half: f64, // bytes per second
    lasts: bool,
    warms_up: bool,
    fell: f64,  // bytes, the deepest fall
    range: f64, // bytes, from the lowest level to the highest
}

impl Evidence {
    /// Of a floor over `span`. Growth is called a leak once it has been watched for `leak_window`.
    pub(super) fn of(floor: Floor, span: Duration, material: f64) -> Self {
        let Floor { mut points, beneath, inflation, fell } = floor;
        let range = fall::range(&points);
        let steps = remove_steps(&mut points, material);
        let down: f64 = steps.iter().map(|step| (-step.bytes).max(0.0)).sum();
        let segments = segments(&points, &steps);
        let test = mann_kendall(&segments, inflation);
        let choices = (1 + steps.len()) as f64; // where to cut was chosen by the same noise
        let wander = if test.dependence >= WANDERING { p_of_drift(&points) } else { 0.0 };
        let line = slope_interval(&segments, test.variance, CONFIDENCE).unwrap_or(FLAT);
        let steady = Steadiness::of(&points, CONFIDENCE);
        let (by_line, steadily) = (test.p_growth.max(wander) / (1.0 - STEADY), steady.p / STEADY);
        // A course that no line fits makes the line's interval useless.
        let slope = if steadily < by_line.min(1.0 - CONFIDENCE) { steady.slope } else { line };
        Self {
            span,
            material,
            p: (by_line.min(steadily) * choices).min(1.0),
            effective_n: test.effective_n,
            slope,
            second_half: median_slope(&points[points.len() / 2..]).unwrap_or(0.0),
            lasts: lasts(&points, slope.estimate, inflation),
            warms_up: warms_up(&points, material),
            fell: fell.max(down),
            range,
            steps,
            beneath,
        }
    }

    fn growth(&self, slope: f64) -> f64 {
        slope * self.span.as_secs_f64()
    }

    fn shape(&self, series: &Series, options: &TrendOptions, watched: Duration) -> Shape {
        if self.warms_up {
            return Shape::WarmUp;
        }
        let grows = self.p < options.alpha
            && self.slope.low > 0.0
            && self.growth(self.slope.estimate) >= self.material;
        if grows && self.gives_back() {
            return Shape::Unknown { needs: self.span.saturating_mul(THREE_CYCLES - 1) };
        }
        if grows && self.lasts {
            return self.leak_or_wait(series, options, watched);
        }
        let at_most = self.growth(self.slope.high);
        match () {
            () if !self.steps.is_empty() && at_most < self.allowance().max(0.1 * self.jumped()) => {
                Shape::Step
            }
            () if self.steps.is_empty() && at_most < self.allowance() && !grows => Shape::Stable,
            () => Shape::Unknown { needs: self.span },
        }
    }

    /// What a cycle's rise looks like too is not called a leak before it has been watched for long enough, unless the limit will not wait.
    fn leak_or_wait(&self, series: &Series, options: &TrendOptions, watched: Duration) -> Shape {
        let nearly = options.leak_window - options.leak_window / 20; // readings do not come to the second
        let needs = nearly.saturating_sub(watched);
        let waits = self.time_to_limit(series, options).is_none_or(|(soonest, _)| soonest > needs);
        if waits && !needs.is_zero() { Shape::Unknown { needs } } else { Shape::Leak }
    }

    /// Whether what grew came back: what is seen may be a part of a cycle.
    fn gives_back(&self) -> bool {
        self.fell >= GIVEN_BACK * self.growth(self.slope.estimate).min(self.range)
    }

    /// Growth that may hide in the interval before "stable" is said: twice what matters. Beside steps, also a tenth of them.
    fn allowance(&self) -> f64 {
        2.0 * self.material
    }

    fn jumped(&self) -> f64 {
        self.steps.iter().map(|step| step.bytes.abs()).sum()
    }

    /// `watched` is for how long memory was, of which the series may hold the newest part.
    pub(super) fn verdict(self, series: &Series, options: &TrendOptions, watched: Duration) -> Verdict {
        let shape = self.shape(series, options, watched);
        let time_to_limit = (shape == Shape::Leak).then(|| self.time_to_limit(series, options)).flatten();
        let why = self.sentence(shape, time_to_limit);
        Verdict {
            shape,
            p: self.p,
            slope: Some(self.slope),
            time_to_limit,
            effective_n: self.effective_n,
            why,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    fn time_to_limit(&self, series: &Series, options: &TrendOptions) -> Option<(Duration, Duration)> {
        let left = options.limit_bytes?.saturating_sub(series.last()?.bytes) as f64;
        let at = |slope: f64| Duration::try_from_secs_f64(left / slope).ok();
        at(self.slope.high).zip(at(self.slope.low))
    }

    fn sentence(&self, shape: Shape, time_to_limit: Option<(Duration, Duration)>) -> String {
        let over = format!("{}{}", Spoken(self.span), self.beneath);
        let SlopeInterval { estimate, low, high } = self.slope;
        let rate = format!("{} (99 %: {} to {})", Rate(estimate), Rate(low), Rate(high));
        let sure = format!("p = {:.2e} on {:.0} effective points", self.p, self.effective_n);
        let steps = match self.steps.as_slice() {
            [] => String::new(),
            [step] => format!(", one step of {}", Bytes(step.bytes)),
            several => {
                format!(", {} steps of {}", several.len(), Bytes(several.iter().map(|step| step.bytes).sum()))
            }
        };
        match shape {
            Shape::Leak | Shape::Retention => {
                let eta = time_to_limit
                    .map(|(soon, late)| format!(", limit in {} to {}", Spoken(soon), Spoken(late)));
                format!("leak: grows by {rate} over {over}, {sure}{steps}{}", eta.unwrap_or_default())
            }
            Shape::WarmUp => format!(
                "warm-up: grew by {rate} over {over}, the second half by {}{steps}",
                Rate(self.second_half)
            ),
            Shape::Step => format!("step: stands still over {over}{steps}"),
            Shape::Stable => {
                format!(
                    "stable: grows by at most {} over {over}, less than what matters",
                    Bytes(self.growth(high).max(0.0))
                )
            }
            Shape::Unknown { needs } => {
                let fell = if self.gives_back() && self.fell >= self.material {
                    format!(", fell back by {}: this may be part of a cycle", Bytes(self.fell))
                } else {
                    String::new()
                };
                let range = format!("between {} and {}", Rate(low), Rate(high));
                format!("unknown (needs {} more): {range} over {over}, {sure}{steps}{fell}", Spoken(needs))
            }
        }
    }
}

/// Whether the second half may well grow at [`LASTING`] of the whole's pace (the upper end of its 80 % interval does), and the last quarter is not known to have
/// stopped (that of its 98 % interval does too).
fn lasts(floor: &[Point], whole: f64, inflation: f64) -> bool {
    let end = |from: usize, confidence: f64| {
        let part = [&floor[from..]];
        let test = mann_kendall(&part, inflation);
        slope_interval(&part, test.variance, confidence)
    };
    let n = floor.len();
    let half = end(n / 2, 0.8).is_some_and(|slope| slope.high >= LASTING * whole && slope.estimate > 0.0);
    half && end(n - n / 4, 0.98).is_none_or(|slope| slope.high >= LASTING * whole)
}

/// Whether the first half grew by what matters, and by far more than the second half did or its wandering explains.
fn warms_up(floor: &[Point], material: f64) -> bool {
    let (n, eighth) = (floor.len(), (floor.len() / 8).max(1));
    let level = |from: usize| median(floor[from..from + eighth].iter().map(|point| point.bytes).collect());
    let (start, middle, end) = (level(0), level((n - eighth) / 2), level(n - eighth));
    let (first, second) = (middle - start, end - middle);
    let wander = (long_run_variance(&differences(&floor[n / 2..])) * n as f64 / 2.0).sqrt();
    first >= material && second < LASTING * first && first > 4.0 * wander
}
