//! What an observer does beyond counting: slow executions are kept, and plans asked for.

use super::watch::{SlowLog, SlowRing, SlowStatement, Wanted, Watch};
use crate::observe::entry::{End, Entry};
use crate::observe::fingerprint::Fingerprint;
use crate::observe::observer::{Inner, Observer};
use crate::observe::scope::Place;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Longer texts are not asked for their plans.
const ASKED_BYTES: usize = 2 << 20;

#[derive(Debug, Default)]
pub(crate) struct Watching {
    pub(super) watch: Watch,
    slow: Option<SlowRing>,
}

impl Watching {
    /// What an execution says about its statement: slow, in need of a look at its plan, slower than with the plan before.
    pub(crate) fn look(&self, entry: &Entry, end: End, took: Duration, at: Place) {
        if !self.watch.is_active() && self.slow.is_none() {
            return;
        }
        self.watch.took(took);
        let (typical, change) = entry.plans.note(end, took);
        if self.slow.is_some() && entry.plans.is_new() {
            crate::telemetry::slow(&entry.summary, 0);
        }
        if let Some(slow) = self.slow.as_ref().filter(|slow| slow.log.is_slow(took, typical)) {
            crate::telemetry::slow(&entry.summary, 1);
            slow.push(SlowStatement {
                ended: SystemTime::now(),
                fingerprint: entry.fingerprint,
                text: entry.text.clone(),
                took,
                error: end.error(),
                at: at.to_string(),
            });
        }
        if let Some(change) = change {
            self.watch.regressed(entry, *change);
        }
    }

    /// Asks for the plan of a statement that wants one; `values` are those of the execution that begins.
    pub(crate) fn want(
        &self,
        entry: &Arc<Entry>,
        sql: &str,
        values: impl FnOnce() -> Option<Box<dyn Any + Send>>,
    ) {
        if self.watch.is_active() && sql.len() <= ASKED_BYTES && entry.plans.takes_want() {
            self.watch.want(Wanted { entry: Arc::clone(entry), sql: sql.into(), values: values() });
        }
    }

    /// Forgets the slow executions and the regressions.
    pub(crate) fn clear(&self) {
        self.watch.clear();
        if let Some(slow) = &self.slow {
            slow.clear();
        }
    }
}

impl Observer {
    /// The same settings, with nothing seen yet, and with a log of slow executions.
    #[must_use]
    pub fn with_slow_log(&self, log: SlowLog) -> Self {
        let (database, statements) = (self.inner.database, self.inner.table.capacity());
        let plans = Watching { slow: Some(SlowRing::new(log)), ..Watching::default() };
        Self { inner: Arc::new(Inner { plans, ..Inner::new(database, statements) }) }
    }

    /// The latest durations of a statement, the oldest first.
    pub(super) fn recent_ns(&self, statement: Fingerprint) -> Vec<u64> {
        self.inner.table.get(statement).map(|entry| entry.plans.recent_ns()).unwrap_or_default()
    }

    /// The latest slow executions, the latest first; none without a log.
    #[must_use]
    pub fn slow_statements(&self) -> Vec<SlowStatement> {
        self.inner.plans.slow.as_ref().map(SlowRing::read).unwrap_or_default()
    }
}
