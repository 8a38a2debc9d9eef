//! One thread's part of a run: its own runtime, sessions, slots and recorder.

mod alarms;
mod closed;
mod drain;
mod open;
mod operate;
mod slot;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_local},
    time::Instant,
};

use alarms::Alarms;
use slot::{Bell, Job, Order, Running, Slot};

use crate::{
    clock::{ClockSource, RunClock},
    control::SharedTime,
    executor::{Executor, OnCap, Overload},
    feed::Feed,
    generator::ShardUse,
    guard::watched,
    op::{Marks, OpRun},
    opening::{open_sessions, wait_for_start},
    outcome::TargetError,
    pacer::{LONGEST_SLEEP, Pacer, Pacing},
    part::Part,
    pulse::Pulse,
    recorder::Recorder,
    route::RouteTable,
    span::Span,
    stop::StopHandle,
    warm_up::WarmUp,
    window_record::WindowRecord,
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
    pub(crate) deadline: Option<(Duration, Overload)>,
    pub(crate) think_time: Duration,
    pub(crate) warm_sessions: usize,
    pub(crate) warm_up: WarmUp,
    pub(crate) seed: u64,
    pub(crate) feed: Option<Feed>,
    pub(crate) clock: ClockSource,
    pub(crate) part: Part,
    /// Its time, where that may be steered: then instants have to be asked for again.
    pub(crate) steered: Option<SharedTime>,
    pub(crate) pacing: Pacing,
    pub(crate) routes: Arc<RouteTable>,
}

/// How a shard talks to the conductor: before the run, once a second, and never for an operation.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) ready: oneshot::Sender<Result<(), TargetError>>,
    pub(crate) start: watch::Receiver<Option<Instant>>,
    pub(crate) windows: mpsc::Sender<WindowRecord>,
    pub(crate) spares: mpsc::Receiver<WindowRecord>,
    /// From when on is measured, once an automatic warm-up is over.
    pub(crate) measure_from: watch::Receiver<Option<Duration>>,
    pub(crate) stop: StopHandle,
    pub(crate) pulse: Arc<Pulse>,
}

/// Runs a shard to its end, its last window included, and says what it used. `None` if the run never started.
pub(crate) async fn run_shard<W: Workload>(
    workload: Arc<W>,
    plan: ShardPlan,
    links: Links,
) -> Option<ShardUse> {
    let Links { ready, mut start, windows, spares, measure_from, stop, pulse } = links;
    let mut idle = Vec::with_capacity(plan.warm_sessions);
    let opened = open_sessions(&workload, &plan, &mut idle).await;
    ready.send(opened).ok()?;
    let origin = (*start.wait_for(Option::is_some).await.ok()?)?;
    wait_for_start(origin, plan.clock).await;
    let outbox = Outbox { windows: windows.clone(), spares, measure_from };
    let shard = Rc::new(Shard::new(workload, plan, origin, idle, stop, pulse, outbox));
    let mut used = ShardUse::begin();
    let keeper = shard.start(Rc::clone(&shard).keep_alarms());
    let ticker = shard.start(Rc::clone(&shard).tick());
    let tasks = match shard.plan.executor.clone() {
        Executor::Open(arrivals) => shard.drive_open(&*arrivals).await,
        Executor::Closed(closed) => shard.start_workers(&closed),
    };
    shard.drain().await;
    used.end(shard.length(), shard.occupied.get());
    shard.wind_up(tasks).await;
    ticker.abort();
    keeper.abort();
    let last = shard.swap_window(WindowRecord::default(), WindowRecord::LAST);
    let _ = windows.send(last).await;
    Some(used)
}

pub(crate) fn context(plan: &ShardPlan, session: u64) -> ShardCtx {
    ShardCtx { shard: plan.index, shards: plan.shards, session, routes: Arc::clone(&plan.routes) }
}

impl ShardPlan {
    fn recorder(&self) -> Recorder {
        let span = match self.warm_up {
            WarmUp::None => Span::new(&self.executor, Duration::ZERO),
            WarmUp::For(length) => Span::new(&self.executor, length),
            WarmUp::Auto => Span::nothing_yet(&self.executor),
        };
        Recorder::new(span, self.deadline.map(|(deadline, _)| deadline)).steered(self.steered.clone())
    }
}

struct Shard<W: Workload> {
    workload: Arc<W>,
    plan: ShardPlan,
    planned: Duration, // how long, unless it is steered
    clock: RunClock,
    stop: StopHandle,
    pulse: Arc<Pulse>,
    recorder: RefCell<Recorder>,
    outbox: RefCell<Option<Outbox>>, // until the run ends, so that the conductor is not waiting for more
    window: Cell<u32>,               // the one that is recorded, from 1
    idle: RefCell<Vec<W::Session>>,  // opened, not yet in a slot
    slots: RefCell<Vec<Rc<Slot>>>,   // all of them, at most `cap`
    free: RefCell<Vec<Rc<Slot>>>,    // those without work
    freed: Bell,
    unbegun: Arc<Marks>, // of operations that are only asked for their route
    in_flight: Cell<u64>,
    drained: Bell,
    alarms: Alarms,
    is_closing: Cell<bool>, // nothing more comes: who rests need not go on resting
    sessions: Cell<u64>,
    next_index: Cell<u64>, // closed loop
    running: Cell<u64>,    // operations between dispatch and end
    changed: Cell<Duration>,
    occupied: Cell<u128>, // running × time, in nanoseconds, up to `changed`
}

/// Where windows go, and what comes back.
struct Outbox {
    windows: mpsc::Sender<WindowRecord>,
    spares: mpsc::Receiver<WindowRecord>,
    measure_from: watch::Receiver<Option<Duration>>,
}

type Tasks = Vec<JoinHandle<()>>;

