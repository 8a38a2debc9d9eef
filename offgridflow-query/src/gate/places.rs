//! The places of one pool: taking one, waiting for one, and the books.

use crate::gate::advice::Advice;
use crate::gate::holders::{Held, Holders, site};
use crate::gate::lane::{Closed, Lanes, Queue};
use crate::gate::leak::LeakWatch;
use crate::gate::window::{Totals, Window};
use crate::histogram::Histogram;
use crate::pool::{Acquire, Lane, PoolStatus};
use crate::pool_error::{Holder, PoolError};
use crate::telemetry::PoolGauges;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

const HOLDERS_NAMED: usize = 5;
/// What a deadline of "none" means where the clock needs a number: a year.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Weight of the latest return in the moving mean, as a shift: 1/16.
const MEAN_SHIFT: u32 = 4;

/// A fifth of the places, so that background work cannot take them all; none of a single place.
pub(crate) fn default_reserve(max_open: usize) -> usize {
    max_open / 5
}

/// What a pool's places are to obey.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) name: Box<str>,
    pub(crate) max_open: usize,
    pub(crate) reserve: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) shed: bool,
    pub(crate) leak_after: Option<Duration>,
    pub(crate) server_cores: Option<usize>,
}

/// Counters since the start. Each is exact; two of them may be a moment apart.
#[derive(Debug, Default)]
pub(crate) struct Books {
    waiting: AtomicUsize,
    in_use: AtomicUsize,
    taken: AtomicUsize, // `in_use`, and places of the pool's own upkeep
    peak: AtomicUsize,  // of `in_use`, since the newer mark of the window
    acquired: AtomicU64,
    waited: AtomicU64,
    timeouts: AtomicU64,
    shed: AtomicU64,
    cancelled: AtomicU64,
    occupied_ns: AtomicU64,  // of places that are free again
    mean_held_ns: AtomicU64, // moving mean of the same
    freed: AtomicU64,
    pub(crate) open: AtomicUsize,
    connect_errors: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) retired: AtomicU64,
    pub(crate) surplus: AtomicU64,
    pub(crate) rolled_back: AtomicU64,
    wait: Histogram,
    connect: Histogram,
    pub(crate) ping: Histogram,
    held: Histogram,
}

/// The places of one pool.
#[derive(Debug)]
pub(crate) struct Places {
    rules: Rules,
    lanes: Lanes,
    pub(crate) books: Books,
    holders: Mutex<Holders>,
    leaks: LeakWatch,
    window: Mutex<Window>,
    left: Notify,
}

impl Places {
    pub(crate) fn new(rules: Rules) -> Arc<Self> {
        crate::telemetry::pool_made(&rules.name);
        Arc::new(Self {
            lanes: Lanes::new(rules.max_open, rules.reserve),
            rules,
            books: Books::default(),
            holders: Mutex::default(),
            leaks: LeakWatch::default(),
            window: Mutex::new(Window::new(Instant::now())),
            left: Notify::new(),
        })
    }

