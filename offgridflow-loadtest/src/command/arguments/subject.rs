//! What is to be loaded, and how.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::values::{parse_bursts, parse_count, parse_number, parse_rate, parse_share};
use crate::{
    AnyTarget, Bursts, ConfigError, LoadTest, LogFormat, Scenario, WarmUp, target::http::redacted,
    units::parse_duration,
};

/// What to load, and how; the flags other than --threshold, --abort-if and --seed apply to a URL only.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("open").args(["rate", "replay"])))]
pub(in crate::command) struct Subject {
    /// A scenario file (SCENARIO.toml), or a URL that begins with http://, (feature `tls`) https://, (feature `sql`) postgres:// or sqlite://, or (feature `redis`) redis://
    #[arg(value_name = "SCENARIO|URL")]
    pub(in crate::command) what: String,
    /// Operations a second (open loop). Without it, workers ask one after the other (closed loop), and what they leave out while they wait is estimated.
    #[arg(long, short, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true)]
    pub(super) rate: Option<f64>,
    /// Ask what this log holds, when it holds it, in place of --rate and --for.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["duration", "ramp_up", "ramp_down", "method", "body"])]
    pub(super) replay: Option<PathBuf>,
    /// Replay so many times faster [default: 1]
    #[arg(long, value_name = "FACTOR", requires = "replay", value_parser = parse_number, allow_negative_numbers = true)]
    pub(super) speed: Option<f64>,
    /// Replay visits: what one client asked with no longer pause than this is one operation, each request as long after the answer before it as in the log
    #[arg(long, value_name = "LONGEST_PAUSE", requires = "replay", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) visits: Option<Duration>,
    /// How the log is written: clf, vclf (virtual hosts in front), csv or ndjson [default: by its extension]
    #[arg(long, requires = "replay")]
    pub(super) format: Option<LogFormat>,
    /// The log's column or field with the time [default: time, timestamp, @timestamp or ts]
    #[arg(long, value_name = "NAME", requires = "replay")]
    pub(super) log_time: Option<String>,
    /// The log's column or field with the method [default: method]
    #[arg(long, value_name = "NAME", requires = "replay")]
    pub(super) log_method: Option<String>,
    /// The log's column or field with path and query [default: path, in NDJSON also uri]
    #[arg(long, value_name = "NAME", requires = "replay")]
    pub(super) log_path: Option<String>,
    /// The log's column or field with who asked, for --visits [default: client]
    #[arg(long, value_name = "NAME", requires = "replay")]
    pub(super) log_client: Option<String>,
    /// The share of the log's lines that may be unusable [default: 1%]
    #[arg(long, value_name = "SHARE", requires = "replay", value_parser = parse_share)]
    pub(super) max_refused: Option<f64>,
    /// How long the full load lasts [default: 30s]
    #[arg(long = "for", short = 'd', value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) duration: Option<Duration>,
    /// Workers of a closed loop; with --rate the most operations in flight [default: 256]
    #[arg(long, short = 'c', value_name = "COUNT", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub(super) workers: Option<usize>,
    /// End once so many operations were done by --workers, within --for [default of --for: 1h]
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u64>, conflicts_with_all = ["rate", "replay", "warm_up"])]
    pub(super) iterations: Option<u64>,
    /// How much gets done: --workers that never rest. Response times are then those of a closed loop, marked as such and not judged.
    #[arg(long, conflicts_with_all = ["rate", "replay", "think_time"])]
    pub(super) saturate: bool,
    /// Grow from nothing over this long, before [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) ramp_up: Option<Duration>,
    /// Fall to nothing over this long, after [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) ramp_down: Option<Duration>,
    /// Rest of a worker after each answer [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) think_time: Option<Duration>,
    /// How long an answer is expected to take: refuses what --workers cannot keep in flight at --rate [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) expected_latency: Option<Duration>,
    /// Give an operation up after this long [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) timeout: Option<Duration>,
    /// Count an operation in `late_ratio` that is answered later than this after its intended start.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(super) deadline: Option<Duration>,
    /// Do not run an operation whose deadline has passed before it could begin.
    #[arg(long, requires = "deadline")]
    pub(super) shed: bool,
    /// Leave this much of the start out of the numbers, or `auto` until the response times are steady [default: none]
    #[arg(long, value_name = "DURATION|auto")]
    pub(super) warm_up: Option<WarmUp>,
    /// Random (Poisson) arrivals in place of even ones.
    #[arg(long)]
    pub(super) poisson: bool,
    /// Random arrivals of this shape: 1 is Poisson, below 1 in bursts, above more regular.
    #[arg(
        long,
        value_name = "SHAPE",
        conflicts_with = "poisson",
        value_parser = parse_number,
        allow_negative_numbers = true
    )]
    pub(super) gamma: Option<f64>,
    /// Random arrivals in bursts: TIMES the rate, for SHARE of the time, LENGTH at a time, such as 5,10%,2s; --rate is the mean.
    #[arg(long, value_name = "TIMES,SHARE,LENGTH", conflicts_with_all = ["poisson", "gamma"], value_parser = parse_bursts)]
    pub(super) bursts: Option<Bursts>,
    /// Arrivals beyond --workers wait, in place of failing.
    #[arg(long)]
    pub(super) queue: bool,
    /// Seed of every random number, in place of a scenario's [default: 0]
    #[arg(long, value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    pub(in crate::command) seed: Option<u64>,
    /// Threads that send [default: one for each 10 000/s, at most half the cores]
    #[arg(long, value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub(super) shards: Option<usize>,
    /// Spin before each arrival: finer pacing for a core a shard.
    #[arg(long)]
    pub(super) spin: bool,
    /// Send up to this late, what falls due meanwhile together: fewer wakes, less processor time, more lag. 1ms is what generators do that know of milliseconds
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "spin", allow_hyphen_values = true)]
    pub(super) slack: Option<Duration>,
    /// HTTP method [default: GET, or POST with --body]
    #[arg(long, short = 'X')]
    pub(super) method: Option<String>,
    /// Header, as `name: value`; repeatable.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// Bearer token with every request, from the environment: the name of the variable that holds it.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "basic_env")]
    pub(super) bearer_env: Option<String>,
    /// Basic credentials with every request, from the environment: the name of the variable that holds `user:password`.
    #[arg(long, value_name = "VARIABLE")]
    pub(super) basic_env: Option<String>,
    /// Keep cookies, each connection's own.
    #[arg(long)]
    pub(super) cookies: bool,
    /// Send a `traceparent` header with every request; the report names the traces of the slowest operations.
    #[arg(long)]
    pub(super) traceparent: bool,
    /// Body of every request, as it stands here (no `@file`; a scenario's route has room for longer ones).
    #[arg(long)]
    pub(super) body: Option<String>,
    /// What a database is asked, over and over [default: SELECT 1]
    #[arg(long, value_name = "STATEMENT")]
    pub(super) sql: Option<String>,
    /// Connections of a database's pool [default: 10]
    #[arg(long, value_name = "CONNECTIONS", value_parser = parse_count::<usize>)]
    pub(super) pool: Option<usize>,
    /// Speak HTTP/2 (feature `http2`) on at most so many connections, which operations share.
    #[arg(long, value_name = "CONNECTIONS", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    pub(super) http2: Option<usize>,
    /// Believe the certificate authorities of this PEM file, and no others [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Believe any certificate.
    #[arg(long, conflicts_with = "ca_file")]
    pub(super) insecure: bool,
    /// The share of operations that may fail; 100% judges no failures [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(super) failure_threshold: Option<f64>,
    /// A condition such as `p95(response) < 100ms`; repeatable, also added to a scenario's.
    #[arg(long = "threshold", short = 't', value_name = "CONDITION")]
    pub(super) thresholds: Vec<String>,
    /// A condition on the last seconds that ends the run (exit code 5), such as `failure_ratio[10s] > 50% after 30s`; repeatable, also added to a scenario's.
    #[arg(long = "abort-if", value_name = "RULE")]
    pub(super) abort_if: Vec<String>,
}

