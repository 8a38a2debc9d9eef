//! A confidence interval for a quantile of operations that depend on each other, from counts alone.
//!
//! The run is cut into consecutive blocks, and each tells how many of its operations were at most `x`, for an `x`
//! near the quantile. How much these counts vary says how many *independent* operations the run was worth, and
//! that number gives the ranks between which the quantile lies.

use super::{
    blocks::{BlockTally, Blocks, relaxations_per_block},
    refusal::{BandReason, BandRefusal},
    student::t_975,
};
use crate::histogram::{as_f64, to_count};

/// Where the quantile of the process lies with nominal 95 % confidence, as fractions of the operations seen: from
/// the latency that a fraction `low` of them stayed within, to the one that a fraction `high` stayed within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileBand {
    /// 0 < `low` < q.
    pub low: f64,
    /// q < `high` < 1: a band without an upper end is refused instead.
    pub high: f64,
    /// How many independent operations would have said as much: at most the operations that were seen.
    pub effective: f64,
}

/// −ln 0.025: with fewer independent tail observations, seeing none at all is likelier than 2.5 %.
const MIN_TAIL: f64 = 3.69;
/// Independent operations a run must be worth before any tail is believed.
const MIN_BODY: f64 = 200.0;
/// Independent tail observations to expect if the tail forgot as slowly as the body.
const MIN_EXPECTED_TAIL: f64 = 2.0;
/// The share of the tail that two neighbouring blocks may hold.
const MAX_EPISODE: f64 = 0.6;
/// How far the odds of the threshold may be from those of the quantile.
const MAX_ODDS_RATIO: f64 = 4.0;
/// The normal's 99 % point, for the test whether blocks of the body forget.
const Z_BODY: f64 = 2.326;
/// And its 99.9 % point for those of the tail, where a cluster over a block's edge looks like correlation.
const Z_TAIL: f64 = 3.09;

/// The interval of the `q`-quantile, from tallies at a threshold near it and at one near the median.
///
/// `at` counts operations up to a threshold close to the empirical quantile (a bucket's end will do: only the
/// *dependence* is taken from it), `body` up to one close to the median; both list the same consecutive blocks
/// of about equal size, 64 of them where possible. Empty blocks are skipped and short ones weighted, so an
/// interrupted run needs no care. The median itself takes the same tallies twice.
///
/// The variance of the number at or below the threshold is the largest of three estimates: batch means over the
/// blocks (Conway 1963; Law and Kelton 1982), the same with its bias extrapolated from pairs of blocks (Vats and
/// Flegal 2022), and batch means over groups of four. It gives the effective number of operations, and that the
/// ranks, with a t quantile of at most as many degrees of freedom as the groups, or 1.25 times the independent
/// observations in the tail, have. Simulated runs state a wrong interval in at most 7 % of all cases, from
/// independent operations to queues at 95 % load (`tests/intervals.rs`, `docs/design/loadtest-intervals.md`).
///
/// ```
/// use offgridflow_loadtest::{BandReason, BlockTally, quantile_band};
///
/// // 64 blocks of 1 000 operations, 95 % ± a few at most the threshold.
/// let median = [BlockTally { count: 1_000, at_most: 496 }, BlockTally { count: 1_000, at_most: 504 }];
/// let mut tail = [BlockTally { count: 1_000, at_most: 945 }, BlockTally { count: 1_000, at_most: 955 }]
///     .repeat(32);
/// let body = [median[0], median[1], median[1], median[0]].repeat(16);
/// let band = quantile_band(0.95, &tail, &body)?;
/// assert!(band.low < 0.95 && 0.95 < band.high && band.high - band.low < 0.01);
///
/// // One freeze makes most of the tail: what comes next time is anyone's guess.
/// tail.fill(BlockTally { count: 1_000, at_most: 990 });
/// tail[40].at_most = 0;
/// let refusal = quantile_band(0.97, &tail, &body).unwrap_err();
/// assert_eq!(refusal.why, BandReason::OneEpisode);
/// # Ok::<(), offgridflow_loadtest::BandRefusal>(())
/// ```
///
/// # Errors
/// A [`BandRefusal`] where the run is too short, too dependent, or its tail too thin. A refusal is not rare: runs
/// shorter than some 200 relaxation times of the system mostly end in one.
///
/// # Panics
/// If `q` is not between 0 and 1.
pub fn quantile_band(q: f64, at: &[BlockTally], body: &[BlockTally]) -> Result<QuantileBand, BandRefusal> {
    assert!(q > 0.0 && q < 1.0, "a quantile lies between 0 and 1");
    let at = Blocks::new(at)?;
    let body = Blocks::new(body)?;
    at.near(q)?;
    let tail = Tail { q, rarer: q.min(1.0 - q), effective: at.effective() };
    let asked = [
        at.one_of_many(&tail),
        at.forgets(Z_TAIL),
        body.forgets(Z_BODY),
        body.resolves(&tail),
        at.fills(&tail),
    ];
    let refusals = asked.into_iter().filter_map(Result::err);
    match refusals.reduce(|first, next| BandRefusal { needs: first.needs.max(next.needs), ..first }) {
        Some(refusal) => Err(refusal),
        None => Ok(tail.band(at.groups())),
    }
}

