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
    guard::TimeOut,
    op::{Marks, Op},
    pacer::Pacer,
    route::RouteId,
    schedule::ArrivalProcess,
    span::due,
    unbegun::{Unbegun, Why},
    workload::Workload,
};

/// How many operations that were never begun are told apart at the end of a run.
const MOST_ABANDONED: u64 = 1 << 21;

impl<W: Workload> Shard<W> {
    /// Hands every arrival of this shard to a slot at its time.
    pub(super) async fn drive_open(self: &Rc<Self>, arrivals: &dyn ArrivalProcess) -> Tasks {
        let mut tasks = Vec::with_capacity(self.plan.cap);
        let mut pacer = Pacer::new(self.clock, self.plan.clock, self.plan.pacing);
        let (mut index, mut burst) = (as_u64(self.plan.index), 0);
        let (mut now, mut held_until) = (Duration::ZERO, Duration::ZERO);
        while let Some(mut intended) = arrivals.intended(index) {
            let due_at = || arrivals.intended(index);
            if !self.wait_for_arrival(&mut pacer, due_at, &mut intended, &mut now, &mut burst).await {
                self.abandon(arrivals, index, held_until);
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
                        self.abandon(arrivals, index, Duration::MAX);
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

    /// Counts what was due and not begun when the run ended: it was offered, and nobody got an answer. What was due before `held_until`
    /// waited for the cap, the rest for the generator.
    fn abandon(&self, arrivals: &dyn ArrivalProcess, mut index: u64, held_until: Duration) {
        let now = self.clock.now();
        let until = self.stop.asked_at().map_or(now, |asked| self.clock.since_start(asked).min(now));
        let all = due(arrivals, until.saturating_add(Duration::from_nanos(1))).saturating_sub(index);
        // Beyond what can be gone through one by one, neighbours are counted together, as late as the last of them.
        let count = (all / as_u64(self.plan.shards)).div_ceil(MOST_ABANDONED).max(1);
        let step = count * as_u64(self.plan.shards);
        let end = index + all;
        while index < end {
            let count = count.min((end - index).div_ceil(as_u64(self.plan.shards)));
            let last = index + (count - 1) * as_u64(self.plan.shards);
            let (Some(intended), Some(last)) = (arrivals.intended(index), arrivals.intended(last)) else {
                return;
            };
            let why = if intended < held_until { Why::Waiting } else { Why::Unsent };
            let job = Job { index, intended, held_since: None };
            let route = if count == 1 { self.route_of(job) } else { RouteId::UNNAMED };
            let lateness = now.saturating_sub(last);
            let unbegun = Unbegun { route, index, intended, lateness, count, why };
            self.recorder.borrow_mut().record_unbegun(&unbegun);
            index += step;
        }
    }

    /// `false` if the run was stopped meanwhile. Where the plan is steered, `intended` is asked for again at each look.
    async fn wait_for_arrival(
        &self,
        pacer: &mut Pacer,
        due_at: impl Fn() -> Option<Duration>,
        intended: &mut Duration,
        now: &mut Duration,
        burst: &mut u32,
    ) -> bool {
        if *now < *intended {
            *now = self.clock.now(); // what was due by an earlier look needs no other
        }
        while *now < *intended {
            if self.stop.ends() {
                return false;
            }
            *burst = 0;
            *now = pacer.approach(*now, *intended).await;
            if self.plan.steered.is_some() {
                *intended = due_at().unwrap_or(*intended);
            }
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
        self.count_unbegun(job, self.clock.now().saturating_sub(job.intended), Why::Cap);
    }

    /// Counts, on its route, an operation that is not begun.
    fn count_unbegun(&self, job: Job, lateness: Duration, why: Why) {
        let Job { index, intended, .. } = job;
        let unbegun = Unbegun { route: self.route_of(job), index, intended, lateness, count: 1, why };
        self.recorder.borrow_mut().record_unbegun(&unbegun);
    }

    /// The route of an operation that is not begun, where the workload knows it.
    fn route_of(&self, job: Job) -> RouteId {
        let known = self.plan.routes.known();
        if known.is_empty() {
            return RouteId::UNNAMED;
        }
        let given_up = self.clock.now() + self.plan.timeout;
        let marks = Arc::clone(&self.unbegun);
        let index = self.plan.part.of_whole(job.index);
        let op = Op::new(&self.op_run(), index, job.intended, self.deadline(job, given_up), marks);
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
        let lag = job.held_since.unwrap_or(now).saturating_sub(job.intended);
        self.recorder.borrow_mut().record_lag(job.index, job.intended, lag);
        self.count_unbegun(job, lateness, Why::Shed);
        true
    }

    /// A slot's life: operations one after the other on one session.
    async fn serve(self: Rc<Self>, slot: Rc<Slot>) {
        let (mut session, mut timer) = (None, TimeOut::default());
        while let Order::Run(job) = slot.next().await {
            if !self.sheds(job) {
                self.operate(&mut session, &mut timer, job, &slot).await;
            }
            self.leave();
            if !self.plan.think_time.is_zero() {
                self.rest_until(self.clock.now() + self.plan.think_time).await;
            }
            self.free.borrow_mut().push(Rc::clone(&slot));
            self.freed.ring();
        }
        self.close(session).await;
    }
}
