//! How much load, and when.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    log::Log,
    stage::{Stage, rate_of},
    values::{Share, Span, Warm},
};
use crate::{
    error::ConfigError,
    executor::{Closed, Executor, OnCap, Overload},
    plan::Spin,
    replay::Replay,
    schedule::Bursts,
    settings::Settings,
    warm_up::WarmUp,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Load {
    duration: Option<Span>,
    pub(super) concurrent_workers: Option<usize>,
    requests_per_second: Option<f64>,
    ramp_up: Option<Span>,
    ramp_down: Option<Span>,
    think_time: Option<Span>,
    timeout: Option<Span>,
    deadline: Option<Span>,
    #[serde(default)]
    overload: Late,
    warm_up: Option<Warm>,
    failure_threshold: Option<Share>,
    expected_latency: Option<Span>,
    stages: Option<Vec<Stage>>,
    replay: Option<Log>,
    arrivals: Option<Arrivals>,
    shape: Option<f64>,
    bursts: Option<InBursts>,
    iterations: Option<u64>,
    #[serde(default)]
    saturate: bool,
    #[serde(default)]
    on_cap: Cap,
    pub(super) shards: Option<usize>,
    pub(super) warm_sessions: Option<usize>,
    #[serde(default)]
    pub(super) spin: bool,
    pub(super) slack: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Arrivals {
    Steady,
    Poisson,
    Gamma,
    Bursts,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct InBursts {
    times: f64,
    share: Share,
    length: Span,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cap {
    #[default]
    Fail,
    Queue,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Late {
    #[default]
    Queue,
    Shed,
}

impl Load {
    /// A steady open loop in place of what the file has, of its kind of arrivals.
    pub(super) fn pace(&mut self, per_sec: f64, length: Duration, in_flight: usize) {
        self.requests_per_second = Some(per_sec);
        self.duration = Some(Span(length));
        self.concurrent_workers.get_or_insert(in_flight);
        (self.ramp_up, self.ramp_down, self.stages, self.replay) = (None, None, None, None);
        (self.iterations, self.saturate) = (None, false);
    }

    /// A closed loop of so many workers in place of what the file has.
    pub(super) fn step(&mut self, workers: usize, length: Duration) {
        (self.requests_per_second, self.arrivals, self.shape, self.bursts) = (None, None, None, None);
        (self.concurrent_workers, self.duration) = (Some(workers), Some(Span(length)));
        (self.ramp_up, self.ramp_down, self.stages, self.replay) = (None, None, None, None);
        (self.iterations, self.saturate) = (None, false);
    }

    pub(super) fn deadline(&self) -> Result<Option<(Duration, Overload)>, ConfigError> {
        let overload = match self.overload {
            Late::Queue => Overload::Queue,
            Late::Shed => Overload::Shed,
        };
        if self.deadline.is_none() && self.overload == Late::Shed {
            return Err(ConfigError::new("overload", "there is nothing to shed without a deadline"));
        }
        Ok(self.deadline.map(|Span(deadline)| (deadline, overload)))
    }

    pub(super) fn warm_up(&self) -> WarmUp {
        self.warm_up.map_or(WarmUp::None, |Warm(warm_up)| warm_up)
    }

    pub(super) fn on_cap(&self) -> OnCap {
        match self.on_cap {
            Cap::Fail => OnCap::CountAsFailure,
            Cap::Queue => OnCap::Queue,
        }
    }

    pub(super) fn settings(&self) -> Settings {
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

    /// How the last stretch before an arrival is spent.
    pub(super) fn spin(&self) -> Result<Spin, ConfigError> {
        match self.slack {
            Some(_) if self.spin => {
                Err(ConfigError::new("slack", "is the opposite of spin: leave one of them out"))
            }
            Some(Span(slack)) => Ok(Spin::Slack(slack)),
            None => Ok(self.spin.into()),
        }
    }

    /// The hosts of the log, by what they are called here, where it is asked under them.
    pub(super) fn hosts(&self) -> Option<&BTreeMap<String, String>> {
        self.replay.as_ref()?.hosts.as_ref()
    }

    /// The log to replay, read; its name is relative to `folder`.
    pub(super) fn replay(&self, folder: &Path) -> Result<Option<Arc<Replay>>, ConfigError> {
        let Some(log) = &self.replay else { return Ok(None) };
        let set = self.plain_durations().chain([
            ("requests_per_second", self.requests_per_second.is_some()),
            ("stages", self.stages.is_some()),
            ("arrivals", self.arrivals.is_some()),
            ("shape", self.shape.is_some()),
            ("bursts", self.bursts.is_some()),
            ("iterations", self.iterations.is_some()),
            ("saturate", self.saturate),
        ]);
        refuse_any(set, "replay", "a replay has the times of its log")?;
        log.read(folder).map(|replay| Some(Arc::new(replay)))
    }

    /// What stages or random arrivals put in place of the plain settings.
    pub(super) fn executor(&self, settings: &Settings, seed: u64) -> Result<Option<Executor>, ConfigError> {
        let arrivals = self.arrivals.unwrap_or(Arrivals::Steady);
        if self.shape.is_some() && arrivals != Arrivals::Gamma {
            return Err(ConfigError::new("shape", "is for arrivals = \"gamma\""));
        }
        if self.bursts.is_some() && arrivals != Arrivals::Bursts {
            return Err(ConfigError::new("bursts", "is for arrivals = \"bursts\""));
        }
        if self.stages.is_some() || self.requests_per_second.is_some() {
            self.refuse_workers()?;
        }
        let rate = match (&self.stages, self.requests_per_second) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::new(
                    "stages",
                    "give either stages or requests_per_second, not both",
                ));
            }
            (Some(stages), None) => {
                refuse_any(self.plain_durations(), "stages", "stages have durations of their own")?;
                rate_of(stages)?
            }
            (None, Some(_)) if arrivals == Arrivals::Steady => return Ok(None),
            (None, Some(_)) => settings.open_rate(),
            (None, None) if arrivals == Arrivals::Steady => return Ok(self.worked(settings)),
            (None, None) => {
                let hint = "random arrivals need requests_per_second or stages: a closed loop has none";
                return Err(ConfigError::new("arrivals", hint));
            }
        };
        Ok(Some(match arrivals {
            Arrivals::Steady => Executor::open(rate),
            Arrivals::Poisson => Executor::poisson(rate, seed),
            Arrivals::Gamma => {
                let hint = "gamma arrivals need a shape: 1 is Poisson, 0.25 bursts, 4 more regular";
                let shape = self.shape.ok_or_else(|| ConfigError::new("arrivals", hint))?;
                Executor::gamma(rate, shape, seed)
            }
            Arrivals::Bursts => {
                let hint =
                    "bursts need to be described: bursts = { times = 5, share = \"10%\", length = \"2s\" }";
                let InBursts { times, share: Share(share), length: Span(length) } =
                    self.bursts.ok_or_else(|| ConfigError::new("arrivals", hint))?;
                Executor::bursty(rate, Bursts { times, share, length }, seed)
            }
        }))
    }

    /// The closed loop, where the file says more of it than the settings do.
    fn worked(&self, settings: &Settings) -> Option<Executor> {
        let Executor::Closed(closed) = settings.executor() else { return None };
        let mut closed = Closed { iterations: self.iterations, saturate: self.saturate, ..closed };
        if let (Some(all), None) = (self.iterations, self.duration)
            && let Executor::Closed(longest) = Executor::iterations(all, closed.workers)
        {
            closed.duration = longest.duration;
        }
        Some(Executor::Closed(closed))
    }

    /// Refuses what is about workers where a schedule decides.
    fn refuse_workers(&self) -> Result<(), ConfigError> {
        let said = [("iterations", self.iterations.is_some()), ("saturate", self.saturate)];
        match said.into_iter().find(|(_, said)| *said) {
            Some((field, _)) => {
                Err(ConfigError::new(field, "is about workers: leave out requests_per_second and stages"))
            }
            None => Ok(()),
        }
    }

    fn plain_durations(&self) -> impl Iterator<Item = (&'static str, bool)> {
        [
            ("duration", self.duration.is_some()),
            ("ramp_up", self.ramp_up.is_some()),
            ("ramp_down", self.ramp_down.is_some()),
        ]
        .into_iter()
    }
}

/// Refuses settings that something else makes meaningless.
fn refuse_any(
    set: impl Iterator<Item = (&'static str, bool)>,
    field: &str,
    because: &str,
) -> Result<(), ConfigError> {
    let names: Vec<_> = set.filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(ConfigError::new(field, format!("{because}: leave out {}", names.join(", "))))
}
