//! Steering a run while it goes on.

mod annotation;
mod error;
mod plan_time;
mod standing;
mod steered;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use annotation::altered;
pub use {
    annotation::{Annotation, Event},
    error::ControlError,
    standing::{RunState, Standing},
};
pub(crate) use {plan_time::SharedTime, steered::Steered};

use crate::{executor::Executor, pacer::LONGEST_SLEEP, stop::StopHandle};
use plan_time::AS_PLANNED;
use steered::factor;

/// How long before it takes effect a change is known: no pacer sleeps longer than half of it.
const NOTICE: Duration = LONGEST_SLEEP.saturating_mul(2);
/// How often one run may be paused or changed, and how much may be said about it.
const MOST_ANNOTATIONS: usize = 100;
/// The longest text and name, in characters.
const LONGEST_TEXT: usize = 200;
const LONGEST_NAME: usize = 80;
/// By how much a plan can be slowed down and sped up.
const FACTORS: std::ops::RangeInclusive<f64> = 0.001..=1_000.0;

/// Pauses a run, resumes it, changes its rate, stops it, and writes down who did what: from any thread, while it goes on.
///
/// The operations of the plan stay as they are; what changes is how fast the plan's time passes. So what was due before a change is due where it was, what is due after
/// it follows the new rate from that instant on, and a pause makes the run longer by its length. A change takes effect 200 ms after it is asked for, so
/// that every shard knows of it before. Thresholds of a run whose plan was altered are not judged ([`Verdict::altered`](crate::Verdict::altered)).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use {offgridflow_loadtest::{LoadTest, Rate, workload_fn}, std::time::Duration, tokio::time::sleep};
/// let work = workload_fn(|_op| sleep(Duration::from_millis(5)));
/// let test = LoadTest::new(work).rate(Rate::constant(100.0, Duration::from_secs(10)));
/// let (test, control) = test.steerable();
/// let steering = async {
///     sleep(Duration::from_secs(4)).await;
///     control.pause("anna", "failover")?;
///     sleep(Duration::from_secs(30)).await;
///     control.resume("anna", "")
/// };
/// let (report, steered) = tokio::join!(test.run_here(), steering);
/// let (report, _) = (report?, steered?);
/// assert_eq!((report.offered, report.paused.as_secs()), (1_000, 30));
/// assert_eq!(report.offered_per_sec().round(), 100.0, "a pause offers nothing, and nothing is made up for it");
/// assert_eq!(report.annotations[0].by, "anna");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    time: SharedTime,
    stop: StopHandle,
    begun: OnceLock<Begun>,
    measured_from: OnceLock<Duration>,
    log: Mutex<Log>,
}

/// What is known once the run has begun.
#[derive(Debug)]
struct Begun {
    origin: Instant,
    planned: Executor,
}

#[derive(Debug, Default)]
struct Log {
    annotations: Vec<Annotation>,
    paused: bool,
    speed: Option<u64>, // that it goes at when it is not paused, if not as planned
    over: bool,
}

impl Control {
    pub(crate) fn new(stop: StopHandle) -> Self {
        let (time, begun, measured_from, log) = Default::default();
        Self { shared: Arc::new(Shared { time, stop, begun, measured_from, log }) }
    }

    /// Offers nothing more until [`resume`](Self::resume), and says who wanted that and, unless it is empty, why. What is in flight goes on. The answer is when it takes
    /// effect, from the start of the run.
    ///
    /// # Errors
    /// A run that is not going on, or is paused already.
    pub fn pause(&self, by: &str, why: &str) -> Result<Duration, ControlError> {
        let mut log = self.log();
        if log.paused {
            return Err(ControlError::Paused);
        }
        let at = self.alter(&mut log, 0, Event::Paused, by, why)?;
        log.paused = true;
        Ok(at)
    }

    /// Goes on where the plan stood still, at the rate that it had. The answer is when it takes effect.
    ///
    /// # Errors
    /// A run that is not going on, or is not paused.
    pub fn resume(&self, by: &str, why: &str) -> Result<Duration, ControlError> {
        let mut log = self.log();
        if !log.paused {
            return Err(ControlError::NotPaused);
        }
        let speed = log.speed.unwrap_or(AS_PLANNED);
        let at = self.alter(&mut log, speed, Event::Resumed, by, why)?;
        log.paused = false;
        Ok(at)
    }

    /// Goes on at this rate, in operations a second. Where the plan's own rate rises or falls later, it does so by the same factor. The answer is when it takes effect.
    ///
    /// # Errors
    /// A run that is not going on, is paused, or has no rate: a closed loop, and a stretch of a plan in which nothing is due. At most a thousand times faster or slower than
    /// planned.
    pub fn set_rate(&self, per_sec: f64, by: &str, why: &str) -> Result<Duration, ControlError> {
        self.change_rate(by, why, |planned, _| per_sec / planned)
    }

    /// Goes on so many times faster than it goes now.
    ///
    /// # Errors
    /// As [`set_rate`](Self::set_rate).
    pub fn scale_rate(&self, times: f64, by: &str, why: &str) -> Result<Duration, ControlError> {
        self.change_rate(by, why, |_, now| now * times)
    }

    /// Writes down what somebody has to say. Alters nothing.
    ///
    /// # Errors
    /// A run that is not going on; more than is kept.
    pub fn note(&self, by: &str, text: &str) -> Result<Duration, ControlError> {
        let mut log = self.log();
        let at = self.now(&log)?;
        log.push(at, Event::Note, by, text)?;
        Ok(at)
    }

