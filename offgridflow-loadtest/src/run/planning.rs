//! Settling the numbers of a load test before it runs.

use std::{thread, time::Duration};

use super::LoadTest;
use crate::{
    abort::AbortRule,
    error::{ConfigError, bounded, positive},
    executor::{Executor, Model},
    feed::Feed,
    histogram::as_f64,
    plan::{Plan, Spin, Whole},
    report::text::operations,
    route::MAX_STEPS,
    settings::littles_law,
    shard::as_u64,
    soundness::Beforehand,
    span::due,
    threshold::{Metric, Series, Threshold},
    warm_up::WarmUp,
    workload::Workload,
};

/// Operations a second that one shard is given at most, before the default number of shards grows.
const RATE_PER_SHARD: f64 = 10_000.0;
/// The share of operations that may fail where nothing else is said.
const DEFAULT_FAILURES: f64 = 0.01;
/// The most operations in flight that a plan may ask for.
const MAX_IN_FLIGHT: usize = 1_000_000;
/// Sessions opened before an open-loop run, if nothing else is asked for.
const WARM_SESSIONS: usize = 16;
/// The most rules that may end a run: each is held against every second.
const MAX_ABORT_RULES: usize = 32;
/// How late an arrival may be sent for company.
const MIN_SLACK: Duration = Duration::from_micros(1);
const MAX_SLACK: Duration = Duration::from_millis(100);
/// The shortest plan in which a warm-up can be found.
const SHORTEST_AUTO: Duration = Duration::from_secs(20);

impl<W: Workload> LoadTest<W> {
    /// Settles all numbers, or says which of them cannot be.
    ///
    /// # Errors
    /// Zero durations, impossible rates, no shards or sessions, thresholds that do not parse, cannot be
    /// measured in this loop, name a route that cannot be or a limit that no run could meet or break, and plans that Little's law rules out.
    pub fn validate(&self) -> Result<Plan, ConfigError> {
        self.settings.clone()?;
        self.executor.validate()?;
        self.check_times()?;
        self.check_part()?;
        let whole = Whole { executor: self.executor.clone(), max_in_flight: self.checked_in_flight()? };
        let max_in_flight = self.part.share_of(whole.max_in_flight);
        let shards = self.checked_shards(max_in_flight)?;
        let executor = self.part.executor(&self.executor);
        Ok(Plan {
            target: self.workload.describe(),
            executor: match &self.control {
                Some(control) => executor.steered(control.time()),
                None => executor,
            },
            max_in_flight,
            on_cap: self.on_cap,
            timeout: self.timeout,
            think_time: self.think_time,
            shards,
            seed: self.seed,
            thresholds: self.checked_thresholds()?,
            abort_rules: self.checked_abort_rules()?,
            control: self.control.clone(),
            part: self.part,
            whole,
            start_at: self.start_at,
            warm_sessions: self
                .warm_sessions
                .unwrap_or_else(|| self.default_warm_sessions())
                .min(max_in_flight),
            deadline: self.deadline,
            warm_up: self.checked_warm_up()?,
            feed: self.checked_feed()?,
            clock: self.clock,
            spin: self.spin,
            open_files_per_op: self.workload.open_files(),
            notes: Vec::new(),
        })
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        self.check_slack()?;
        positive("timeout", self.timeout)?;
        self.deadline.map_or(Ok(()), |(deadline, _)| positive("deadline", deadline))?;
        bounded("think_time", self.think_time)?;
        bounded("expected_latency", self.expected_latency)
    }

    fn check_slack(&self) -> Result<(), ConfigError> {
        let Spin::Slack(slack) = self.spin else { return Ok(()) };
        if self.executor.arrivals().is_none() {
            return Err(ConfigError::new("slack", "is about arrivals, which a closed loop has none of"));
        }
        if !(MIN_SLACK..=MAX_SLACK).contains(&slack) {
            let hint = format!("{slack:?} is not from {MIN_SLACK:?} to {MAX_SLACK:?}; 1ms is usual");
            return Err(ConfigError::new("slack", hint));
        }
        Ok(())
    }