impl<W: Workload> Shard<W> {
    fn new(
        workload: Arc<W>,
        plan: ShardPlan,
        origin: Instant,
        idle: Vec<W::Session>,
        stop: StopHandle,
        pulse: Arc<Pulse>,
        outbox: Outbox,
    ) -> Self {
        Self {
            outbox: RefCell::new(Some(outbox)),
            window: Cell::new(1),
            planned: plan.executor.duration(),
            clock: RunClock::starting_at(origin),
            recorder: RefCell::new(plan.recorder()),
            slots: RefCell::default(),
            free: RefCell::new(Vec::with_capacity(plan.cap)),
            freed: Bell::default(),
            unbegun: Marks::new(&plan.routes),
            in_flight: Cell::new(0),
            drained: Bell::default(),
            alarms: Alarms::default(),
            is_closing: Cell::new(false),
            sessions: Cell::new(as_u64(plan.warm_sessions)),
            next_index: Cell::new(as_u64(plan.index)),
            running: Cell::new(0),
            changed: Cell::new(Duration::ZERO),
            occupied: Cell::new(0),
            idle: RefCell::new(idle),
            workload,
            plan,
            stop,
            pulse,
        }
    }

    /// Starts a task of the engine on this thread; see [`watched`].
    fn start(&self, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        let task = watched(task, Arc::clone(&self.pulse), self.stop.clone());
        spawn_local(async { task.await.unwrap_or(()) })
    }

    fn op_run(&self) -> OpRun<'_> {
        OpRun { seed: self.plan.seed, clock: self.clock, feed: self.plan.feed.as_ref() }
    }

    async fn open(&self) -> Result<W::Session, TargetError> {
        if let Some(session) = self.idle.borrow_mut().pop() {
            return Ok(session);
        }
        let number = self.sessions.replace(self.sessions.get() + 1);
        self.workload.open(&context(&self.plan, number)).await
    }

    fn leave(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 {
            self.drained.ring();
        }
    }

    /// Keeps the books on how many operations run at a time, for Little's law.
    fn occupy(&self, at: Duration, change: i64) {
        let at = at.max(self.changed.get());
        let span = at.saturating_sub(self.changed.replace(at)).as_nanos();
        self.occupied.set(self.occupied.get() + span * u128::from(self.running.get()));
        self.running.set(self.running.get().saturating_add_signed(change));
        self.pulse.beat(at, self.running.get());
    }

    /// Rests until `at`, or until there is nothing to rest for: the run is stopped, or over.
    async fn rest_until(&self, at: Duration) {
        self.alarms.wait(at, || self.clock.now() >= at || self.is_over()).await;
    }

    /// How long the run is: as planned, unless it was stopped before or still goes on.
    fn length(&self) -> Duration {
        let ends_itself = self.stop.ends() || self.plan.executor.ends_early();
        let planned = if ends_itself { Duration::ZERO } else { self.planned() };
        self.clock.now().max(planned)
    }

    /// How long the plan is, as far as anybody knows.
    fn planned(&self) -> Duration {
        if self.plan.steered.is_some() { self.plan.executor.duration() } else { self.planned }
    }

    /// Whether nothing more is to come.
    fn is_over(&self) -> bool {
        self.stop.ends() || self.is_closing.get()
    }

    /// Wakes everybody who rests.
    fn rouse(&self) {
        self.alarms.ring(Duration::MAX);
    }

    /// Wakes whoever rests at their instants, as finely as the system's timer allows, until the run is stopped.
    async fn keep_alarms(self: Rc<Self>) {
        let mut pacer = Pacer::new(self.clock, self.plan.clock, self.plan.pacing.exact());
        loop {
            let now = self.clock.now();
            self.pulse.beat(now, self.running.get());
            if self.stop.ends() {
                return self.rouse();
            }
            self.alarms.ring(now);
            let next = self.alarms.earliest().unwrap_or(now + LONGEST_SLEEP);
            tokio::select! {
                biased;
                () = self.alarms.sooner() => {}
                _ = pacer.approach(now, next) => {}
            }
        }
    }

    /// Sees to it that windows are sent where no operation begins, and wakes whoever waits when the run is stopped.
    async fn tick(self: Rc<Self>) {
        loop {
            self.rest_until(self.window_end()).await;
            if self.is_over() {
                self.freed.ring();
                self.outbox.take();
                return;
            }
            self.turn_windows(self.clock.now());
        }
    }

    /// Sends the windows that are over by `now`. Before an operation, which may never give its thread back.
    fn turn_windows(&self, now: Duration) {
        while now >= self.window_end() && !self.is_over() {
            let Some(outbox) = &mut *self.outbox.borrow_mut() else { return };
            let index = self.window.replace(self.window.get() + 1);
            self.begin_measuring(*outbox.measure_from.borrow());
            // Where nobody has room for it, the window goes on.
            if let Ok(place) = outbox.windows.try_reserve() {
                let spare = outbox.spares.try_recv().unwrap_or_default();
                place.send(self.swap_window(spare, index.into()));
            }
        }
    }

    fn window_end(&self) -> Duration {
        WINDOW.saturating_mul(self.window.get())
    }

    /// Ends an automatic warm-up, once the conductor has said when.
    fn begin_measuring(&self, from: Option<Duration>) {
        let mut recorder = self.recorder.borrow_mut();
        if let Some(from) = from.filter(|_| recorder.span.from() == Duration::MAX) {
            recorder.span = Span::new(&self.plan.executor, from);
        }
    }

    fn swap_window(&self, next: WindowRecord, index: u64) -> WindowRecord {
        self.recorder.borrow_mut().swap_window(next, self.plan.index, index, self.in_flight.get())
    }
}

pub(crate) fn as_u64(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