    /// Asks the run to end, as [`StopHandle::stop`] does, and writes down who did.
    pub fn stop(&self, by: &str, why: &str) {
        let mut log = self.log();
        if let Ok(at) = self.now(&log) {
            let _ = log.push(at, Event::Stopped, by, why);
        }
        self.shared.stop.stop();
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let log = self.log();
        let begun = self.shared.begun.get();
        let at = begun.map_or(Duration::ZERO, |begun| begun.origin.elapsed());
        let speed = self.shared.time.look(|time| time.speed_at(at));
        let state = match () {
            () if log.over => RunState::Over,
            () if begun.is_none() => RunState::NotBegun,
            () if self.shared.stop.is_stopped() => RunState::Stopping,
            () if log.paused => RunState::Paused,
            () => RunState::Running,
        };
        let ends = begun.filter(|_| !log.paused).map(|begun| self.run_at(begun.planned.duration()));
        let arrivals = begun.and_then(|begun| begun.planned.arrivals());
        let rate = arrivals.map(|arrivals| arrivals.rate_at(self.shared.time.plan_at(at)) * factor(speed));
        let annotations = log.annotations.clone();
        Standing { state, at, ends, rate_per_sec: rate, speed: factor(speed), annotations }
    }

    fn change_rate(
        &self,
        by: &str,
        why: &str,
        wanted: impl FnOnce(f64, f64) -> f64,
    ) -> Result<Duration, ControlError> {
        let mut log = self.log();
        if log.paused {
            return Err(ControlError::Paused);
        }
        let refused = |hint: &str| Err(ControlError::Rate(hint.into()));
        let begun = self.shared.begun.get().ok_or(ControlError::NotBegun)?;
        let Some(arrivals) = begun.planned.arrivals() else {
            return refused("a closed loop has no rate: its workers ask as fast as they are answered");
        };
        let planned = arrivals.rate_at(self.shared.time.plan_at(self.now(&log)? + NOTICE));
        let speed = log.speed.unwrap_or(AS_PLANNED);
        if planned <= 0.0 {
            return refused("the plan rests here: nothing is due that could be due more often");
        }
        let wanted = wanted(planned, factor(speed));
        if !FACTORS.contains(&wanted) {
            return refused("a rate is from a thousandth of the planned one to a thousand times as much");
        }
        let event = Event::Rate { from_per_sec: planned * factor(speed), to_per_sec: planned * wanted };
        let wanted = billionths(wanted);
        let at = self.alter(&mut log, wanted, event, by, why)?;
        log.speed = Some(wanted);
        Ok(at)
    }

    /// Goes on at that speed after the notice, and writes down why.
    fn alter(
        &self,
        log: &mut Log,
        speed: u64,
        event: Event,
        by: &str,
        why: &str,
    ) -> Result<Duration, ControlError> {
        let at = self.now(log)? + NOTICE;
        let begun = self.shared.begun.get().ok_or(ControlError::NotBegun)?;
        if self.shared.stop.ends() || at >= self.run_at(begun.planned.duration()) {
            return Err(ControlError::Over);
        }
        if self.shared.measured_from.get().is_none_or(|&from| at < from) {
            return Err(ControlError::WarmUp);
        }
        log.push(at, event, by, why)?;
        Ok(self.shared.time.alter(at, speed))
    }

    fn now(&self, log: &Log) -> Result<Duration, ControlError> {
        let begun = self.shared.begun.get().ok_or(ControlError::NotBegun)?;
        if log.over { Err(ControlError::Over) } else { Ok(begun.origin.elapsed()) }
    }

    fn run_at(&self, plan: Duration) -> Duration {
        self.shared.time.run_at(plan)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In a pause that goes on at `now`: how long the run would be if it were resumed then.
    pub(crate) fn ends_if_resumed_at(&self, now: Duration) -> Option<Duration> {
        let log = self.log();
        let begun = self.shared.begun.get().filter(|_| log.paused)?;
        self.shared.time.look(|time| {
            let mut resumed = time.clone();
            resumed.alter(now, log.speed.unwrap_or(AS_PLANNED));
            Some(resumed.run_at(begun.planned.duration()))
        })
    }

    pub(crate) fn time(&self) -> &SharedTime {
        &self.shared.time
    }

    /// The run begins then, with a plan that nobody has altered.
    pub(crate) fn begin(&self, origin: Instant, planned: Executor) {
        let _ = self.shared.begun.set(Begun { origin, planned });
    }

    /// What comes before is not measured.
    pub(crate) fn measures_from(&self, from: Duration) {
        let _ = self.shared.measured_from.set(from);
    }

    /// The run is over: nothing is altered any more, and a pause ends with it.
    pub(crate) fn end(&self, at: Duration) -> Vec<Annotation> {
        let mut log = self.log();
        log.over = true;
        if std::mem::take(&mut log.paused) {
            self.shared.time.alter(at, log.speed.unwrap_or(AS_PLANNED));
        }
        log.annotations.clone()
    }
}

impl Log {
    fn push(&mut self, at: Duration, what: Event, by: &str, text: &str) -> Result<(), ControlError> {
        let too_long = |text: &str, most: usize| text.chars().count() > most;
        let like_it = self.annotations.iter().filter(|one| one.what.alters() == what.alters()).count();
        // A run that is paused can always be resumed.
        let full = like_it >= MOST_ANNOTATIONS && !matches!(what, Event::Resumed | Event::Stopped);
        if full || too_long(text, LONGEST_TEXT) || too_long(by, LONGEST_NAME) {
            return Err(ControlError::TooMuch);
        }
        self.annotations.push(Annotation { at, by: by.into(), what, text: text.into() });
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
fn billionths(factor: f64) -> u64 {
    libm::round(factor * 1e9) as u64
}
