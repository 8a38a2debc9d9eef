//! Who decides when the next operation begins: the schedule (open loop) or the last answer (closed loop).

use std::{sync::Arc, time::Duration};

use crate::{
    control::{SharedTime, Steered},
    error::{ConfigError, bounded, positive},
    part::Part,
    rate::Rate,
    replay::Replay,
    schedule::{ArrivalProcess, Bursts, Schedule, sound},
};

/// How operations come about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Executor {
    /// Open loop: operations begin when the schedule says so, however slow the answers are. What users of a
    /// public service do; the only kind that shows what a stall costs them.
    Open(Arc<dyn ArrivalProcess>),
    /// Closed loop: so many workers, each waiting for its answer before it goes on. What a fixed pool of
    /// workers does; a slow target is asked less, for which response times are corrected
    /// ([`Correction`](crate::Correction)).
    Closed(Closed),
}

impl Executor {
    /// Open loop, arrivals evenly along `rate`.
    #[must_use]
    pub fn open(rate: Rate) -> Self {
        Schedule::steady(rate).into()
    }

    /// Open loop, random arrivals along `rate`; the same seed gives the same instants everywhere.
    #[must_use]
    pub fn poisson(rate: Rate, seed: u64) -> Self {
        Schedule::poisson(rate, seed).into()
    }

    /// Open loop, random arrivals along `rate` in bursts (`shape` below 1) or more regular than chance (above
    /// 1); see [`Schedule::gamma`].
    #[must_use]
    pub fn gamma(rate: Rate, shape: f64, seed: u64) -> Self {
        Schedule::gamma(rate, shape, seed).into()
    }

    /// Open loop, random arrivals whose rate switches between bursts and calm, with `rate` as the mean; see [`Schedule::bursty`].
    #[must_use]
    pub fn bursty(rate: Rate, bursts: Bursts, seed: u64) -> Self {
        Schedule::bursty(rate, bursts, seed).into()
    }

    /// Open loop, the arrivals of a log; the workload asks [`Replay::entry`] what operation
    /// [`Op::index`](crate::Op::index) stands for.
    #[must_use]
    pub fn replay(replay: impl Into<Arc<Replay>>) -> Self {
        Self::Open(replay.into())
    }

    /// Closed loop with `workers` for `duration`.
    #[must_use]
    pub fn closed(workers: usize, duration: Duration) -> Self {
        Self::Closed(Closed { workers, duration, ..Closed::default() })
    }

    /// Closed loop that ends once so many operations were done; an hour is the longest.
    #[must_use]
    pub fn iterations(operations: u64, workers: usize) -> Self {
        let (iterations, duration) = (Some(operations), LONGEST_ITERATIONS);
        Self::Closed(Closed { workers, duration, iterations, ..Closed::default() })
    }

    /// Closed loop that asks as fast as it is answered: how much gets done, not how long a user waits. See [`Closed::saturate`].
    #[must_use]
    pub fn saturate(workers: usize, duration: Duration) -> Self {
        Self::Closed(Closed { workers, duration, saturate: true, ..Closed::default() })
    }

    /// How many operations there are, where that is known before.
    pub(crate) fn operations(&self) -> Option<u64> {
        match self {
            Self::Open(arrivals) => Some(arrivals.operations()),
            Self::Closed(closed) => closed.iterations,
        }
    }

    /// Whether it may be over long before its longest duration.
    pub(crate) fn ends_early(&self) -> bool {
        matches!(self, Self::Closed(Closed { iterations: Some(_), .. }))
    }

    /// Who decides when it goes on.
    pub(crate) fn model(&self) -> Model {
        match self {
            Self::Open(_) => Model::Open,
            Self::Closed(closed) if closed.saturate => Model::Saturation,
            Self::Closed(_) => Model::Closed,
        }
    }

    /// How long it lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self {
            Self::Open(arrivals) => arrivals.duration(),
            Self::Closed(closed) => closed.run_at(closed.total()),
        }
    }

    /// The same by a time that can be steered.
    pub(crate) fn steered(self, time: &SharedTime) -> Self {
        match self {
            Self::Open(planned) => Self::Open(Arc::new(Steered::new(planned, time.clone()))),
            Self::Closed(closed) => Self::Closed(Closed { time: Some(time.clone()), ..closed }),
        }
    }

    pub(crate) fn arrivals(&self) -> Option<&Arc<dyn ArrivalProcess>> {
        if let Self::Open(arrivals) = self { Some(arrivals) } else { None }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Open(arrivals) => arrivals.validate().and_then(|()| sound(&**arrivals)),
            Self::Closed(closed) => closed.validate(),
        }
    }
}

impl From<Schedule> for Executor {
    /// An invalid schedule (see [`Schedule::validate`]) is refused when the test is validated.
    fn from(schedule: Schedule) -> Self {
        Self::Open(Arc::new(schedule))
    }
}