/// The rarer side of a quantile, and what the run is worth there.
struct Tail {
    q: f64,
    rarer: f64,     // min(q, 1 − q)
    effective: f64, // operations
}

impl Tail {
    fn observations(&self) -> f64 {
        self.effective * self.rarer
    }

    /// Symmetric in rank, as the normal approximation of a binomial, but with the degrees of freedom of what was
    /// observed. It stops half an observation short of the end (continuity correction).
    fn band(&self, groups: f64) -> QuantileBand {
        let df = (1.25 * self.observations()).min(groups - 1.0).max(3.0);
        let half = t_975(df) * libm::sqrt(self.q * (1.0 - self.q) / self.effective);
        let end = self.rarer * (1.0 - 0.5 / self.observations());
        // Only a median of a handful of operations reaches the other end; it stops there in the same way.
        let reach = |side: f64| half.min(end + side - self.rarer);
        let (low, high) = (self.q - reach(self.q), self.q + reach(1.0 - self.q));
        QuantileBand { low, high, effective: self.effective }
    }
}

// Whether they say enough for an interval.
impl Blocks {
    fn near(&self, q: f64) -> Result<(), BandRefusal> {
        let odds = |p: f64| p / (1.0 - p);
        let ratio = odds(self.share) / odds(q);
        if (1.0 / MAX_ODDS_RATIO..=MAX_ODDS_RATIO).contains(&ratio) {
            return Ok(());
        }
        Err(BandRefusal { why: BandReason::FarThreshold, needs: None })
    }

    /// Blocks forget: von Neumann's test finds no correlation beyond `z` standard deviations.
    fn forgets(&self, z: f64) -> Result<(), BandRefusal> {
        let (correlation, deviation) = self.correlation();
        if correlation <= z * deviation {
            return Ok(());
        }
        let longer = 4.0 / relaxations_per_block(correlation);
        Err(self.refuse(BandReason::Correlated, longer))
    }

    /// The body is worth enough operations to believe a tail.
    fn resolves(&self, tail: &Tail) -> Result<(), BandRefusal> {
        let need = MIN_BODY.max(MIN_EXPECTED_TAIL / tail.rarer);
        let effective = self.effective();
        if effective >= need || tail.rarer > 0.25 {
            return Ok(());
        }
        Err(self.refuse(BandReason::Correlated, 1.25 * need / effective))
    }

    /// The tail is not one episode.
    fn one_of_many(&self, tail: &Tail) -> Result<(), BandRefusal> {
        let rare = |tally: &BlockTally| {
            as_f64(if tail.q < 0.5 { tally.at_most } else { tally.count - tally.at_most })
        };
        let all: f64 = self.tallies.iter().map(rare).sum();
        let most = self.tallies.windows(2).map(|pair| rare(&pair[0]) + rare(&pair[1])).fold(0.0, f64::max);
        if most <= MAX_EPISODE * all {
            return Ok(());
        }
        Err(self.refuse(BandReason::OneEpisode, (1.5 * MIN_TAIL / tail.observations()).max(2.0)))
    }

    /// The tail holds enough independent observations.
    fn fills(&self, tail: &Tail) -> Result<(), BandRefusal> {
        if tail.observations() >= MIN_TAIL {
            return Ok(());
        }
        Err(self.refuse(BandReason::ThinTail, 1.5 * MIN_TAIL / tail.observations()))
    }

