//! Two targets, or two builds of one, in turn: is the second slower?

mod comparison;
mod ranks;
#[cfg(feature = "serde")]
mod saved;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use comparison::{Comparison, Finding};
#[cfg(feature = "serde")]
pub use saved::compare_saved;

use crate::{
    error::{ConfigError, Error},
    histogram::Quantile,
    report::{Ending, Report},
    rng::OpRng,
    run::LoadTest,
    verdict::Limit,
    workload::Workload,
};

/// A comparison of two targets that are loaded in turn.
///
/// What two runs differ by is mostly what the machine did meanwhile. So both sides are run again and again for a short time, in blocks of four runs, `A B B A` or `B A A B` as
/// a coin says: a machine that grows slower all the time is as slow for both. Each block gives one number, by what factor B's percentile is A's. If the targets are alike, the coin decides that
/// number's sign and nothing else does, whatever the noise; so how seldom the signs and sizes seen come from fair coins alone (Wilcoxon's signed ranks, all
/// 2ⁿ flips counted) is an exact probability of a false alarm.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offgridflow_loadtest::{Compare, Finding, LoadTest, Rate, Side, workload_fn};
/// use std::time::Duration;
/// let found = Compare::default()
///     .blocks(8) // Default: 16.
///     .run_here(|side| {
///         let takes = if side == Side::B { 30 } else { 20 };
///         let work = move |_op| tokio::time::sleep(Duration::from_millis(takes));
///         LoadTest::new(workload_fn(work)).rate(Rate::constant(200.0, Duration::from_secs(2)))
///     })
///     .await?;
/// assert_eq!(found.finding, Finding::Slower);
/// assert!((1.4..1.6).contains(&found.ratio), "{found}");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a comparison does nothing until it is run"]
pub struct Compare {
    blocks: usize,
    percentile: f64,
    tolerance: f64,
    seed: u64,
    cool_down: Duration,
}

/// One of two targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Side {
    /// The one that is compared with.
    A,
    /// The one that is in question.
    B,
}

/// What one run said.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ran {
    /// The percentile of the response time, in seconds.
    pub seconds: f64,
    /// The share of operations that failed.
    pub failed: f64,
}

/// The fewest blocks from which an alarm of 5 % can come, and the most.
const BLOCKS: std::ops::RangeInclusive<usize> = 6..=60;
/// Those that a report holds.
const PERCENTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
/// How many blocks may be run again because a run in them was not valid, for each that counts.
const AGAIN: usize = 2;

impl Default for Compare {
    fn default() -> Self {
        Self { blocks: 16, percentile: 0.95, tolerance: 0.02, seed: 0, cool_down: Duration::from_millis(200) }
    }
}

impl Compare {
    /// How many blocks of four runs. Default 16, from 6 to 60.
    pub fn blocks(mut self, blocks: usize) -> Self {
        self.blocks = blocks;
        self
    }

    /// Which percentile of the response time is compared: 0.5, 0.9, 0.95, 0.99 or 0.999. Default 0.95.
    pub fn percentile(mut self, q: f64) -> Self {
        self.percentile = q;
        self
    }

    /// By which share B may be slower than A before that is a finding. Default 0.02.
    pub fn tolerance(mut self, share: f64) -> Self {
        self.tolerance = share;
        self
    }

    /// The seed of the coin. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long both are left alone between runs. Default 200 ms.
    pub fn cool_down(mut self, length: Duration) -> Self {
        self.cool_down = length;
        self
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Too few or too many blocks, a percentile or a tolerance that is no such thing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refused = |field: &str, hint: &str| Err(ConfigError::new(field, hint));
        if !BLOCKS.contains(&self.blocks) {
            return refused("blocks", "from 6, below which nothing can be told, to 60");
        }
        if !PERCENTILES.iter().any(|known| (known - self.percentile).abs() < 1e-9) {
            return refused("percentile", "is one that a report holds: 0.5, 0.9, 0.95, 0.99 or 0.999");
        }
        if !(0.0..=1.0).contains(&self.tolerance) {
            return refused("tolerance", "is a share from 0% to 100%");
        }
        Ok(())
    }

    /// Runs it: `test` makes one run of a side, of which at most 1 % may fail and which is as long as it says; a few seconds are
    /// enough, if they hold some hundred operations.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) and [`LoadTest::run`] refuse; a percentile for which a run holds too little.
    ///
    /// # Cancel safety
    /// As [`LoadTest::run`].
    pub async fn run<W: Workload>(&self, test: impl Fn(Side) -> LoadTest<W>) -> Result<Comparison, Error> {
        self.over(async |side| {
            tokio::time::sleep(self.cool_down).await;
            self.ran(&test(side).run().await?)
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
        test: impl Fn(Side) -> LoadTest<W>,
    ) -> Result<Comparison, Error> {
        self.over(async |side| {
            tokio::time::sleep(self.cool_down).await;
            self.ran(&test(side).run_here().await?)
        })
        .await
    }

    /// The comparison itself, over whatever runs a side; `None` of a run that was not valid, whose block is then run again.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) refuses, and the first error of a run, which ends it.
    pub async fn over<E: From<ConfigError>>(
        &self,
        mut run: impl AsyncFnMut(Side) -> Result<Option<Ran>, E>,
    ) -> Result<Comparison, E> {
        self.validate()?;
        let coin = OpRng::new(self.seed, 0xc01);
        let (mut blocks, mut spoiled) = (Vec::with_capacity(self.blocks), 0);
        while blocks.len() < self.blocks && spoiled <= AGAIN * self.blocks {
            let first = if coin.chance(0.5) { Side::A } else { Side::B };
            let order = [first, first.other(), first.other(), first];
            let mut block = Vec::with_capacity(order.len());
            for side in order {
                // The whole of a block is run, so that which side spoiled it changes nothing.
                block.extend(run(side).await?.map(|ran| (side, ran)));
            }
            if block.len() == order.len() {
                blocks.push(block);
            } else {
                spoiled += 1;
            }
        }
        Ok(Comparison::of(&blocks, spoiled, self.percentile, self.tolerance))
    }

    /// What a run says of its side; nothing if it was the generator's doing.
    pub(crate) fn ran(&self, report: &Report) -> Result<Option<Ran>, Error> {
        if report.ending == Ending::Interrupted {
            return Err(Error::Interrupted);
        }
        if let Limit::TargetDown(why) = &report.verdict.limit {
            return Err(ConfigError::new("", format!("{}: {why}", report.target)).into());
        }
        if !report.verdict.is_valid() {
            return Ok(None);
        }
        match report.percentile(self.percentile) {
            Quantile::Value(time) | Quantile::AtLeast(time) => Ok(Some(Ran {
                seconds: time.as_secs_f64().max(1e-9),
                failed: report.total.failure_ratio().unwrap_or(0.0),
            })),
            Quantile::Needs(need) => {
                let hint = format!(
                    "a run holds {} operations, and this percentile needs {need}: run longer, or faster",
                    report.total.response.count
                );
                Err(ConfigError::new("percentile", hint).into())
            }
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl Report {
    /// One of [`PERCENTILES`]; of any other, the 95th.
    fn percentile(&self, q: f64) -> Quantile {
        let of = &self.total.response;
        let known = PERCENTILES.into_iter().zip([of.p50, of.p90, of.p95, of.p99, of.p999]);
        known.into_iter().find(|(known, _)| (known - q).abs() < 1e-9).map_or(of.p95, |(_, quantile)| quantile)
    }
}