    /// Waits for a place until the caller's deadline, or refuses at once whoever would wait in vain. A place that is
    /// free is lent whatever the deadline.
    ///
    /// # Cancel safety
    /// A drop gives up the turn and nothing else.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        ask: Acquire,
        at: &'static Location<'static>,
        asked: Instant,
    ) -> Result<Place, PoolError> {
        if self.lanes.try_enter(ask.lane)? {
            self.note_wait(Duration::ZERO);
            return Ok(self.admit(ask.lane, at, asked));
        }
        let deadline = self.deadline(&ask, asked);
        self.refuse_the_hopeless(ask.lane, deadline.saturating_duration_since(asked))?;
        let waiting = Waiting::new(self, asked);
        let turn = timeout_at(deadline, self.lanes.enter(ask.lane)).await;
        let (now, waited) = waiting.over();
        match turn {
            Ok(turn) => turn.map(|()| self.admit(ask.lane, at, now)).map_err(PoolError::from),
            Err(_) => Err(self.timed_out(now, waited)),
        }
    }

    /// When a caller gives up.
    pub(crate) fn deadline(&self, ask: &Acquire, asked: Instant) -> Instant {
        ask.deadline.unwrap_or_else(|| asked + self.rules.timeout.unwrap_or(FOREVER).min(FOREVER))
    }

    fn admit(self: &Arc<Self>, lane: Lane, at: &'static Location<'static>, now: Instant) -> Place {
        let books = &self.books;
        books.taken.fetch_add(1, Relaxed);
        let in_use = books.in_use.fetch_add(1, Relaxed) + 1;
        books.peak.fetch_max(in_use, Relaxed);
        books.acquired.fetch_add(1, Relaxed);
        let slot = self.holders().insert(lane, at, now);
        Place { places: Arc::clone(self), lane, since: now, slot: Some(slot) }
    }

    fn note_wait(&self, waited: Duration) {
        self.books.wait.record(waited);
        crate::telemetry::pool_waited(&self.rules.name, waited);
    }

    fn refuse_the_hopeless(&self, lane: Lane, left: Duration) -> Result<(), PoolError> {
        let books = &self.books;
        let queue = Queue {
            ahead: books.waiting.load(Relaxed),
            places: self.lanes.width(lane),
            occupied: Duration::from_nanos(books.mean_held_ns.load(Relaxed)),
            seen: books.freed.load(Relaxed),
        };
        if !self.rules.shed || !queue.is_hopeless(left) {
            return Ok(());
        }
        books.shed.fetch_add(1, Relaxed);
        crate::telemetry::pool_shed(&self.rules.name);
        Err(PoolError::Shed {
            expected: queue.expected_wait(),
            left,
            max_open: self.rules.max_open,
            waiting: queue.ahead,
            holders: self.holders().oldest(Instant::now(), HOLDERS_NAMED),
        })
    }

    fn timed_out(&self, now: Instant, waited: Duration) -> PoolError {
        self.books.timeouts.fetch_add(1, Relaxed);
        crate::telemetry::pool_timeout(&self.rules.name);
        PoolError::Timeout {
            waited,
            in_use: self.books.in_use.load(Relaxed),
            max_open: self.rules.max_open,
            waiting: self.books.waiting.load(Relaxed),
            holders: self.holders().oldest(now, HOLDERS_NAMED),
        }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names whoever has had a connection for too long, and keeps the evidence for advice recent. Cheap, and safe to
    /// call as often as one likes.
    pub(crate) fn look(&self, now: Instant) {
        if let Some(limit) = self.rules.leak_after {
            let overdue = self.holders().overdue(now, limit);
            overdue.into_iter().for_each(|holder| self.leaks.suspect(&self.rules.name, holder));
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.is_due(now) {
            let peak = self.books.peak.swap(self.books.in_use.load(Relaxed), Relaxed);
            window.advance(now, self.totals(now), peak);
        }
    }

    /// What the load of the last minutes says about `max_open`.
    pub(crate) fn advice(&self) -> Advice {
        let now = Instant::now();
        self.look(now);
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (totals, peak) = (self.totals(now), self.books.peak.load(Relaxed));
        let mut evidence = window.evidence(now, totals, peak, self.rules.max_open);
        evidence.server_cores = self.rules.server_cores;
        Advice::of(evidence)
    }

    fn totals(&self, now: Instant) -> Totals {
        let books = &self.books;
        let occupied = Duration::from_nanos(books.occupied_ns.load(Relaxed));
        Totals {
            checkouts: books.acquired.load(Relaxed),
            occupied: occupied + self.holders().occupied(now),
            waited: books.waited.load(Relaxed),
            wait: Duration::from_nanos(books.wait.sum_ns()),
            refused: books.timeouts.load(Relaxed) + books.shed.load(Relaxed),
        }
    }

    /// Refuses new callers and whoever waits.
    pub(crate) fn refuse(&self) {
        self.lanes.close();
    }

    /// Returns when every place is free.
    pub(crate) async fn all_free(&self) {
        loop {
            let left = self.left.notified();
            if self.books.taken.load(Relaxed) == 0 {
                return;
            }
            left.await;
        }
    }

    /// The books, with the number of idle connections filled in by the caller.
    pub(crate) fn status(&self, idle: usize) -> PoolStatus {
        let now = Instant::now();
        self.look(now);
        let books = &self.books;
        self.report(idle);
        PoolStatus {
            max_open: self.rules.max_open,
            open: books.open.load(Relaxed),
            idle,
            in_use: books.in_use.load(Relaxed),
            waiting: books.waiting.load(Relaxed),
            acquired: books.acquired.load(Relaxed),
            timeouts: books.timeouts.load(Relaxed),
            shed: books.shed.load(Relaxed),
            cancelled: books.cancelled.load(Relaxed),
            connect_errors: books.connect_errors.load(Relaxed),
            broken: books.broken.load(Relaxed),
            dead: books.dead.load(Relaxed),
            retired: books.retired.load(Relaxed),
            surplus: books.surplus.load(Relaxed),
            rolled_back: books.rolled_back.load(Relaxed),
            wait: books.wait.snapshot(),
            connect: books.connect.snapshot(),
            ping: books.ping.snapshot(),
            held: books.held.snapshot(),
            holders: self.holders().oldest(now, HOLDERS_NAMED),
            leaks: self.leaks.status(),
        }
    }

    /// Tells the gauges how it stands.
    pub(crate) fn report(&self, idle: usize) {
        let (waiting, in_use) = (self.books.waiting.load(Relaxed), self.books.in_use.load(Relaxed));
        let now = PoolGauges { max_open: self.rules.max_open, waiting, idle, in_use };
        crate::telemetry::pool_gauges(&self.rules.name, now);
    }
}

/// What only pools need that open and test connections.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Places {
    /// A place for the pool's own upkeep, if one is free.
    pub(crate) fn enter_for_upkeep(self: &Arc<Self>) -> Option<Place> {
        let free = self.lanes.try_enter(Lane::Interactive) == Ok(true);
        free.then(|| {
            self.books.taken.fetch_add(1, Relaxed);
            Place { places: Arc::clone(self), lane: Lane::Interactive, since: Instant::now(), slot: None }
        })
    }

    /// A connection was opened, or could not be.
    pub(crate) fn note_connect(&self, took: Duration, failed: bool) {
        self.books.connect.record(took);
        self.books.connect_errors.fetch_add(failed.into(), Relaxed);
        crate::telemetry::pool_connected(&self.rules.name, took);
    }
}