    /// Every part has to have something to do, and to measure the same.
    fn check_part(&self) -> Result<(), ConfigError> {
        self.part.validate()?;
        if self.part.is_whole() {
            return Ok(());
        }
        if self.control.is_some() {
            return Err(ConfigError::new(
                "control",
                "shards of several processes could not agree when: leave it out",
            ));
        }
        let least = match &self.executor {
            Executor::Open(arrivals) => arrivals.operations().min(as_u64(self.max_in_flight)),
            Executor::Closed(closed) => closed.iterations.unwrap_or(u64::MAX).min(as_u64(closed.workers)),
        };
        if least < self.part.of {
            let hint =
                format!("{} shards cannot share {least} operations in flight: use fewer", self.part.of);
            return Err(ConfigError::new("shard", hint));
        }
        if self.warm_up == WarmUp::Auto {
            return Err(ConfigError::new(
                "warm_up",
                "shards would each find another one: say how long it is",
            ));
        }
        Ok(())
    }

    /// How many operations are in flight at most, in either loop.
    fn checked_in_flight(&self) -> Result<usize, ConfigError> {
        let refused = |hint| Err(ConfigError::new("concurrent_workers", hint));
        let busiest = self.busiest();
        if self.max_in_flight == 0 {
            return refused("at least one operation must be allowed in flight");
        }
        if busiest > MAX_IN_FLIGHT {
            return refused("at most 1 000 000 at a time: split the run over processes");
        }
        if let Executor::Open(arrivals) = &self.executor {
            littles_law(arrivals.peak_rate(), self.expected_latency + self.think_time, busiest)?;
        }
        Ok(busiest)
    }

    fn busiest(&self) -> usize {
        match &self.executor {
            Executor::Open(_) => self.max_in_flight,
            Executor::Closed(closed) => closed.workers,
        }
    }

    fn default_shards(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = match &self.executor {
            Executor::Open(arrivals) => shards_for(arrivals.peak_rate() / as_f64(self.part.of)),
            Executor::Closed(closed) => self.part.share_of(closed.workers),
        };
        wanted.clamp(1, (cores / 2).max(1))
    }

    fn checked_shards(&self, max_in_flight: usize) -> Result<usize, ConfigError> {
        match self.shards {
            Some(0) => Err(ConfigError::new("shards", "at least one thread has to send")),
            Some(shards) if shards > max_in_flight => Err(ConfigError::new(
                "shards",
                format!(
                    "{shards} threads cannot share {} in flight: ask for fewer",
                    operations(as_u64(max_in_flight))
                ),
            )),
            Some(shards) => Ok(shards),
            None => Ok(self.default_shards().min(max_in_flight)),
        }
    }

    fn default_warm_sessions(&self) -> usize {
        match &self.executor {
            Executor::Open(_) => WARM_SESSIONS,
            Executor::Closed(closed) if closed.ramp_up.is_zero() => closed.workers,
            Executor::Closed(_) => 1,
        }
    }

    fn checked_warm_up(&self) -> Result<WarmUp, ConfigError> {
        let planned = self.executor.duration();
        if self.executor.ends_early() && self.warm_up != WarmUp::None {
            let hint = "of a number of operations nobody knows how long it takes: leave the warm-up out, or run twice";
            return Err(ConfigError::new("warm_up", hint));
        }
        let too_short = match self.warm_up {
            WarmUp::None => false,
            WarmUp::For(length) => length >= planned,
            WarmUp::Auto => planned < SHORTEST_AUTO,
        };
        if too_short {
            let hint = match self.warm_up {
                WarmUp::Auto => format!(
                    "an automatic warm-up needs a plan of at least {SHORTEST_AUTO:?}, this one takes {planned:?}"
                ),
                _ => format!("nothing of the {planned:?} planned would be left to measure"),
            };
            return Err(ConfigError::new("warm_up", hint));
        }
        Ok(self.warm_up)
    }

