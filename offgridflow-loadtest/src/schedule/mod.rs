//! When each operation is due: a pure function of (rate, arrival process, seed, index).

mod bursts;
mod random;

use std::{fmt, time::Duration};

use crate::{
    error::{ConfigError, positive},
    rate::{MAX_SPAN, OPERATION, Rate},
};
pub use bursts::Bursts;
use bursts::Modulated;
use random::{Gap, MAX_RANDOM, Renewal};

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

    /// What whoever starts a run should know of the plan, such as lines of a log that were left out. It may quote what is private to
    /// them: the command writes it to standard error, reports leave it out. Nothing by default.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses a plan that no generator can run; every run asks before it begins.
    ///
    /// # Errors
    /// The setting to change, and how. What is provided refuses a plan in which nothing is due, one of no
    /// length or beyond 100 days, one of more than 10¹³ operations, and a peak that is not a positive finite number; runs check that much of
    /// every implementation, whatever it answers here.
    fn validate(&self) -> Result<(), ConfigError> {
        sound(self)
    }
}

/// More than a process sends in the longest run: more than a million a second for all of 100 days.
const MAX_OPERATIONS: u64 = 10_000_000_000_000;

/// What holds for every plan that can run.
pub(crate) fn sound<A: ArrivalProcess + ?Sized>(arrivals: &A) -> Result<(), ConfigError> {
    if arrivals.operations() == 0 {
        let hint = "nothing is ever due: a rate and a duration above zero are needed";
        return Err(ConfigError::new("rate", hint));
    }
    if arrivals.operations() > MAX_OPERATIONS {
        let hint = format!(
            "{} operations are planned, and a run has at most {MAX_OPERATIONS}: lower the rate, or run for a shorter time",
            arrivals.operations()
        );
        return Err(ConfigError::new("rate", hint));
    }
    positive("duration", arrivals.duration())?;
    if arrivals.duration() > MAX_SPAN {
        return Err(ConfigError::new("duration", "a run may last at most 100 days"));
    }
    let peak = arrivals.peak_rate();
    if !peak.is_finite() || peak <= 0.0 {
        return Err(ConfigError::new("rate", format!("the peak has to be a positive number, not {peak}")));
    }
    Ok(())
}

/// Arrivals along a [`Rate`]: evenly under its curve, or at random (Poisson, gamma, bursts).
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
    random: Option<Renewal>,
    modulated: Option<(Bursts, Modulated)>,
    fault: Option<ConfigError>, // of the random part; the rate has its own
}

/// Below, all arrivals fall into a few instants; above, use a steady schedule.
const SHAPES: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;

impl Schedule {
    /// Operation `k` is due when `k` operations lie under the curve. Costs O(log stages) an arrival.
    #[must_use]
    pub fn steady(rate: Rate) -> Self {
        Self { rate, random: None, modulated: None, fault: None }
    }

    /// Independent users: gaps are exponential in the area under the curve, so the count itself is random
    /// with the integral as its mean. Building sums every gap once (about 20 ns each); seeking is O(1).
    #[must_use]
    pub fn poisson(rate: Rate, seed: u64) -> Self {
        Self::random(rate, seed, Gap::Exponential)
    }

    /// Users in bursts, or in step: gaps are gamma distributed in the area under the curve, with a mean of one
    /// operation and a coefficient of variation of `1/√shape`. Shape 1 is Poisson (with other instants than
    /// [`poisson`](Self::poisson)), 0.25 doubles the spread of the gaps, 4 halves it; from 0.01 to 1 000.
    ///
    /// The first arrival comes one gap after the start, so the mean count is about `(1/shape − 1)/2` above
    /// the integral. Building sums every gap once (about 100 ns each); seeking is O(1). Marsaglia and Tsang 2000.
    ///
    /// ```
    /// use {offgridflow_loadtest::{Rate, Schedule}, std::time::Duration};
    /// let rate = Rate::constant(100.0, Duration::from_secs(60));
    /// assert!(Schedule::gamma(rate.clone(), 0.5, 42).validate().is_ok());
    /// assert_eq!(Schedule::gamma(rate, f64::NAN, 42).validate().unwrap_err().field, "shape");
    /// ```
    #[must_use]
    pub fn gamma(rate: Rate, shape: f64, seed: u64) -> Self {
        if SHAPES.contains(&shape) {
            return Self::random(rate, seed, Gap::Gamma(shape));
        }
        let hint =
            format!("must be a number from 0.01 to 1000, not {shape:e}; 1 is Poisson, less is burstier");
        Self::refused(rate, ConfigError::new("shape", hint))
    }

