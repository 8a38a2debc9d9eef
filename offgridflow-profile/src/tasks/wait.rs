use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::awaiting::{self, Pair};
use super::site::nanos;

/// A place that waits: for a lock, a connection, somebody else's load. Made by [`wait_site!`](crate::wait_site).
#[derive(Debug)]
pub struct WaitSite {
    name: &'static str,
    kind: WaitKind,
    file: &'static str,
    line: u32,
    known: AtomicBool,
    waiting: AtomicU64,
    began: AtomicU64, // the instants at which the waits under way began, added up: nanoseconds since the first of all, modulo 2^64
    waits: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum WaitKind {
    /// A lock, which somebody in this process holds: what Go's `mutex` profile is of.
    Lock,
    /// Anything else: a connection, an answer, somebody else's load.
    Other,
}

/// What a place waited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Waited {
    /// The name it was given.
    pub name: &'static str,
    /// What it waits for.
    pub kind: WaitKind,
    /// The source file.
    pub file: &'static str,
    /// The line.
    pub line: u32,
    /// Waits under way.
    pub waiting: u64,
    /// How long those have lasted so far, together.
    pub under_way: Duration,
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
    pub const fn new(name: &'static str, kind: WaitKind, file: &'static str, line: u32) -> Self {
        Self {
            name,
            kind,
            file,
            line,
            known: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            began: AtomicU64::new(0),
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
        let began = Instant::now();
        self.waiting.fetch_add(1, Relaxed);
        self.began.fetch_add(since_first(began), Relaxed);
        WaitGuard { site: self, task: awaiting::enter(self), began }
    }

    /// All at one moment, or nearly: waits begin and end meanwhile.
    pub(super) fn read(&self) -> Waited {
        let (waiting, began) = (self.waiting.load(Relaxed), self.began.load(Relaxed));
        let under_way = since_first(Instant::now()).wrapping_mul(waiting).wrapping_sub(began);
        // Less than nothing, modulo 2^64: one was counted and its beginning was not, or the other way round.
        let under_way = if under_way > u64::MAX / 2 { 0 } else { under_way };
        Waited {
            name: self.name,
            kind: self.kind,
            file: self.file,
            line: self.line,
            waiting,
            under_way: Duration::from_nanos(under_way),
            waits: self.waits.load(Relaxed),
            waited: Duration::from_nanos(self.nanos.load(Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Relaxed)),
        }
    }
}

/// Nanoseconds from the first wait of all to an instant.
fn since_first(instant: Instant) -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    nanos(instant.saturating_duration_since(*FIRST.get_or_init(Instant::now)))
}

/// A wait under way.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct WaitGuard {
    site: &'static WaitSite,
    task: Option<&'static Pair>,
    began: Instant,
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let took = nanos(self.began.elapsed());
        if let Some(task) = self.task {
            task.leave();
        }
        self.site.waiting.fetch_sub(1, Relaxed);
        self.site.began.fetch_sub(since_first(self.began), Relaxed);
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
///
/// A wait for a lock that somebody in this process holds is told apart, and is in [`lock_profile`](crate::lock_profile) too:
///
/// ```
/// use offgridflow_profile::{WaitKind, wait_site, waits};
/// # let table = std::sync::Mutex::new(7);
/// let table = {
///     let _waiting = wait_site!(lock "table");
///     table.lock().unwrap()
/// };
/// # drop(table);
/// assert!(waits().iter().any(|site| site.name == "table" && site.kind == WaitKind::Lock));
/// ```
///
/// Around a future, what does not have to wait is not counted: a cache's hits, a pool with room.
///
/// ```
/// use offgridflow_profile::{wait_site, waits};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let load = async { tokio::task::yield_now().await };
/// wait_site!("flight", load).await;
/// wait_site!("hit", std::future::ready(7)).await;
/// assert!(waits().iter().any(|site| site.name == "flight" && site.waits == 1));
/// assert!(!waits().iter().any(|site| site.name == "hit"));
/// # });
/// ```
///
/// While a [profiled](crate::Profiled) task is polled, the wait is put down to the task's place as well:
/// [`task_profile`](crate::task_profile) shows how many tasks of which place wait where.
#[macro_export]
macro_rules! wait_site {
    (lock $name:literal) => {
        $crate::wait_site!(@ $name, $crate::WaitKind::Lock)
    };
    ($name:literal) => {
        $crate::wait_site!(@ $name, $crate::WaitKind::Other)
    };
    ($name:literal, $future:expr) => {{
        static SITE: $crate::WaitSite =
            $crate::WaitSite::new($name, $crate::WaitKind::Other, file!(), line!());
        $crate::WaitingFuture::new(&SITE, $future)
    }};
    (@ $name:literal, $kind:expr) => {{
        static SITE: $crate::WaitSite = $crate::WaitSite::new($name, $kind, file!(), line!());
        SITE.enter()
    }};
}

/// Every place that waited, or waits, those that waited longest first.
#[must_use]
pub fn waits() -> Vec<Waited> {
    let mut sites: Vec<Waited> =
        SITES.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|site| site.read()).collect();
    let all = |site: &Waited| site.waited + site.under_way;
    sites.sort_by(|a, b| all(b).cmp(&all(a)).then_with(|| a.name.cmp(b.name)));
    sites
}
