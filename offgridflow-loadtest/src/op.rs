//! One operation, as the workload sees it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    clock::RunClock,
    feed::{Feed, FeedRow},
    outcome::Outcome,
    rng::OpRng,
    route::{RouteId, RouteTable},
    step::Steps,
};

/// A step of an operation that only the workload can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has its connection or permit: service time begins here. Without this mark it begins as
    /// [`Workload::call`](crate::Workload::call) is called.
    Admitted,
    /// The answer began.
    FirstByte,
}

/// One operation: its place in the plan, random numbers of its own, and marks to leave.
///
/// It owns what it holds, so it can move into an `async move` block; marks left after the operation is over
/// are ignored.
pub struct Op {
    index: u64,
    intended: Duration,
    deadline: Duration,
    seed: u64,
    rng: OpRng,
    clock: RunClock,
    feed: Option<Feed>,
    picked: Option<usize>,
    marks: Arc<Marks>,
    kept: Vec<(Arc<str>, String)>, // from answers, for later steps
}

impl Op {
    /// The operation's place in the whole run, from 0: unique over all shards.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When the schedule wanted it, from the start of the run.
    #[must_use]
    pub fn intended(&self) -> Duration {
        self.intended
    }

    /// From when on its answer is worth nothing, from the start of the run: the plan's deadline
    /// ([`LoadTest::deadline`](crate::LoadTest::deadline)), otherwise the time-out.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Random numbers that depend on the run's seed and [`index`](Self::index) only.
    #[must_use]
    pub fn rng(&self) -> &OpRng {
        &self.rng
    }

    /// This operation's row of the run's [`Feed`]; `None` without one, or once unique rows ran out.
    #[must_use]
    pub fn row(&self) -> Option<FeedRow<'_>> {
        self.feed.as_ref()?.row(self.index, self.seed)
    }

    /// Which of the workload's [`routes`](crate::Workload::routes) was picked for it; `None` if it has none.
    #[must_use]
    pub fn picked(&self) -> Option<usize> {
        self.picked
    }

    /// Counts this operation under `name`. Names are templates (`GET /users/{id}`): beyond
    /// [`MAX_ROUTES`](crate::MAX_ROUTES) they are counted together. Costs a scan of the names seen so far.
    pub fn route(&self, name: &str) {
        let id = self.marks.routes.id(name);
        self.set_route(id);
    }

    /// Counts this operation under a route known from [`ShardCtx::route`](crate::ShardCtx::route).
    pub fn set_route(&self, route: RouteId) {
        self.marks.route.store(route.to_bits(), Relaxed);
    }

    /// Says that a phase begins now; the last mark of a phase counts.
    ///
    /// Within a step, `Admitted` begins the step's time; for the operation only the marks of its first step count.
    pub fn mark(&self, phase: Phase) {
        let now = self.clock.now();
        let at = u64::try_from(now.as_nanos()).unwrap_or(UNMARKED);
        match phase {
            Phase::Admitted if self.marks.steps.admit(now) => self.marks.admitted.store(at, Relaxed),
            Phase::FirstByte if self.marks.steps.is_first() => self.marks.first_byte.store(at, Relaxed),
            _ => {}
        }
    }

    /// Begins a step of this operation: one of the workload's [`steps`](crate::Workload::steps), by its place among them. Until
    /// [`end_step`](Self::end_step), time and failures are the step's. At most [`MAX_STEPS_AN_OPERATION`](crate::MAX_STEPS_AN_OPERATION) are recorded.
    pub fn begin_step(&self, place: usize) {
        self.marks.steps.begin(place, self.clock.now(), false);
    }

    /// Begins a step in which the target is not asked yet: a wait for a permit or a connection. Such steps come before the others, are ended as they are, and belong to the operation's
    /// admission wait: [`mark`](Self::mark) its end as [`Phase::Admitted`].
    pub fn begin_wait(&self, place: usize) {
        self.marks.steps.begin(place, self.clock.now(), true);
    }

    /// The step that goes on asks again: it goes on from its first request.
    #[cfg(feature = "http")]
    pub(crate) fn hold_step(&self) {
        self.marks.steps.hold();
    }

    /// Ends the step that goes on. One that is never ended, since its operation was given up, was not answered.
    pub fn end_step(&self, outcome: &Outcome) {
        self.marks.steps.end(outcome, self.clock.now());
    }

    /// Rests between two steps, as a user would who reads: the rest is in none of the operation's times, but within its time-out.
    ///
    /// # Cancel safety
    /// Dropping the future ends the rest; it does not count then.
    pub async fn rest(&self, length: Duration) {
        let from = self.clock.now();
        tokio::time::sleep(length).await;
        self.marks.steps.rest(self.clock.now().saturating_sub(from));
    }

    /// Keeps a value from an answer for later steps of this operation, in place of one of that name.
    pub fn keep(&mut self, name: impl Into<Arc<str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.kept.iter_mut().find(|(kept, _)| *kept == name) {
            Some((_, kept)) => *kept = value,
            None => self.kept.push((name, value)),
        }
    }

    /// What an earlier step of this operation kept under this name.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<&str> {
        self.kept.iter().find(|(kept, _)| **kept == *name).map(|(_, value)| value.as_str())
    }

    /// Counts bytes of payload that came, for an operation that may fail before it has all of them: of one that fails, what was counted so is
    /// in the report; of one that ends well, what its [`Outcome`](crate::Outcome) says.
    pub fn received(&self, bytes: u64) {
        self.marks.bytes.fetch_add(bytes, Relaxed);
    }

    /// Takes one of the routes that are known beforehand.
    pub(crate) fn take_route(&mut self, picked: usize, route: RouteId) {
        self.picked = Some(picked);
        self.set_route(route);
    }

    /// The same operation, owned: for workloads that move it into a future of their own.
    pub(crate) fn hand_over(&self) -> Self {
        let (rng, feed, marks) = (self.rng.clone(), self.feed.clone(), Arc::clone(&self.marks));
        Self { rng, feed, marks, kept: self.kept.clone(), ..*self }
    }

    pub(crate) fn new(
        run: &OpRun<'_>,
        index: u64,
        intended: Duration,
        deadline: Duration,
        marks: Arc<Marks>,
    ) -> Self {
        let OpRun { seed, clock, feed } = *run;
        Self {
            index,
            intended,
            deadline,
            seed,
            rng: OpRng::new(seed, index),
            clock,
            feed: feed.cloned(),
            picked: None,
            marks,
            kept: Vec::new(),
        }
    }
}

