//! What a shard has seen, in memory that does not grow with the number of operations.

use std::time::Duration;

use crate::{
    clock::OpTimes,
    histogram::{Distribution, Latencies, Observed},
    ledger::Ledger,
    outcome::{FailKind, Outcome, TargetError},
    route::{MAX_ROUTES, MAX_STEPS, RouteId, RouteTable},
    silence::Silence,
    slowest::{Slow, Slowest},
    span::Span,
    step::{StepEnd, StepMark},
    threshold::Series,
    unbegun::{Unbegun, Why},
    window_record::WindowRecord,
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
    fn add_step(&mut self, block: usize, step: &StepMark, over: Duration) {
        let took = step.done.unwrap_or(over).saturating_sub(step.began);
        match step.end {
            StepEnd::Unanswered => self.service.record_unanswered(block, took),
            StepEnd::Ok | StepEnd::Answered => self.service.record(block, took),
        }
        self.ok += u64::from(step.end == StepEnd::Ok);
        self.failed += u64::from(step.end != StepEnd::Ok);
        self.bytes += step.bytes;
    }

    fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        (self.ok, self.failed, self.bytes, self.within, self.late) = (0, 0, 0, 0, 0);
    }
}

/// What was begun before the measured part of the run: counted, not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Warm {
    pub(crate) operations: u64,
    pub(crate) failed: u64,
}