impl From<Closed> for PoolError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// One place, held until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    lane: Lane,
    since: Instant,
    slot: Option<usize>, // `None` for upkeep, which is in nobody's way
}

impl Place {
    /// The holder gave the connection back; what follows before the place is free is the pool's own work.
    pub(crate) fn came_back(&self, now: Instant) {
        let Some((held, lent)) = self.slot.and_then(|slot| {
            let mut holders = self.places.holders();
            let held = holders.get_mut(slot)?;
            let suspect = held.suspected.then_some((held.at, held.lane));
            Some((suspect, held.lent.take()?))
        }) else {
            return;
        };
        let age = now.saturating_duration_since(lent);
        self.places.books.held.record(age);
        crate::telemetry::pool_released(&self.places.rules.name, age);
        if let Some((at, lane)) = held {
            let holder = Holder { at: site(at), held: age, lane };
            self.places.leaks.came_back(&self.places.rules.name, holder);
        }
    }

    fn leave(&self, slot: usize) {
        let (books, occupied) = (&self.places.books, nanos(self.since.elapsed()));
        let _: Option<Held> = self.places.holders().remove(slot);
        books.occupied_ns.fetch_add(occupied, Relaxed);
        let mean = books.mean_held_ns.load(Relaxed);
        let mean = mean - (mean >> MEAN_SHIFT) + (occupied >> MEAN_SHIFT);
        books.mean_held_ns.store(mean, Relaxed); // a lost update is a sample less
        books.freed.fetch_add(1, Relaxed);
        books.in_use.fetch_sub(1, Relaxed);
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Place {
    /// When it was taken.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// A connection was lent on this place only now, after connecting or testing: the holder's time starts again.
    pub(crate) fn lent(&self, now: Instant) {
        if let Some(slot) = self.slot
            && let Some(held) = self.places.holders().get_mut(slot)
        {
            held.lent = Some(now);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.leave(slot);
        }
        self.places.books.taken.fetch_sub(1, Relaxed);
        self.places.lanes.leave(self.lane);
        self.places.left.notify_waiters();
    }
}

/// Counts a caller as waiting, and as cancelled if it goes away before it was served or refused.
struct Waiting<'a> {
    places: &'a Places,
    since: Instant,
    over: bool,
}

impl<'a> Waiting<'a> {
    fn new(places: &'a Places, since: Instant) -> Self {
        places.books.waiting.fetch_add(1, Relaxed);
        places.books.waited.fetch_add(1, Relaxed);
        Self { places, since, over: false }
    }

    /// The end of the wait, and how long it was.
    fn over(mut self) -> (Instant, Duration) {
        self.over = true;
        let now = Instant::now();
        (now, now.saturating_duration_since(self.since))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.books.waiting.fetch_sub(1, Relaxed);
        self.places.note_wait(self.since.elapsed()); // of those that give up too, or waits would look short
        if !self.over {
            self.places.books.cancelled.fetch_add(1, Relaxed);
        }
    }
}
