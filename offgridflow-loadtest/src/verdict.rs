//! What a run is worth (validity), and what it ran into (limit).

use std::{fmt, time::Duration};

/// The longest dispatch lag at its 99th percentile with which a run is still the target's measurement.
pub const MAX_LAG_P99: Duration = Duration::from_millis(10);
/// The largest share of the response time's 95th percentile that the dispatch lag's may be ...
pub const MAX_INFLATION: f64 = 0.1;
/// ... once it is more than this, which coarse timers have of themselves.
pub const NEGLIGIBLE_LAG: Duration = Duration::from_millis(2);
/// The fewest operations a run is judged by: what a p99 needs.
pub const MIN_OPERATIONS: u64 = 299;

/// Whether the numbers can be believed. Checked before any number is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", tag = "is", content = "cause")
)]
#[non_exhaustive]
pub enum Validity {
    /// They are the target's.
    Valid,
    /// The load generator did not keep its own schedule: the numbers are (also) its own.
    GeneratorBound(String),
    /// The cap on operations in flight refused a part of the plan, or made it wait in a queue that outlasted the plan: what
    /// the target does under the load planned is unknown. Where it also fell behind, [`Verdict::limit`] says so.
    CapBound(String),
    /// Too little happened to judge.
    Inconclusive(String),
}

/// What the run ran into, where its numbers can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", tag = "is", content = "cause")
)]
#[non_exhaustive]
pub enum Limit {
    /// Nothing in particular.
    NotReached,
    /// The target did not keep up with what was offered.
    TargetBound(String),
    /// The target did not answer, or no more than half of what it was asked.
    TargetDown(String),
}

/// The verdict on a run, on both axes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Verdict {
    /// Whether the numbers can be believed.
    pub validity: Validity,
    /// What the run ran into.
    pub limit: Limit,
    /// In what way the plan was altered while it ran ([`Control`](crate::Control)), if it was: then no threshold is judged, since they were set for the plan.
    #[cfg_attr(feature = "serde", serde(default))]
    pub altered: Option<String>,
}

impl Verdict {
    /// Whether the numbers are the target's.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.validity == Validity::Valid
    }

    /// The one word: an invalid run's validity, otherwise the limit if one was reached, otherwise `Valid`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (&self.validity, &self.limit) {
            (Validity::GeneratorBound(_), _) => "GeneratorBound",
            (Validity::CapBound(_), _) => "CapBound",
            (Validity::Inconclusive(_), _) => "Inconclusive",
            (Validity::Valid, Limit::TargetDown(_)) => "TargetDown",
            (Validity::Valid, Limit::TargetBound(_)) => "TargetBound",
            (Validity::Valid, Limit::NotReached) => "Valid",
        }
    }

    /// Why, unless all is well.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match (&self.validity, &self.limit) {
            (
                Validity::GeneratorBound(cause) | Validity::CapBound(cause) | Validity::Inconclusive(cause),
                _,
            )
            | (Validity::Valid, Limit::TargetDown(cause) | Limit::TargetBound(cause)) => Some(cause),
            (Validity::Valid, Limit::NotReached) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))?;
        self.altered.as_ref().map_or(Ok(()), |how| write!(f, "; the plan was altered while it ran: {how}"))
    }
}