    /// How many operations are measured at most, where that is known.
    fn measured_operations(&self) -> Option<u64> {
        let warm = match (self.warm_up, self.executor.arrivals()) {
            (WarmUp::For(length), Some(arrivals)) => due(&**arrivals, length),
            _ => 0,
        };
        Some(self.executor.operations()? - warm)
    }

    fn checked_feed(&self) -> Result<Option<Feed>, ConfigError> {
        let Some(feed) = &self.feed else { return Ok(None) };
        let rows = u64::try_from(feed.len()).unwrap_or(u64::MAX);
        let planned = self.executor.operations().unwrap_or(0);
        if feed.is_unique() && planned > rows {
            let hint =
                format!("{planned} operations are planned, but only {rows} rows can be handed out once each");
            return Err(ConfigError::new("feed", hint));
        }
        Ok(Some(feed.clone()))
    }

    fn checked_thresholds(&self) -> Result<Vec<Threshold>, ConfigError> {
        let mut thresholds: Vec<_> = self.thresholds.iter().cloned().collect::<Result<_, _>>()?;
        if self.default_gate && !thresholds.iter().any(Threshold::judges_failures) {
            thresholds.push(Threshold::failure_ratio(DEFAULT_FAILURES));
        }
        let closed = matches!(self.executor, Executor::Closed(_));
        if closed && thresholds.iter().any(|threshold| threshold.metric == Metric::AchievedRate) {
            return Err(ConfigError::new(
                "thresholds",
                "achieved_rate needs an open loop: a closed loop offers no rate",
            ));
        }
        let response = |one: &Threshold| matches!(one.metric, Metric::Time(_, Series::Response));
        if self.executor.model() == Model::Saturation && thresholds.iter().any(response) {
            let hint = "at saturation a response time says how many workers there are, not how long a user waits: judge throughput, or load at a rate";
            return Err(ConfigError::new("thresholds", hint));
        }
        if self.deadline.is_none() && thresholds.iter().any(|threshold| threshold.metric == Metric::LateRatio)
        {
            return Err(ConfigError::new("thresholds", "late_ratio needs a deadline to be late for"));
        }
        let (routes, steps) = (self.workload.routes(), self.workload.steps());
        if steps.len() > MAX_STEPS {
            let hint = format!("at most {MAX_STEPS} steps are told apart, and there are {}", steps.len());
            return Err(ConfigError::new("flow", hint));
        }
        let operations = self.measured_operations();
        let known = Beforehand { routes: &routes, steps: &steps, operations };
        thresholds.iter().try_for_each(|threshold| known.check(threshold))?;
        Ok(thresholds)
    }

    fn checked_abort_rules(&self) -> Result<Vec<AbortRule>, ConfigError> {
        let rules: Vec<_> = self.abort_rules.iter().cloned().collect::<Result<_, _>>()?;
        if rules.len() > MAX_ABORT_RULES {
            return Err(ConfigError::new("abort_if", format!("at most {MAX_ABORT_RULES} rules are watched")));
        }
        let (routes, steps) = (self.workload.routes(), self.workload.steps());
        let known = Beforehand { routes: &routes, steps: &steps, operations: self.measured_operations() };
        let closed = self.executor.arrivals().is_none();
        for rule in &rules {
            rule.check(self.executor.duration(), closed, self.deadline.is_some())?;
            if let Some(hint) = known.judge(&rule.condition) {
                return Err(ConfigError::new("abort_if", format!("`{rule}`: {hint}")));
            }
        }
        Ok(rules)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of at most 1e8 by 1e4")]
fn shards_for(peak: f64) -> usize {
    libm::ceil(peak / RATE_PER_SHARD) as usize
}
