//! A load test from flags alone.

use std::sync::Arc;

use super::Subject;
use crate::{
    AnyTarget, Closed, ConfigError, Executor, Fields, LoadTest, LogFormat, OnCap, Overload, Replay,
    ReplayError, Settings, Spin,
    scenario::{CLIENT, explain, visits_in_flight},
};

impl Subject {
    pub(super) fn quick(&self) -> Result<LoadTest<AnyTarget>, ConfigError> {
        self.replays()?;
        self.arrives()?;
        let settings = self.settings();
        settings.validate()?;
        let (seed, replay) = (self.seed.unwrap_or(0), self.replay()?);
        let target = self.any_target(replay.as_ref())?;
        let mut test = LoadTest::new(target).settings(&settings).spin(self.spin()).seed(seed);
        test = test.warm_up(self.warm_up.unwrap_or_default());
        if let Executor::Closed(closed) = settings.executor() {
            test = test.executor(Executor::Closed(self.worked(closed)));
        }
        if self.poisson {
            test = test.executor(Executor::poisson(settings.open_rate(), seed));
        }
        if let Some(shape) = self.gamma {
            test = test.executor(Executor::gamma(settings.open_rate(), shape, seed));
        }
        if let Some(bursts) = self.bursts {
            test = test.executor(Executor::bursty(settings.open_rate(), bursts, seed));
        }
        if let Some(replay) = &replay {
            test = test.executor(Executor::replay(Arc::clone(replay)));
        }
        if let Some(deadline) = self.deadline {
            test = test.deadline(deadline, if self.shed { Overload::Shed } else { Overload::Queue });
        }
        if self.queue {
            test = test.max_in_flight(settings.concurrent_workers, OnCap::Queue);
        }
        if let Some(replay) = replay.filter(|replay| replay.has_visits()) {
            let on_cap = if self.queue { OnCap::Queue } else { OnCap::CountAsFailure };
            let workers = visits_in_flight(&replay, self.workers)?;
            test = test.max_in_flight(workers, on_cap).timeout(replay.longest_visit(settings.timeout));
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
            (self.log_client.is_some(), "--log-client"),
            (self.visits.is_some(), "--visits"),
            (self.max_refused.is_some(), "--max-refused"),
        ];
        match said.into_iter().find(|&(said, _)| said && self.replay.is_none()) {
            Some((_, flag)) => Err(ConfigError::new(flag, "is about a log: add --replay LOG")),
            None => Ok(()),
        }
    }

    /// Refuses what is about arrivals where there are none, and random ones where no rate says how many.
    fn arrives(&self) -> Result<(), ConfigError> {
        let open = self.rate.is_some() || self.replay.is_some();
        let said = [
            (self.deadline.is_some(), "--deadline"),
            (self.queue, "--queue"),
            (self.slack.is_some(), "--slack"),
        ];
        if let Some((_, flag)) = said.into_iter().find(|&(said, _)| said && !open) {
            return Err(ConfigError::new(flag, "is about an open loop: add --rate or --replay"));
        }
        let said = [
            (self.poisson, "--poisson"),
            (self.gamma.is_some(), "--gamma"),
            (self.bursts.is_some(), "--bursts"),
        ];
        match said.into_iter().find(|&(said, _)| said && self.rate.is_none()) {
            Some((_, flag)) => {
                let hint =
                    "is about arrivals at a rate: add --rate; workers and a log have times of their own";
                Err(ConfigError::new(flag, hint))
            }
            None => Ok(()),
        }
    }

    /// How the last stretch before an arrival is spent.
    fn spin(&self) -> Spin {
        self.slack.map_or(self.spin.into(), Spin::Slack)
    }

    /// The closed loop that the flags describe.
    fn worked(&self, closed: Closed) -> Closed {
        let mut closed = Closed { iterations: self.iterations, saturate: self.saturate, ..closed };
        if let (Some(all), None) = (self.iterations, self.duration) {
            let Executor::Closed(longest) = Executor::iterations(all, closed.workers) else { return closed };
            closed.duration = longest.duration;
        }
        closed
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
        let usual_client = self.visits.is_some() && format.has_names();
        let fields = Fields {
            time: self.log_time.clone(),
            method: self.log_method.clone(),
            path: self.log_path.clone(),
            host: None,
            client: self.log_client.clone().or_else(|| usual_client.then(|| CLIENT.to_owned())),
        };
        let format = format.with_fields(fields).map_err(|error| ConfigError::new("--replay", error.hint))?;
        let mut builder = Replay::builder(format).speed(self.speed.unwrap_or(1.0));
        if let Some(share) = self.max_refused {
            builder = builder.max_refused(share);
        }
        if let Some(longest_pause) = self.visits {
            builder = builder.visits(longest_pause);
        }
        let replay = builder.open(file).map_err(|error| match error {
            ReplayError::Config(ConfigError { field, hint, .. }) => {
                ConfigError::new(format!("--{}", field.replace('_', "-")), hint)
            }
            error => ConfigError::new("--replay", explain(file, &error)),
        })?;
        Ok(Some(Arc::new(replay)))
    }
}