    fn refuse(&self, why: BandReason, longer: f64) -> BandRefusal {
        BandRefusal { why, needs: Some(to_count(libm::ceil(self.total * longer))) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn tallies(at_most: impl IntoIterator<Item = u64>, count: u64) -> Vec<BlockTally> {
        at_most.into_iter().map(|at_most| BlockTally { count, at_most }).collect()
    }

    /// Blocks that vary as independent operations do: ± one standard deviation, in an order without correlation.
    fn independent(q: f64, count: u64) -> Vec<BlockTally> {
        let spread = libm::sqrt(q * (1.0 - q) * as_f64(count));
        let signs = [1.0, -1.0, -1.0, 1.0];
        tallies(
            (0..64).map(|block| to_count(libm::round(q * as_f64(count) + signs[block % 4] * spread))),
            count,
        )
    }

    #[test]
    fn independent_operations_count_in_full() {
        let (tail, body) = (independent(0.95, 1_000), independent(0.5, 1_000));
        let band = quantile_band(0.95, &tail, &body).expect("long and independent");
        assert!(band.effective > 60_000.0, "{band:?}");
        let half = 2.13 * libm::sqrt(0.95 * 0.05 / band.effective);
        assert!((band.high - 0.95 - half).abs() < 1e-4 && (0.95 - band.low - half).abs() < 1e-4);
    }

    #[test]
    fn blocks_that_resemble_each_other_are_refused() {
        let slow = tallies((0..64).map(|block| if block / 8 % 2 == 0 { 400 } else { 600 }), 1_000);
        let refusal = quantile_band(0.5, &slow, &slow).expect_err("eight blocks a swing");
        assert_eq!(refusal.why, BandReason::Correlated);
        assert!(refusal.needs.expect("a count") > 4 * 64_000, "{refusal}");
    }

    #[test]
    fn a_freeze_carries_its_tail_and_not_the_others() {
        let body = independent(0.5, 1_000);
        // 2 % of all operations were slow, in one stretch over a block's edge; otherwise 0.1 %.
        let mut tail = tallies([999; 64], 1_000);
        (tail[30].at_most, tail[31].at_most) = (360, 360);
        let refusal = quantile_band(0.99, &tail, &body).expect_err("one freeze");
        assert_eq!(refusal.why, BandReason::OneEpisode);
        assert!(quantile_band(0.5, &body, &body).is_ok());
    }

    #[test]
    fn thin_tails_short_runs_and_far_thresholds_are_refused() {
        let body = independent(0.5, 30);
        let tail = tallies((0..64).map(|block| if block % 22 == 7 { 29 } else { 30 }), 30);
        let refusal = quantile_band(0.9985, &tail, &body).expect_err("three operations");
        assert!(refusal.needs.expect("a count") > 1_920, "{refusal}");
        let short = quantile_band(0.5, &body[..15], &body[..15]).expect_err("15 blocks");
        assert_eq!(short.why, BandReason::TooShort);
        let all = tallies([30; 64], 30);
        let far = quantile_band(0.5, &all, &body).expect_err("all at most the threshold");
        assert_eq!((far.why, far.needs), (BandReason::FarThreshold, None));
    }

    #[test]
    fn an_interrupted_run_uses_what_there_is() {
        let (mut tail, mut body) = (independent(0.95, 1_000), independent(0.5, 1_000));
        for blocks in [&mut tail, &mut body] {
            blocks[41] = BlockTally { count: 100, at_most: blocks[41].at_most / 10 };
            blocks[42..].fill(BlockTally::default());
        }
        let band = quantile_band(0.95, &tail, &body).expect("41 blocks");
        assert!(band.effective > 30_000.0 && band.effective <= 41_100.0, "{band:?}");
    }

    #[test]
    fn a_refusal_says_what_it_would_take() {
        let refusal = BandRefusal { why: BandReason::ThinTail, needs: Some(60_000) };
        assert_eq!(
            refusal.to_string(),
            "too few independent operations in the tail; at least 60000 are needed"
        );
        assert!((relaxations_per_block(0.122) - 5.0).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn bands_hold_the_quantile_and_stay_inside(
            q in 0.001_f64..0.999,
            blocks in vec((0_u64..2_000, 0.0_f64..=1.0), 0..80),
            near in any::<bool>(),
        ) {
            let make = |(count, share): (u64, f64)| {
                let share = if near { q } else { share };
                BlockTally { count, at_most: to_count(libm::round(as_f64(count) * share)).min(count) }
            };
            let blocks: Vec<_> = blocks.into_iter().map(make).collect();
            match quantile_band(q, &blocks, &blocks) {
                Ok(band) => {
                    prop_assert!(0.0 < band.low && band.low < q && q < band.high && band.high < 1.0);
                    prop_assert!(band.effective <= as_f64(blocks.iter().map(|block| block.count).sum()));
                }
                Err(refusal) => prop_assert!(refusal.needs != Some(0)),
            }
        }
    }
}
