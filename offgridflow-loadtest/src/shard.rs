//! One thread's part of a run: its own runtime, sessions, slots and recorder.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    clock::{OpTimes, RunClock},
    executor::{Closed, Executor, OnCap},
    guard::guarded,
    op::{Marks, Op},
    outcome::{FailKind, Outcome, TargetError},
    pacer::{LONGEST_SLEEP, Pacer},
    recorder::{Recorder, WindowRecord},
    route::{RouteId, RouteTable},
    schedule::ArrivalProcess,
    slot::{Bell, Job, Order, Running, Slot},
    stop::StopHandle,
    warm_up::{wait_for_start, warm_up},
    workload::{ShardCtx, Workload},
};

/// How many due operations are dispatched before the ones in flight get a turn.
const BURST: u32 = 64;
/// How long operations in flight may take when a run is stopped.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// How long one live window lasts.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// What a shard has to do.
#[derive(Debug, Clone)]
pub(crate) struct ShardPlan {
    pub(crate) index: usize,
    pub(crate) shards: usize,
    pub(crate) executor: Executor,
    pub(crate) cap: usize,
    pub(crate) on_cap: OnCap,
    pub(crate) timeout: Duration,
    pub(crate) think_time: Duration,
    pub(crate) warm_sessions: usize,
    pub(crate) seed: u64,
    pub(crate) precise: bool,
    pub(crate) spin: bool,
    pub(crate) routes: Arc<RouteTable>,
}

/// How a shard talks to the conductor: before the run, once a second, and never for an operation.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) ready: oneshot::Sender<Result<(), TargetError>>,
    pub(crate) start: watch::Receiver<Option<Instant>>,
    pub(crate) windows: mpsc::Sender<WindowRecord>,
    pub(crate) stop: StopHandle,
}

/// Runs a shard to its end. `None` if the run never started.
pub(crate) async fn run_shard<W: Workload>(
    workload: Arc<W>,
    plan: ShardPlan,
    links: Links,
) -> Option<Recorder> {
    let Links { ready, mut start, windows, stop } = links;
    let mut idle = Vec::with_capacity(plan.warm_sessions);
    let warmed = warm_up(&workload, &plan, &mut idle).await;
    ready.send(warmed).ok()?;
    let origin = (*start.wait_for(Option::is_some).await.ok()?)?;
    wait_for_start(origin, plan.precise).await;
    let shard = Rc::new(Shard::new(workload, plan, origin, idle, stop));
    let ticker = spawn_local(Rc::clone(&shard).tick(windows.clone()));
    let tasks = match shard.plan.executor.clone() {
        Executor::Open(arrivals) => shard.drive_open(&*arrivals).await,
        Executor::Closed(closed) => shard.start_workers(&closed),
    };
    shard.drain().await;
    shard.wind_up(tasks).await;
    ticker.abort();
    let last = shard.recorder.borrow_mut().swap_window(WindowRecord::LAST, 0);
    let _ = windows.send(last).await;
    let end = shard.plan.executor.duration();
    Some(shard.recorder.replace(Recorder::new(end)))
}

pub(crate) fn context(plan: &ShardPlan, session: u64) -> ShardCtx {
    ShardCtx { shard: plan.index, shards: plan.shards, session, routes: Arc::clone(&plan.routes) }
}

struct Shard<W: Workload> {
    workload: Arc<W>,
    plan: ShardPlan,
    clock: RunClock,
    stop: StopHandle,
    recorder: RefCell<Recorder>,
    idle: RefCell<Vec<W::Session>>, // opened, not yet in a slot
    slots: RefCell<Vec<Rc<Slot>>>,  // all of them, at most `cap`
    free: RefCell<Vec<Rc<Slot>>>,   // those without work
    freed: Bell,
    in_flight: Cell<u64>,
    drained: Bell,
    sessions: Cell<u64>,
    next_index: Cell<u64>, // closed loop
}

type Tasks = Vec<JoinHandle<()>>;

impl<W: Workload> Shard<W> {
    fn new(
        workload: Arc<W>,
        plan: ShardPlan,
        origin: Instant,
        idle: Vec<W::Session>,
        stop: StopHandle,
    ) -> Self {
        Self {
            clock: RunClock::starting_at(origin),
            recorder: RefCell::new(Recorder::new(plan.executor.duration())),
            slots: RefCell::default(),
            free: RefCell::new(Vec::with_capacity(plan.cap)),
            freed: Bell::default(),
            in_flight: Cell::new(0),
            drained: Bell::default(),
            sessions: Cell::new(as_u64(plan.warm_sessions)),
            next_index: Cell::new(as_u64(plan.index)),
            idle: RefCell::new(idle),
            workload,
            plan,
            stop,
        }
    }