/// What all operations of a shard share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpRun<'a> {
    pub(crate) seed: u64,
    pub(crate) clock: RunClock,
    pub(crate) feed: Option<&'a Feed>,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("index", &self.index)
            .field("intended", &self.intended)
            .finish_non_exhaustive()
    }
}

const UNMARKED: u64 = u64::MAX;

/// What the workload marked, one for each slot, used again for every operation of the slot.
#[derive(Debug)]
pub(crate) struct Marks {
    routes: Arc<RouteTable>,
    route: AtomicU32,
    admitted: AtomicU64,
    first_byte: AtomicU64,
    bytes: AtomicU64,
    pub(crate) steps: Steps,
}

impl Marks {
    pub(crate) fn new(routes: &Arc<RouteTable>) -> Arc<Self> {
        Arc::new(Self {
            routes: Arc::clone(routes),
            route: AtomicU32::new(RouteId::UNNAMED.to_bits()),
            admitted: AtomicU64::new(UNMARKED),
            first_byte: AtomicU64::new(UNMARKED),
            bytes: AtomicU64::new(0),
            steps: Steps::default(),
        })
    }

    /// Clean marks for the next operation: these, or new ones while a straggler still holds these.
    pub(crate) fn renew(self: &mut Arc<Self>) {
        if Arc::strong_count(self) > 1 {
            *self = Self::new(&self.routes);
            return;
        }
        self.route.store(RouteId::UNNAMED.to_bits(), Relaxed);
        self.admitted.store(UNMARKED, Relaxed);
        self.first_byte.store(UNMARKED, Relaxed);
        self.bytes.store(0, Relaxed);
        self.steps.clear();
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn route(&self) -> RouteId {
        RouteId::from_bits(self.route.load(Relaxed))
    }

    pub(crate) fn admitted(&self) -> Option<Duration> {
        read(&self.admitted)
    }

    pub(crate) fn first_byte(&self) -> Option<Duration> {
        read(&self.first_byte)
    }
}

fn read(mark: &AtomicU64) -> Option<Duration> {
    Some(mark.load(Relaxed)).filter(|&at| at != UNMARKED).map(Duration::from_nanos)
}
