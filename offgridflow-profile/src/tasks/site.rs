use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Places told apart; tasks of later ones count as the last, "other".
const SITES: usize = 1_024;

/// What one place counts.
#[derive(Debug)]
pub(super) struct Counters {
    name: &'static str,
    place: Option<&'static Location<'static>>,
    started: AtomicU64,
    completed: AtomicU64,
    dropped: AtomicU64,
    unpolled: AtomicU64, // those that were dropped before their first poll are taken off
    running: AtomicU64,
    polls: AtomicU64,
    busy_nanos: AtomicU64,
    longest_nanos: AtomicU64,
    born_nanos: AtomicI64, // the sum over those alive, since `began`
}

/// Tasks started at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TaskSite {
    /// The name it was given.
    pub name: &'static str,
    /// The source file of the call; empty for "other".
    pub file: &'static str,
    /// Its line.
    pub line: u32,
    /// Tasks that are there now.
    pub live: u64,
    /// Of those, the ones that were not polled yet.
    pub unpolled: u64,
    /// The ones that are being polled.
    pub running: u64,
    /// Mean age of those.
    pub mean_age: Duration,
    /// Tasks ever started.
    pub started: u64,
    /// Of those, the ones that came to their end.
    pub completed: u64,
    /// The ones that were dropped before: aborted, or with their runtime.
    pub dropped: u64,
    /// How often tasks were polled.
    pub polls: u64,
    /// Time spent in polls.
    pub busy: Duration,
    /// The longest of them: what blocks a worker shows here.
    pub longest_poll: Duration,
}

type Key = (&'static str, &'static str, u32);

fn registry() -> &'static RwLock<HashMap<Key, &'static Counters>> {
    static REGISTRY: OnceLock<RwLock<HashMap<Key, &'static Counters>>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

fn other() -> &'static Counters {
    static OTHER: OnceLock<Counters> = OnceLock::new();
    OTHER.get_or_init(|| Counters::new("other", None))
}

/// Nanoseconds since the first call.
pub(super) fn now_nanos() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    nanos(BEGAN.get_or_init(Instant::now).elapsed())
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    fn new(name: &'static str, place: Option<&'static Location<'static>>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            name,
            place,
            started: zero(),
            completed: zero(),
            dropped: zero(),
            unpolled: zero(),
            running: zero(),
            polls: zero(),
            busy_nanos: zero(),
            longest_nanos: zero(),
            born_nanos: AtomicI64::new(0),
        }
    }

    /// The counters of a place, which live as long as the program.
    pub(super) fn of(name: &'static str, place: &'static Location<'static>) -> &'static Self {
        let key = (name, place.file(), place.line());
        if let Some(known) = registry().read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known;
        }
        let mut sites = registry().write().unwrap_or_else(PoisonError::into_inner);
        if sites.len() >= SITES && !sites.contains_key(&key) {
            return other();
        }
        sites.entry(key).or_insert_with(|| Box::leak(Box::new(Self::new(name, Some(place)))))
    }

    /// A task begins; when, for its end.
    pub(super) fn start(&self) -> u64 {
        let born = now_nanos();
        self.unpolled.fetch_add(1, Relaxed);
        self.started.fetch_add(1, Relaxed);
        self.born_nanos.fetch_add(signed(born), Relaxed);
        born
    }

    /// A poll begins.
    pub(super) fn runs(&self, first: bool) {
        self.running.fetch_add(1, Relaxed);
        if first {
            self.unpolled.fetch_sub(1, Relaxed);
        }
    }

    /// A poll ends.
    pub(super) fn polled(&self, took: Duration) {
        self.running.fetch_sub(1, Relaxed);
        self.polls.fetch_add(1, Relaxed);
        self.busy_nanos.fetch_add(nanos(took), Relaxed);
        self.longest_nanos.fetch_max(nanos(took), Relaxed);
    }

    pub(super) fn end(&self, born: u64, polled: bool, completed: bool) {
        if !polled {
            self.unpolled.fetch_sub(1, Relaxed);
        }
        self.born_nanos.fetch_sub(signed(born), Relaxed);
        if completed { &self.completed } else { &self.dropped }.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> TaskSite {
        // The ends first: what begins meanwhile must not be missing from what has ended.
        let (completed, dropped) = (self.completed.load(Relaxed), self.dropped.load(Relaxed));
        let (born, started) = (self.born_nanos.load(Relaxed), self.started.load(Relaxed));
        let live = started.saturating_sub(completed + dropped);
        let ages = i128::from(now_nanos()) * i128::from(live) - i128::from(born);
        let mean = u64::try_from(ages / i128::from(live.max(1))).unwrap_or(0);
        TaskSite {
            name: self.name,
            file: self.place.map_or("", Location::file),
            line: self.place.map_or(0, Location::line),
            live,
            unpolled: self.unpolled.load(Relaxed).min(live),
            running: self.running.load(Relaxed).min(live),
            mean_age: Duration::from_nanos(mean),
            started,
            completed,
            dropped,
            polls: self.polls.load(Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Relaxed)),
            longest_poll: Duration::from_nanos(self.longest_nanos.load(Relaxed)),
        }
    }
}

/// For 292 years.
fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

impl TaskSite {
    /// Tasks that wait to be woken, or to be polled again.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.live.saturating_sub(self.unpolled).saturating_sub(self.running)
    }
}

/// Every place that started a task, those with the most alive first.
#[must_use]
pub fn tasks() -> Vec<TaskSite> {
    let mut sites: Vec<TaskSite> =
        registry().read().unwrap_or_else(PoisonError::into_inner).values().map(|site| site.read()).collect();
    sites.extend(Some(other().read()).filter(|site| site.started > 0));
    sites.sort_by(|a, b| b.live.cmp(&a.live).then_with(|| a.name.cmp(b.name)));
    sites
}
