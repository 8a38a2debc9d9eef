//! All that a report is made of.

use std::time::Duration;

use super::RouteRecord;
use crate::{
    histogram::{Distribution, Latencies, Observed},
    ledger::Ledger,
    route::{MAX_ROUTES, MAX_STEPS},
    slowest::Slowest,
    threshold::Series,
};

/// What was begun before the measured part of the run: counted, not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Warm {
    pub(crate) operations: u64,
    pub(crate) failed: u64,
}

/// Everything the report is made of; a run's is the sum of its shards' windows.
#[derive(Debug, Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Tally {
    #[cfg_attr(feature = "serde", serde(skip))]
    routes: Vec<Option<Box<RouteRecord>>>, // empty, or MAX_ROUTES long; filled at first use
    #[cfg_attr(feature = "serde", serde(skip))]
    steps: Vec<Option<Box<RouteRecord>>>, // empty, or MAX_STEPS long; without response times
    pub(crate) lag: Observed,
    pub(crate) wait: Observed,
    pub(crate) first_byte: Observed,
    pub(crate) undelayed: Latencies, // done − dispatched of what was answered
    pub(crate) past_end: Latencies,  // answers after the schedule's end, by how much
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) ledger: Ledger,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) slowest: Slowest,
    pub(crate) dispatched: u64,
    pub(crate) capped: u64,
    pub(crate) shed: u64,
    pub(crate) waiting: u64, // due, and held by the cap when the run ended
    pub(crate) unsent: u64,  // due, and not sent when the run ended, by the generator's fault
    pub(crate) cut: u64,     // begun, and in flight when the run ended
    pub(crate) local: u64,   // failures of this machine, not the target's
    pub(crate) broke: u64,   // failed without an answer but in time: no time-out, no backlog
    pub(crate) late: u64,    // answered after their deadline
    pub(crate) held: u64,    // waited for the cap
    pub(crate) warm: Warm,
    pub(crate) busy_ns: u128, // from beginning to end, of all operations
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    pub(crate) last_done: Duration,
}

impl Tally {
    pub(crate) fn routes(&self) -> impl Iterator<Item = (usize, &RouteRecord)> {
        self.routes.iter().enumerate().filter_map(|(index, record)| Some((index, record.as_deref()?)))
    }

    /// What operations consisted of: service times and counts, in none of the routes'.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (usize, &RouteRecord)> {
        self.steps.iter().enumerate().filter_map(|(place, record)| Some((place, record.as_deref()?)))
    }

    pub(super) fn step(&mut self, place: usize) -> Option<&mut RouteRecord> {
        if self.steps.is_empty() {
            self.steps.resize(MAX_STEPS, None);
        }
        self.steps.get_mut(place).map(|record| &mut **record.get_or_insert_default())
    }

    /// What is kept of all routes together only.
    pub(crate) fn of_all_routes(&self, series: Series) -> Option<&Distribution> {
        match series {
            Series::Response | Series::Service => None,
            Series::DispatchLag => Some(&self.lag.seen),
            Series::AdmissionWait => Some(&self.wait.seen),
            Series::FirstByte => Some(&self.first_byte.seen),
        }
    }

    pub(super) fn route(&mut self, index: usize) -> &mut RouteRecord {
        if self.routes.is_empty() {
            self.routes.resize(MAX_ROUTES, None);
        }
        self.routes[index].get_or_insert_default()
    }

    /// What it holds beside routes, steps and the ledger, which have names.
    #[cfg(feature = "serde")]
    pub(crate) fn without_names(&self) -> Self {
        Self { routes: Vec::new(), steps: Vec::new(), ledger: Ledger::default(), ..self.clone() }
    }

    /// Adds what another process saw on a route.
    #[cfg(feature = "serde")]
    pub(crate) fn add_route(&mut self, route: crate::route::RouteId, record: &RouteRecord) {
        self.route(route.index()).merge(record);
    }

    /// Adds what another process saw of a step.
    #[cfg(feature = "serde")]
    pub(crate) fn add_step(&mut self, place: usize, record: &RouteRecord) {
        if let Some(step) = self.step(place) {
            step.merge(record);
        }
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (index, record) in other.routes() {
            if record.response.seen.count() > 0 {
                self.route(index).merge(record);
            }
        }
        for (place, record) in other.steps().filter(|(_, record)| record.ok + record.failed > 0) {
            if let Some(step) = self.step(place) {
                step.merge(record);
            }
        }
        self.lag.merge(&other.lag);
        self.wait.merge(&other.wait);
        self.first_byte.merge(&other.first_byte);
        self.undelayed.merge(&other.undelayed);
        self.past_end.merge(&other.past_end);
        self.ledger.merge(&other.ledger);
        self.slowest.merge(&other.slowest);
        self.dispatched += other.dispatched;
        self.capped += other.capped;
        self.shed += other.shed;
        self.waiting += other.waiting;
        self.unsent += other.unsent;
        self.cut += other.cut;
        self.local += other.local;
        self.broke += other.broke;
        self.late += other.late;
        self.held += other.held;
        self.warm.operations += other.warm.operations;
        self.warm.failed += other.warm.failed;
        self.busy_ns += other.busy_ns;
        self.last_done = self.last_done.max(other.last_done);
    }

    /// Empties it; what was in use keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.routes.iter_mut().chain(&mut self.steps).flatten().for_each(|record| record.clear());
        self.lag.clear();
        self.wait.clear();
        self.first_byte.clear();
        self.undelayed.clear();
        self.past_end.clear();
        self.slowest.clear();
        (self.dispatched, self.capped, self.shed, self.cut) = (0, 0, 0, 0);
        (self.waiting, self.unsent) = (0, 0);
        (self.local, self.broke, self.late, self.held, self.busy_ns) = (0, 0, 0, 0, 0);
        (self.ledger, self.warm, self.last_done) = Default::default();
    }
}
