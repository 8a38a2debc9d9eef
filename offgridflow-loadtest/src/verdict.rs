//! What a run is worth (validity), and what it ran into (limit).

use std::{fmt, time::Duration};

/// The longest dispatch lag at its 99th percentile with which a run is still the target's measurement.
pub const MAX_LAG_P99: Duration = Duration::from_millis(10);
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
    /// The cap on operations in flight refused a part of the plan, so the tail is unknown.
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
        self.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// The facts a verdict rests on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// Operations the plan wanted by the time the run ended; in a closed loop, those begun.
    pub(crate) offered: u64,
    pub(crate) dispatched: u64,
    pub(crate) capped: u64,
    pub(crate) answered: u64,
    /// Answered no later than the fastest response and 1 % of the plan after its end (open loop).
    pub(crate) in_time: Option<u64>,
    pub(crate) lag_p99: Option<Duration>,
    pub(crate) stuck_shards: usize,
    /// Why no session could be opened, if none could.
    pub(crate) unreachable: Option<String>,
    /// The commonest failure, for the cause.
    pub(crate) commonest: Option<String>,
    /// The most samples a threshold lacks: (threshold, have, need).
    pub(crate) lacking: Option<(String, u64, u64)>,
}

impl Evidence {
    pub(crate) fn judge(&self) -> Verdict {
        let limit = self.limit();
        let down = matches!(limit, Limit::TargetDown(_));
        let validity =
            self.generator().unwrap_or_else(|| if down { Validity::Valid } else { self.coverage() });
        Verdict { validity, limit }
    }

    fn generator(&self) -> Option<Validity> {
        if self.stuck_shards > 0 {
            return bound(format!(
                "{} shard(s) did not come back: the workload blocks its thread; use non-blocking calls",
                self.stuck_shards
            ));
        }
        if let Some(lag) = self.lag_p99.filter(|&lag| lag > MAX_LAG_P99) {
            return bound(format!(
                "dispatch lag p99 {} exceeds {MAX_LAG_P99:?}: the generator was starved of CPU or blocked; give it cores, or ask for less",
                crate::report::text::short(lag)
            ));
        }
        let sent = self.dispatched + self.capped;
        if self.unreachable.is_none() && below(sent, self.offered, 99) {
            return bound(format!("sent only {sent} of {} operations in time", self.offered));
        }
        None
    }

    fn coverage(&self) -> Validity {
        if self.offered > 0 && self.capped > 0 && !below(self.capped, self.offered, 1) {
            return Validity::CapBound(format!(
                "{} of {} operations found the cap on operations in flight reached; raise concurrent_workers, or the target is too slow for this rate",
                self.capped, self.offered
            ));
        }
        if self.dispatched < MIN_OPERATIONS {
            return Validity::Inconclusive(format!(
                "{} operations, at least {MIN_OPERATIONS} are needed",
                self.dispatched
            ));
        }
        if let Some((threshold, have, need)) = &self.lacking {
            return Validity::Inconclusive(format!(
                "`{threshold}` needs {need} operations, there were {have}"
            ));
        }
        Validity::Valid
    }

    fn limit(&self) -> Limit {
        let commonest = self.commonest.as_deref().map(|kind| format!(", mostly: {kind}")).unwrap_or_default();
        if let Some(why) = &self.unreachable {
            return Limit::TargetDown(format!("no session could be opened: {why}"));
        }
        if self.dispatched > 0 && self.answered == 0 {
            return Limit::TargetDown(format!(
                "none of {} operations was answered{commonest}",
                self.dispatched
            ));
        }
        if below(self.answered, self.dispatched, 50) {
            return Limit::TargetDown(format!(
                "{} of {} operations were answered{commonest}",
                self.answered, self.dispatched
            ));
        }
        match self.in_time {
            Some(in_time) if below(in_time, self.offered, 99) => Limit::TargetBound(format!(
                "{in_time} of {} operations were answered by the end of the schedule: the target did not keep up, so percentiles depend on how long the run was",
                self.offered
            )),
            _ => Limit::NotReached,
        }
    }
}

fn bound(cause: String) -> Option<Validity> {
    Some(Validity::GeneratorBound(cause))
}

/// Whether `part` is less than `percent` of `whole`.
fn below(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 < u128::from(whole) * u128::from(percent)
}
