//! From what one replica does to how many are needed.

use std::fmt;

use super::Staircase;
use crate::units::measured_rate;

/// How many replicas a rate takes, and why.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Replicas {
    /// How many.
    pub count: u64,
    /// The rate that is wanted, a second.
    pub wanted_per_sec: f64,
    /// The highest rate at which one replica met the thresholds in every run.
    pub each_per_sec: f64,
    /// With how many workers.
    pub workers: usize,
    /// Up to which share of that each is used.
    pub used: f64,
    /// Whether more workers were seen to break a threshold: if not, one replica may do more.
    pub is_limit: bool,
}

impl Staircase {
    /// How many replicas like this target `wanted` operations a second take, each used up to the share `used` of the highest rate at which it met the
    /// thresholds in all runs. `None` where it met them on no level, or one of the numbers is none.
    #[must_use]
    pub fn replicas(&self, wanted_per_sec: f64, used: f64) -> Option<Replicas> {
        let sound = wanted_per_sec > 0.0 && wanted_per_sec.is_finite() && used > 0.0 && used <= 1.0;
        let met = self.levels.iter().filter(|level| level.meets());
        let best = met.max_by(|one, two| one.answered_per_sec().total_cmp(&two.answered_per_sec()))?;
        let each_per_sec = best.answered_per_sec();
        if !sound || each_per_sec <= 0.0 {
            return None;
        }
        let is_limit = self.levels.iter().any(|level| level.workers > best.workers && !level.meets());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive whole number"
        )]
        let count = libm::ceil(wanted_per_sec / (each_per_sec * used) - 1e-9) as u64;
        Some(Replicas { count, wanted_per_sec, each_per_sec, workers: best.workers, used, is_limit })
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.is_limit {
            "more workers broke a threshold"
        } else {
            "no level broke a threshold, so it may do more"
        };
        write!(
            f,
            "for {}/s: {} replica{}. One met every threshold at up to {}/s ({} workers; {more}); used up to {:.0} % of that, it carries {}/s. This holds as long as replicas share nothing that is \
             the limit, such as a database: run the staircase against two of them to see",
            measured_rate(self.wanted_per_sec),
            self.count,
            if self.count == 1 { "" } else { "s" },
            measured_rate(self.each_per_sec),
            self.workers,
            self.used * 100.0,
            measured_rate(self.each_per_sec * self.used),
        )
    }
}
