//! One operation, from dispatch to record.

use std::{cell::Cell, sync::Arc, time::Duration};

use super::{Job, Running, Shard, Slot};
use crate::{
    clock::OpTimes,
    guard::{TimeOut, dropped, guarded_by, timed_out},
    op::{Marks, Op},
    outcome::{FailKind, Outcome, TargetError},
    recorder::Begun,
    workload::Workload,
};

impl<W: Workload> Shard<W> {
    /// Runs an operation on a session, opened where needed, and counts it. The answer is how late it began by the generator's fault.
    pub(super) async fn operate(
        &self,
        session: &mut Option<W::Session>,
        timer: &mut TimeOut,
        job: Job,
        slot: &Slot,
    ) -> Duration {
        let began = self.clock.now();
        self.turn_windows(began);
        let dispatched = job.held_since.unwrap_or(began);
        slot.running.set(Some(Running { job, dispatched, began }));
        self.occupy(began, 1);
        let admitted = Cell::new(None);
        let given_up = began + self.plan.timeout;
        let mut op = Op::new(
            &self.op_run(),
            self.plan.part.of_whole(job.index),
            job.intended,
            self.deadline(job, given_up),
            Arc::clone(&slot.marks.borrow()),
        );
        let result = guarded_by(timer, self.clock.instant(given_up), async {
            self.pick_route(&mut op)?;
            let session = match session {
                Some(session) => {
                    admitted.set(Some(began)); // it waited for nothing
                    session
                }
                None => {
                    let opened = session.insert(self.open().await?);
                    admitted.set(Some(self.clock.now()));
                    opened
                }
            };
            Ok(self.workload.call(session, &mut op).await)
        })
        .await;
        let done = self.clock.now();
        drop(op);
        self.occupy(done, -1);
        slot.running.set(None);
        let outcome = result.and_then(|result| result).unwrap_or_else(Outcome::Failed);
        let mut outcome = if done > given_up { in_vain(outcome) } else { outcome };
        if matches!(outcome, Outcome::Failed(TargetError { answered: false, .. }))
            && let Err(panicked) = dropped(session.take())
        {
            outcome = Outcome::Failed(panicked);
        }
        let mut marks = slot.marks.borrow_mut();
        let times = OpTimes {
            intended: job.intended,
            dispatched,
            admitted: marks.admitted().or(admitted.get()).unwrap_or(done),
            first_byte: marks.first_byte(),
            done,
        };
        let (route, admitted) = (marks.route(), admitted.get().is_some());
        let within = done <= self.ends_at();
        let (index, times, bytes) = (job.index, times.ordered(), marks.bytes());
        let (cause, rested) = (route, Duration::ZERO);
        let begun = Begun { index, route, cause, times, rested, began, admitted, within, bytes };
        self.count(begun, &marks, &outcome);
        marks.renew();
        times.dispatch_lag()
    }

    /// Counts an operation that was begun, and its steps.
    pub(super) fn count(&self, mut begun: Begun, marks: &Marks, outcome: &Outcome) {
        let mut recorder = self.recorder.borrow_mut();
        if self.plan.steered.is_some() {
            recorder.follow(&self.plan.executor, begun.times.done);
        }
        marks.steps.look(|steps, rested| {
            begun.rested = rested;
            begun.cause = recorder.record_steps(&begun, steps);
        });
        recorder.record(&begun, outcome);
    }

    /// Decides the route before anything can go wrong, where the workload knows its routes.
    fn pick_route(&self, op: &mut Op) -> Result<(), TargetError> {
        let known = self.plan.routes.known();
        if known.is_empty() {
            return Ok(());
        }
        let picked = self.workload.pick(op);
        let Some(&route) = known.get(picked) else { return Err(no_such_route(picked, known.len())) };
        op.take_route(picked, route);
        Ok(())
    }

    /// When the plan is over, or was stopped.
    fn ends_at(&self) -> Duration {
        let planned = self.planned();
        self.stop.asked_at().map_or(planned, |asked| self.clock.since_start(asked).min(planned))
    }

    /// From when on an answer is worth nothing.
    pub(super) fn deadline(&self, job: Job, given_up: Duration) -> Duration {
        self.plan.deadline.map_or(given_up, |(deadline, _)| given_up.min(job.intended + deadline))
    }
}

/// A fault of the workload, like a panic.
fn no_such_route(picked: usize, known: usize) -> TargetError {
    let message = format!("it picked route {picked}, and has routes 0 to {}", known - 1);
    TargetError::unanswered(FailKind::Panic, message)
}

/// What came after the time-out did not come in time, though the timer, which is coarser than the clock, had not rung yet.
fn in_vain(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(error) if !error.answered => Outcome::Failed(error),
        _ => Outcome::Failed(timed_out()),
    }
}
