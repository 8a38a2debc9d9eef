use std::fmt;
use std::time::Duration;

use super::floor::{BLOCKS, floor_series};
use super::mann_kendall::mann_kendall;
use super::steps::{Step, median, remove_steps};
use super::theil_sen::{SlopeInterval, median_slope, slope_interval};
use super::{Point, Series};

/// What counts as a trend, and how much must be seen before anything is said.
#[derive(Debug, Clone)]
pub struct TrendOptions {
    /// Chance of calling a leak what is none, a verdict. Default: 0.01.
    pub alpha: f64,
    /// Shortest window that is judged. Default: 10 min.
    pub min_window: Duration,
    /// Growth over the window below this does not matter. Default: 1 MiB, and at least 1 % of what is in use.
    pub material_bytes: u64,
    /// What memory must not exceed; with it, the verdict has a time to the limit. Default: none.
    pub limit_bytes: Option<u64>,
}

impl Default for TrendOptions {
    fn default() -> Self {
        Self { alpha: 0.01, min_window: Duration::from_secs(600), material_bytes: 1 << 20, limit_bytes: None }
    }
}

/// What a series of memory readings looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Shape {
    /// It grows, and goes on growing.
    Leak,
    /// It grew, and grows less and less.
    WarmUp,
    /// It jumped, and stands still apart from that.
    Step,
    /// If it grows at all, it does so by less than what matters.
    Stable,
    /// The readings do not say.
    Unknown {
        /// How much longer to watch before asking again.
        needs: Duration,
    },
}

/// A verdict with its evidence; `Display` prints the sentence.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Verdict {
    /// What it looks like.
    pub shape: Shape,
    /// Chance of at least so much growth in a series without a trend; 1 when nothing could be tested.
    pub p: f64,
    /// Growth in bytes per second, steps taken out, with its 99 % interval.
    pub slope: Option<SlopeInterval>,
    /// Time until the limit at the slope's upper and lower end, when it leaks and there is a limit.
    pub time_to_limit: Option<(Duration, Duration)>,
    /// Independent points that would carry as much as those seen.
    pub effective_n: f64,
    /// The reasons in one sentence.
    pub why: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Fewest blocks with a reading in them that are judged.
const LEAST_BLOCKS: usize = 24;
/// Rank autocorrelation of the detrended floor from which a series may be one that merely wanders.
const WANDERING: f64 = 0.35;
/// A leak's second half grows at least this share as fast as the whole; a warm-up's does not.
const LASTING: f64 = 0.4;

pub(super) fn judge(series: &Series, options: &TrendOptions) -> Verdict {
    let span = series.span();
    if span < options.min_window {
        return unknown(options.min_window - span, format!("watched for {}", Spoken(span)));
    }
    let mut floor = floor_series(&series.points());
    if floor.len() < LEAST_BLOCKS {
        return unknown(
            span,
            format!("only {} of {BLOCKS} stretches of the window have a reading", floor.len()),
        );
    }
    let level = median(floor.iter().map(|point| point.bytes).collect());
    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    let material = (options.material_bytes as f64).max(0.01 * level);
    let steps = remove_steps(&mut floor, material);
    Evidence::of(&floor, span, material, steps, options).verdict(series, options)
}

fn unknown(needs: Duration, because: String) -> Verdict {
    let why = format!("unknown (needs {} more): {because}", Spoken(needs));
    Verdict {
        shape: Shape::Unknown { needs },
        p: 1.0,
        slope: None,
        time_to_limit: None,
        effective_n: 0.0,
        why,
    }
}

/// What the statistics found, before it is given a name.
struct Evidence {
    span: Duration,
    material: f64,
    steps: Vec<Step>,
    p: f64,
    effective_n: f64,
    slope: SlopeInterval,
    second_half: f64, // bytes per second
    drifts: bool,
    warms_up: bool,
}

impl Evidence {
    fn of(floor: &[Point], span: Duration, material: f64, steps: Vec<Step>, options: &TrendOptions) -> Self {
        let test = mann_kendall(floor);
        let flat = SlopeInterval { estimate: 0.0, low: 0.0, high: 0.0 };
        Self {
            span,
            material,
            steps,
            p: test.p_growth,
            effective_n: test.effective_n,
            slope: slope_interval(floor, test.variance).unwrap_or(flat),
            second_half: median_slope(&floor[floor.len() / 2..]).unwrap_or(0.0),
            drifts: test.dependence < WANDERING || drifts(floor, options.alpha),
            warms_up: warms_up(floor, material),
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
        if grows && self.drifts && self.second_half >= LASTING * self.slope.estimate {
            return Shape::Leak;
        }
        let bounded = self.growth(self.slope.high) < self.material.max(self.noise_allowance());
        match () {
            () if bounded && !self.steps.is_empty() => Shape::Step,
            () if bounded && !grows => Shape::Stable,
            () => Shape::Unknown { needs: self.span },
        }
    }

    /// Growth that is allowed to hide in the interval before "stable" is said: twice what matters.
    fn noise_allowance(&self) -> f64 {
        2.0 * self.material
    }

    fn verdict(self, series: &Series, options: &TrendOptions) -> Verdict {
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
        let over = Spoken(self.span);
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
            Shape::Leak => {
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

/// Whether the growth from the first eighth to the last is more than a series that only wanders would show: the long-run
/// variance of the differences (Newey & West, *Econometrica* 55, 1987) bounds how far a random walk gets.
/// Only asked of series whose points resemble their neighbours ([`WANDERING`]): it costs power where noise is independent.
fn drifts(floor: &[Point], alpha: f64) -> bool {
    let eighth = (floor.len() / 8).max(1);
    let end = |points: &[Point]| median(points.iter().map(|point| point.bytes).collect());
    let growth = end(&floor[floor.len() - eighth..]) - end(&floor[..eighth]);
    let differences: Vec<f64> = floor.windows(2).map(|pair| pair[1].bytes - pair[0].bytes).collect();
    let wander = (long_run_variance(&differences) * (floor.len() - eighth) as f64).sqrt();
    growth > super::normal::upper_quantile(alpha) * wander
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

/// A duration as people say it.
struct Spoken(Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0) {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds.div_ceil(60)),
            seconds @ 7_200..172_800 => write!(f, "{} h", seconds.div_ceil(3_600)),
            seconds => write!(f, "{} d", seconds.div_ceil(86_400)),
        }
    }
}

/// Bytes in the unit that reads best.
struct Bytes(f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            bytes if bytes < 1_024.0 => write!(f, "{:.0} B", self.0),
            bytes if bytes < 1_048_576.0 => write!(f, "{:.1} KiB", self.0 / 1_024.0),
            bytes if bytes < 1_073_741_824.0 => write!(f, "{:.1} MiB", self.0 / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", self.0 / 1_073_741_824.0),
        }
    }
}

/// Bytes per second, spoken per hour: leaks are slow.
struct Rate(f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/h", Bytes(self.0 * 3_600.0))
    }
}
