//! A load test, from the workload to the report.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    abort::AbortRule,
    clock::ClockSource,
    conductor::PATIENCE,
    control::Control,
    error::ConfigError,
    executor::{Executor, OnCap, Overload},
    feed::Feed,
    part::Part,
    plan::Spin,
    rate::Rate,
    reporter::Reporter,
    settings::Settings,
    stop::StopHandle,
    threshold::Threshold,
    warm_up::WarmUp,
    workload::Workload,
};

/// A load test, from the workload to the report.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use {offgridflow_loadtest::{LoadTest, OnCap, Rate, workload_fn}, std::time::Duration};
/// let work = workload_fn(|_op| tokio::time::sleep(Duration::from_millis(2)));
/// let report = LoadTest::new(work)
///     .rate(Rate::ramp(0.0, 1_000.0, Duration::from_millis(200)).hold(Duration::from_millis(400)))
///     .max_in_flight(200, OnCap::CountAsFailure) // Default: 1 024, counted as failures.
///     .timeout(Duration::from_secs(1))           // Default: 10 s.
///     .threshold("p95(response) < 100ms")
///     .threshold("failure_ratio < 1%")
///     .run()
///     .await?;
/// assert_eq!(report.offered, 500);
/// println!("{report}");
/// # Ok(()) }
/// ```
#[must_use = "a load test does nothing until it is run"]
pub struct LoadTest<W> {
    pub(super) workload: Arc<W>,
    pub(super) executor: Executor,
    pub(super) max_in_flight: usize,
    pub(super) on_cap: OnCap,
    pub(super) timeout: Duration,
    pub(super) think_time: Duration,
    pub(super) expected_latency: Duration,
    pub(super) shards: Option<usize>,
    pub(super) warm_sessions: Option<usize>,
    pub(super) seed: u64,
    pub(super) spin: Spin,
    pub(super) deadline: Option<(Duration, Overload)>,
    pub(super) warm_up: WarmUp,
    pub(super) feed: Option<Feed>,
    pub(super) clock: ClockSource,
    pub(super) calibrate: bool,
    pub(super) thresholds: Vec<Result<Threshold, ConfigError>>,
    pub(super) abort_rules: Vec<Result<AbortRule, ConfigError>>,
    pub(super) default_gate: bool, // on failures, unless they are judged otherwise
    pub(super) settings: Result<(), ConfigError>,
    pub(super) reporters: Vec<Box<dyn Reporter>>,
    pub(super) stop: StopHandle,
    pub(super) control: Option<Control>,
    pub(super) patience: Duration,
    pub(super) part: Part,
    pub(super) start_at: Option<SystemTime>,
}

impl<W: Workload> LoadTest<W> {
    /// A test of `workload`: one worker in a closed loop for 30 s, until told otherwise. It passes with at most 1 % of
    /// failures, panics included: see [`default_failure_gate`](Self::default_failure_gate).
    pub fn new(workload: W) -> Self {
        Self {
            workload: Arc::new(workload),
            executor: Executor::closed(1, Duration::from_secs(30)),
            max_in_flight: 1_024,
            on_cap: OnCap::default(),
            timeout: Duration::from_secs(10),
            think_time: Duration::ZERO,
            expected_latency: Duration::ZERO,
            shards: None,
            warm_sessions: None,
            seed: 0,
            spin: Spin::Auto,
            deadline: None,
            warm_up: WarmUp::None,
            feed: None,
            clock: ClockSource::Monotonic,
            calibrate: true,
            thresholds: Vec::new(),
            abort_rules: Vec::new(),
            default_gate: true,
            settings: Ok(()),
            reporters: Vec::new(),
            stop: StopHandle::default(),
            control: None,
            patience: PATIENCE,
            part: Part::default(),
            start_at: None,
        }
    }

    /// How operations come about.
    pub fn executor(mut self, executor: impl Into<Executor>) -> Self {
        self.executor = executor.into();
        self
    }

    /// Open loop with steady arrivals along `rate`: short for `executor(Executor::open(rate))`.
    pub fn rate(self, rate: Rate) -> Self {
        self.executor(Executor::open(rate))
    }

    /// Everything that [`Settings`] names, replacing what was set before; its failure threshold is added.
    pub fn settings(mut self, settings: &Settings) -> Self {
        self.settings = settings.validate();
        self.executor = settings.executor();
        self.max_in_flight = settings.concurrent_workers;
        self.timeout = settings.timeout;
        self.think_time = settings.think_time;
        self.expected_latency = settings.expected_latency;
        self.default_gate = false;
        self.thresholds.extend(settings.judged_share().map(|share| Ok(Threshold::failure_ratio(share))));
        self
    }

    /// Open loop: how many operations may be in flight over all shards (each gets an equal part), and what
    /// happens to an arrival beyond. Default 1 024, counted as failures.
    pub fn max_in_flight(mut self, max: usize, on_cap: OnCap) -> Self {
        (self.max_in_flight, self.on_cap) = (max, on_cap);
        self
    }

