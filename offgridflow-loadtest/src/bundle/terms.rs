//! What all shards of a run have to agree on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::ClockSource,
    error::ConfigError,
    executor::{Closed, Executor, OnCap, Overload},
    part::Part,
    plan::{Plan, Spin, Whole},
    report::nanos,
    schedule::ArrivalProcess,
    warm_up::WarmUp,
};

/// The plan of the whole run, as far as reports and thresholds depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) version: String,
    pub(super) target: String,
    load: Load,
    pub(super) thresholds: Vec<String>,
    max_in_flight: usize,
    on_cap: OnCap,
    #[serde(with = "nanos")]
    timeout: Duration,
    #[serde(with = "crate::report::opt_nanos")]
    deadline: Option<Duration>,
    overload: Option<Overload>,
    warm_up: String,
    #[serde(with = "nanos")]
    think_time: Duration,
    seed: u64,
    clock: ClockSource,
    feed: Option<String>,
    start_at: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    Open {
        operations: u64,
        #[serde(with = "nanos")]
        duration: Duration,
        peak_rate: f64,
        /// Of the instants at which operations are due.
        fingerprint: u64,
    },
    Closed {
        workers: usize,
        #[serde(with = "nanos")]
        duration: Duration,
        #[serde(with = "nanos")]
        ramp_up: Duration,
        #[serde(with = "nanos")]
        ramp_down: Duration,
        #[serde(with = "nanos")]
        think_time: Duration,
        #[serde(default)]
        iterations: Option<u64>,
        #[serde(default)]
        saturate: bool,
    },
}

impl Terms {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            target: plan.target.clone(),
            load: Load::of(&plan.whole.executor),
            thresholds: plan.thresholds.iter().map(ToString::to_string).collect(),
            max_in_flight: plan.whole.max_in_flight,
            on_cap: plan.on_cap,
            timeout: plan.timeout,
            deadline: plan.deadline.map(|(deadline, _)| deadline),
            overload: plan.deadline.map(|(_, overload)| overload),
            warm_up: plan.warm_up.to_string(),
            think_time: plan.think_time,
            seed: plan.seed,
            clock: plan.clock,
            feed: plan.feed.as_ref().map(crate::feed::Feed::describe),
            start_at: plan.start_at,
        }
    }

    /// Which of them differ, by name, with both values.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let fields = |terms: &Self| match serde_json::to_value(terms) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (ours, theirs) = (fields(self), fields(other));
        let differ = ours.iter().filter(|(name, value)| theirs.get(*name) != Some(value));
        differ.map(|(name, value)| format!("{name} {} in place of {value}", theirs[name])).collect()
    }

    /// The plan again, for the report.
    pub(super) fn plan(&self, threads: usize, notes: Vec<String>) -> Result<Plan, ConfigError> {
        let executor = self.load.executor();
        let thresholds = self.thresholds.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Plan {
            target: self.target.clone(),
            executor: executor.clone(),
            max_in_flight: self.max_in_flight,
            on_cap: self.on_cap,
            timeout: self.timeout,
            deadline: self.deadline.zip(self.overload),
            warm_up: self.warm_up.parse::<WarmUp>().map_err(|hint| ConfigError::new("warm_up", hint))?,
            think_time: self.think_time,
            shards: threads,
            seed: self.seed,
            thresholds,
            abort_rules: Vec::new(),
            control: None,
            part: Part::default(),
            whole: Whole { executor, max_in_flight: self.max_in_flight },
            start_at: self.start_at,
            warm_sessions: 0,
            feed: None,
            clock: self.clock,
            spin: Spin::Auto,
            open_files_per_op: 0,
            notes,
        })
    }
}

impl Load {
    fn of(executor: &Executor) -> Self {
        match executor {
            Executor::Open(arrivals) => Self::Open {
                operations: arrivals.operations(),
                duration: arrivals.duration(),
                peak_rate: arrivals.peak_rate(),
                fingerprint: fingerprint(&**arrivals),
            },
            Executor::Closed(closed) => Self::Closed {
                workers: closed.workers,
                duration: closed.duration,
                ramp_up: closed.ramp_up,
                ramp_down: closed.ramp_down,
                think_time: closed.think_time,
                iterations: closed.iterations,
                saturate: closed.saturate,
            },
        }
    }

    fn executor(&self) -> Executor {
        match *self {
            Self::Open { operations, duration, peak_rate, .. } => {
                Executor::Open(Arc::new(Past { operations, duration, peak_rate }))
            }
            Self::Closed { workers, duration, ramp_up, ramp_down, think_time, iterations, saturate } => {
                Executor::Closed(Closed {
                    workers,
                    duration,
                    ramp_up,
                    ramp_down,
                    think_time,
                    iterations,
                    saturate,
                    ..Closed::default()
                })
            }
        }
    }
}

/// How many instants of a schedule are compared.
const COMPARED: u64 = 1_024;

/// FNV-1a (Fowler, Noll and Vo) over instants from all of the schedule.
fn fingerprint(arrivals: &dyn ArrivalProcess) -> u64 {
    let all = arrivals.operations();
    let step = all.div_ceil(COMPARED).max(1);
    let instants = (0..all).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let instants = instants.filter_map(|k| u64::try_from(arrivals.intended(k)?.as_nanos()).ok());
    let bytes = instants.flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A schedule that was run: what a report says of it.
#[derive(Debug)]
struct Past {
    operations: u64,
    duration: Duration,
    peak_rate: f64,
}

impl ArrivalProcess for Past {
    fn intended(&self, _: u64) -> Option<Duration> {
        None
    }

    fn operations(&self) -> u64 {
        self.operations
    }

    fn duration(&self) -> Duration {
        self.duration
    }

    fn rate_at(&self, _: Duration) -> f64 {
        self.peak_rate
    }

    fn peak_rate(&self) -> f64 {
        self.peak_rate
    }
}