    /// Bursts: arrivals are independent of each other, but their rate switches at random between a high and a low level whose mean is
    /// `rate` (a Markov-modulated Poisson process of two states, stationary from the start). Where gaps of [`gamma`](Self::gamma) have no memory beyond the last
    /// arrival, bursts last: counts over long windows vary as much as
    /// `1 + 2·share·(1 − share)²·(times − calm)²·length·rate` times those of Poisson arrivals, `calm` being the level between bursts.
    /// Building sums every gap once (about 20 ns each); seeking is O(log bursts).
    /// See W. Fischer and K. Meier-Hellstern, *The Markov-modulated Poisson process (MMPP) cookbook*, 1993.
    #[must_use]
    pub fn bursty(rate: Rate, bursts: Bursts, seed: u64) -> Self {
        if let Err(fault) = bursts.validate(rate.duration()) {
            return Self::refused(rate, fault);
        }
        if rate.validate().is_err() {
            return Self::random(rate, seed, Gap::Exponential);
        }
        let modulated = Modulated::new(&bursts, &rate, seed);
        let mut schedule = Self::random_over(modulated.area(), rate, seed, Gap::Exponential);
        schedule.modulated = Some((bursts, modulated));
        schedule
    }

    fn random(rate: Rate, seed: u64, gap: Gap) -> Self {
        let area = if rate.validate().is_ok() { rate.area() } else { 0 };
        Self::random_over(area, rate, seed, gap)
    }

    fn random_over(area: u128, rate: Rate, seed: u64, gap: Gap) -> Self {
        if area / OPERATION >= MAX_RANDOM.into() {
            return Self::refused(rate, too_many());
        }
        let random = Renewal::new(gap, seed, area);
        let fault = match random.count() {
            0 => Some(ConfigError::new("rate", "this seed draws no operation at all: run longer, or faster")),
            MAX_RANDOM.. => Some(too_many()),
            _ => None,
        };
        Self { rate, random: Some(random), modulated: None, fault }
    }

    /// A schedule of which nothing is due.
    fn refused(rate: Rate, fault: ConfigError) -> Self {
        let random = Some(Renewal::new(Gap::Exponential, 0, 0));
        Self { rate, random, modulated: None, fault: Some(fault) }
    }

    /// The rate underneath.
    #[must_use]
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Refuses what no generator can run; see [`Rate::validate`].
    ///
    /// # Errors
    /// As [`Rate::validate`]; also a shape out of its range, and a random plan in which, by its seed, nothing
    /// is due, or more than 2²⁸ are.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.rate.validate()?;
        self.fault.clone().map_or(Ok(()), Err)
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
        let area = self.modulated.as_ref().map_or(area, |(_, modulated)| modulated.unmodulated(area));
        self.rate.when(area).map(Duration::from_nanos)
    }

    fn operations(&self) -> u64 {
        self.random.as_ref().map_or_else(|| self.rate.operations(), Renewal::count)
    }

    fn duration(&self) -> Duration {
        self.rate.duration()
    }

    fn rate_at(&self, at: Duration) -> f64 {
        self.rate.at(at)
    }

    fn peak_rate(&self) -> f64 {
        self.rate.peak() * self.modulated.as_ref().map_or(1.0, |(bursts, _)| bursts.times)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        Schedule::validate(self)
    }
}

fn too_many() -> ConfigError {
    ConfigError::new("rate", "random arrivals are limited to 2^28: split the run")
}
