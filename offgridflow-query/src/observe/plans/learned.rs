//! What is known of one statement beyond its figures: its latest durations and its plan.

use super::plan::Plan;
use super::watch::{Call, Change, History};
use crate::observe::entry::End;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Learned {
    wanted: AtomicBool, // its plan, of the next execution
    seen: AtomicBool,
    history: Mutex<History>,
}

impl Learned {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more execution: what was typical before it, and what changed, if it shows that something did.
    pub(super) fn note(&self, end: End, took: Duration) -> (Option<u64>, Option<Box<Change>>) {
        let mut history = self.history();
        let typical = history.typical();
        let End::Answered(_) = end else { return (typical, None) };
        match history.note(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)) {
            Call::Nothing => (typical, None),
            Call::Explain => {
                self.wanted.store(true, Relaxed);
                (typical, None)
            }
            Call::Regressed(change) => (typical, Some(change)),
        }
    }

    /// Whether this is the first execution.
    pub(super) fn is_new(&self) -> bool {
        !self.seen.load(Relaxed) && !self.seen.swap(true, Relaxed)
    }

    /// The latest durations, the oldest first.
    pub(super) fn recent_ns(&self) -> Vec<u64> {
        self.history().recent_ns()
    }

    pub(super) fn takes_want(&self) -> bool {
        self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed)
    }

    /// Whether the plan is another one than before.
    pub(super) fn explained(&self, plan: Plan, sql: Box<str>) -> bool {
        self.history().explained(plan, sql)
    }

    pub(super) fn refused(&self) {
        self.history().refused();
    }

    pub(super) fn sql(&self) -> Option<String> {
        self.history().sql().map(str::to_owned)
    }

    pub(super) fn plan(&self) -> Option<Plan> {
        self.history().plan().map(|plan| (**plan).clone())
    }
}
