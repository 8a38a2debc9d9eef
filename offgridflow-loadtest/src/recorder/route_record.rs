//! What a shard has seen on one route.

use std::time::Duration;

use crate::{
    histogram::Observed,
    step::{StepEnd, StepMark},
};

/// Counts and latencies of one route.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct RouteRecord {
    pub(crate) response: Observed,
    pub(crate) service: Observed,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
    pub(crate) within: u64, // answers that came before the plan, or a stopped run, was over
    pub(crate) late: u64,   // answered after their deadline
}

impl RouteRecord {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.ok += other.ok;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.within += other.within;
        self.late += other.late;
    }

    /// How many were answered, well or not.
    pub(crate) fn answered(&self) -> u64 {
        self.service.seen.answered().count() // which all that are answered have, steps too
    }

    /// Counts a step; one that goes on when its operation ends at `over` was not answered.
    pub(super) fn add_step(&mut self, block: usize, step: &StepMark, over: Duration) {
        let took = step.done.unwrap_or(over).saturating_sub(step.began);
        match step.end {
            StepEnd::Unanswered => self.service.record_unanswered(block, took),
            StepEnd::Ok | StepEnd::Answered => self.service.record(block, took),
        }
        self.ok += u64::from(step.end == StepEnd::Ok);
        self.failed += u64::from(step.end != StepEnd::Ok);
        self.bytes += step.bytes;
    }

    pub(super) fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        (self.ok, self.failed, self.bytes, self.within, self.late) = (0, 0, 0, 0, 0);
    }
}