/// A rate and a length in place of what was said, and how many may be in flight where nothing was.
#[derive(Debug, Clone, Copy)]
pub(in crate::command) struct Pace {
    pub(in crate::command) rate: f64,
    pub(in crate::command) length: Duration,
    pub(in crate::command) in_flight: usize,
}

impl Subject {
    /// The validated load test.
    pub(in crate::command) fn load_test(&self) -> Result<LoadTest<AnyTarget>, ConfigError> {
        let test = if self.is_url() { self.quick()? } else { self.scenario()?.load_test()? };
        self.judged(test)
    }

    /// The same at a rate, in an open loop; what sets another one is refused.
    pub(in crate::command) fn paced(&self, pace: Pace) -> Result<LoadTest<AnyTarget>, ConfigError> {
        self.refuse_load()?;
        if !self.is_url() {
            let scenario = self.scenario()?.paced(pace.rate, pace.length, pace.in_flight);
            return self.judged(scenario.load_test()?);
        }
        let (rate, duration) = (Some(pace.rate), Some(pace.length));
        let workers = self.workers.or(Some(pace.in_flight));
        Self { rate, duration, workers, ..self.clone() }.load_test()
    }

    /// Refuses what says how much is asked, where others decide that.
    fn refuse_load(&self) -> Result<(), ConfigError> {
        let said = [
            (self.rate.is_some(), "--rate"),
            (self.duration.is_some(), "--for"),
            (self.replay.is_some(), "--replay"),
            (self.iterations.is_some(), "--iterations"),
            (self.saturate, "--saturate"),
            (self.ramp_up.is_some(), "--ramp-up"),
            (self.ramp_down.is_some(), "--ramp-down"),
            (self.think_time.is_some(), "--think-time"),
        ];
        match said.into_iter().find(|&(said, _)| said) {
            Some((_, flag)) => Err(ConfigError::new(
                flag,
                "rates and their length are set here by other flags: leave it out",
            )),
            None => Ok(()),
        }
    }