/// One operation that was begun, as it is recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) index: u64,
    pub(crate) route: RouteId,
    /// What its failure is counted under: its route, or the step that it failed in.
    pub(crate) cause: RouteId,
    pub(crate) times: OpTimes,
    /// How long it rested between its steps, which is in none of its times.
    pub(crate) rested: Duration,
    /// When it began to run, which is later than `dispatched` if the cap held it.
    pub(crate) began: Duration,
    /// `false` if it never got a session.
    pub(crate) admitted: bool,
    /// Whether it ended before the plan, or a stopped run, was over.
    pub(crate) within: bool,
    /// What was received of it, if it failed.
    pub(crate) bytes: u64,
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

    fn step(&mut self, place: usize) -> Option<&mut RouteRecord> {
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

    fn route(&mut self, index: usize) -> &mut RouteRecord {
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
    pub(crate) fn add_route(&mut self, route: RouteId, record: &RouteRecord) {
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

/// How long after a plan of this length an operation may end and still have ended by its end, the fastest response aside.
pub(crate) fn slack(planned: Duration) -> Duration {
    (planned / 100).max(Duration::from_millis(100))
}

/// What a shard records into: the window it is in.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) span: Span,
    deadline: Option<Duration>,
    silence: Silence,
    window: WindowRecord,
}

impl Recorder {
    pub(crate) fn new(span: Span, deadline: Option<Duration>) -> Self {
        Self { span, deadline, silence: Silence::default(), window: WindowRecord::default() }
    }

    /// Counts one operation that waits for the cap.
    pub(crate) fn record_held(&mut self) {
        self.window.tally.held += 1;
    }

    /// Counts one operation that was begun.
    pub(crate) fn record(&mut self, begun: &Begun, outcome: &Outcome) {
        let answered = !matches!(outcome, Outcome::Failed(TargetError { answered: false, .. }));
        let times = &begun.times.without(begun.rested);
        let tally = &mut self.window.tally;
        tally.last_done = tally.last_done.max(times.done);
        tally.busy_ns += times.done.saturating_sub(begun.began).as_nanos();
        if answered {
            self.silence.answer(times.done, self.span.from());
        }
        let block = self.span.block(begun.index, begun.times.intended);
        // Windows of the measured part hold measured operations only, so that they sum to the report.
        let told = block.is_some() || times.done < self.span.first_window();
        if told && answered {
            self.window.answer(times.done, times.response());
        }
        let Some(block) = block else {
            self.window.lag.record(times.dispatch_lag());
            if told {
                self.window.response.record_either(answered, times.response());
            }
            return self.record_warm(outcome, 1, told);
        };
        let tally = &mut self.window.tally;
        tally.slowest.take(Slow {
            response: times.response(),
            index: begun.index,
            intended: times.intended,
            route: begun.route.to_bits(),
            answered,
        });
        tally.dispatched += 1;
        tally.cut += u64::from(outcome.is_cut());
        tally.broke +=
            u64::from(outcome.is_break() && times.done <= self.span.end() + slack(self.span.end()));
        tally.lag.record(block, times.dispatch_lag());
        if begun.admitted {
            tally.wait.record(block, times.admission_wait());
        }
        if let Some(first_byte) = times.first_byte {
            tally.first_byte.record(block, first_byte.saturating_sub(times.admitted));
        }
        if answered {
            self.record_answer(times);
        }
        let is_late = answered && self.deadline.is_some_and(|deadline| times.response() > deadline);
        self.window.tally.late += u64::from(is_late);
        let record = self.window.tally.route(begun.route.index());
        if answered {
            record.response.record(block, times.response());
            record.service.record(block, times.service());
            record.within += u64::from(begun.within);
            record.late += u64::from(is_late);
        } else {
            record.response.record_unanswered(block, times.response());
            if begun.admitted {
                record.service.record_unanswered(block, times.service());
            }
        }
        self.count(begun.route, begun.cause, outcome, begun.bytes, 1);
    }

    /// Counts the steps of an operation; the answer is what its failure is to be counted under.
    pub(crate) fn record_steps(&mut self, begun: &Begun, steps: &[StepMark]) -> RouteId {
        if let Some(block) = self.span.block(begun.index, begun.times.intended) {
            for step in steps {
                if let Some(record) = self.window.tally.step(step.place) {
                    record.add_step(block, step, begun.times.done);
                }
            }
        }
        let failed = steps.last().filter(|step| step.end != StepEnd::Ok && step.place < MAX_STEPS);
        failed.map_or(begun.route, |step| RouteTable::step(step.place))
    }

    /// Counts what was not begun.
    pub(crate) fn record_unbegun(&mut self, unbegun: &Unbegun) {
        let Unbegun { route, index, intended, lateness, count, why } = *unbegun;
        let lost = why.error().into();
        let Some(block) = self.span.block(index, intended) else {
            let told = intended + lateness < self.span.first_window();
            if told {
                self.window.response.record_n_unanswered(lateness, count);
            }
            return self.record_warm(&lost, count, told);
        };
        let tally = &mut self.window.tally;
        tally.route(route.index()).response.record_n_unanswered(block, lateness, count);
        *match why {
            Why::Cap => &mut tally.capped,
            Why::Shed => &mut tally.shed,
            Why::Waiting => &mut tally.waiting,
            Why::Unsent => &mut tally.unsent,
        } += count;
        self.count(route, route, &lost, 0, count);
    }

    /// The generator's own part in an operation that was shed.
    pub(crate) fn record_lag(&mut self, index: u64, intended: Duration, lag: Duration) {
        match self.span.block(index, intended) {
            Some(block) => self.window.tally.lag.record(block, lag),
            None => self.window.lag.record(lag),
        }
    }

    /// Takes the window out, leaving the given one in its place.
    pub(crate) fn swap_window(
        &mut self,
        next: WindowRecord,
        shard: usize,
        index: u64,
        in_flight: u64,
    ) -> WindowRecord {
        let window = std::mem::replace(&mut self.window, next);
        WindowRecord { shard, index, in_flight, silence: self.silence, ..window }
    }

    /// Counts `n` operations that had begun by `at` on a shard that was not heard of again: nobody knows how they ended.
    pub(crate) fn record_lost(&mut self, n: u64, index: u64, at: Duration) {
        let Some(block) = self.span.block(index, at) else {
            self.window.tally.warm.operations += n;
            self.window.tally.warm.failed += n;
            return;
        };
        let lost: Outcome =
            TargetError::unanswered(FailKind::Stopped, "in flight on a shard that got stuck").into();
        let (route, tally) = (RouteId::UNNAMED, &mut self.window.tally);
        tally.dispatched += n;
        tally.cut += n;
        tally.route(route.index()).response.record_n_unanswered(block, Duration::ZERO, n);
        self.count(route, route, &lost, 0, n);
    }

    /// What was recorded since the last window.
    pub(crate) fn into_tally(self) -> Tally {
        self.window.tally
    }

    fn record_answer(&mut self, times: &OpTimes) {
        self.window.tally.undelayed.record(times.done.saturating_sub(times.dispatched));
        if times.done > self.span.end() {
            self.window.tally.past_end.record(times.done.saturating_sub(self.span.end()));
        }
    }

    /// Counts what began in the warm-up: told in its window, unless that belongs to the measured part.
    fn record_warm(&mut self, outcome: &Outcome, n: u64, told: bool) {
        let WindowRecord { ok, failed, tally, .. } = &mut self.window;
        tally.warm.operations += n;
        tally.warm.failed += if outcome.is_ok() { 0 } else { n };
        *if outcome.is_ok() { ok } else { failed } += if told { n } else { 0 };
    }

    fn count(&mut self, route: RouteId, cause: RouteId, outcome: &Outcome, received: u64, n: u64) {
        let WindowRecord { ok, failed, tally, .. } = &mut self.window;
        let record = tally.route(route.index());
        match outcome {
            Outcome::Ok { bytes } => {
                record.ok += n;
                record.bytes += bytes;
                *ok += n;
            }
            Outcome::Failed(error) => {
                record.failed += n;
                record.bytes += received;
                *failed += n;
                tally.local += if matches!(error.kind, FailKind::Local(_)) { n } else { 0 };
                tally.ledger.count(error, cause, n);
            }
        }
    }
}
