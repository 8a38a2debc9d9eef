//! A load tester that proves its own numbers.
//!
//! - **The schedule is a pure function.** [`Schedule`] computes when operation `k` is due, in integers, from the
//!   exact integral of a [`Rate`], and [`Replay`] from the times of a log; any split over shards is the same schedule.
//! - **Latency starts where a user's would**: at the intended start, not at the moment the tool found time to
//!   send. [`OpTimes`] keeps the parts apart: the generator's own lag, waiting for a connection, the target.
//! - **Nothing is dropped.** What was never answered counts in every percentile as slower than all answers
//!   ([`Distribution`]). Samples are synthesised in one place, and said to be: what workers of a closed loop did not ask while
//!   a slow answer held them up ([`Correction`]).
//! - **The run itself is judged first.** A [`Verdict`] says whether the numbers are the target's; thresholds of
//!   a run that is not valid, was interrupted, or is empty cannot pass.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use {offgridflow_loadtest::{LoadTest, Rate, workload_fn}, std::time::Duration};
//!
//! let report = LoadTest::new(workload_fn(|op| async move {
//!         let user = op.rng().below(1_000); // the same numbers in every run with this seed
//!         op.route(if user % 10 == 0 { "write" } else { "read" });
//!         tokio::time::sleep(Duration::from_millis(1)).await; // your client's call
//!         Ok::<(), std::io::Error>(())
//!     }))
//!     .rate(Rate::constant(1_000.0, Duration::from_millis(400)))
//!     .threshold("failure_ratio < 1%")
//!     .run()
//!     .await?;
//!
//! assert_eq!(report.offered, 400);
//! println!("{report}"); // one screen, the last line is the verdict
//! # Ok(()) }
//! ```
//!
//! # When this is the wrong tool
//! A browser is not simulated, and a single process is limited by its cores: the verdict says when that was
//! reached. To time a function, use a micro-benchmark.
//!
//! # Features
//! `http` (default): HTTP/1.1 targets. `http2`: HTTP/2 targets. `tls`: behind TLS too. `sql`: PostgreSQL and SQLite targets. `redis`: Redis targets. `cli` (default): scenarios and the command. `serde`: reports as JSON, NDJSON logs. `html`: reports as a page.
//! `autoscale`: a simulator of Kubernetes' autoscaler. `hlog`: response times as an HdrHistogram log. `metrics`: a reporter for the `metrics` facade. `otlp`: a reporter that pushes to an OpenTelemetry collector. `tracing`: events of a run.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod abort;
mod audience;
#[cfg(feature = "autoscale")]
pub mod autoscale;
#[cfg(all(test, target_os = "linux"))]
mod bounded;
#[cfg(feature = "serde")]
mod bundle;
mod calibrate;
mod capacity;
mod clock;
#[cfg(feature = "cli")]
pub mod command;
mod compare;
mod conductor;
mod control;
mod course;
mod error;
mod evidence;
mod executor;
mod feed;
mod generator;
mod guard;
mod histogram;
mod keys;
mod ledger;
mod losses;
mod op;
mod opening;
mod outcome;
mod outlook;
mod pacer;
mod part;
mod plan;
mod preflight;
mod pulse;
mod rate;
mod recorder;
mod rendezvous;
mod replay;
mod report;
mod reporter;
#[cfg(feature = "metrics")]
mod reporter_metrics;
#[cfg(feature = "serde")]
mod reporter_ndjson;
#[cfg(feature = "otlp")]
mod reporter_otlp;
mod rng;
mod route;
mod run;
#[cfg(feature = "cli")]
mod scenario;
mod schedule;
mod search;
#[cfg(feature = "cli")]
mod selftest;
mod settings;
mod shard;
mod silence;
mod slowest;
mod soundness;
mod span;
mod stats;
mod step;
mod steps;
mod stop;
#[cfg(test)]
mod stuck;
#[cfg(target_os = "linux")]
mod sys;
mod target;
mod threshold;
#[cfg(any(feature = "cli", feature = "otlp"))]
mod totals;
mod unbegun;
mod units;
mod verdict;
mod warm_up;
mod watch;
mod window;
mod window_record;
mod workload;

#[cfg(feature = "serde")]
pub use bundle::{Bundle, MergeError, merge};
#[cfg(feature = "serde")]
pub use compare::compare_saved;
#[cfg(feature = "hlog")]
pub use histogram::log::HdrLog;
#[cfg(feature = "metrics")]
pub use reporter_metrics::MetricsReporter;
#[cfg(feature = "serde")]
pub use reporter_ndjson::NdjsonWindows;
#[cfg(feature = "otlp")]
pub use reporter_otlp::OtlpMetrics;
#[cfg(feature = "cli")]
pub use scenario::Scenario;
#[cfg(feature = "cli")]
pub use target::any::{AnySession, AnyTarget};
#[cfg(feature = "http")]
pub use target::http::{HttpFlow, HttpRoute, HttpStep, HttpTarget};
#[cfg(feature = "redis")]
pub use target::redis::{RedisCommand, RedisTarget};
#[cfg(feature = "sql")]
pub use target::sql::{SqlSession, SqlStatement, SqlTarget, SqlTransaction, SqlValue};
pub use {
    abort::{AbortRule, Aborted},
    clock::{ClockSource, OpTimes},
    compare::{Compare, Comparison, Finding, Ran, Side},
    control::{Annotation, Control, ControlError, Event, RunState, Standing},
    error::{ConfigError, Error, PreflightError, ReportError},
    executor::{Closed, Executor, Model, OnCap, Overload},
    feed::{Feed, FeedMode, FeedRow},
    generator::Generator,
    histogram::{Distribution, Interval, Latencies, Quantile, min_samples},
    keys::Keys,
    op::{Op, Phase},
    outcome::{FailKind, IntoOutcome, Outcome, TargetError},
    outlook::{Light, Outlook},
    plan::{Plan, Spin},
    preflight::Check,
    rate::Rate,
    replay::{Entry, Fields, LogFormat, RefusedLine, Replay, ReplayBuilder, ReplayError, ReplaySummary},
    report::{
        Correction, Ending, Environment, ErrorLine, Percentile, Report, Row, SCHEMA, SlowOperation, StepRow,
        Stretch, Summary, ThresholdResult, ThresholdStatus, Timeline,
    },
    reporter::{ProgressLines, Reporter, progress_line},
    rng::OpRng,
    route::{MAX_ROUTES, MAX_STEPS, RouteId},
    run::LoadTest,
    schedule::{ArrivalProcess, Bursts, Schedule},
    search::{Found, Leaning, LimitedBy, Observation, Purpose, Search, Step as SearchStep, Trial},
    settings::Settings,
    stats::{BandReason, BandRefusal, BlockTally, QuantileBand, quantile_band},
    step::MAX_STEPS_AN_OPERATION,
    steps::{Climbed, Level, Replicas, Scaling, Staircase, Steps, fit_scaling},
    stop::StopHandle,
    threshold::Threshold,
    units::parse_duration,
    verdict::{Limit, MAX_INFLATION, MAX_LAG_P99, MIN_OPERATIONS, NEGLIGIBLE_LAG, Validity, Verdict},
    warm_up::WarmUp,
    window::Window,
    workload::{
        BoxFuture, BoxSession, BoxWorkload, DynWorkload, ShardCtx, Workload, WorkloadFn, workload_fn,
    },
};

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../docs/loadtest/in-ci.md")]
struct InCi;

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../docs/loadtest/wrong-percentiles.md")]
struct WrongPercentiles;