    /// When an operation is given up, from its dispatch. Default 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Open loop: how long a session rests after an answer, still counting as busy. Default zero.
    pub fn think_time(mut self, think_time: Duration) -> Self {
        self.think_time = think_time;
        self
    }

    /// Adds a condition on the run; see [`Threshold`]. Text that does not parse is refused by
    /// [`validate`](Self::validate) and [`run`](Self::run).
    pub fn threshold(mut self, threshold: impl AsRef<str>) -> Self {
        self.thresholds.push(threshold.as_ref().parse());
        self
    }

    /// Adds a condition on the last seconds of the run which, once it holds, ends it; see [`AbortRule`]. What is in flight gets a second to finish. Text
    /// that does not parse is refused by [`validate`](Self::validate) and [`run`](Self::run).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use {offgridflow_loadtest::{Ending, LoadTest, Rate, workload_fn}, std::time::Duration};
    /// let broken = workload_fn(|_op| async { Err::<(), _>("no") });
    /// let test = LoadTest::new(broken).rate(Rate::constant(200.0, Duration::from_secs(600)));
    /// let report = test.abort_if("failure_ratio[1s] > 50%").run().await?;
    /// assert_eq!((report.ending, report.exit_code()), (Ending::Aborted, 5));
    /// # Ok(()) }
    /// ```
    pub fn abort_if(mut self, rule: impl AsRef<str>) -> Self {
        self.abort_rules.push(rule.as_ref().parse());
        self
    }

    /// Whether `failure_ratio <= 1%` is judged where nothing else is said of failures. Default: yes; a `failure_ratio` or
    /// `failures` threshold on the whole run takes its place, and so do [`settings`](Self::settings).
    pub fn default_failure_gate(mut self, judged: bool) -> Self {
        self.default_gate = judged;
        self
    }

    /// How many threads send. Default: one for each 10 000 operations a second, at most half the cores.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// How many sessions are opened before the run, a few at a time. Default: 16 in an open loop, in a
    /// closed loop all workers', or one if they ramp up.
    pub fn warm_sessions(mut self, sessions: usize) -> Self {
        self.warm_sessions = Some(sessions);
        self
    }

    /// Runs one part of `of`, from 0: every `of`th operation of an open loop, or every `of`th worker of a closed one, and that share of the
    /// [operations in flight](Self::max_in_flight). Indices, random numbers and rows are those of the whole, so that all parts together are the run that one
    /// process would do. A part judges nothing: [`run_shard`](Self::run_shard) gives a [`Bundle`](crate::Bundle) for [`merge`](crate::merge).
    pub fn shard(mut self, index: u64, of: u64) -> Self {
        self.part = Part { index, of };
        self
    }

    /// When to start, by this machine's wall clock; sessions are opened before. Default: at once. What has passed already is started at
    /// once, and a [`Bundle`](crate::Bundle) says how late.
    pub fn start_at(mut self, instant: SystemTime) -> Self {
        self.start_at = Some(instant);
        self
    }

    /// The seed of [`Op::rng`](crate::Op::rng). Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Open loop: an operation is late if it is answered later than this after its intended start; `overload`
    /// says what happens to one that could not even begin by then. Default: no deadline.
    pub fn deadline(mut self, deadline: Duration, overload: Overload) -> Self {
        self.deadline = Some((deadline, overload));
        self
    }

    /// Leaves a first part of the run out of the numbers. Default: everything is measured.
    pub fn warm_up(mut self, warm_up: WarmUp) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// Gives each operation a row of data, [`Op::row`](crate::Op::row). Default: none.
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// Whether the timer and the engine are timed for about 50 ms before the run, so that the report can say what
    /// the machine is able to do. Default: yes, in real time.
    pub fn calibrate(mut self, calibrate: bool) -> Self {
        self.calibrate = calibrate;
        self
    }

    /// Whether the last stretch before each arrival is spun. Default: [`Spin::Auto`].
    /// A `bool` will do: `true` is [`Spin::Always`], `false` [`Spin::Auto`].
    pub fn spin(mut self, spin: impl Into<Spin>) -> Self {
        self.spin = spin.into();
        self
    }

    /// Adds somebody to tell.
    pub fn reporter(mut self, reporter: impl Reporter + 'static) -> Self {
        self.reporters.push(Box::new(reporter));
        self
    }

    /// Makes it one that can be paused, resumed and changed while it goes on; what it is steered by is given beside it. An open loop then
    /// costs the generator an uncontended lock an operation more.
    pub fn steerable(mut self) -> (Self, Control) {
        let control = self.control.get_or_insert_with(|| Control::new(self.stop.clone())).clone();
        (self, control)
    }

    /// What is under load.
    #[cfg(feature = "cli")]
    pub(crate) fn workload(&self) -> &W {
        &self.workload
    }

    /// How long a silent shard is waited for beyond a time-out.
    #[cfg(test)]
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A handle that ends the run early.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }
}

impl<W> std::fmt::Debug for LoadTest<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadTest")
            .field("executor", &self.executor)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}
