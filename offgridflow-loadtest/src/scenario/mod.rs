//! A load test in a file.

mod lines;
mod values;

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use serde::Deserialize;

use lines::{line_of_field, located};
use values::{Secret, Share, Span, Statuses};

use crate::{
    error::ConfigError,
    executor::{Executor, OnCap},
    rate::Rate,
    run::LoadTest,
    settings::Settings,
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
    text: String, // for the lines of errors
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    duration: Option<Span>,
    concurrent_workers: Option<usize>,
    requests_per_second: Option<f64>,
    ramp_up: Option<Span>,
    ramp_down: Option<Span>,
    think_time: Option<Span>,
    timeout: Option<Span>,
    failure_threshold: Option<Share>,
    expected_latency: Option<Span>,
    stages: Option<Vec<Stage>>,
    #[serde(default)]
    arrivals: Arrivals,
    #[serde(default)]
    on_cap: Cap,
    shards: Option<usize>,
    warm_sessions: Option<usize>,
    #[serde(default)]
    spin: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    over: Span,
    to: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Arrivals {
    #[default]
    Steady,
    Poisson,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cap {
    #[default]
    Fail,
    Queue,
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
    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is not TOML, not known, or not of the right type, with line and field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file = toml::from_str(text).map_err(|error| located(text, &error))?;
        Ok(Self { file, text: text.to_owned() })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); also a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new("", format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text)
    }

    /// The load test it describes, validated.
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
        let test = LoadTest::new(self.target()?).settings(&settings).seed(*seed).spin(load.spin);
        let test = match load.executor(&settings, *seed)? {
            Some(executor) => test.executor(executor),
            None => test,
        };
        let on_cap = match load.on_cap {
            Cap::Fail => OnCap::CountAsFailure,
            Cap::Queue => OnCap::Queue,
        };
        let mut test = test.max_in_flight(settings.concurrent_workers, on_cap);
        if let Some(shards) = load.shards {
            test = test.shards(shards);
        }
        if let Some(sessions) = load.warm_sessions {
            test = test.warm_sessions(sessions);
        }
        Ok(thresholds.iter().fold(test, LoadTest::threshold))
    }

    fn target(&self) -> Result<HttpTarget, ConfigError> {
        let Target { url, headers } = &self.file.target;
        let mut target = HttpTarget::new(url).map_err(within("target"))?;
        for (name, Secret(value)) in headers {
            target = target.header(name, value).map_err(within("target"))?;
        }
        for (index, route) in self.file.route.iter().enumerate() {
            target = target.route(route.build().map_err(within(&format!("route.{index}")))?);
        }
        Ok(target)
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

impl Load {
    fn settings(&self) -> Settings {
        let default = Settings::default();
        let span = |span: Option<Span>, default: Duration| span.map_or(default, |Span(span)| span);
        Settings {
            duration: span(self.duration, default.duration),
            concurrent_workers: self.concurrent_workers.unwrap_or(default.concurrent_workers),
            requests_per_second: self.requests_per_second,
            ramp_up: span(self.ramp_up, default.ramp_up),
            ramp_down: span(self.ramp_down, default.ramp_down),
            think_time: span(self.think_time, default.think_time),
            timeout: span(self.timeout, default.timeout),
            failure_threshold: self
                .failure_threshold
                .map_or(default.failure_threshold, |Share(share)| Some(share)),
            expected_latency: span(self.expected_latency, default.expected_latency),
        }
    }

    /// What stages or random arrivals put in place of the plain settings.
    fn executor(&self, settings: &Settings, seed: u64) -> Result<Option<Executor>, ConfigError> {
        let rate = match (&self.stages, self.requests_per_second) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::new(
                    "stages",
                    "give either stages or requests_per_second, not both",
                ));
            }
            (Some(_), None)
                if self.duration.is_some() || self.ramp_up.is_some() || self.ramp_down.is_some() =>
            {
                return Err(ConfigError::new(
                    "stages",
                    "stages have durations of their own: leave out duration, ramp_up and ramp_down",
                ));
            }
            (Some(stages), None) => {
                stages.iter().fold(Rate::default(), |rate, stage| rate.then_ramp_to(stage.to, stage.over.0))
            }
            (None, Some(_)) if self.arrivals == Arrivals::Poisson => settings.open_rate(),
            (None, _) => return Ok(None),
        };
        rate.validate().map_err(|error| ConfigError::new("stages", error.hint))?;
        Ok(Some(match self.arrivals {
            Arrivals::Steady => Executor::open(rate),
            Arrivals::Poisson => Executor::poisson(rate, seed),
        }))
    }
}

impl Route {
    fn build(&self) -> Result<HttpRoute, ConfigError> {
        let mut route = HttpRoute::new(self.method.as_deref().unwrap_or("GET"), &*self.path)?;
        route.check()?;
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
        if let Some(Statuses(from, to)) = self.expect {
            route = route.expect(from..=to);
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