    /// The same with so many workers in a closed loop.
    pub(in crate::command) fn stepped(
        &self,
        workers: usize,
        length: Duration,
    ) -> Result<LoadTest<AnyTarget>, ConfigError> {
        self.refuse_load()?;
        if self.workers.is_some() {
            return Err(ConfigError::new("--workers", "these are the levels of the staircase: leave it out"));
        }
        if !self.is_url() {
            return self.judged(self.scenario()?.stepped(workers, length).load_test()?);
        }
        Self { workers: Some(workers), duration: Some(length), ..self.clone() }.load_test()
    }

    /// Another target with the same flags; a URL's runs are so long, unless they say otherwise.
    pub(in crate::command) fn of(&self, what: String, length: Duration) -> Self {
        let duration = self.duration.or_else(|| what.contains("://").then_some(length));
        Self { what, duration, ..self.clone() }
    }

    fn is_url(&self) -> bool {
        self.what.contains("://") || self.what.starts_with("sqlite:")
    }

    fn judged(&self, test: LoadTest<AnyTarget>) -> Result<LoadTest<AnyTarget>, ConfigError> {
        let test = self.thresholds.iter().fold(test, LoadTest::threshold);
        let test = self.abort_if.iter().fold(test, LoadTest::abort_if);
        test.validate()?;
        Ok(test)
    }

    fn scenario(&self) -> Result<Scenario, ConfigError> {
        if self.what.trim().is_empty() {
            return Err(ConfigError::new(
                "",
                "the scenario or URL is empty: is a variable of the shell unset?",
            ));
        }
        let looks_like_host = self
            .what
            .rsplit_once(':')
            .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
        if looks_like_host && !std::path::Path::new(&self.what).exists() {
            let hint = format!("`{0}` is no file: did you mean http://{0}?", redacted(&self.what));
            return Err(ConfigError::new("", hint));
        }
        if self.what.contains('@') && !std::path::Path::new(&self.what).exists() {
            let hint = format!("`{0}` is no file: a URL begins with http://", redacted(&self.what));
            return Err(ConfigError::new("", hint));
        }
        if self.has_url_flags() {
            return Err(ConfigError::new(
                "",
                "flags other than --threshold, --abort-if, --seed, --quiet, --dry-run and those that name a file for a report apply to a URL: put them into the scenario",
            ));
        }
        let scenario = Scenario::read(&self.what)?;
        Ok(match self.seed {
            Some(seed) => scenario.with_seed(seed),
            None => scenario,
        })
    }

    fn has_url_flags(&self) -> bool {
        let durations = [self.duration, self.ramp_up, self.ramp_down, self.think_time, self.timeout];
        let durations = durations.into_iter().chain([self.expected_latency]);
        durations.into_iter().any(|duration| duration.is_some())
            || self.rate.is_some()
            || self.replay.is_some()
            || self.deadline.is_some()
            || self.warm_up.is_some()
            || self.workers.is_some()
            || self.shards.is_some()
            || self.method.is_some()
            || self.body.is_some()
            || self.failure_threshold.is_some()
            || self.poisson
            || self.gamma.is_some()
            || self.bursts.is_some()
            || self.iterations.is_some()
            || self.saturate
            || self.spin
            || self.slack.is_some()
            || self.sql.is_some()
            || self.pool.is_some()
            || self.http2.is_some()
            || self.bearer_env.is_some()
            || self.basic_env.is_some()
            || self.cookies
            || self.traceparent
            || self.ca_file.is_some()
            || self.insecure
            || !self.headers.is_empty()
    }
}
