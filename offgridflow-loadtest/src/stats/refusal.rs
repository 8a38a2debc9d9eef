//! Why a run says too little for an interval.

use std::fmt;

/// Why no interval is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BandReason {
    /// Fewer than sixteen blocks with ten operations each.
    TooShort,
    /// Neighbouring blocks still resemble each other, or the whole run is worth too few independent operations:
    /// it has not seen enough of what the system does.
    Correlated,
    /// The tail holds too few independent observations to have an upper end.
    ThinTail,
    /// One episode (two neighbouring blocks) holds most of the tail. Whether it returns, one run cannot tell.
    OneEpisode,
    /// The threshold is too far from the quantile for its counts to say anything about it, as when all latencies
    /// fall into one bucket.
    FarThreshold,
}

/// An interval that cannot be stated honestly, and what it would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandRefusal {
    /// What is missing.
    pub why: BandReason,
    /// Operations that a run would need in all, and at least, by the best estimate from this one: an order of magnitude, not
    /// a promise. `None` where more would not help.
    pub needs: Option<u64>,
}

impl fmt::Display for BandRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            BandReason::TooShort => "too few operations",
            BandReason::Correlated => "operations depend on each other for too long",
            BandReason::ThinTail => "too few independent operations in the tail",
            BandReason::OneEpisode => "one episode carries the tail",
            BandReason::FarThreshold => "no threshold near the quantile",
        })?;
        self.needs.map_or(Ok(()), |needs| write!(f, "; at least {needs} are needed"))
    }
}

impl std::error::Error for BandRefusal {}