/// How long a number of operations may take where nothing else is said.
const LONGEST_ITERATIONS: Duration = Duration::from_secs(3_600);

/// Who decided when operations began, which is what response times mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Model {
    /// A schedule: a response time is what a user would have waited.
    #[default]
    Open,
    /// Workers, each after its own answer; corrected for what they left out ([`Correction`](crate::Correction)).
    Closed,
    /// Workers that never rest: response times are those of a closed loop, by Little's law the number of workers by what gets done, and nobody's wait.
    Saturation,
}

/// The closed loop's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// How many workers ask at a time. Default 1.
    pub workers: usize,
    /// How long all of them work. Default 30 s.
    pub duration: Duration,
    /// Over how long they start, one after the other, before that. Default zero: all start at once, or, where they rest between
    /// operations, one after the other over the first `think_time`, so that they do not all ask at the same instants.
    pub ramp_up: Duration,
    /// Over how long they stop, one after the other, after that. Default zero.
    pub ramp_down: Duration,
    /// How long a worker rests between an answer and its next operation. Default zero. By as much as the generator was late with an
    /// operation the rest after it is shorter; where it was later than a whole turn, the worker goes on with the next turn. So a pause of
    /// the generator does not make workers ask together from then on.
    pub think_time: Duration,
    /// How many operations are done in all; then the run is over, for which [`duration`](Self::duration) is only the longest it may take. With fewer by then it is
    /// [`Inconclusive`](crate::Validity::Inconclusive). Default: as many as there is time for.
    pub iterations: Option<u64>,
    /// Whether the question is how much gets done, not how long a user waits. Workers then never rest, and response times are told as what they are: those of a closed loop, neither
    /// corrected nor judged, since more workers make them longer and nothing else different. Default: no.
    pub saturate: bool,
    /// Of the workers of several processes: whose part these are, and how many there are in all.
    pub(crate) among: Option<(Part, usize)>,
    /// How fast it passes, where that is steered.
    pub(crate) time: Option<SharedTime>,
}

impl Default for Closed {
    fn default() -> Self {
        Self {
            workers: 1,
            duration: Duration::from_secs(30),
            ramp_up: Duration::ZERO,
            ramp_down: Duration::ZERO,
            think_time: Duration::ZERO,
            iterations: None,
            saturate: false,
            among: None,
            time: None,
        }
    }
}

impl Closed {
    /// Ramps included.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.ramp_up.saturating_add(self.duration).saturating_add(self.ramp_down)
    }

    /// When in the run its plan gets there.
    pub(crate) fn run_at(&self, plan: Duration) -> Duration {
        self.time.as_ref().map_or(plan, |time| time.run_at(plan))
    }

    /// Where in its plan the run is.
    pub(crate) fn plan_at(&self, run: Duration) -> Duration {
        self.time.as_ref().map_or(run, |time| time.plan_at(run))
    }

    /// When worker `index` starts and stops, by the plan.
    pub(crate) fn shift(&self, index: usize) -> (Duration, Duration) {
        let (place, of) = match self.among {
            Some((part, all)) => (part.of_whole(index as u64), all),
            None => (index as u64, self.workers),
        };
        let part = |span: Duration| span.mul_f64(fraction(place, of));
        let apart = if self.ramp_up.is_zero() { self.think_time.min(self.duration) } else { self.ramp_up };
        (part(apart), self.ramp_up + self.duration + part(self.ramp_down))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        positive("duration", self.duration)?;
        bounded("duration", self.total())?;
        bounded("think_time", self.think_time)?;
        if self.workers == 0 {
            return Err(ConfigError::new("concurrent_workers", "a closed loop needs at least one worker"));
        }
        if self.iterations == Some(0) {
            return Err(ConfigError::new("iterations", "at least one operation has to be done"));
        }
        if self.saturate && !self.think_time.is_zero() {
            return Err(ConfigError::new("think_time", "who saturates a target never rests: leave it out"));
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "worker counts are far below 2^53")]
fn fraction(index: u64, of: usize) -> f64 {
    index as f64 / of.max(1) as f64
}

/// What happens to an arrival when as many operations as allowed are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnCap {
    /// It is counted as a failure that was never answered. From 1 % of the plan on, the run itself is invalid.
    #[default]
    CountAsFailure,
    /// It waits its turn; the wait counts in its response time, as admission wait. Where 1 % of the plan waited and the queue is
    /// still there at its end, the run itself is invalid: the cap, not the plan, decided what was sent.
    Queue,
}

/// What happens to an operation whose deadline has passed before it could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Overload {
    /// It is run all the same, and counted as late if it is answered after its deadline.
    #[default]
    Queue,
    /// It is not run: an unanswered failure of the kind `shed`, as late as it was. What a client with a
    /// deadline of its own does.
    Shed,
}
