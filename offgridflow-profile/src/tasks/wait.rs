use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::site::{frame, nanos, of_now};
use crate::{Profile, Stack, ValueKind};

/// A place that waits: for a lock, a connection, somebody else's load. Made by [`wait_site!`](crate::wait_site).
#[derive(Debug)]
pub struct WaitSite {
    name: &'static str,
    file: &'static str,
    line: u32,
    known: AtomicBool,
    waiting: AtomicU64,
    waits: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

/// What a place waited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Waited {
    /// The name it was given.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The line.
    pub line: u32,
    /// Waits under way.
    pub waiting: u64,
    /// Waits that ended.
    pub waits: u64,
    /// How long those took together.
    pub waited: Duration,
    /// The longest of them.
    pub longest: Duration,
}

static SITES: Mutex<Vec<&'static WaitSite>> = Mutex::new(Vec::new());

impl WaitSite {
    /// A place; [`wait_site!`](crate::wait_site) fills in file and line.
    #[must_use]
    pub const fn new(name: &'static str, file: &'static str, line: u32) -> Self {
        Self {
            name,
            file,
            line,
            known: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// A wait begins; it ends when the guard is dropped, also when a future that holds it is cancelled.
    pub fn enter(&'static self) -> WaitGuard {
        if !self.known.swap(true, Relaxed) {
            SITES.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
        self.waiting.fetch_add(1, Relaxed);
        WaitGuard { site: self, began: Instant::now() }
    }

    fn read(&self) -> Waited {
        Waited {
            name: self.name,
            file: self.file,
            line: self.line,
            waiting: self.waiting.load(Relaxed),
            waits: self.waits.load(Relaxed),
            waited: Duration::from_nanos(self.nanos.load(Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Relaxed)),
        }
    }
}

/// A wait under way.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct WaitGuard {
    site: &'static WaitSite,
    began: Instant,
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let took = nanos(self.began.elapsed());
        self.site.waiting.fetch_sub(1, Relaxed);
        self.site.waits.fetch_add(1, Relaxed);
        self.site.nanos.fetch_add(took, Relaxed);
        self.site.longest.fetch_max(took, Relaxed);
    }
}

/// Begins a wait at this place, under a name; it ends when the guard that comes back is dropped.
///
/// ```
/// use offgridflow_profile::{wait_site, waits};
/// # let pool = std::sync::Mutex::new(7);
/// let connection = {
///     let _waiting = wait_site!("pool");
///     pool.lock().unwrap()
/// };
/// # drop(connection);
/// let pool = waits().into_iter().find(|site| site.name == "pool").unwrap();
/// println!("{} waits of {:?} together, the longest {:?}", pool.waits, pool.waited, pool.longest);
/// # assert_eq!(pool.waits, 1);
/// ```
#[macro_export]
macro_rules! wait_site {
    ($name:literal) => {{
        static SITE: $crate::WaitSite = $crate::WaitSite::new($name, file!(), line!());
        SITE.enter()
    }};
}

/// Every place that waited, those that waited longest first.
#[must_use]
pub fn waits() -> Vec<Waited> {
    let mut sites: Vec<Waited> =
        SITES.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|site| site.read()).collect();
    sites.sort_by(|a, b| b.waited.cmp(&a.waited).then_with(|| a.name.cmp(b.name)));
    sites
}

/// The waits that ended as a profile of `contentions` and `delay`, which is what Go's `block` and `mutex` profiles are.
#[must_use]
pub fn wait_profile() -> Profile {
    let number = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
    let stack = |site: Waited| Stack {
        frames: vec![frame(site.name, site.file, site.line)],
        values: vec![number(site.waits.into()), number(site.waited.as_nanos())],
        labels: Vec::new(),
    };
    let kinds = vec![ValueKind::new("contentions", "count"), ValueKind::new("delay", "nanoseconds")];
    of_now(kinds, ValueKind::new("contentions", "count"), waits().into_iter().map(stack).collect())
}
