//! The open loop: the schedule decides when an operation begins.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::{BURST, Job, Order, Shard, Slot, Tasks, as_u64};
use crate::{
    executor::{OnCap, Overload},
    op::{Marks, Op},
    outcome::{FailKind, TargetError},
    pacer::Pacer,
    route::RouteId,
    schedule::ArrivalProcess,
    workload::Workload,
};

impl<W: Workload> Shard<W> {
    /// Hands every arrival of this shard to a slot at its time.
    pub(super) async fn drive_open(self: &Rc<Self>, arrivals: &dyn ArrivalProcess) -> Tasks {
        let mut tasks = Vec::with_capacity(self.plan.cap);
        let mut pacer = Pacer::new(self.clock, self.plan.clock, self.plan.pacing);
        let (mut index, mut burst, mut held_until) = (as_u64(self.plan.index), 0, Duration::ZERO);
        while let Some(intended) = arrivals.intended(index) {
            if !self.wait_for_arrival(&mut pacer, intended, &mut burst).await {
                break;
            }
            // What fell due while the cap held the pacer waited for the cap, not for the pacer.
            let held_since = (intended < held_until).then_some(intended);
            if held_since.is_some() {
                self.recorder.borrow_mut().record_held();
            }
            let job = Job { index, intended, held_since };
            match self.free_slot(&mut tasks) {
                Some(slot) => self.hand(&slot, job),
                None if self.plan.on_cap == OnCap::Queue => {
                    if held_since.is_none() {
                        self.recorder.borrow_mut().record_held();
                    }
                    let held_since = Some(held_since.unwrap_or_else(|| self.clock.now()));
                    let Some(slot) = self.wait_for_slot().await else {
                        self.abandon(arrivals, index);
                        break;
                    };
                    held_until = self.clock.now();
                    self.hand(&slot, Job { held_since, ..job });
                }
                None => {
                    // A slot that is done but has not had its turn on this thread is not the cap.
                    tokio::task::yield_now().await;
                    match self.free_slot(&mut tasks) {
                        Some(slot) => self.hand(&slot, job),
                        None => self.refuse(job),
                    }
                }
            }
            index += as_u64(self.plan.shards);
        }
        tasks
    }

    /// Counts what was due and held by the cap when the run ended: it was offered, and nobody got an answer.
    fn abandon(&self, arrivals: &dyn ArrivalProcess, mut index: u64) {
        let now = self.clock.now();
        let was_due = |intended: Duration| {
            let stopped = self.stop.asked_at().is_some_and(|asked| self.clock.instant(intended) > asked);
            intended <= now && !stopped
        };
        while let Some(intended) = arrivals.intended(index).filter(|&intended| was_due(intended)) {
            let error =
                TargetError::unanswered(FailKind::Stopped, "still waiting for its turn when the run ended");
            let job = Job { index, intended, held_since: None };
            self.count_refused(job, now - intended, error);
            index += as_u64(self.plan.shards);
        }
    }

    /// `false` if the run was stopped meanwhile.
    async fn wait_for_arrival(&self, pacer: &mut Pacer, intended: Duration, burst: &mut u32) -> bool {
        while self.clock.now() < intended {
            if self.stop.ends() {
                return false;
            }
            *burst = 0;
            pacer.approach(intended).await;
        }
        *burst += 1;
        if *burst >= BURST {
            *burst = 0;
            tokio::task::yield_now().await;
        }
        !self.stop.ends()
    }

    /// A slot without work; a new one while there are fewer than allowed.
    fn free_slot(self: &Rc<Self>, tasks: &mut Tasks) -> Option<Rc<Slot>> {
        if let Some(slot) = self.free.borrow_mut().pop() {
            return Some(slot);
        }
        let mut slots = self.slots.borrow_mut();
        if slots.len() >= self.plan.cap {
            return None;
        }
        let slot = Rc::new(Slot::new(Marks::new(&self.plan.routes)));
        slots.push(Rc::clone(&slot));
        tasks.push(self.start(Rc::clone(self).serve(Rc::clone(&slot))));
        Some(slot)
    }

    async fn wait_for_slot(&self) -> Option<Rc<Slot>> {
        let free = || if self.stop.ends() { Some(None) } else { self.free.borrow_mut().pop().map(Some) };
        self.freed.wait_for(free).await
    }

    fn hand(&self, slot: &Slot, job: Job) {
        self.in_flight.set(self.in_flight.get() + 1);
        slot.give(Order::Run(job));
    }

    /// Counts what found the cap reached.
    fn refuse(&self, job: Job) {
        let lateness = self.clock.now().saturating_sub(job.intended);
        let error = TargetError::unanswered(FailKind::Cap, "as many operations as allowed were in flight");
        self.count_refused(job, lateness, error);
    }

    /// Counts, on its route, an operation that is not begun.
    fn count_refused(&self, job: Job, lateness: Duration, error: TargetError) {
        let route = self.route_of(job);
        self.recorder.borrow_mut().record_refused(route, job.index, job.intended, lateness, error);
    }

    /// The route of an operation that is not begun, where the workload knows it.
    fn route_of(&self, job: Job) -> RouteId {
        let known = self.plan.routes.known();
        if known.is_empty() {
            return RouteId::UNNAMED;
        }
        let given_up = self.clock.now() + self.plan.timeout;
        let marks = Arc::clone(&self.unbegun);
        let op = Op::new(&self.op_run(), job.index, job.intended, self.deadline(job, given_up), marks);
        let picked = catch_unwind(AssertUnwindSafe(|| self.workload.pick(&op)));
        picked.ok().and_then(|picked| known.get(picked).copied()).unwrap_or(RouteId::UNNAMED)
    }

    /// Whether an operation came so late that it is not to be run; counts it then.
    fn sheds(&self, job: Job) -> bool {
        let Some((deadline, Overload::Shed)) = self.plan.deadline else { return false };
        let now = self.clock.now();
        let lateness = now.saturating_sub(job.intended);
        if lateness <= deadline {
            return false;
        }
        let error = TargetError::unanswered(FailKind::Shed, "its deadline had passed before it could begin");
        let lag = job.held_since.unwrap_or(now).saturating_sub(job.intended);
        self.recorder.borrow_mut().record_lag(job.index, job.intended, lag);
        self.count_refused(job, lateness, error);
        true
    }

    /// A slot's life: operations one after the other on one session.
    async fn serve(self: Rc<Self>, slot: Rc<Slot>) {
        let mut session = None;
        while let Order::Run(job) = slot.next().await {
            if !self.sheds(job) {
                self.operate(&mut session, job, &slot).await;
            }
            self.leave();
            self.rest_until(self.clock.now() + self.plan.think_time).await;
            self.free.borrow_mut().push(Rc::clone(&slot));
            self.freed.ring();
        }
        self.close(session).await;
    }
}
