//! A load test that passed validation.

use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    abort::AbortRule,
    clock::ClockSource,
    control::Control,
    error::PreflightError,
    executor::{Executor, OnCap, Overload},
    feed::Feed,
    histogram::as_f64,
    pacer::Pacing,
    part::Part,
    preflight::{Check, check},
    report::text::operations,
    route::RouteTable,
    shard::{ShardPlan, as_u64},
    threshold::Threshold,
    units::plain_rate,
    warm_up::WarmUp,
};

/// What a run is going to do, all numbers settled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// What is under load, as the workload describes itself.
    pub target: String,
    /// Open or closed loop.
    pub executor: Executor,
    /// How many operations may be in flight, over all shards.
    pub max_in_flight: usize,
    /// What happens to an arrival beyond that.
    pub on_cap: OnCap,
    /// When an operation is given up.
    pub timeout: Duration,
    /// When an operation is late, from its intended start, and what happens if it could not begin by then.
    pub deadline: Option<(Duration, Overload)>,
    /// Which first part of the run is not measured.
    pub warm_up: WarmUp,
    /// How long a session rests after an answer.
    pub think_time: Duration,
    /// How many threads send.
    pub shards: usize,
    /// The seed of every random number.
    pub seed: u64,
    /// What is judged.
    pub thresholds: Vec<Threshold>,
    /// What ends it early.
    pub abort_rules: Vec<AbortRule>,
    /// What steers it, if anything may.
    pub(crate) control: Option<Control>,
    pub(crate) part: Part,
    pub(crate) whole: Whole,
    pub(crate) start_at: Option<SystemTime>,
    pub(crate) warm_sessions: usize,
    pub(crate) feed: Option<Feed>,
    /// Which clock it goes by.
    pub clock: ClockSource,
    pub(crate) spin: Spin,
    pub(crate) open_files_per_op: u64,
    pub(crate) notes: Vec<String>, // what the preflight found worrying
}

/// What a part is a part of.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) executor: Executor,
    pub(crate) max_in_flight: usize,
}

/// Cores beside those of the shards that make spinning cheap.
const SPARE_CORES: usize = 3;
/// Arrivals a second a shard up to which spinning costs at most about a quarter of a core.
const SPIN_RATE: f64 = 3_000.0;

/// Share of a core that a shard may spin where cores are few.
const SPIN_SHARE: f64 = 0.01;

/// Whether shards spin the last stretch before an arrival, in place of sleeping up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Spin {
    /// Where at least three cores are left beside the shards', and at no more than 3 000 arrivals a second a shard.
    /// Elsewhere the alarm is set earlier by as much as the timer is nearly always late, and by so much more as spinning for
    /// it takes a hundredth of a core: 33 µs at 300 arrivals a second, 1 µs at 10 000.
    #[default]
    Auto,
    /// Always: up to a whole core a shard.
    Always,
    /// Never, and no alarm is set early: lag is what the system's timer gives.
    Never,
    /// Never, and an arrival may be sent up to this late (at most 100 ms), so that what falls due in the same stretch of it shares a wake of the thread. Lag is half of it on average and in every
    /// report; 1 ms is what a generator does that paces by tokio's timer, and takes a third of the processor time of a request at 10 000/s.
    Slack(Duration),
}

impl From<bool> for Spin {
    fn from(spin: bool) -> Self {
        if spin { Self::Always } else { Self::Auto }
    }
}

impl Plan {
    /// The executor in a few words.
    #[must_use]
    pub fn load(&self) -> String {
        // What it became of an altered plan is told elsewhere.
        let planned = if self.control.is_some() { &self.whole.executor } else { &self.executor };
        let duration = planned.duration();
        match planned {
            Executor::Open(arrivals) => format!(
                "open loop, {} in {duration:?}, up to {}/s",
                operations(arrivals.operations()),
                plain_rate(arrivals.peak_rate())
            ),
            Executor::Closed(closed) => {
                let many = if closed.workers == 1 { "" } else { "s" };
                let workers = format!("{} worker{many}", closed.workers);
                let lasts = match closed.iterations {
                    Some(all) => format!("until {} are done, {duration:?} at the longest", operations(all)),
                    None => format!("for {duration:?}"),
                };
                if closed.saturate {
                    return format!("saturation, {workers} that never rest {lasts}");
                }
                format!("closed loop, {workers} {lasts}, think time {:?}", closed.think_time)
            }
        }
    }

