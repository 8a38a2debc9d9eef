//! Who may hold a connection: lanes, waiting, and the books. Knows nothing of databases.

use crate::error::{Holder, PoolError};
use crate::histogram::Histogram;
use crate::pool::{Acquire, Lane, PoolStatus};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const HOLDERS_NAMED: usize = 5;
/// What a deadline of "none" means where the clock needs a number: a year.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A fifth of the places, so that background work cannot take them all; none of a single place.
pub(crate) fn default_reserve(max_open: usize) -> usize {
    max_open / 5
}

/// The places of one pool.
#[derive(Debug)]
pub(crate) struct Places {
    name: Box<str>,
    max_open: usize,
    timeout: Option<Duration>,
    all: Arc<Semaphore>,
    background: Arc<Semaphore>, // max_open less the reserve; background work needs one of these first
    waiting: AtomicUsize,
    in_use: AtomicUsize,
    acquired: AtomicU64,
    timeouts: AtomicU64,
    cancelled: AtomicU64,
    pub(crate) connect_errors: AtomicU64,
    broken: AtomicU64,
    wait: Histogram,
    pub(crate) connect: Histogram,
    held: Histogram,
    holders: Mutex<BTreeMap<u64, (Instant, &'static Location<'static>)>>, // by order of entry: the oldest first
    next: AtomicU64,
    left: Notify,
}

/// One place, held until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    since: Instant,
    _all: OwnedSemaphorePermit,
    _background: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(name: &str, max_open: usize, reserve: usize, timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            max_open,
            timeout,
            all: Arc::new(Semaphore::new(max_open)),
            background: Arc::new(Semaphore::new(max_open.saturating_sub(reserve).max(1))),
            waiting: AtomicUsize::new(0),
            in_use: AtomicUsize::new(0),
            acquired: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            connect_errors: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            wait: Histogram::default(),
            connect: Histogram::default(),
            held: Histogram::default(),
            holders: Mutex::default(),
            next: AtomicU64::new(0),
            left: Notify::new(),
        })
    }

    /// When a caller that starts now gives up.
    pub(crate) fn deadline(&self, ask: &Acquire) -> Instant {
        ask.deadline.unwrap_or_else(|| Instant::now() + self.timeout.unwrap_or(FOREVER))
    }

    /// Waits for a place until `deadline`. A drop gives up the turn and nothing else.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        lane: Lane,
        deadline: Instant,
        at: &'static Location<'static>,
    ) -> Result<Place, PoolError> {
        let started = Instant::now();
        let waiting = Waiting::new(self);
        let permits = tokio::time::timeout_at(deadline, self.permits(lane)).await;
        waiting.over();
        self.wait.record(started.elapsed());
        crate::telemetry::pool_waited(&self.name, started.elapsed());
        match permits {
            Ok(Some((all, background))) => Ok(self.admit(all, background, at)),
            Ok(None) => Err(PoolError::Closed),
            Err(_) => Err(self.timed_out(started.elapsed())),
        }
    }

    async fn permits(&self, lane: Lane) -> Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let background = match lane {
            Lane::Interactive => None,
            Lane::Background => Some(Arc::clone(&self.background).acquire_owned().await.ok()?),
        };
        Some((Arc::clone(&self.all).acquire_owned().await.ok()?, background))
    }

    fn admit(
        self: &Arc<Self>,
        all: OwnedSemaphorePermit,
        background: Option<OwnedSemaphorePermit>,
        at: &'static Location<'static>,
    ) -> Place {
        let (id, since) = (self.next.fetch_add(1, Relaxed), Instant::now());
        self.in_use.fetch_add(1, Relaxed);
        self.acquired.fetch_add(1, Relaxed);
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (since, at));
        Place { places: Arc::clone(self), id, since, _all: all, _background: background }
    }

    fn timed_out(&self, waited: Duration) -> PoolError {
        self.timeouts.fetch_add(1, Relaxed);
        crate::telemetry::pool_timeout(&self.name);
        PoolError::Timeout {
            waited,
            in_use: self.in_use.load(Relaxed),
            max_open: self.max_open,
            waiting: self.waiting.load(Relaxed),
            holders: self.holders(),
        }
    }

    fn holders(&self) -> Vec<Holder> {
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |(since, at): &(Instant, &Location<'_>)| Holder {
            at: format!("{}:{}", short(at.file()), at.line()),
            held: since.elapsed(),
        };
        holders.values().take(HOLDERS_NAMED).map(name).collect()
    }

    /// Refuses new callers, wakes those that wait, and returns when every place is free.
    pub(crate) async fn close(&self) {
        self.all.close();
        self.background.close();
        loop {
            let left = self.left.notified();
            if self.in_use.load(Relaxed) == 0 {
                return;
            }
            left.await;
        }
    }

    /// The books, with the number of open connections filled in by the caller.
    pub(crate) fn status(&self, open: usize, idle: usize) -> PoolStatus {
        let status = PoolStatus {
            max_open: self.max_open,
            open,
            idle,
            in_use: self.in_use.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            acquired: self.acquired.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            connect_errors: self.connect_errors.load(Relaxed),
            broken: self.broken.load(Relaxed),
            wait: self.wait.snapshot(),
            connect: self.connect.snapshot(),
            held: self.held.snapshot(),
            holders: self.holders(),
        };
        crate::telemetry::pool_status(&self.name, &status);
        status
    }
}

/// The last two parts of a path: enough to find the file, without the machine's directories.
fn short(path: &str) -> &str {
    let cut = path.rmatch_indices(['/', '\\']).nth(1).map_or(0, |(at, _)| at + 1);
    &path[cut..]
}

impl Place {
    /// The connection of this place came back broken.
    pub(crate) fn note_broken(&self) {
        self.places.broken.fetch_add(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        self.places.held.record(held);
        self.places.holders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.places.in_use.fetch_sub(1, Relaxed);
        self.places.left.notify_waiters();
        crate::telemetry::pool_released(&self.places.name, held);
    }
}

/// Counts a caller as waiting, and as cancelled if it goes away before it was served or refused.
struct Waiting<'a> {
    places: &'a Places,
    over: bool,
}

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.waiting.fetch_add(1, Relaxed);
        Self { places, over: false }
    }

    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.waiting.fetch_sub(1, Relaxed);
        if !self.over {
            self.places.cancelled.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_sites_do_not_show_the_machine() {
        assert_eq!(short("/home/user/app/src/main.rs"), "src/main.rs");
        assert_eq!(short("main.rs"), "main.rs");
    }
}
