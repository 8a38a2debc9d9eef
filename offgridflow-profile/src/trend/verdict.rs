use std::fmt;
use std::time::Duration;

use super::Series;
use super::evidence::Evidence;
use super::floor::{BLOCKS, Floor};
use super::spoken::Spoken;
use super::steps::median;
use super::theil_sen::SlopeInterval;

/// What counts as a trend, and how much must be seen before anything is said.
#[derive(Debug, Clone)]
pub struct TrendOptions {
    /// Chance of calling a leak what is none, a verdict: between 0 and 1. At 0 nothing is a leak; at 1 and above, all that grows. Default: 0.01.
    pub alpha: f64,
    /// Shortest window that is judged. Default: 10 min.
    pub min_window: Duration,
    /// How long memory is watched before its growth is called a leak: what rises for less may be part of a cycle, which a collector, a compaction or a cache
    /// that fills has. A series counts what it covers, a detector and an alarm all that they have seen. Twice the longest cycle that a program is known to have, such
    /// as a day of its users', leaves no rise of it unknown. Where the limit would be reached sooner, growth is called a leak at once. Default: 30 min.
    pub leak_window: Duration,
    /// Growth over the window below this does not matter. Default: 1 MiB, and at least 1 % of what is in use.
    pub material_bytes: u64,
    /// What memory must not exceed; with it, the verdict has a time to the limit. Default: none.
    pub limit_bytes: Option<u64>,
}

impl Default for TrendOptions {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            min_window: Duration::from_secs(600),
            leak_window: Self::LEAK_WINDOW,
            material_bytes: 1 << 20,
            limit_bytes: None,
        }
    }
}

impl TrendOptions {
    pub(super) const LEAK_WINDOW: Duration = Duration::from_secs(1_800);

    /// # Errors
    /// [`ProfileError::Setting`](crate::ProfileError::Setting) when `alpha` is no chance of an error.
    #[cfg(feature = "memory")]
    pub(crate) fn check(&self) -> Result<(), crate::ProfileError> {
        if self.alpha > 0.0 && self.alpha < 1.0 {
            return Ok(());
        }
        let hint = "a chance of an error lies between 0 and 1, as 0.01 does";
        Err(crate::ProfileError::setting("alpha", self.alpha, hint))
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
    /// It grows by what the allocator keeps, not by what the program does: see [`Verdict::explained`].
    Retention,
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

impl Shape {
    /// The shape in one word: `leak`, `warm-up`, `retention`, `step`, `stable` or `unknown`.
    ///
    /// ```
    /// assert_eq!(offgridflow_profile::Shape::WarmUp.name(), "warm-up");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::WarmUp => "warm-up",
            Self::Retention => "retention",
            Self::Step => "step",
            Self::Stable => "stable",
            Self::Unknown { .. } => "unknown",
        }
    }
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

/// Fewest points of the floor that are judged.
const LEAST_POINTS: usize = 24;

/// Of readings that are all of, or the newest of, the time that memory was watched for.
pub(super) fn judge(series: &Series, options: &TrendOptions, watched: Duration) -> Verdict {
    let span = series.span();
    if span < options.min_window {
        return unknown(options.min_window - span, format!("watched for {}", Spoken(span)));
    }
    let floor = Floor::of(&series.points());
    if floor.points.len() < LEAST_POINTS {
        return unknown(
            span,
            format!("only {} of {BLOCKS} stretches of the window have a reading", floor.points.len()),
        );
    }
    let level = median(floor.points.iter().map(|point| point.bytes).collect());
    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    let material = (options.material_bytes as f64).max(0.01 * level);
    Evidence::of(floor, span, material).verdict(series, options, watched)
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
