//! What can be said on the command line.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand};

#[cfg(feature = "autoscale")]
use super::autoscale::Autoscale;
use super::{
    forms::{Forms, Show},
    papers::Completions,
    self_test::Selftest,
};
use crate::{
    ConfigError, Executor, Fields, HttpRoute, HttpTarget, LoadTest, LogFormat, OnCap, Overload, Rate, Replay,
    ReplayError, Scenario, Settings, WarmUp,
    scenario::{explain, trusting},
    target::http::redacted,
    units::{parse_duration, parse_percent},
};

/// A load tester that proves its own numbers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 threshold broken or target down, 2 usage or configuration, \
3 the run is not valid, 4 set-up, preflight or a report that could not be written, 5 aborted by --abort-if, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario, or a URL with flags, and report.
    Run(Run),
    /// Show the plan and check that this machine can carry it, without any load: one connection to the target is opened and closed.
    Preflight(Subject),
    /// Show a report that --json wrote, or write it in other forms; exits as its run did.
    Report(Show),
    /// Test the load tester on this machine, within about a minute, and print its error budget; exits with 3 if it does not measure here.
    Selftest(Selftest),
    /// Simulate Kubernetes' autoscalers under a load, and say what is wrong with them; exits with 1 if anything is.
    #[cfg(feature = "autoscale")]
    Autoscale(Box<Autoscale>),
    /// Write a scenario to begin with, every setting explained.
    Init(Init),
    /// Print what a shell needs to complete this command: source it, or put it where your shell looks.
    Completions(Completions),
    /// Print the manual page: `offgridflow-loadtest man | man -l -`.
    Man,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The file to write; `-` is standard output.
    #[arg(value_name = "FILE", default_value = "load.toml")]
    pub(super) file: PathBuf,
    /// What to load.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// Also write the report as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Also write the response times, second by second, as an HdrHistogram log to this file.
    #[arg(long, value_name = "FILE")]
    pub(super) hdr_log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) forms: Forms,
    /// Also write each second of the run as a line of JSON to this file, while it goes on.
    #[arg(long, value_name = "FILE")]
    pub(super) windows: Option<PathBuf>,
    /// Neither the live view nor a line a second on standard error.
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// A line a second in place of the live view, also on a terminal.
    #[arg(long)]
    pub(super) plain: bool,
    /// Show the plan and stop: nothing is sent, and nothing is written.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What to load, and how; the flags other than --threshold, --abort-if and --seed apply to a URL only.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("open").args(["rate", "replay"])))]
