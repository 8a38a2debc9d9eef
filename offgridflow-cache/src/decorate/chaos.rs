use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::random::{mix, share};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, Key, Lookup, News, Position, Scope, Terms,
};

/// A shared tier that fails on purpose, by a seed: for tests, and for trying out how an application takes it.
///
/// What happens to the n-th call depends on the seed and n alone, so a failure can be had again.
///
/// ```
/// use offgridflow_cache::{Chaos, Faults, InProcess};
/// use std::time::Duration;
///
/// let faults = Faults { refused: 0.1, answers_lost: 0.05, slow: 0.2, slow_by: Duration::from_millis(30), ..Faults::default() };
/// let shared = Chaos::new(InProcess::new(), 42, faults);
/// shared.rest(); // healthy from here on, until `shared.resume()`
/// ```
#[derive(Debug)]
pub struct Chaos<B> {
    inner: B,
    seed: u64,
    faults: Faults,
    calls: AtomicU64,
    injected: AtomicU64,
    resting: AtomicBool,
}

/// What goes wrong how often: shares of calls from 0 to 1, independent of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// Fail without having been carried out.
    pub refused: f64,
    /// Are carried out, and fail all the same: their caller cannot know.
    pub answers_lost: f64,
    /// Are carried out and never answered.
    pub hung: f64,
    /// Take longer, before they are carried out or after, by up to [`slow_by`](Self::slow_by).
    pub slow: f64,
    /// The longest delay of a slow call.
    pub slow_by: Duration,
}

impl<B: CacheBackend> Chaos<B> {
    /// Around `inner`.
    pub const fn new(inner: B, seed: u64, faults: Faults) -> Self {
        let (calls, injected) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { inner, seed, faults, calls, injected, resting: AtomicBool::new(false) }
    }

    /// Stops failing.
    pub fn rest(&self) {
        self.resting.store(true, Ordering::Release);
    }

    /// Goes on failing.
    pub fn resume(&self) {
        self.resting.store(false, Ordering::Release);
    }

    /// How many faults there were.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }

    async fn strike<T>(
        &self,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.resting.load(Ordering::Acquire) {
            return call.await;
        }
        let draw = |which: u64| share(mix(self.seed ^ mix(number)).wrapping_add(which));
        let hits = |which, chance: f64| {
            let hit = draw(which) < chance;
            self.injected.fetch_add(u64::from(hit), Ordering::Relaxed);
            hit
        };
        let delay = hits(0, self.faults.slow).then(|| self.faults.slow_by.mul_f64(draw(1)));
        let (before, after) = if draw(2) < 0.5 { (delay, None) } else { (None, delay) };
        pause(before).await;
        if hits(3, self.faults.refused) {
            return Err(self.fault("refused by chaos"));
        }
        let answer = call.await;
        pause(after).await;
        if hits(4, self.faults.hung) {
            std::future::pending::<()>().await;
        }
        if hits(5, self.faults.answers_lost) { Err(self.fault("answer lost by chaos")) } else { answer }
    }

    fn fault(&self, what: &'static str) -> BackendError {
        BackendError::Failed { backend: self.inner.caps().name, source: what.into() }
    }
}

async fn pause(length: Option<Duration>) {
    if let Some(length) = length {
        tokio::time::sleep(length).await;
    }
}

#[async_trait]
impl<B: CacheBackend> CacheBackend for Chaos<B> {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.strike(self.inner.get_or_lease(keys, terms)).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.strike(self.inner.fill_if(fills)).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.strike(self.inner.remove(namespace, scope)).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.strike(self.inner.news(namespace, seen)).await
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        self.inner.messages(namespace)
    }

    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn stats(&self) -> BackendStats {
        let inner = self.inner.stats();
        BackendStats { errors: inner.errors + self.injected(), ..inner }
    }
}
