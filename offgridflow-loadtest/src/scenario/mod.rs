//! A load test in a file.

mod auth;
mod command;
mod flow;
mod http;
mod lines;
mod load;
mod log;
mod route;
mod stage;
mod statement;
mod suggest;
mod target;
mod template;
mod value;
mod values;
mod words;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use command::Command;
use flow::Flow;
pub(crate) use http::trusting;
use lines::{line_of_field, located};
use load::Load;
pub(crate) use log::{CLIENT, explain, visits_in_flight};
use route::{Around, Route};
use statement::{Statement, Transaction};
pub(crate) use target::Kind;
use target::Target;
#[cfg(not(all(feature = "sql", feature = "redis")))]
pub(crate) use target::without;
use template::Sources;

use crate::{
    error::ConfigError,
    executor::Executor,
    feed::{Feed, FeedMode},
    run::LoadTest,
    target::any::AnyTarget,
};

/// A load test of an HTTP service, a database (feature `sql`) or a Redis server (feature `redis`) as a TOML file says it. Unknown fields are refused.
///
/// ```
/// let text = r#"
///     thresholds = ["p95(response) < 100ms", "achieved_rate >= 99%"]
///
///     [target]
///     url = "http://127.0.0.1:8080"
///
///     [load]
///     requests_per_second = 1000
///     duration = "30s"
///     ramp_up = "5s"
///
///     [[route]]
///     path = "/emissions"
///     weight = 9
///
///     [[route]]
///     method = "POST"
///     path = "/activities"
///     headers = { content-type = "application/json" }
///     body = '{"litres": 12}'
/// "#;
/// let plan = offgridflow_loadtest::Scenario::parse(text)?.load_test()?.validate()?;
/// assert_eq!(plan.executor.duration().as_secs(), 35);
///
/// let wrong = offgridflow_loadtest::Scenario::parse(&text.replace("30s", "0s"))?.load_test().unwrap_err();
/// assert_eq!((&*wrong.field, wrong.line), ("load.duration", Some(9)));
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Scenario {
    file: File,
    text: String,          // for the lines of errors
    path: Option<PathBuf>, // of the file, in whose folder the names of other files begin
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f) // the text holds secrets
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    thresholds: Vec<String>,
    #[serde(default)]
    abort_if: Vec<String>,
    #[serde(default)]
    seed: u64,
    target: Target,
    #[serde(default)]
    load: Load,
    feed: Option<Table>,
    #[serde(default)]
    route: Vec<Route>,
    #[serde(default)]
    flow: Vec<Flow>,
    #[serde(default)]
    statement: Vec<Statement>,
    #[serde(default)]
    transaction: Vec<Transaction>,
    #[serde(default)]
    command: Vec<Command>,
}

/// A table of data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    file: PathBuf,
    mode: Option<String>,
}

impl Scenario {
    /// Reads the text of a file. Names of other files (a log to replay, a table, a body) are relative to the working directory.
    ///
    /// # Errors
    /// What is not TOML, not known, or not of the right type, with line and field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = toml::from_str(text).map_err(|error| located(text, &error))?;
        Ok(Self { file, text: text.to_owned(), path: None })
    }

    /// Reads a file. Names of other files (a log to replay, a table, a body) are relative to its folder.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), with the file's name; also a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new("", format!("cannot read {}: {error}", path.display())))?;
        let read =
            Self::parse(&text).map_err(|error| ConfigError { file: Some(path.to_owned()), ..error })?;
        Ok(Self { path: Some(path.to_owned()), ..read })
    }

    /// With another seed than the file's.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.file.seed = seed;
        self
    }

    /// At another rate and length than the file's, with so many in flight where it says nothing.
    pub(crate) fn paced(mut self, per_sec: f64, length: Duration, in_flight: usize) -> Self {
        self.file.load.pace(per_sec, length, in_flight);
        self
    }

    /// With so many workers in a closed loop in place of the file's load.
    pub(crate) fn stepped(mut self, workers: usize, length: Duration) -> Self {
        self.file.load.step(workers, length);
        self
    }

    /// The load test it describes, validated; the other files are read now.
    ///
    /// # Errors
    /// What the builders refuse, with field and line.
    pub fn load_test(&self) -> Result<LoadTest<AnyTarget>, ConfigError> {
        let test = self.build().map_err(|error| self.locate(error))?;
        test.validate().map_err(|error| self.locate(error))?;
        Ok(test)
    }

    fn build(&self) -> Result<LoadTest<AnyTarget>, ConfigError> {
        let File { thresholds, abort_if, seed, load, .. } = &self.file;
        let settings = load.settings();
        settings.validate()?;
        let folder = self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let replay = load.replay(folder)?;
        let feed = self.file.feed.as_ref().map(|table| table.read(folder)).transpose()?;
        let from = Sources { feed: feed.as_ref(), flow: None };
        let target = self.target(replay.as_ref(), &Around { from, folder }, settings.timeout)?;
        let test = LoadTest::new(target).settings(&settings).seed(*seed).spin(load.spin()?);
        let test = match feed {
            Some(feed) => test.feed(feed),
            None => test,
        };
        let executor = match replay {
            Some(ref replay) => Some(Executor::replay(Arc::clone(replay))),
            None => load.executor(&settings, *seed)?,
        };
        let test = match executor {
            Some(executor) => test.executor(executor),
            None => test,
        };
        let mut test = test.max_in_flight(settings.concurrent_workers, load.on_cap());
        if let Some(replay) = replay.filter(|replay| replay.has_visits()) {
            let workers = visits_in_flight(&replay, load.concurrent_workers)?;
            test = test.max_in_flight(workers, load.on_cap()).timeout(replay.longest_visit(settings.timeout));
        }
        test = test.warm_up(load.warm_up());
        if let Some((deadline, overload)) = load.deadline()? {
            test = test.deadline(deadline, overload);
        }
        if let Some(shards) = load.shards {
            test = test.shards(shards);
        }
        if let Some(sessions) = load.warm_sessions {
            test = test.warm_sessions(sessions);
        }
        let test = thresholds.iter().fold(test, LoadTest::threshold);
        Ok(abort_if.iter().fold(test, LoadTest::abort_if))
    }

    /// Gives an error its file and line, and settings their table's name.
    fn locate(&self, mut error: ConfigError) -> ConfigError {
        error.file.clone_from(&self.path);
        for field in [error.field.clone(), format!("load.{}", error.field)] {
            if let Some(line) = line_of_field(&self.text, &field) {
                (error.field, error.line) = (field, Some(line));
                return error;
            }
        }
        // What is missing has no line of its own: that of what it is missing in.
        let mut place = &*error.field;
        while let Some((around, _)) = place.rsplit_once('.').filter(|_| error.line.is_none()) {
            error.line = line_of_field(&self.text, around);
            place = around;
        }
        error
    }
}

impl Table {
    fn read(&self, folder: &Path) -> Result<Feed, ConfigError> {
        let mode = self.mode.as_deref().map_or(Ok(FeedMode::default()), str::parse);
        let mode = mode.map_err(within("feed"))?;
        let feed = Feed::open(folder.join(&self.file));
        Ok(feed.map_err(|error| ConfigError::new("feed.file", error.hint))?.mode(mode))
    }
}

fn within(table: &str) -> impl Fn(ConfigError) -> ConfigError + use<> {
    let table = table.to_owned();
    move |mut error| {
        error.field = format!("{table}.{}", error.field);
        error
    }
}
