//! A load test in a file.

mod lines;
mod load;
mod log;
mod stage;
mod values;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use lines::{line_of_field, located};
use load::Load;
pub(crate) use log::explain;
use values::{Secret, Statuses};

use crate::{
    error::ConfigError,
    executor::Executor,
    replay::Replay,
    run::LoadTest,
    target::http::{HttpRoute, HttpTarget},
};

/// A load test of an HTTP service as a TOML file says it. Unknown fields are refused.
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
    text: String,    // for the lines of errors
    folder: PathBuf, // where the names of other files begin
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
    seed: u64,
    target: Target,
    #[serde(default)]
    load: Load,
    #[serde(default)]
    route: Vec<Route>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: String,
    method: Option<String>,
    name: Option<String>,
    weight: Option<u32>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    body: Option<Secret>,
    expect: Option<Statuses>,
}

impl Scenario {
    /// Reads the text of a file. Names of other files (a log to replay) are relative to the working directory.
    ///
    /// # Errors
    /// What is not TOML, not known, or not of the right type, with line and field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = toml::from_str(text).map_err(|error| located(text, &error))?;
        Ok(Self { file, text: text.to_owned(), folder: PathBuf::new() })
    }

    /// Reads a file. Names of other files (a log to replay) are relative to its folder.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); also a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new("", format!("cannot read {}: {error}", path.display())))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { folder, ..Self::parse(&text)? })
    }

    /// With another seed than the file's.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.file.seed = seed;
        self
    }

    /// The load test it describes, validated; a log to replay is read now.
    ///
    /// # Errors
    /// What the builders refuse, with field and line.
    pub fn load_test(&self) -> Result<LoadTest<HttpTarget>, ConfigError> {
        let test = self.build().map_err(|error| self.locate(error))?;
        test.validate().map_err(|error| self.locate(error))?;
        Ok(test)
    }

    fn build(&self) -> Result<LoadTest<HttpTarget>, ConfigError> {
        let File { thresholds, seed, load, .. } = &self.file;
        let settings = load.settings();
        settings.validate()?;
        let replay = load.replay(&self.folder)?;
        let test =
            LoadTest::new(self.target(replay.as_ref())?).settings(&settings).seed(*seed).spin(load.spin);
        let executor = match replay {
            Some(replay) => Some(Executor::replay(replay)),
            None => load.executor(&settings, *seed)?,
        };
        let test = match executor {
            Some(executor) => test.executor(executor),
            None => test,
        };
        let mut test = test.max_in_flight(settings.concurrent_workers, load.on_cap());
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
        Ok(thresholds.iter().fold(test, LoadTest::threshold))
    }

    /// Routes, where there are any, are asked in place of what a log holds.
    fn target(&self, replay: Option<&Arc<Replay>>) -> Result<HttpTarget, ConfigError> {
        let Target { url, headers } = &self.file.target;
        let mut target = HttpTarget::new(url).map_err(within("target"))?;
        for (name, Secret(value)) in headers {
            target = target.header(name, value).map_err(within("target"))?;
        }
        if let Some(replay) = replay.filter(|_| self.file.route.is_empty()) {
            target = target.replaying(Arc::clone(replay))?;
        }
        self.refuse_the_same_route_twice()?;
        for (index, route) in self.file.route.iter().enumerate() {
            target = target.route(route.build().map_err(within(&format!("route.{index}")))?);
        }
        Ok(target)
    }

    /// Routes count together where each says the name, and not by mistake.
    fn refuse_the_same_route_twice(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for (index, route) in self.file.route.iter().enumerate().filter(|(_, route)| route.name.is_none()) {
            let method = route.method.as_deref().unwrap_or("GET");
            let path = route.path.split('?').next().unwrap_or_default();
            if !seen.insert((method, path)) {
                let hint = format!(
                    "`{method} {path}` stands there twice, and nobody could tell the two apart: give each a name, or both the same one to count them together"
                );
                return Err(ConfigError::new(format!("route.{index}.path"), hint));
            }
        }
        Ok(())
    }

    /// Gives an error its line, and settings their table's name.
    fn locate(&self, mut error: ConfigError) -> ConfigError {
        for field in [error.field.clone(), format!("load.{}", error.field)] {
            if let Some(line) = line_of_field(&self.text, &field) {
                (error.field, error.line) = (field, Some(line));
                break;
            }
        }
        error
    }
}

impl Route {
    fn build(&self) -> Result<HttpRoute, ConfigError> {
        let mut route = HttpRoute::new(self.method.as_deref().unwrap_or("GET"), &*self.path)?;
        route.sound()?;
        if self.weight == Some(0) {
            return Err(ConfigError::new("weight", "must be at least 1; leave the route out instead"));
        }
        route = route.weight(self.weight.unwrap_or(1));
        for (name, Secret(value)) in &self.headers {
            route = route.header(name, value)?;
        }
        if let Some(name) = &self.name {
            route = route.named(name);
        }
        if let Some(Secret(body)) = &self.body {
            route = route.body(body.clone());
        }
        if let Some((first, more)) = self.expect.as_ref().and_then(|Statuses(all)| all.split_first()) {
            route = more.iter().cloned().fold(route.expect(first.clone()), HttpRoute::or_expect);
        }
        Ok(route)
    }
}

fn within(table: &str) -> impl Fn(ConfigError) -> ConfigError + use<> {
    let table = table.to_owned();
    move |mut error| {
        error.field = format!("{table}.{}", error.field);
        error
    }
}