pub(super) struct Subject {
    /// A scenario file (SCENARIO.toml), or a URL that begins with http:// or (feature `tls`) https://
    #[arg(value_name = "SCENARIO|URL")]
    what: String,
    /// Operations a second (open loop). Without it, workers ask one after the other (closed loop), and what they leave out while they wait is estimated.
    #[arg(long, short, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Ask what this log holds, when it holds it, in place of --rate and --for.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["duration", "ramp_up", "ramp_down", "method", "body"])]
    replay: Option<PathBuf>,
    /// Replay so many times faster [default: 1]
    #[arg(long, value_name = "FACTOR", requires = "replay", value_parser = parse_number, allow_negative_numbers = true)]
    speed: Option<f64>,
    /// How the log is written: clf, csv or ndjson [default: by its extension]
    #[arg(long, requires = "replay")]
    format: Option<LogFormat>,
    /// The log's column or field with the time [default: time, timestamp, @timestamp or ts]
    #[arg(long, value_name = "NAME", requires = "replay")]
    log_time: Option<String>,
    /// The log's column or field with the method [default: method]
    #[arg(long, value_name = "NAME", requires = "replay")]
    log_method: Option<String>,
    /// The log's column or field with path and query [default: path, in NDJSON also uri]
    #[arg(long, value_name = "NAME", requires = "replay")]
    log_path: Option<String>,
    /// The share of the log's lines that may be unusable [default: 1%]
    #[arg(long, value_name = "SHARE", requires = "replay", value_parser = parse_share)]
    max_refused: Option<f64>,
    /// How long the full load lasts [default: 30s]
    #[arg(long = "for", short = 'd', value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    duration: Option<Duration>,
    /// Workers of a closed loop; with --rate the most operations in flight [default: 256]
    #[arg(long, short = 'c', value_name = "COUNT", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    workers: Option<usize>,
    /// Grow from nothing over this long, before [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    ramp_up: Option<Duration>,
    /// Fall to nothing over this long, after [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    ramp_down: Option<Duration>,
    /// Rest of a worker after each answer [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    think_time: Option<Duration>,
    /// How long an answer is expected to take: refuses what --workers cannot keep in flight at --rate [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    expected_latency: Option<Duration>,
    /// Give an operation up after this long [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Count an operation in `late_ratio` that is answered later than this after its intended start.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true, requires = "open")]
    deadline: Option<Duration>,
    /// Do not run an operation whose deadline has passed before it could begin.
    #[arg(long, requires = "deadline")]
    shed: bool,
    /// Leave this much of the start out of the numbers, or `auto` until the response times are steady [default: none]
    #[arg(long, value_name = "DURATION|auto")]
    warm_up: Option<WarmUp>,
    /// Random (Poisson) arrivals in place of even ones.
    #[arg(long)]
    poisson: bool,
    /// Random arrivals of this shape: 1 is Poisson, below 1 in bursts, above more regular.
    #[arg(
        long,
        value_name = "SHAPE",
        conflicts_with = "poisson",
        value_parser = parse_number,
        allow_negative_numbers = true
    )]
    gamma: Option<f64>,
    /// Arrivals beyond --workers wait, in place of failing.
    #[arg(long, requires = "open")]
    queue: bool,
    /// Seed of every random number, in place of a scenario's [default: 0]
    #[arg(long, value_parser = parse_count::<u64>, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Threads that send [default: one for each 10 000/s, at most half the cores]
    #[arg(long, value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    shards: Option<usize>,
    /// Spin before each arrival: finer pacing for a core a shard.
    #[arg(long)]
    spin: bool,
    /// HTTP method [default: GET, or POST with --body]
    #[arg(long, short = 'X')]
    method: Option<String>,
    /// Header, as `name: value`; repeatable.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Bearer token with every request, from the environment: the name of the variable that holds it.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "basic_env")]
    bearer_env: Option<String>,
    /// Basic credentials with every request, from the environment: the name of the variable that holds `user:password`.
    #[arg(long, value_name = "VARIABLE")]
    basic_env: Option<String>,
    /// Keep cookies, each connection's own.
    #[arg(long)]
    cookies: bool,
    /// Body of every request, as it stands here (no `@file`; a scenario's route has room for longer ones).
    #[arg(long)]
    body: Option<String>,
    /// Speak HTTP/2 (feature `http2`) on at most so many connections, which operations share.
    #[arg(long, value_name = "CONNECTIONS", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    http2: Option<usize>,
    /// Believe the certificate authorities of this PEM file, and no others [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Believe any certificate.
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// The share of operations that may fail; 100% judges no failures [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    failure_threshold: Option<f64>,
    /// A condition such as `p95(response) < 100ms`; repeatable, also added to a scenario's.
    #[arg(long = "threshold", short = 't', value_name = "CONDITION")]
    thresholds: Vec<String>,
    /// A condition on the last seconds that ends the run (exit code 5), such as `failure_ratio[10s] > 50% after 30s`; repeatable, also added to a scenario's.
    #[arg(long = "abort-if", value_name = "RULE")]
    abort_if: Vec<String>,
}

impl Subject {
    /// The validated load test.
    pub(super) fn load_test(&self) -> Result<LoadTest<HttpTarget>, ConfigError> {
        let test = if self.what.contains("://") { self.quick()? } else { self.scenario()? };
        let test = self.thresholds.iter().fold(test, LoadTest::threshold);
        let test = self.abort_if.iter().fold(test, LoadTest::abort_if);
        test.validate()?;
        Ok(test)
    }

