//! What a shard has seen, in memory that does not grow with the number of operations.

use std::time::Duration;

use crate::{
    clock::OpTimes,
    histogram::{Distribution, Latencies},
    ledger::Ledger,
    outcome::{FailKind, Outcome, TargetError},
    route::{MAX_ROUTES, RouteId},
};

/// Counts and latencies of one route.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteRecord {
    pub(crate) response: Distribution,
    pub(crate) service: Distribution,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
}

impl RouteRecord {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.ok += other.ok;
        self.failed += other.failed;
        self.bytes += other.bytes;
    }
}

/// What happened since the last look: the live view of one shard, or of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct WindowRecord {
    pub(crate) index: u64,
    pub(crate) response: Distribution,
    pub(crate) lag: Latencies,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) in_flight: u64,
}

impl WindowRecord {
    /// The index of what remains when a shard ends.
    pub(crate) const LAST: u64 = u64::MAX;

    /// Adds what happened, not when.
    pub(crate) fn merge_counts(&mut self, other: &Self) {
        let index = self.index;
        self.merge(other);
        self.index = index;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.index = self.index.max(other.index);
        self.response.merge(&other.response);
        self.lag.merge(&other.lag);
        self.ok += other.ok;
        self.failed += other.failed;
        self.in_flight += other.in_flight;
    }
}

/// Everything a shard records.
#[derive(Debug)]
pub(crate) struct Recorder {
    routes: Vec<Option<Box<RouteRecord>>>, // MAX_ROUTES long, filled at first use
    pub(crate) lag: Latencies,
    pub(crate) wait: Latencies,
    pub(crate) first_byte: Latencies,
    pub(crate) past_end: Latencies, // answers after the schedule's end, by how much
    pub(crate) ledger: Ledger,
    pub(crate) dispatched: u64,
    pub(crate) last_done: Duration,
    window: WindowRecord,
    end: Duration,
}

impl Recorder {
    /// `end` is when the schedule is over.
    pub(crate) fn new(end: Duration) -> Self {
        Self {
            routes: vec![None; MAX_ROUTES],
            lag: Latencies::new(),
            wait: Latencies::new(),
            first_byte: Latencies::new(),
            past_end: Latencies::new(),
            ledger: Ledger::default(),
            dispatched: 0,
            last_done: Duration::ZERO,
            window: WindowRecord::default(),
            end,
        }
    }

    /// Counts one operation that was begun. `admitted` is false if it never got a session.
    pub(crate) fn record(&mut self, route: RouteId, times: &OpTimes, admitted: bool, outcome: &Outcome) {
        let answered = !matches!(outcome, Outcome::Failed(TargetError { answered: false, .. }));
        self.dispatched += 1;
        self.lag.record(times.dispatch_lag());
        self.window.lag.record(times.dispatch_lag());
        self.last_done = self.last_done.max(times.done);
        if admitted {
            self.wait.record(times.admission_wait());
        }
        if let Some(first_byte) = times.first_byte {
            self.first_byte.record(first_byte.saturating_sub(times.admitted));
        }
        if answered && times.done > self.end {
            self.past_end.record(times.done.saturating_sub(self.end));
        }
        let record = self.routes[route.index()].get_or_insert_default();
        if answered {
            record.response.record(times.response());
            record.service.record(times.service());
            self.window.response.record(times.response());
        } else {
            record.response.record_unanswered(times.response());
            self.window.response.record_unanswered(times.response());
            if admitted {
                record.service.record_unanswered(times.service());
            }
        }
        self.count(route, outcome);
    }

    /// Counts one operation that could not begin: the cap on operations in flight was reached.
    pub(crate) fn record_capped(&mut self, route: RouteId, lateness: Duration) {
        let error = TargetError::unanswered(FailKind::Cap, "as many operations as allowed were in flight");
        self.routes[route.index()].get_or_insert_default().response.record_unanswered(lateness);
        self.window.response.record_unanswered(lateness);
        self.count(route, &Outcome::Failed(error));
    }

    /// Takes the window out, leaving an empty one.
    pub(crate) fn swap_window(&mut self, index: u64, in_flight: u64) -> WindowRecord {
        let mut window = std::mem::take(&mut self.window);
        window.index = index;
        window.in_flight = in_flight;
        window
    }

    /// Puts a window back that nobody could take yet.
    pub(crate) fn restore_window(&mut self, window: &WindowRecord) {
        self.window.merge(window);
        self.window.in_flight = 0;
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = (usize, &RouteRecord)> {
        self.routes.iter().enumerate().filter_map(|(index, record)| Some((index, record.as_deref()?)))
    }

    /// Adds all of another shard's; windows are not part of the result.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (index, record) in other.routes() {
            self.routes[index].get_or_insert_default().merge(record);
        }
        self.lag.merge(&other.lag);
        self.wait.merge(&other.wait);
        self.first_byte.merge(&other.first_byte);
        self.past_end.merge(&other.past_end);
        self.ledger.merge(&other.ledger);
        self.dispatched += other.dispatched;
        self.last_done = self.last_done.max(other.last_done);
    }

    fn count(&mut self, route: RouteId, outcome: &Outcome) {
        let record = self.routes[route.index()].get_or_insert_default();
        match outcome {
            Outcome::Ok { bytes } => {
                record.ok += 1;
                record.bytes += bytes;
                self.window.ok += 1;
            }
            Outcome::Failed(error) => {
                record.failed += 1;
                self.window.failed += 1;
                self.ledger.count(error, route);
            }
        }
    }
}
