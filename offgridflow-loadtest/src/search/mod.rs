//! The highest rate that meets an SLO.

mod found;
mod hunt;
mod judge;
#[cfg(test)]
mod tests;
mod trial;

use std::time::Duration;

#[cfg(feature = "cli")]
pub(crate) use found::row;
pub use found::{Found, LimitedBy, Step};
#[cfg(feature = "cli")]
pub(crate) use judge::response_limit;
pub(crate) use judge::{observed, ruled};
pub use trial::{Leaning, Observation, Purpose, Trial};

use crate::{
    error::{ConfigError, Error, bounded, positive},
    histogram::{as_f64, to_count},
    run::LoadTest,
    verdict::MIN_OPERATIONS,
    workload::Workload,
};
use hunt::Hunt;

/// A search for the highest rate at which a target meets its SLO, the thresholds of a load test.
///
/// Rates are tried four times apart until one meets it and one does not, then in the middle of the two, until they are no
/// further apart than the [`tolerance`](Self::tolerance). A step decides only where another run as long would come out the same
/// ([`ThresholdResult::certain`](crate::ThresholdResult::certain)); else it is asked again for twice as long, up to
/// [`longest_step`](Self::longest_step), and what is still open then stays open, between the rates that are searched. The highest rate that met the SLO is
/// then run once more for longer. At most [`max_steps`](Self::max_steps) in all.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{Executor, LoadTest, OnCap, Rate, Search, workload_fn};
/// use std::{sync::Arc, time::Duration};
///
/// // Four workers of 20 ms each: 200 a second.
/// let pool = Arc::new(tokio::sync::Semaphore::new(4));
/// let ask = move |_op: offgridflow_loadtest::Op| {
///     let pool = Arc::clone(&pool);
///     async move {
///         let _worker = pool.acquire_owned().await.expect("open");
///         tokio::time::sleep(Duration::from_millis(20)).await;
///     }
/// };
/// let found = Search::default()
///     .step(Duration::from_secs(10)) // Default: 5 s.
///     .run_here(|trial| {
///         LoadTest::new(workload_fn(ask.clone()))
///             .rate(Rate::constant(trial.rate, trial.length))
///             .max_in_flight(500, OnCap::CountAsFailure)
///             .threshold("p95(response) < 100ms")
///     })
///     .await?;
/// let rate = found.rate.expect("it has a limit");
/// assert!((185.0..=205.0).contains(&rate), "{found}");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a search does nothing until it is run"]
pub struct Search {
    from: f64,
    to: f64,
    tolerance: f64,
    step: Duration,
    longest_step: Duration,
    confirm: Duration,
    cool_down: Duration,
    max_steps: usize,
}

/// The lowest and the highest rate that is tried, unless told otherwise.
const LOWEST: f64 = 0.1;
const HIGHEST: f64 = 1e8;
/// Operations below which a step is not even begun: what a verdict needs, and a little for those that are random.
const ENOUGH: f64 = 1.1;

impl Default for Search {
    fn default() -> Self {
        Self {
            from: 100.0,
            to: HIGHEST,
            tolerance: 0.03,
            step: Duration::from_secs(5),
            longest_step: Duration::from_secs(40),
            confirm: Duration::from_secs(15),
            cool_down: Duration::from_secs(1),
            max_steps: 14,
        }
    }
}

impl Search {
    /// The first rate that is tried, in operations a second. Default 100; each factor of four that the answer is away from it costs a step.
    pub fn from(mut self, rate: f64) -> Self {
        self.from = rate;
        self
    }

    /// The highest rate that is tried. Default: 10⁸/s, which no process sends.
    pub fn to(mut self, rate: f64) -> Self {
        self.to = rate;
        self
    }

    /// How far apart the highest rate that meets the SLO and the lowest that does not may be in the end, as a share. Default 0.03.
    pub fn tolerance(mut self, share: f64) -> Self {
        self.tolerance = share;
        self
    }

    /// How long a step is at first; longer where its rate is too low for 299 operations. Default 5 s.
    pub fn step(mut self, length: Duration) -> Self {
        self.step = length;
        self
    }

    /// How long a step may become that does not decide. Default 40 s.
    pub fn longest_step(mut self, length: Duration) -> Self {
        self.longest_step = length;
        self
    }

    /// How long the answer is run once more. Default 15 s; zero leaves it unconfirmed.
    pub fn confirm(mut self, length: Duration) -> Self {
        self.confirm = length;
        self
    }

    /// How long the target is left alone before each run but the first; four times as long after one that broke the SLO. Default 1 s.
    pub fn cool_down(mut self, length: Duration) -> Self {
        self.cool_down = length;
        self
    }