    fn scenario(&self) -> Result<LoadTest<HttpTarget>, ConfigError> {
        let looks_like_host = self
            .what
            .rsplit_once(':')
            .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
        if looks_like_host && !std::path::Path::new(&self.what).exists() {
            let hint = format!("`{0}` is no file: did you mean http://{0}?", self.what);
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
        let read = Scenario::read(&self.what).map(|scenario| match self.seed {
            Some(seed) => scenario.with_seed(seed),
            None => scenario,
        });
        read.and_then(|scenario| scenario.load_test())
    }

    /// With credentials from the environment, where a variable was named.
    fn authorized(&self, target: HttpTarget) -> Result<HttpTarget, ConfigError> {
        if let Some(name) = &self.bearer_env {
            let token = variable("--bearer-env", name)?;
            return target.bearer(&token).map_err(|error| ConfigError::new("--bearer-env", error.hint));
        }
        let Some(name) = &self.basic_env else { return Ok(target) };
        let said = variable("--basic-env", name)?;
        let pair = said.split_once(':').ok_or_else(|| {
            ConfigError::new("--basic-env", format!("`{name}` does not hold a user, a colon and a password"))
        });
        let (user, password) = pair?;
        target.basic(user, password).map_err(|error| ConfigError::new("--basic-env", error.hint))
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
            || self.spin
            || self.http2.is_some()
            || self.bearer_env.is_some()
            || self.basic_env.is_some()
            || self.cookies
            || self.ca_file.is_some()
            || self.insecure
            || !self.headers.is_empty()
    }

    fn quick(&self) -> Result<LoadTest<HttpTarget>, ConfigError> {
        self.replays()?;
        self.arrives_at_random()?;
        let settings = self.settings();
        settings.validate()?;
        let (seed, replay) = (self.seed.unwrap_or(0), self.replay()?);
        let target = self.target(replay.as_ref())?;
        let mut test = LoadTest::new(target).settings(&settings).spin(self.spin).seed(seed);
        test = test.warm_up(self.warm_up.unwrap_or_default());
        if self.poisson {
            test = test.executor(Executor::poisson(settings.open_rate(), seed));
        }
        if let Some(shape) = self.gamma {
            test = test.executor(Executor::gamma(settings.open_rate(), shape, seed));
        }
        if let Some(replay) = replay {
            test = test.executor(Executor::replay(replay));
        }
        if let Some(deadline) = self.deadline {
            test = test.deadline(deadline, if self.shed { Overload::Shed } else { Overload::Queue });
        }
        if self.queue {
            test = test.max_in_flight(settings.concurrent_workers, OnCap::Queue);
        }
        Ok(match self.shards {
            Some(shards) => test.shards(shards),
            None => test,
        })
    }

    /// Refuses what says something of a log where there is none. (The parser waives `requires` where --rate excludes --replay.)
    fn replays(&self) -> Result<(), ConfigError> {
        let said = [
            (self.speed.is_some(), "--speed"),
            (self.format.is_some(), "--format"),
            (self.log_time.is_some(), "--log-time"),
            (self.log_method.is_some(), "--log-method"),
            (self.log_path.is_some(), "--log-path"),
            (self.max_refused.is_some(), "--max-refused"),
        ];
        match said.into_iter().find(|&(said, _)| said && self.replay.is_none()) {
            Some((_, flag)) => Err(ConfigError::new(flag, "is about a log: add --replay LOG")),
            None => Ok(()),
        }
    }

    /// Refuses random arrivals where no rate says how many.
    fn arrives_at_random(&self) -> Result<(), ConfigError> {
        let said = [(self.poisson, "--poisson"), (self.gamma.is_some(), "--gamma")];
        match said.into_iter().find(|&(said, _)| said && self.rate.is_none()) {
            Some((_, flag)) => {
                let hint =
                    "is about arrivals at a rate: add --rate; workers and a log have times of their own";
                Err(ConfigError::new(flag, hint))
            }
            None => Ok(()),
        }
    }

    fn settings(&self) -> Settings {
        let default = Settings::default();
        Settings {
            duration: self.duration.unwrap_or(default.duration),
            concurrent_workers: self.workers.unwrap_or(default.concurrent_workers),
            requests_per_second: self.rate,
            ramp_up: self.ramp_up.unwrap_or(default.ramp_up),
            ramp_down: self.ramp_down.unwrap_or(default.ramp_down),
            think_time: self.think_time.unwrap_or(default.think_time),
            timeout: self.timeout.unwrap_or(default.timeout),
            expected_latency: self.expected_latency.unwrap_or(default.expected_latency),
            failure_threshold: self.failure_threshold.or(default.failure_threshold),
        }
    }

    /// The log, read.
    fn replay(&self) -> Result<Option<Arc<Replay>>, ConfigError> {
        let Some(file) = &self.replay else { return Ok(None) };
        let format = self.format.clone().unwrap_or_else(|| LogFormat::of_path(file));
        let fields = Fields {
            time: self.log_time.clone(),
            method: self.log_method.clone(),
            path: self.log_path.clone(),
        };
        let format = format.with_fields(fields).map_err(|error| ConfigError::new("--replay", error.hint))?;
        let mut builder = Replay::builder(format).speed(self.speed.unwrap_or(1.0));
        if let Some(share) = self.max_refused {
            builder = builder.max_refused(share);
        }
        let replay = builder.open(file).map_err(|error| match error {
            ReplayError::Config(ConfigError { field, hint, .. }) => {
                ConfigError::new(format!("--{}", field.replace('_', "-")), hint)
            }
            error => ConfigError::new("--replay", explain(file, &error)),
        })?;
        Ok(Some(Arc::new(replay)))
    }

    fn target(&self, replay: Option<&Arc<Replay>>) -> Result<HttpTarget, ConfigError> {
        let mut target = HttpTarget::new(&self.what)?;
        if let Some(connections) = self.http2 {
            target = target.http2(connections).map_err(|error| ConfigError::new("--http2", error.hint))?;
        }
        if let Some(file) = &self.ca_file {
            target = trusting(target, file).map_err(|error| ConfigError::new("--ca-file", error.hint))?;
        }
        if self.insecure {
            target = target.insecure().map_err(|error| ConfigError::new("--insecure", error.hint))?;
        }
        for header in &self.headers {
            let pair = header.split_once(':');
            let (name, value) =
                pair.ok_or_else(|| ConfigError::new("--header", "write it as `name: value`"))?;
            target = target.header(name.trim(), value.trim())?;
        }
        target = self.authorized(target)?;
        if self.cookies {
            target = target.cookies();
        }
        if let Some(replay) = replay {
            return target
                .replaying(Arc::clone(replay))
                .map_err(|error| ConfigError::new("--replay", error.hint));
        }
        if self.method.is_none() && self.body.is_none() {
            return Ok(target);
        }
        let method = self.method.as_deref().unwrap_or("POST");
        let mut route = HttpRoute::new(method, target.path())?.whole_path();
        if let Some(body) = &self.body {
            route = route.body(body.clone());
        }
        Ok(target.route(route))
    }
}

/// What a variable of the environment holds; a refusal names it.
fn variable(flag: &str, name: &str) -> Result<String, ConfigError> {
    std::env::var(name).map_err(|_| ConfigError::new(flag, format!("the environment has no `{name}`")))
}

fn parse_count<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "write a whole number from 0 up")
}

fn parse_number(text: &str) -> Result<f64, &'static str> {
    text.parse().map_err(|_| "write a number")
}

fn parse_share(text: &str) -> Result<f64, String> {
    parse_percent(text).map(|percent| percent / 100.0)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number of operations a second")?;
    Rate::constant(rate, Duration::from_secs(1)).validate().map_err(|error| error.hint)?;
    Ok(rate)
}
