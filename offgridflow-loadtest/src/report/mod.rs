//! The result of a run, for people and programs.

mod curve;
mod environment;
mod gates;
#[cfg(feature = "html")]
mod html;
mod judge;
mod junit;
#[cfg(feature = "serde")]
pub(crate) mod nanos;
mod notes;
pub(crate) mod prometheus;
mod row;
mod seen;
mod slow;
#[cfg(feature = "serde")]
pub(crate) use nanos::optional as opt_nanos;
pub(crate) mod text;
mod timeline;
pub(crate) mod width;

use std::{fmt, time::Duration};

pub use {
    curve::Percentile,
    environment::Environment,
    row::{Row, StepRow, Summary},
    slow::SlowOperation,
    timeline::{Stretch, Timeline},
};
pub(crate) use {
    gates::LastSeconds,
    judge::{Began, Measured},
    row::Intervals,
};

use crate::{
    abort::Aborted,
    clock::ClockSource,
    control::Annotation,
    executor::Model,
    generator::Generator,
    verdict::{Limit, Verdict},
    window::per_sec,
};

/// The schema that [`Report::to_json`](Report) writes: the number rises when a reader has to change.
pub const SCHEMA: &str = "offgridflow-loadtest.report/1";

/// Everything a run found out. Plain data; see [`Display`](fmt::Display) for the one-screen text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of this crate.
    pub version: String,
    /// What was under load.
    pub target: String,
    /// The load in words.
    pub load: String,
    /// Who decided when operations began.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model: Model,
    /// How the run ended.
    pub ending: Ending,
    /// Which of its rules ended it, if one did.
    #[cfg_attr(feature = "serde", serde(default))]
    pub aborted: Option<Aborted>,
    /// What it is worth and what it ran into: read this before any number.
    pub verdict: Verdict,
    /// How long the plan was.
    #[cfg_attr(feature = "serde", serde(rename = "planned_ns", with = "nanos"))]
    pub planned: Duration,
    /// From the start to the end of the plan or the last operation, whichever came later; to the interrupt, if there was one.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_ns", with = "nanos"))]
    pub elapsed: Duration,
    /// When the measured part begins: what was intended before is warm-up, run but in none of the numbers.
    #[cfg_attr(feature = "serde", serde(rename = "measured_from_ns", with = "nanos"))]
    pub measured_from: Duration,
    /// How much of the measured part was paused: nothing was offered then, and no rate counts it.
    #[cfg_attr(feature = "serde", serde(default, rename = "paused_ns", with = "nanos"))]
    pub paused: Duration,
    /// How many operations of the warm-up were begun, and how many of them failed.
    pub warm_up: [u64; 2],
    /// How many operations the plan wanted from then on; in a closed loop, how many began.
    pub offered: u64,
    /// How many were begun.
    pub dispatched: u64,
    /// How many were shed: not begun, because their deadline had passed.
    pub shed: u64,
    /// How many were due and never sent, because the generator was still behind when the run ended.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unsent: u64,
    /// How many were answered after their deadline.
    pub late: u64,
    /// How many waited for the cap on operations in flight ([`OnCap::Queue`](crate::OnCap)).
    pub held: u64,
    /// Open loop: those answered no later than the fastest response and 1 % of the plan (at least 100 ms)
    /// after its end, as a share of what was offered.
    pub achieved_share: Option<f64>,
    /// All operations.
    pub total: Row,
    /// The same by route, if any operation named one. At most [`MAX_ROUTES`](crate::MAX_ROUTES).
    pub routes: Vec<Row>,
    /// What operations consisted of, where they had several requests each: in none of the numbers above. At most [`MAX_STEPS`](crate::MAX_STEPS).
    #[cfg_attr(feature = "serde", serde(default))]
    pub steps: Vec<StepRow>,
    /// The generator's own lag: dispatched − intended.
    pub dispatch_lag: Summary,
    /// Waiting for a session, connection or permit: admitted − dispatched.
    pub admission_wait: Summary,
    /// First byte − admitted, where the workload marks it.
    pub first_byte: Summary,
    /// Every failure, by cause and route, the commonest first.
    pub errors: Vec<ErrorLine>,
    /// The ten slowest operations that were begun, the slowest first; of one process only, none of a merged run.
    #[cfg_attr(feature = "serde", serde(default))]
    pub slowest: Vec<SlowOperation>,
    /// The thresholds and how they came out; not judged unless the run came to its end and is valid.
    pub thresholds: Vec<ThresholdResult>,
    /// The cap on operations in flight.
    pub max_in_flight: u64,
    /// The deadline, counted from the intended start.
    #[cfg_attr(feature = "serde", serde(rename = "deadline_ns", with = "opt_nanos"))]
    pub deadline: Option<Duration>,
    /// When an operation was given up.
    #[cfg_attr(feature = "serde", serde(rename = "timeout_ns", with = "nanos"))]
    pub timeout: Duration,
    /// Which clock it went by.
    pub clock: ClockSource,
    /// How many threads sent.
    pub shards: u64,
    /// The seed of every random number.
    pub seed: u64,
    /// How the generator itself fared.
    pub generator: Generator,
    /// Closed loop: what was filled into the response times, of all routes.
    pub correction: Option<Correction>,
    /// Whether the response times still rose or fell in the measured part; `None` if that cannot be told.
    pub trend: Option<bool>,
    /// What else to know.
    pub notes: Vec<String>,
    /// Where and when it ran; `None` in virtual time.
    #[cfg_attr(feature = "serde", serde(default))]
    pub environment: Option<Environment>,
    /// The response times of all operations from the fastest to the slowest, at ten shares a decade.
    #[cfg_attr(feature = "serde", serde(default))]
    pub percentiles: Vec<Percentile>,
    /// What was done to it and said about it while it went on, in that order.
    #[cfg_attr(feature = "serde", serde(default))]
    pub annotations: Vec<Annotation>,
    /// How it went over time.
    #[cfg_attr(feature = "serde", serde(default))]
    pub timeline: Timeline,
}

