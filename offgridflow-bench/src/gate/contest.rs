use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::build::Executable;
use super::session::{Shape, Stage, Trouble};
use super::{Allocations, Cancel, GateError, Instructions, Round, Statistic};
use crate::stats::robust_spread;

/// A block: 0.1 s of up to a hundred samples, each shorter than a scheduler's slice.
const BLOCK: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(20);
/// Processes of the base before the first counted round; each is compared with the one before.
const PILOT: usize = 7;
/// Fewer samples than this are no block: criterion itself refuses to take fewer.
const LEAST_SAMPLES: usize = 10;

/// How a benchmark is measured, as its pilot found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Samples asked of a process.
    pub(crate) samples: usize,
    /// The number that stands for a process.
    pub(crate) statistic: Statistic,
    /// Robust spread of base over base, as ln ratio.
    pub(crate) spread: f64,
    /// What the reader should know.
    pub(crate) note: String,
}

/// A benchmark that both sides have, in programs that differ.
#[derive(Debug)]
pub(crate) struct Contest {
    /// `package/target: benchmark`.
    pub(crate) name: String,
    bench: String,
    pub(crate) base: Executable,
    pub(crate) head: Executable,
    /// The share that does not matter, where it is not the rule's, and why.
    pub(crate) allowed: Option<(f64, String)>,
    pub(crate) plan: Option<Plan>,
    pub(crate) broken: Option<String>,
}

/// Which program of a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Base,
    Head,
}

impl Contest {
    pub(crate) fn new(
        name: String,
        bench: &str,
        base: &Executable,
        head: &Executable,
        allowed: Option<(f64, String)>,
    ) -> Self {
        let (base, head) = (base.clone(), head.clone());
        Self { name, bench: bench.to_owned(), base, head, allowed, plan: None, broken: None }
    }

    /// Link orders that both sides have.
    pub(crate) fn layouts(&self) -> usize {
        self.base.layouts.len().min(self.head.layouts.len()) + 1
    }

    pub(crate) fn can_run(&self) -> bool {
        self.plan.is_some() && self.broken.is_none()
    }

    /// ln of head over base, in the statistic of the plan.
    pub(crate) fn ln_ratio(&self, round: &Round) -> f64 {
        round.ln_ratio(self.plan.as_ref().map_or(Statistic::Median, |plan| plan.statistic))
    }

    /// Instructions of an iteration on both sides; `Err` in words where they cannot be counted.
    pub(crate) fn instructions(
        &self,
        folder: &Path,
        cancel: &Cancel,
    ) -> Result<Result<Instructions, String>, GateError> {
        super::witness::count(&self.base, &self.head, &self.bench, folder, cancel)
    }

    /// Requests for memory of an iteration on both sides; `Err` in words where they cannot be counted.
    pub(crate) fn allocations(
        &self,
        folder: &Path,
        cancel: &Cancel,
    ) -> Result<Result<Allocations, String>, GateError> {
        super::witness::count_allocations(&self.base, &self.head, &self.bench, folder, cancel)
    }

    /// Finds the block's shape and the statistic that varies least, base against base, before anything counts.
    pub(crate) fn try_out(&self, stage: &Stage, limit: Duration) -> Result<Plan, Trouble> {
        let short = Shape { samples: LEAST_SAMPLES, warm_up: WARM_UP, measure: BLOCK / 2 };
        self.block(stage, (Side::Head, 0), short, limit)?;
        let first = self.block(stage, (Side::Base, 0), short, limit)?;
        let note = match first.len() {
            LEAST_SAMPLES => String::new(),
            count => format!("its own settings beat the command line: {count} samples a process"),
        };
        let nanoseconds = Statistic::Median.of(&first).max(1.0);
        let fit = BLOCK.as_nanos() as f64 / nanoseconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 100")]
        let samples = fit.clamp(LEAST_SAMPLES as f64, 100.0) as usize;
        let one = |_| self.block(stage, (Side::Base, 0), shape(samples), limit);
        let processes = (0..PILOT).map(one).collect::<Result<Vec<_>, _>>()?;
        let (statistic, spread) = steadiest(&processes);
        Ok(Plan { samples, statistic, spread, note })
    }

    /// A block as the pilot found it should be.
    pub(crate) fn measure(
        &self,
        stage: &Stage,
        side: Side,
        layout: usize,
        limit: Duration,
    ) -> Result<Vec<f64>, Trouble> {
        let samples = self.plan.as_ref().map_or(LEAST_SAMPLES, |plan| plan.samples);
        self.block(stage, (side, layout), shape(samples), limit)
    }

    fn block(
        &self,
        stage: &Stage,
        (side, layout): (Side, usize),
        shape: Shape,
        limit: Duration,
    ) -> Result<Vec<f64>, Trouble> {
        let (program, named) = match side {
            Side::Base => (&self.base, "base"),
            Side::Head => (&self.head, "head"),
        };
        let told = stage.block(program, layout, &self.bench, shape, limit).and_then(|block| {
            match block.samples.len() {
                count if count < LEAST_SAMPLES => Err(Trouble::Bench(format!(
                    "it told {count} sample(s): at least {LEAST_SAMPLES} are needed"
                ))),
                _ => Ok(block.samples),
            }
        });
        told.map_err(|trouble| match trouble {
            Trouble::Bench(what) => Trouble::Bench(format!("{named}: {what}")),
            ours @ Trouble::Gate(_) => ours,
        })
    }
}

fn shape(samples: usize) -> Shape {
    Shape { samples, warm_up: WARM_UP, measure: BLOCK }
}

/// The statistic whose ln ratio of one process of a program over the one before varies least, and its robust spread.
fn steadiest(processes: &[Vec<f64>]) -> (Statistic, f64) {
    let spread = |statistic: Statistic| {
        let ratios: Vec<f64> = processes
            .windows(2)
            .flat_map(|two| {
                let ln = (statistic.of(&two[1]) / statistic.of(&two[0])).ln();
                [ln, -ln]
            })
            .collect();
        robust_spread(&ratios).unwrap_or(f64::MAX)
    };
    let of = |statistic| (statistic, spread(statistic));
    let best = Statistic::ALL.map(of).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap_or((Statistic::Median, f64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steadiest_statistic_stands_for_a_process() {
        // The slow half of each process wanders, its fast half does not.
        let process = |nth: u32| -> Vec<f64> {
            (0..20)
                .map(|sample| if sample < 8 { 100.0 } else { 150.0 + f64::from(nth * 7 % 5) * 10.0 })
                .collect()
        };
        let (statistic, spread) = steadiest(&(0..7).map(process).collect::<Vec<_>>());
        assert_eq!((statistic, spread), (Statistic::LowerQuartile, 0.0));
        assert_eq!(steadiest(&[]).1, f64::MAX);
    }
}