    /// How much of a stretch of the run was paused.
    pub(crate) fn paused_within(&self, from: Duration, to: Duration) -> Duration {
        self.control.as_ref().map_or(Duration::ZERO, |control| control.time().paused_within(from, to))
    }

    /// Since when, by `run`, it has gone on without a pause; `None` within one.
    pub(crate) fn goes_on_since(&self, run: Duration) -> Option<Duration> {
        self.control.as_ref().map_or(Some(Duration::ZERO), |control| control.time().goes_on_since(run))
    }

    /// Checks that this machine can carry the plan: open files (raising the soft limit where it may), local ports,
    /// cores, CPU quota, clock source. See also [`LoadTest::preflight`](crate::LoadTest::preflight), which asks the
    /// target too.
    ///
    /// # Errors
    /// Names the limit, what there is, and what the plan needs.
    pub fn preflight(&self) -> Result<Vec<Check>, PreflightError> {
        check(self)
    }

    /// Spinning if asked to, or if cores are to spare (one for the target, one for everybody else) and arrivals so rare
    /// that it costs less than about a quarter of a core; never in virtual time.
    fn pacing(&self) -> Pacing {
        match self.spin {
            Spin::Slack(slack) => Pacing::Slack(slack),
            _ if self.clock == ClockSource::Virtual => Pacing::Sleep,
            Spin::Always => Pacing::SPIN,
            Spin::Never => Pacing::Sleep,
            Spin::Auto => {
                let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
                let per_shard = self
                    .executor
                    .arrivals()
                    .map(|arrivals| arrivals.peak_rate() / as_f64(as_u64(self.shards)));
                let spare = cores >= self.shards + SPARE_CORES;
                let rare = per_shard.is_some_and(|rate| rate <= SPIN_RATE);
                if spare && rare {
                    return Pacing::SPIN;
                }
                per_shard.map_or(Pacing::Early(Duration::ZERO), |rate| Pacing::within(SPIN_SHARE, rate))
            }
        }
    }

    /// Shard `index`'s part. Shares of the cap differ by at most one and sum to the whole.
    pub(crate) fn shard(&self, index: usize, routes: &Arc<RouteTable>) -> ShardPlan {
        let share = |whole: usize| (whole + self.shards - 1 - index) / self.shards;
        let cap = share(self.max_in_flight);
        ShardPlan {
            index,
            shards: self.shards,
            executor: self.executor.clone(),
            cap,
            on_cap: self.on_cap,
            timeout: self.timeout,
            deadline: self.deadline,
            think_time: self.think_time,
            warm_sessions: share(self.warm_sessions).clamp(1, cap.max(1)),
            warm_up: self.warm_up,
            seed: self.seed,
            feed: self.feed.clone(),
            clock: self.clock,
            part: self.part,
            steered: self.control.as_ref().map(|control| control.time().clone()),
            pacing: self.pacing(),
            routes: Arc::clone(routes),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "target      {}", self.target)?;
        writeln!(f, "load        {}", self.load())?;
        if self.executor.arrivals().is_some() {
            let beyond = match self.on_cap {
                OnCap::CountAsFailure => "what is due beyond that fails",
                OnCap::Queue => "what is due beyond that waits",
            };
            writeln!(f, "in flight   at most {}, {beyond}", self.max_in_flight)?;
        }
        writeln!(f, "time-out    {:?}", self.timeout)?;
        if let Some((deadline, overload)) = self.deadline {
            let then = match overload {
                Overload::Queue => "run all the same",
                Overload::Shed => "shed",
            };
            writeln!(f, "deadline    {deadline:?}, what could not begin by then is {then}")?;
        }
        if self.warm_up != WarmUp::None {
            writeln!(f, "warm-up     {}", self.warm_up)?;
        }
        if let Some(feed) = &self.feed {
            writeln!(f, "feed        {}", feed.describe())?;
        }
        if !self.part.is_whole() {
            writeln!(
                f,
                "part        shard {} of {}: the numbers above are its own",
                self.part.index, self.part.of
            )?;
        }
        write!(f, "shards      {}, seed {}", self.shards, self.seed)?;
        for threshold in &self.thresholds {
            write!(f, "\nthreshold   {threshold}")?;
        }
        for rule in &self.abort_rules {
            write!(f, "\nabort if    {rule}")?;
        }
        Ok(())
    }
}