    // ---- open loop -------------------------------------------------------------------------------------

    /// Hands every arrival of this shard to a slot at its time.
    async fn drive_open(self: &Rc<Self>, arrivals: &dyn ArrivalProcess) -> Tasks {
        let mut tasks = Vec::with_capacity(self.plan.cap);
        let mut pacer = Pacer::new(self.clock, self.plan.precise, self.plan.spin);
        let (mut index, mut burst, mut held_until) = (as_u64(self.plan.index), 0, Duration::ZERO);
        while let Some(intended) = arrivals.intended(index) {
            if !self.wait_for_arrival(&mut pacer, intended, &mut burst).await {
                break;
            }
            // What fell due while the cap held the pacer waited for the cap, not for the pacer.
            let held_since = (intended < held_until).then_some(intended);
            let job = Job { index, intended, held_since };
            match self.free_slot(&mut tasks) {
                Some(slot) => self.hand(&slot, job),
                None if self.plan.on_cap == OnCap::Queue => {
                    let held_since = Some(held_since.unwrap_or_else(|| self.clock.now()));
                    let Some(slot) = self.wait_for_slot().await else { break };
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

    /// `false` if the run was stopped meanwhile.
    async fn wait_for_arrival(&self, pacer: &mut Pacer, intended: Duration, burst: &mut u32) -> bool {
        while self.clock.now() < intended {
            if self.stop.is_stopped() {
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
        !self.stop.is_stopped()
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
        let slot = Rc::new(Slot::default());
        slots.push(Rc::clone(&slot));
        tasks.push(spawn_local(Rc::clone(self).serve(Rc::clone(&slot))));
        Some(slot)
    }

    async fn wait_for_slot(&self) -> Option<Rc<Slot>> {
        let free =
            || if self.stop.is_stopped() { Some(None) } else { self.free.borrow_mut().pop().map(Some) };
        self.freed.wait_for(free).await
    }

    fn hand(&self, slot: &Slot, job: Job) {
        self.in_flight.set(self.in_flight.get() + 1);
        slot.give(Order::Run(job));
    }

    fn refuse(&self, job: Job) {
        let lateness = self.clock.now().saturating_sub(job.intended);
        self.recorder.borrow_mut().record_capped(RouteId::UNNAMED, lateness);
    }

    /// A slot's life: operations one after the other on one session.
    async fn serve(self: Rc<Self>, slot: Rc<Slot>) {
        let (mut session, mut marks) = (None, Marks::new(&self.plan.routes));
        while let Order::Run(job) = slot.next().await {
            marks = self.operate(&mut session, job, marks, &slot).await;
            self.leave();
            self.rest_until(self.clock.now() + self.plan.think_time).await;
            self.free.borrow_mut().push(Rc::clone(&slot));
            self.freed.ring();
        }
        self.close(session).await;
    }

    // ---- closed loop -----------------------------------------------------------------------------------

    fn start_workers(self: &Rc<Self>, closed: &Closed) -> Tasks {
        let mine = (self.plan.index..closed.workers).step_by(self.plan.shards);
        let start = |worker| {
            let slot = Rc::new(Slot::default());
            self.slots.borrow_mut().push(Rc::clone(&slot));
            self.in_flight.set(self.in_flight.get() + 1);
            let (from, to) = closed.shift(worker);
            spawn_local(Rc::clone(self).work(slot, from, to, closed.think_time))
        };
        mine.map(start).collect()
    }

    /// A worker's life: an operation, a rest, the next.
    async fn work(self: Rc<Self>, slot: Rc<Slot>, from: Duration, to: Duration, think_time: Duration) {
        let (mut session, mut marks, mut intended, mut burst) =
            (None, Marks::new(&self.plan.routes), from, 0);
        while intended < to {
            self.rest_until(intended).await;
            if self.stop.is_stopped() {
                break;
            }
            let index = self.next_index.replace(self.next_index.get() + as_u64(self.plan.shards));
            marks = self.operate(&mut session, Job { index, intended, held_since: None }, marks, &slot).await;
            burst = (burst + 1) % BURST;
            if burst == 0 {
                tokio::task::yield_now().await; // operations that never wait must not starve the others
            }
            intended = self.clock.now() + think_time;
        }
        self.leave();
        self.close(session).await;
    }

    // ---- both ------------------------------------------------------------------------------------------

    /// One operation, from dispatch to record.
    async fn operate(
        &self,
        session: &mut Option<W::Session>,
        job: Job,
        marks: Arc<Marks>,
        slot: &Slot,
    ) -> Arc<Marks> {
        let began = self.clock.now();
        let dispatched = job.held_since.unwrap_or(began);
        slot.running.set(Some(Running { job, dispatched }));
        let admitted = Cell::new(None);
        let deadline = began + self.plan.timeout;
        let mut op =
            Op::new(job.index, job.intended, deadline, self.plan.seed, self.clock, Arc::clone(&marks));
        let result = guarded(self.clock.instant(deadline), async {
            let session = match session {
                Some(session) => session,
                None => session.insert(self.open().await?),
            };
            admitted.set(Some(self.clock.now()));
            Ok(self.workload.call(session, &mut op).await)
        })
        .await;
        let done = self.clock.now();
        drop(op);
        slot.running.set(None);
        let outcome = result.and_then(|result| result).unwrap_or_else(Outcome::Failed);
        if matches!(outcome, Outcome::Failed(TargetError { answered: false, .. })) {
            *session = None;
        }
        let times = OpTimes {
            intended: job.intended,
            dispatched,
            admitted: marks.admitted().or(admitted.get()).unwrap_or(done),
            first_byte: marks.first_byte(),
            done,
        };
        self.recorder.borrow_mut().record(
            marks.route(),
            &times.ordered(),
            admitted.get().is_some(),
            &outcome,
        );
        marks.renew()
    }

    async fn open(&self) -> Result<W::Session, TargetError> {
        if let Some(session) = self.idle.borrow_mut().pop() {
            return Ok(session);
        }
        let number = self.sessions.replace(self.sessions.get() + 1);
        self.workload.open(&context(&self.plan, number)).await
    }

    async fn close(&self, session: Option<W::Session>) {
        if let Some(session) = session {
            let deadline = Instant::now() + self.plan.timeout;
            let _ = guarded(deadline, self.workload.close(session)).await;
        }
    }

    fn leave(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 {
            self.drained.ring();
        }
    }

    /// Sleeps until `at`, or until the run is stopped.
    async fn rest_until(&self, at: Duration) {
        loop {
            let now = self.clock.now();
            if now >= at || self.stop.is_stopped() {
                return;
            }
            sleep_until(self.clock.instant(at.min(now + LONGEST_SLEEP))).await;
        }
    }

    /// Sends a window a second, and wakes whoever waits when the run is stopped.
    async fn tick(self: Rc<Self>, windows: mpsc::Sender<WindowRecord>) {
        for index in 1_u32.. {
            self.rest_until(WINDOW * index).await;
            if self.stop.is_stopped() {
                self.freed.ring();
                return;
            }
            let window = self.recorder.borrow_mut().swap_window(index.into(), self.in_flight.get());
            if let Err(mpsc::error::TrySendError::Full(window)) = windows.try_send(window) {
                self.recorder.borrow_mut().restore_window(&window);
            }
        }
    }

    /// Waits for what is in flight: every operation ends at its time-out. After a stop, not longer than [`GRACE`].
    async fn drain(&self) {
        let idle = || (self.in_flight.get() == 0).then_some(());
        let drained = self.drained.wait_for(idle);
        tokio::pin!(drained);
        while timeout(LONGEST_SLEEP, &mut drained).await.is_err() {
            if self.stop.is_stopped() {
                let _ = timeout(GRACE, &mut drained).await;
                return self.give_up();
            }
        }
    }

    /// Counts what is still in flight as stopped.
    fn give_up(&self) {
        let now = self.clock.now();
        for running in self.slots.borrow().iter().filter_map(|slot| slot.running.take()) {
            let times = OpTimes {
                intended: running.job.intended,
                dispatched: running.dispatched,
                admitted: now,
                first_byte: None,
                done: now,
            };
            let error =
                TargetError::unanswered(FailKind::Stopped, "still in flight when the run was stopped");
            self.recorder.borrow_mut().record(
                RouteId::UNNAMED,
                &times.ordered(),
                false,
                &Outcome::Failed(error),
            );
        }
    }

    /// Closes sessions in good order, or drops them after a stop.
    async fn wind_up(&self, tasks: Tasks) {
        if self.stop.is_stopped() {
            tasks.iter().for_each(JoinHandle::abort);
        } else if self.plan.executor.arrivals().is_some() {
            self.slots.borrow().iter().for_each(|slot| slot.give(Order::Close));
        }
        for task in tasks {
            let _ = task.await;
        }
        let unused = self.idle.take();
        let closing = async {
            for session in unused {
                self.close(Some(session)).await;
            }
        };
        let _ = timeout(self.plan.timeout, closing).await;
    }
}

pub(crate) fn as_u64(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
