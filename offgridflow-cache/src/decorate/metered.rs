use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::stats::{Durations, Recorder};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, Key, Lookup, News, Position, Scope, Terms,
};

/// A shared tier whose calls are timed, by what they ask.
///
/// A call that its caller gave up is counted with the time until then. Around a [`Breaker`](crate::Breaker) it times what the cache
/// waits for, inside of one what the store takes.
///
/// ```
/// use {offgridflow_cache::{CacheBackend, InProcess, Metered}, std::sync::Arc};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shared = Arc::new(Metered::new(InProcess::new())); // one clone for the cache, one to look at
/// shared.news("users", None).await?;
/// assert_eq!(shared.calls().news.took.count(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Metered<B> {
    inner: B,
    get_or_lease: Meter,
    fill_if: Meter,
    remove: Meter,
    news: Meter,
}

/// What the calls of a [`Metered`] store came to, by what they ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Calls {
    /// [`CacheBackend::get_or_lease`].
    pub get_or_lease: Metering,
    /// [`CacheBackend::fill_if`].
    pub fill_if: Metering,
    /// [`CacheBackend::remove`].
    pub remove: Metering,
    /// [`CacheBackend::news`].
    pub news: Metering,
}

/// What one kind of call came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metering {
    /// How long they took, whatever became of them.
    pub took: Durations,
    /// How many failed.
    pub errors: u64,
    /// How many their caller gave up.
    pub given_up: u64,
    /// Keys asked for, filled, or removed.
    pub keys: u64,
}

#[derive(Debug, Default)]
struct Meter {
    took: Recorder,
    errors: AtomicU64,
    given_up: AtomicU64,
    keys: AtomicU64,
}

impl Meter {
    async fn time<T>(
        &self,
        keys: usize,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.keys.fetch_add(keys as u64, Ordering::Relaxed);
        let mut timing = Timing { meter: self, began: Instant::now(), ended: false };
        let answer = call.await;
        timing.ended = true;
        self.errors.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        answer
    }

    fn get(&self) -> Metering {
        Metering {
            took: self.took.get(),
            errors: self.errors.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
            keys: self.keys.load(Ordering::Relaxed),
        }
    }
}

/// A call under way; counted when it ends, or is dropped.
struct Timing<'a> {
    meter: &'a Meter,
    began: Instant,
    ended: bool,
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        self.meter.took.record(self.began.elapsed());
        self.meter.given_up.fetch_add(u64::from(!self.ended), Ordering::Relaxed);
    }
}

impl<B: CacheBackend> Metered<B> {
    /// Around `inner`.
    pub fn new(inner: B) -> Self {
        let [get_or_lease, fill_if, remove, news] = std::array::from_fn(|_| Meter::default());
        Self { inner, get_or_lease, fill_if, remove, news }
    }

    /// What became of the calls so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let [get_or_lease, fill_if, remove, news] =
            [&self.get_or_lease, &self.fill_if, &self.remove, &self.news].map(Meter::get);
        Calls { get_or_lease, fill_if, remove, news }
    }

    /// Hands the figures to the `metrics` facade, under this name of the store: call it before they are scraped. The counter
    /// `offgridflow_cache_calls_total` (labels `store`, `call`, `outcome`: ok, error, given_up), and as a gauge `offgridflow_cache_call_seconds`
    /// (labels `store`, `call`, `quantile`: 0.5, 0.99).
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self, store: &str) {
        let calls = self.calls();
        let kinds = [
            ("get_or_lease", calls.get_or_lease),
            ("fill_if", calls.fill_if),
            ("remove", calls.remove),
            ("news", calls.news),
        ];
        for (kind, metering) in kinds {
            record(store, kind, &metering);
        }
    }
}

/// Counters as absolute figures, so that recording twice counts once; quantiles as gauges.
#[cfg(feature = "metrics")]
fn record(store: &str, kind: &'static str, metering: &Metering) {
    let labels = |more: (&'static str, &'static str)| {
        [("store", store.to_owned()), ("call", kind.to_owned()), (more.0, more.1.to_owned())]
    };
    for (outcome, count) in [
        ("ok", metering.took.count().saturating_sub(metering.errors + metering.given_up)),
        ("error", metering.errors),
        ("given_up", metering.given_up),
    ] {
        metrics::counter!("offgridflow_cache_calls_total", &labels(("outcome", outcome))).absolute(count);
    }
    for (name, q) in [("0.5", 0.5), ("0.99", 0.99)] {
        let seconds = metering.took.quantile(q).map_or(0.0, |took| took.as_secs_f64());
        metrics::gauge!("offgridflow_cache_call_seconds", &labels(("quantile", name))).set(seconds);
    }
}

#[async_trait]
impl<B: CacheBackend> CacheBackend for Metered<B> {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.get_or_lease.time(keys.len(), self.inner.get_or_lease(keys, terms)).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.fill_if.time(fills.len(), self.inner.fill_if(fills)).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        let keys = if let Scope::Keys(keys) = &scope { keys.len() } else { 0 };
        self.remove.time(keys, self.inner.remove(namespace, scope)).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.news.time(0, self.inner.news(namespace, seen)).await
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        self.inner.messages(namespace)
    }

    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn stats(&self) -> BackendStats {
        self.inner.stats()
    }
}
