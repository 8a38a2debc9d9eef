use std::time::Duration;

use super::{Observation, Place};
use crate::Verdict;

/// What a condition says of one observation. None is said where what it watches is not known.
pub(super) struct Level {
    pub(super) seen: String,
    pub(super) holds: bool,
    /// It does not hold, and that is no evidence against it.
    pub(super) excused: bool,
    pub(super) place: Option<Place>,
    pub(super) verdict: Option<Verdict>,
}

impl Level {
    pub(super) fn of(holds: bool, seen: String) -> Self {
        Self { seen, holds, excused: false, place: None, verdict: None }
    }

    /// More than `cores` are busy; excused where so many would be, were they given.
    pub(super) fn cpu(seen: &Observation, cores: f64) -> Option<Self> {
        let busy = seen.cpu_cores?;
        let waited = seen.cpu_waited.unwrap_or(0.0);
        let words = match waited >= 0.01 {
            true => format!("{busy:.2} cores, {waited:.2} more were wanted and not given"),
            false => format!("{busy:.2} cores"),
        };
        Some(Self { excused: busy + waited > cores, ..Self::of(busy > cores, words) })
    }

    pub(super) fn latency(seen: &Observation, p99: Duration) -> Option<Self> {
        let latency = seen.latency_p99?;
        Some(Self::of(latency > p99, format!("p99 of {latency:.1?}")))
    }

    pub(super) fn pressure(seen: &Observation, share: f64) -> Option<Self> {
        let stalled = seen.pressure?;
        Some(Self::of(stalled > share, format!("stalled {:.1} % of the time", stalled * 100.0)))
    }

    /// Of the place that has most.
    pub(super) fn tasks(seen: &Observation, live: u64) -> Option<Self> {
        let most = seen.tasks.iter().max_by_key(|task| task.live)?;
        let level = Self::of(most.live > live, format!("{} tasks of {}", most.live, most.place));
        Some(Self { place: Some(most.place), ..level })
    }

    /// Of the place that waits longest.
    pub(super) fn wait(seen: &Observation, mean: Duration) -> Option<Self> {
        let longest = seen.waits.iter().max_by_key(|wait| wait.mean)?;
        let words = format!("{:.1?} at {}, {} waiting", longest.mean, longest.place, longest.waiting);
        Some(Self { place: Some(longest.place), ..Self::of(longest.mean > mean, words) })
    }
}
