//! What a comparison found.

use std::fmt;

use super::{Ran, Side, ranks};

/// What a comparison found. See [`Display`](fmt::Display) for the text.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Comparison {
    /// What it came to.
    pub finding: Finding,
    /// By what factor B's percentile is A's: the pseudomedian over all blocks.
    pub ratio: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// How probable it is to see as much slowness of B, if B is slower by the tolerance and no more.
    pub p_slower: f64,
    /// The same of A.
    pub p_faster: f64,
    /// Which percentile was compared.
    pub percentile: f64,
    /// By which share B may be slower.
    pub tolerance: f64,
    /// The median over all runs of the percentile, in seconds: A's and B's.
    pub seconds: (f64, f64),
    /// The share of operations that failed: A's and B's.
    pub failed: (f64, f64),
    /// The factor of each block, in order.
    pub blocks: Vec<f64>,
    /// How many blocks were run again, because a run in them was not valid.
    pub spoiled: usize,
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Finding {
    /// B is slower by more than the tolerance: said by mistake at most once in twenty comparisons of targets that are alike.
    Slower,
    /// A is, by more than the same.
    Faster,
    /// Neither is by more than the tolerance.
    Alike,
    /// B fails more often, by a point and more: its times are those of other work.
    Fails,
    /// These blocks cannot tell.
    Undecided,
    /// Too many runs were not valid: there is no comparison.
    Invalid,
}

/// An alarm that is false once in twenty.
const ALPHA: f64 = 0.05;
/// By how much more of its operations B may fail.
const MORE_FAILURES: f64 = 0.01;

impl Comparison {
    pub(super) fn of(blocks: &[Vec<(Side, Ran)>], spoiled: usize, percentile: f64, tolerance: f64) -> Self {
        let logs: Vec<f64> = blocks.iter().map(|block| log_ratio(block)).collect();
        let shifted = |by: f64, sign: f64| logs.iter().map(|log| sign * log - by).collect::<Vec<_>>();
        let allowed = libm::log(1.0 + tolerance);
        let (p_slower, p_faster) =
            (ranks::exceeds_zero(&shifted(allowed, 1.0)), ranks::exceeds_zero(&shifted(allowed, -1.0)));
        let (low, middle, high) =
            ranks::pseudomedian(&logs).unwrap_or((f64::NEG_INFINITY, 0.0, f64::INFINITY));
        let failed = (failures(blocks, Side::A), failures(blocks, Side::B));
        let enough = blocks.len() >= *super::BLOCKS.start() && spoiled <= super::AGAIN * blocks.len();
        let finding = match () {
            () if !enough => Finding::Invalid,
            () if failed.1 > failed.0 + MORE_FAILURES => Finding::Fails,
            () if p_slower <= ALPHA => Finding::Slower,
            () if p_faster <= ALPHA => Finding::Faster,
            () if -allowed <= low && high <= allowed => Finding::Alike,
            () => Finding::Undecided,
        };
        Self {
            finding,
            ratio: libm::exp(middle),
            interval: (libm::exp(low), libm::exp(high)),
            p_slower,
            p_faster,
            percentile,
            tolerance,
            seconds: (median(blocks, Side::A), median(blocks, Side::B)),
            failed,
            blocks: logs.into_iter().map(libm::exp).collect(),
            spoiled,
        }
    }

    /// The exit code a command should end with: 0 alike or faster · 1 slower, or failing more · 3 undecided, or not valid.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.finding {
            Finding::Alike | Finding::Faster => 0,
            Finding::Slower | Finding::Fails => 1,
            Finding::Undecided | Finding::Invalid => 3,
        }
    }
}

fn of(block: &[(Side, Ran)], side: Side) -> impl Iterator<Item = &Ran> {
    block.iter().filter(move |(its, _)| *its == side).map(|(_, ran)| ran)
}

/// Of the two runs of each side, their means in ratio.
fn log_ratio(block: &[(Side, Ran)]) -> f64 {
    let sum = |side| of(block, side).map(|ran| libm::log(ran.seconds)).sum::<f64>();
    0.5 * (sum(Side::B) - sum(Side::A))
}

fn failures(blocks: &[Vec<(Side, Ran)>], side: Side) -> f64 {
    let runs = blocks.iter().flat_map(|block| of(block, side));
    let (sum, n) = runs.fold((0.0, 0.0), |(sum, n), ran| (sum + ran.failed, n + 1.0));
    sum / f64::max(n, 1.0)
}

fn median(blocks: &[Vec<(Side, Ran)>], side: Side) -> f64 {
    let mut all: Vec<f64> = blocks.iter().flat_map(|block| of(block, side)).map(|ran| ran.seconds).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        let millis = |seconds: f64| seconds * 1e3;
        let quantile = percent(self.percentile);
        writeln!(
            f,
            "compared      p{quantile} of the response time, {} blocks of four runs",
            self.blocks.len()
        )?;
        writeln!(
            f,
            "A             {:.3} ms, {:.2} % failed",
            millis(self.seconds.0),
            percent(self.failed.0)
        )?;
        writeln!(
            f,
            "B             {:.3} ms, {:.2} % failed",
            millis(self.seconds.1),
            percent(self.failed.1)
        )?;
        let (low, high) = self.interval;
        let change = |ratio: f64| format!("{:+.1} %", percent(ratio - 1.0));
        writeln!(f, "B against A   {}, 95 % from {} to {}", change(self.ratio), change(low), change(high))?;
        if self.spoiled > 0 {
            writeln!(f, "run again     {} blocks, in which a run was not valid", self.spoiled)?;
        }
        let (tolerance, p_slower, p_faster) = (percent(self.tolerance), self.p_slower, self.p_faster);
        match self.finding {
            Finding::Slower => {
                writeln!(f, "finding       B is slower by more than {tolerance} % (p = {p_slower:.4})")
            }
            Finding::Faster => {
                writeln!(f, "finding       B is faster by more than {tolerance} % (p = {p_faster:.4})")
            }
            Finding::Alike => writeln!(f, "finding       alike, within {tolerance} %"),
            Finding::Fails => writeln!(f, "finding       B fails more often than A"),
            Finding::Undecided => writeln!(
                f,
                "finding       undecided: neither slower by more than {tolerance} % nor alike can be told from so many blocks; more of them, or longer runs"
            ),
            Finding::Invalid => writeln!(f, "finding       none: too many runs were not valid"),
        }
    }
}