    /// How many rates are tried at most, the confirmation included. Default 14.
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.max_steps = steps;
        self
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Rates that are no rates or in the wrong order, a tolerance outside 0.1 % to 50 %, steps of no length, fewer than three steps.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refused = |field: &str, hint: String| Err(ConfigError::new(field, hint));
        if !(LOWEST..=HIGHEST).contains(&self.from) {
            return refused(
                "from",
                format!("a search begins at a rate from {LOWEST} to {HIGHEST:e} a second"),
            );
        }
        if !(self.from..=HIGHEST).contains(&self.to) {
            return refused(
                "to",
                format!("the highest rate lies between the first one, {}, and {HIGHEST:e}", self.from),
            );
        }
        if !(0.001..=0.5).contains(&self.tolerance) {
            return refused("tolerance", "must be a share from 0.1% to 50%".into());
        }
        if self.max_steps < 3 {
            return refused(
                "max_steps",
                "it takes three steps at least: one below, one above, and the answer again".into(),
            );
        }
        positive("step", self.step)?;
        bounded("longest_step", self.longest_step)?;
        bounded("confirm", self.confirm)?;
        bounded("cool_down", self.cool_down)?;
        if self.longest_step < self.step {
            return refused("longest_step", format!("is shorter than a step at first, {:?}", self.step));
        }
        Ok(())
    }

    /// Runs it: `test` makes the load test of a trial, on its [rate](Trial::rate) and [length](Trial::length); its thresholds are the SLO. Its
    /// [reporters](crate::Reporter) see each run.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) and [`LoadTest::run`] refuse. A limit of this machine that a high rate hits is an answer, not an error.
    ///
    /// # Cancel safety
    /// As [`LoadTest::run`].
    pub async fn run<W: Workload>(&self, test: impl Fn(&Trial) -> LoadTest<W>) -> Result<Found, Error> {
        let trial = async |trial: Trial| {
            tokio::time::sleep(trial.rest).await;
            observed(&trial, ruled(test(&trial), &trial)?.run().await)
        };
        self.over(trial).await
    }

    /// The same on the calling thread and runtime, as [`LoadTest::run_here`] does: under tokio's paused clock, in virtual time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`LoadTest::run_here`].
    pub async fn run_here<W: Workload>(&self, test: impl Fn(&Trial) -> LoadTest<W>) -> Result<Found, Error> {
        let trial = async |trial: Trial| {
            tokio::time::sleep(trial.rest).await;
            observed(&trial, ruled(test(&trial), &trial)?.run_here().await)
        };
        self.over(trial).await
    }

    /// The search itself, over whatever answers for a target: it runs nothing, sleeps nowhere and reads no clock.
    ///
    /// ```
    /// use offgridflow_loadtest::{ConfigError, Observation, Search};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ConfigError> {
    /// let answers = async |trial: offgridflow_loadtest::Trial| {
    ///     Ok::<_, ConfigError>(match trial.rate {
    ///         rate if rate <= 1_730.0 => Observation::meets(),
    ///         _ => Observation::breaks("p95(response) < 100ms: 312ms"),
    ///     })
    /// };
    /// let found = Search::default().over(answers).await?;
    /// assert!((found.rate.expect("a limit") / 1_730.0 - 1.0).abs() < 0.03);
    /// assert!(found.confirmed && found.steps.len() <= 14);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What [`validate`](Self::validate) refuses, and the first error of the oracle, which ends the search.
    pub async fn over<E: From<ConfigError>>(
        &self,
        mut oracle: impl AsyncFnMut(Trial) -> Result<Observation, E>,
    ) -> Result<Found, E> {
        self.validate()?;
        let mut hunt = Hunt::new(self);
        while let Some((rate, purpose)) = hunt.next() {
            let mut trial = self.trial(rate, purpose, hunt.steps());
            loop {
                let seen = oracle(trial).await?;
                let again = self.again(&trial, seen.leaning);
                hunt.take(&trial, seen, again.is_none());
                let Some(again) = again else { break };
                trial = again;
            }
        }
        Ok(hunt.found())
    }

    /// The first trial of a step.
    fn trial(&self, rate: f64, purpose: Purpose, steps: &[Step]) -> Trial {
        let wanted = if purpose == Purpose::Confirm { self.confirm.max(self.step) } else { self.step };
        let enough = Duration::from_secs_f64(ENOUGH * as_f64(MIN_OPERATIONS) / rate);
        let longest = self.longest_step.max(wanted);
        let rest = match steps.last().map(Step::leaning) {
            None => Duration::ZERO,
            Some(Leaning::Meets | Leaning::Unsure) => self.cool_down,
            Some(Leaning::Breaks | Leaning::Limited) => self.cool_down * 4,
        };
        let length = whole_millis(wanted.max(enough).min(longest));
        Trial { rate, length, rest, step: steps.len() + 1, attempt: 1, purpose }
    }

    /// The next trial of the same step, if it is not decided.
    fn again(&self, trial: &Trial, leaning: Leaning) -> Option<Trial> {
        let next = Trial { rest: self.cool_down, attempt: trial.attempt + 1, ..*trial };
        match leaning {
            Leaning::Unsure if trial.length * 2 <= self.longest_step.max(self.confirm) => {
                Some(Trial { length: trial.length * 2, ..next })
            }
            // What kept the generator back once may have been somebody else's minute.
            Leaning::Limited if trial.attempt == 1 => Some(next),
            _ => None,
        }
    }
}

/// A plan of a whole number of milliseconds reads better in a report.
fn whole_millis(length: Duration) -> Duration {
    Duration::from_millis(to_count(libm::ceil(length.as_secs_f64() * 1e3)))
}