/// What workers of a closed loop did not ask while they waited for a slow answer, as filled into the response times: percentiles, mean,
/// count and thresholds of [`Row::response`]. Service times, counts of operations, windows and the `HdrHistogram` log are as measured.
///
/// An answer that took two [`interval`](Self::interval)s and twice what nine of ten answers on its route took, but not longer than the
/// [`longest_silence`](Self::longest_silence), beside which others were answered, held its worker up. The worker would
/// have asked again an interval later, and another one, and so on, all waiting for the same end: for an answer of 2 s and an interval of
/// 50 ms, response times of 1.95 s, 1.90 s, … 50 ms (Gil Tene's correction for coordinated omission, as in `HdrHistogram`). An open loop asks
/// on, and measures this instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Correction {
    /// How long a worker usually takes from one operation to the next: the median service time and the think time.
    #[cfg_attr(feature = "serde", serde(rename = "interval_ns", with = "nanos"))]
    pub interval: Duration,
    /// How many response times were filled in. With none, the response times are as measured.
    pub filled: u64,
    /// The longest stretch in which nobody was answered. With several shards, at least that long: where the longest of each overlap.
    #[cfg_attr(feature = "serde", serde(rename = "longest_silence_ns", with = "nanos"))]
    pub longest_silence: Duration,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Ending {
    /// As planned.
    Completed,
    /// Somebody stopped it: the report is partial and nothing was judged.
    Interrupted,
    /// One of its own rules ([`AbortRule`](crate::AbortRule)) ended it: the report is partial and nothing was judged.
    Aborted,
    /// The target could not be reached at all, so it did not begin.
    NotStarted,
}

/// One line of the error ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ErrorLine {
    /// What kind: `timeout`, `connect`, `status 503`, `cap`, …
    pub cause: String,
    /// On which route, or in which step of one.
    pub route: String,
    /// How often.
    pub count: u64,
    /// What the first one said.
    pub message: String,
}

/// How one threshold came out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ThresholdResult {
    /// The threshold as written.
    pub threshold: String,
    /// Met, broken, or not judged.
    pub status: ThresholdStatus,
    /// What was measured, in words.
    pub measured: String,
    /// Of a percentile: whether another run as long would come out the same. `true` where an interval half as wide again as its
    /// 95 % interval lies on one side of the limit, or, where dependence forbids an interval, where every sixteenth of the run says the same: within half the limit, or, after the first quarter,
    /// beyond it. `None` for anything else, and where nothing was judged.
    #[cfg_attr(feature = "serde", serde(default))]
    pub certain: Option<bool>,
}

/// Whether a threshold was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ThresholdStatus {
    /// Met.
    Met,
    /// Broken, or without any data.
    Broken,
    /// The run was interrupted or is not valid, so nothing can be said.
    NotJudged,
}

impl Report {
    /// Whether the run came to its end, is valid, found the target up, and met every threshold. A gate.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.exit_code() == 0
    }

    /// The exit code a command should end with: 0 passed · 1 a threshold broken or the target down · 3 the
    /// run is not valid, or its plan was altered while it ran · 5 aborted by one of its rules · 130 interrupted.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let broken = |result: &ThresholdResult| result.status != ThresholdStatus::Met;
        match self.ending {
            Ending::Interrupted => 130,
            Ending::Aborted => 5,
            _ if !self.verdict.is_valid() => 3,
            _ if matches!(self.verdict.limit, Limit::TargetDown(_)) => 1,
            _ if self.verdict.altered.is_some() => 3,
            _ if self.thresholds.iter().any(broken) => 1,
            Ending::NotStarted => 1,
            _ => 0,
        }
    }

    /// Operations the plan wanted, a second.
    #[must_use]
    pub fn offered_per_sec(&self) -> f64 {
        per_sec(self.offered, self.measured_window())
    }

    /// How long was measured: from the end of the warm-up to the end of the plan, or to the interrupt, without pauses.
    #[must_use]
    pub fn measured_window(&self) -> Duration {
        self.planned.min(self.elapsed).saturating_sub(self.measured_from).saturating_sub(self.paused)
    }

    /// The row of a route.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Row> {
        self.routes.iter().find(|row| row.route == name)
    }

    /// The row of a step.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&StepRow> {
        self.steps.iter().find(|row| row.step == name)
    }

    /// The report as JSON of the schema [`SCHEMA`]: times in whole nanoseconds, a percentile as
    /// `{"value": ns}`, `{"at_least": ns}` or `{"needs": samples}`.
    ///
    /// # Errors
    /// Only if memory runs out; plain data always serializes.
    #[cfg(feature = "serde")]
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The JSON Schema (draft 2020-12) of what [`to_json`](Self::to_json) writes; also `schema/report-1.json` in this crate.
    #[cfg(feature = "serde")]
    pub const JSON_SCHEMA: &str = include_str!("../../schema/report-1.json");

    /// Reads a report back.
    ///
    /// # Errors
    /// Text that is not JSON of this schema.
    #[cfg(feature = "serde")]
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let report: Self = serde_json::from_str(json)?;
        if report.schema == SCHEMA {
            return Ok(report);
        }
        let message = format!("this is a report of schema `{}`, not `{SCHEMA}`", report.schema);
        Err(serde::de::Error::custom(message))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}
