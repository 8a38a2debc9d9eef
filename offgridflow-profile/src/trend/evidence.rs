use std::time::Duration;

use super::floor::{Beneath, Floor};
use super::mann_kendall::mann_kendall;
use super::spoken::{Bytes, Rate, Spoken};
use super::steps::{Step, median, remove_steps, segments};
use super::theil_sen::{SlopeInterval, median_slope, slope_interval};
use super::{Point, Series, Shape, TrendOptions, Verdict};
use crate::normal::upper_tail;

/// Rank autocorrelation of the detrended floor from which a series may be one that merely wanders.
const WANDERING: f64 = 0.5;
/// A leak's second half grows at least this share as fast as the whole; a warm-up's does not.
const LASTING: f64 = 0.4;
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
}

impl Evidence {
    pub(super) fn of(floor: Floor, span: Duration, material: f64) -> Self {
        let Floor { mut points, beneath, inflation } = floor;
        let steps = remove_steps(&mut points, material);
        let segments = segments(&points, &steps);
        let test = mann_kendall(&segments, inflation);
        let wanders = test.dependence >= WANDERING;
        let choices = (1 + steps.len()) as f64; // where to cut was chosen by the same noise
        let flat = SlopeInterval { estimate: 0.0, low: 0.0, high: 0.0 };
        let slope = slope_interval(&segments, test.variance, CONFIDENCE).unwrap_or(flat);
        Self {
            span,
            material,
            p: (if wanders { test.p_growth.max(p_of_drift(&points)) } else { test.p_growth } * choices)
                .min(1.0),
            effective_n: test.effective_n,
            slope,
            second_half: median_slope(&points[points.len() / 2..]).unwrap_or(0.0),
            lasts: lasts(&points, slope.estimate, inflation),
            warms_up: warms_up(&points, material),
            steps,
            beneath,
        }
    }

    fn growth(&self, slope: f64) -> f64 {
        slope * self.span.as_secs_f64()
    }

    fn shape(&self, alpha: f64) -> Shape {
        if self.warms_up {
            return Shape::WarmUp;
        }
        let grows =
            self.p < alpha && self.slope.low > 0.0 && self.growth(self.slope.estimate) >= self.material;
        if grows && self.lasts {
            return Shape::Leak;
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

    /// Growth that may hide in the interval before "stable" is said: twice what matters. Beside steps, also a tenth of them.
    fn allowance(&self) -> f64 {
        2.0 * self.material
    }

    fn jumped(&self) -> f64 {
        self.steps.iter().map(|step| step.bytes.abs()).sum()
    }

    pub(super) fn verdict(self, series: &Series, options: &TrendOptions) -> Verdict {
        let shape = self.shape(options.alpha);
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
                format!(
                    "unknown (needs {} more): between {} and {} over {over}, {sure}",
                    Spoken(needs),
                    Rate(low),
                    Rate(high)
                )
            }
        }
    }
}

/// Chance that a series which only wanders gets from its first eighth to its last as far as this one: the long-run variance of
/// the differences (Newey & West, *Econometrica* 55, 1987) bounds how far a random walk gets.
/// Only asked of series whose points resemble their neighbours ([`WANDERING`]): it costs power where noise is independent.
fn p_of_drift(floor: &[Point]) -> f64 {
    let eighth = (floor.len() / 8).max(1);
    let end = |points: &[Point]| median(points.iter().map(|point| point.bytes).collect());
    let growth = end(&floor[floor.len() - eighth..]) - end(&floor[..eighth]);
    let differences: Vec<f64> = floor.windows(2).map(|pair| pair[1].bytes - pair[0].bytes).collect();
    let wander = (long_run_variance(&differences) * (floor.len() - eighth) as f64).sqrt();
    if growth > 0.0 { upper_tail(growth / wander) } else { 1.0 }
}

/// Whether the second half may well grow at [`LASTING`] of the whole's pace: the upper end of its 90 % interval does.
fn lasts(floor: &[Point], whole: f64, inflation: f64) -> bool {
    let half = [&floor[floor.len() / 2..]];
    let test = mann_kendall(&half, inflation);
    let slope = slope_interval(&half, test.variance, 0.8);
    slope.is_some_and(|slope| slope.high >= LASTING * whole && slope.estimate > 0.0)
}

/// Whether the first half grew by what matters, and by far more than the second half did or its wandering explains.
fn warms_up(floor: &[Point], material: f64) -> bool {
    let (n, eighth) = (floor.len(), (floor.len() / 8).max(1));
    let level = |from: usize| median(floor[from..from + eighth].iter().map(|point| point.bytes).collect());
    let (start, middle, end) = (level(0), level((n - eighth) / 2), level(n - eighth));
    let (first, second) = (middle - start, end - middle);
    let differences: Vec<f64> = floor[n / 2..].windows(2).map(|pair| pair[1].bytes - pair[0].bytes).collect();
    let wander = (long_run_variance(&differences) * n as f64 / 2.0).sqrt();
    first >= material && second < LASTING * first && first > 4.0 * wander
}

fn long_run_variance(differences: &[f64]) -> f64 {
    let n = differences.len();
    let mean = differences.iter().sum::<f64>() / n as f64;
    let covariance = |lag: usize| {
        let pairs = differences.iter().zip(&differences[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n as f64
    };
    let reach = n / 4;
    let weighted = (1..=reach).map(|lag| 2.0 * (1.0 - lag as f64 / (reach + 1) as f64) * covariance(lag));
    (covariance(0) + weighted.sum::<f64>()).max(0.0)
}
