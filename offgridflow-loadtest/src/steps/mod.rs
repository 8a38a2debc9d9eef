//! A staircase of workers: how the rate of answers grows with them, and why it stops growing.

mod fit;
mod knee;
mod replicas;
mod staircase;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use fit::{Scaling, fit_scaling};
pub use replicas::Replicas;
pub use staircase::{Level, Staircase};

use crate::{
    error::{ConfigError, Error},
    report::{Ending, Report, ThresholdStatus},
    rng::OpRng,
    run::LoadTest,
    verdict::Limit,
    workload::Workload,
};

/// A staircase: the same closed loop with more and more workers, and the Universal Scalability Law (Gunther 2007) fitted to how many answers they get.
///
/// Each level is run once a round, in an order that is drawn anew for each: what the machine does meanwhile is so spread over all levels and not taken for their effect.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{Executor, LoadTest, Steps, workload_fn};
/// use std::{sync::Arc, time::Duration};
/// // A fifth of each operation is one at a time.
/// let one = Arc::new(tokio::sync::Mutex::new(()));
/// let ask = move |_op: offgridflow_loadtest::Op| {
///     let one = Arc::clone(&one);
///     async move {
///         tokio::time::sleep(Duration::from_millis(40)).await;
///         let _alone = one.lock().await;
///         tokio::time::sleep(Duration::from_millis(10)).await;
///     }
/// };
/// let found = Steps::default()
///     .levels([1, 2, 4, 8, 16, 32]) // Default: 1, 2, 4, … 128.
///     .run_here(|workers| {
///         LoadTest::new(workload_fn(ask.clone()))
///             .executor(Executor::closed(workers, Duration::from_secs(4)))
///             .threshold("p95(response) < 100ms")
///     })
///     .await?;
/// let law = found.scaling.as_ref().expect("a fit");
/// assert!(law.r_squared > 0.9 && law.alpha > 0.05, "{found}");
/// let plan = found.replicas(500.0, 0.7).expect("a level meets the threshold");
/// assert!(plan.count >= 6, "{plan}"); // of at most a hundred a second each, used up to 70 %
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a staircase does nothing until it is run"]
pub struct Steps {
    levels: Vec<usize>,
    rounds: usize,
    seed: u64,
    cool_down: Duration,
}

/// What one run of a level came to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Climbed {
    /// Answers a second.
    pub answered_per_sec: f64,
    /// The 95th percentile of the response time; at least that, if operations were never answered. `None` of too few.
    #[cfg_attr(feature = "serde", serde(rename = "p95_ns", with = "crate::report::opt_nanos"))]
    pub p95: Option<Duration>,
    /// Whether all thresholds were met; `false` too where the target was down.
    pub meets: bool,
}

impl Climbed {
    /// What came of a run.
    #[must_use]
    pub fn new(answered_per_sec: f64, p95: Option<Duration>, meets: bool) -> Self {
        Self { answered_per_sec, p95, meets }
    }
}

/// The fewest levels that three parameters can be fitted to, and the most.
const LEVELS: std::ops::RangeInclusive<usize> = 4..=40;
const MOST_ROUNDS: usize = 50;

impl Default for Steps {
    fn default() -> Self {
        let levels = (0..8).map(|doublings| 1 << doublings).collect();
        Self { levels, rounds: 3, seed: 0, cool_down: Duration::from_millis(500) }
    }
}

impl Steps {
    /// How many workers on each level. Default 1, 2, 4, … 128; four levels at least.
    pub fn levels(mut self, workers: impl IntoIterator<Item = usize>) -> Self {
        self.levels = workers.into_iter().collect();
        self
    }

    /// How often each level is run. Default 3; with one, nobody knows how sure the fit is.
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// The seed of the order of levels. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long the target is left alone between runs. Default 500 ms.
    pub fn cool_down(mut self, length: Duration) -> Self {
        self.cool_down = length;
        self
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Too few levels or too many, a level without workers or there twice, no rounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut levels = self.levels.clone();
        levels.sort_unstable();
        levels.dedup();
        if levels.len() != self.levels.len() || levels.first() == Some(&0) {
            return Err(ConfigError::new("levels", "are different numbers of workers, from 1"));
        }
        if !LEVELS.contains(&levels.len()) {
            return Err(ConfigError::new("levels", "three parameters need from 4 to 40 levels"));
        }
        if !(1..=MOST_ROUNDS).contains(&self.rounds) {
            return Err(ConfigError::new("rounds", "from 1 to 50"));
        }
        Ok(())
    }

    /// Runs it: `test` makes the load test of so many workers, whose thresholds say up to which level all is well.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) and [`LoadTest::run`] refuse.
    ///
    /// # Cancel safety
    /// As [`LoadTest::run`].
    pub async fn run<W: Workload>(&self, test: impl Fn(usize) -> LoadTest<W>) -> Result<Staircase, Error> {
        self.over(async |workers| {
            tokio::time::sleep(self.cool_down).await;
            climbed(&test(workers).run().await?)
        })
        .await
    }

    /// The same on the calling thread and runtime, as [`LoadTest::run_here`] does.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`LoadTest::run_here`].
    pub async fn run_here<W: Workload>(
        &self,
        test: impl Fn(usize) -> LoadTest<W>,
    ) -> Result<Staircase, Error> {
        self.over(async |workers| {
            tokio::time::sleep(self.cool_down).await;
            climbed(&test(workers).run_here().await?)
        })
        .await
    }

    /// The staircase itself, over whatever runs a level; the reason of a run that was not valid is an inner error, and the level does without it.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) refuses, and the first error of a run, which ends it.
    pub async fn over<E: From<ConfigError>>(
        &self,
        mut run: impl AsyncFnMut(usize) -> Result<Result<Climbed, String>, E>,
    ) -> Result<Staircase, E> {
        self.validate()?;
        let mut levels: Vec<Level> = self.levels.iter().map(|&workers| Level::new(workers)).collect();
        levels.sort_by_key(|level| level.workers);
        for round in 0..self.rounds {
            for place in shuffled(levels.len(), &OpRng::new(self.seed, round as u64)) {
                match run(levels[place].workers).await? {
                    Ok(climbed) => levels[place].runs.push(climbed),
                    Err(why) => levels[place].spoiled.push(why),
                }
            }
        }
        Ok(Staircase::of(levels, self.seed))
    }
}

/// Fisher and Yates (1938).
fn shuffled(n: usize, rng: &OpRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, usize::try_from(rng.below(last as u64 + 1)).unwrap_or(0));
    }
    order
}

/// What came of a run, unless it says nothing of the target.
pub(crate) fn climbed(report: &Report) -> Result<Result<Climbed, String>, Error> {
    if report.ending == Ending::Interrupted {
        return Err(Error::Interrupted);
    }
    let down = matches!(report.verdict.limit, Limit::TargetDown(_));
    if !report.verdict.is_valid() {
        return Ok(Err(report.verdict.to_string()));
    }
    Ok(Ok(Climbed {
        answered_per_sec: report.total.rate_per_sec,
        p95: report.total.response.p95.least(),
        meets: !down && report.thresholds.iter().all(|result| result.status == ThresholdStatus::Met),
    }))
}
