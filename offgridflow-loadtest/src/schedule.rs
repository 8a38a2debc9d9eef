//! When each operation is due: a pure function of (rate, arrival process, seed, index).

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    error::ConfigError,
    rate::{OPERATION, Rate},
    rng::OpRng,
};

/// The instants at which operations are due, counted from the start of the run.
///
/// Implementations are pure: `intended(k)` gives the same answer whenever and wherever it is asked, so that
/// shard `i` of `n` can take the operations `k ≡ i (mod n)` and nobody has to talk. Instants never decrease
/// in `k`. The engine asks for every index in turn on its hot path: aim for well under a microsecond.
pub trait ArrivalProcess: fmt::Debug + Send + Sync {
    /// When operation `k` is due; `None` from the first index beyond the plan on.
    fn intended(&self, k: u64) -> Option<Duration>;

    /// How many operations the plan holds.
    fn operations(&self) -> u64;

    /// How long the plan lasts, which may be longer than its last arrival.
    fn duration(&self) -> Duration;

    /// The rate around `at`, in operations a second, for display.
    fn rate_at(&self, at: Duration) -> f64;

    /// The highest rate, in operations a second, for sizing.
    fn peak_rate(&self) -> f64;
}

/// Arrivals along a [`Rate`]: evenly under its curve, or at random (Poisson).
///
/// ```
/// use {offgridflow_loadtest::{ArrivalProcess, Rate, Schedule}, std::time::Duration};
/// let steady = Schedule::steady(Rate::constant(200.0, Duration::from_secs(20)));
/// assert_eq!(steady.operations(), 4_000);
/// assert_eq!(steady.intended(1), Some(Duration::from_millis(5)));
/// assert_eq!(steady.intended(4_000), None);
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    rate: Rate,
    random: Option<Poisson>,
}

impl Schedule {
    /// Operation `k` is due when `k` operations lie under the curve. Costs O(log stages) an arrival.
    #[must_use]
    pub fn steady(rate: Rate) -> Self {
        Self { rate, random: None }
    }

    /// Independent users: gaps are exponential in the area under the curve, so the count itself is random
    /// with the integral as its mean. Building sums every gap once (about 20 ns each); seeking is O(1).
    #[must_use]
    pub fn poisson(rate: Rate, seed: u64) -> Self {
        let area = if rate.validate().is_ok() { rate.area() } else { 0 };
        Self { random: Some(Poisson::new(seed, area)), rate }
    }

    /// The rate underneath.
    #[must_use]
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Refuses what no generator can run; see [`Rate::validate`].
    ///
    /// # Errors
    /// As [`Rate::validate`]; also a random plan in which, by its seed, nothing is due, or more than 2²⁸ are.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.rate.validate()?;
        if self.operations() == 0 {
            return Err(ConfigError::new(
                "rate",
                "this seed draws no operation at all: run longer, or faster",
            ));
        }
        if self.random.as_ref().is_some_and(|random| random.count >= MAX_RANDOM) {
            return Err(ConfigError::new("rate", "random arrivals are limited to 2^28: split the run"));
        }
        Ok(())
    }

    /// The instants of shard `index` of `shards`: those `k` with `k ≡ index (mod shards)`, with their `k`.
    ///
    /// # Panics
    /// If `shards` is zero.
    pub fn shard(&self, index: u64, shards: u64) -> impl Iterator<Item = (u64, Duration)> + '_ {
        assert!(shards > 0, "a run has at least one shard");
        let mine = (index..self.operations()).step_by(usize::try_from(shards).unwrap_or(usize::MAX));
        mine.filter_map(|k| self.intended(k).map(|at| (k, at)))
    }
}

impl ArrivalProcess for Schedule {
    fn intended(&self, k: u64) -> Option<Duration> {
        let area = match &self.random {
            None => u128::from(k) * OPERATION,
            Some(random) => random.area(k)?,
        };
        self.rate.when(area).map(Duration::from_nanos)
    }

    fn operations(&self) -> u64 {
        self.random.as_ref().map_or_else(|| self.rate.operations(), |random| random.count)
    }

    fn duration(&self) -> Duration {
        self.rate.duration()
    }

    fn rate_at(&self, at: Duration) -> f64 {
        self.rate.at(at)
    }

    fn peak_rate(&self) -> f64 {
        self.rate.peak()
    }
}

/// A unit-rate Poisson process in the area under the rate, by sums of exponential gaps in exact integers.
///
/// Gap `k` depends only on (seed, k). The sums at every [`BLOCK`]th arrival are kept, so asking for any
/// arrival adds at most `BLOCK` gaps.
#[derive(Clone)]
struct Poisson {
    seed: u64,
    count: u64,
    sums: Arc<[u128]>, // sum of the first n × BLOCK gaps
}

const BLOCK: u64 = 32;
const MAX_RANDOM: u64 = 1 << 28;

impl Poisson {
    fn new(seed: u64, area: u128) -> Self {
        let (mut sums, mut sum, mut count) = (Vec::new(), 0_u128, 0_u64);
        loop {
            if count % BLOCK == 0 {
                sums.push(sum);
            }
            sum += gap(seed, count);
            if sum >= area || count >= MAX_RANDOM {
                return Self { seed, count, sums: sums.into() };
            }
            count += 1;
        }
    }

    fn area(&self, k: u64) -> Option<u128> {
        if k >= self.count {
            return None;
        }
        let before = self.sums[usize::try_from(k / BLOCK).ok()?];
        Some(before + (k - k % BLOCK..=k).map(|index| gap(self.seed, index)).sum::<u128>())
    }
}

impl fmt::Debug for Poisson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poisson")
            .field("seed", &self.seed)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// A unit-exponential gap, `−ln(1 − u)`, in units of the area; `libm` gives the same bits everywhere.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 ≤ gap < 37 operations, far inside 128 bits"
)]
fn gap(seed: u64, index: u64) -> u128 {
    let unit = OpRng::new(seed ^ 0x706f_6973_736f_6e00, index).unit();
    (-libm::log(1.0 - unit) * OPERATION as f64) as u128
}
