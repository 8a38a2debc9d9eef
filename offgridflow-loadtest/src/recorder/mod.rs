//! What a shard has seen, in memory that does not grow with the number of operations.

mod route_record;
mod tally;

use std::time::Duration;

pub(crate) use {route_record::RouteRecord, tally::Tally};

use crate::{
    clock::OpTimes,
    control::SharedTime,
    executor::Executor,
    outcome::{FailKind, Outcome, TargetError},
    route::{MAX_STEPS, RouteId, RouteTable},
    silence::Silence,
    slowest::Slow,
    span::Span,
    step::{StepEnd, StepMark},
    unbegun::{Unbegun, Why},
    window_record::WindowRecord,
};

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
    steered: Option<SharedTime>,
    resumed: Duration, // when the latest pause was over
}

impl Recorder {
    pub(crate) fn new(span: Span, deadline: Option<Duration>) -> Self {
        let (silence, window) = Default::default();
        Self { span, deadline, silence, window, steered: None, resumed: Duration::ZERO }
    }

    /// By a time that may be steered.
    pub(crate) fn steered(self, time: Option<SharedTime>) -> Self {
        Self { steered: time, ..self }
    }

    /// Goes by what has become of the plan by `now`: when it ends, and since when it has not been paused.
    pub(crate) fn follow(&mut self, executor: &Executor, now: Duration) {
        let Some(time) = &self.steered else { return };
        self.span.end_at(executor.duration());
        if let Some(resumed) = time.goes_on_since(now) {
            self.resumed = resumed;
        }
    }

    /// The block of an operation. Those of a closed loop are parts of the plan's time, which stands still in a pause.
    fn block(&self, index: u64, intended: Duration) -> Option<usize> {
        let at = self.steered.as_ref().map_or(intended, |time| time.plan_at(intended));
        self.span.block(index, at)
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
            self.silence.answer(times.done, self.span.from().max(self.resumed));
        }
        let block = self.block(begun.index, begun.times.intended);
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
        if let Some(block) = self.block(begun.index, begun.times.intended) {
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
        let Some(block) = self.block(index, intended) else {
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
        match self.block(index, intended) {
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
        let Some(block) = self.block(index, at) else {
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
