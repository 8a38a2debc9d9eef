#[cfg(feature = "metrics")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::stats::{Durations, Recorder};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, Key, Lookup, News, Position, Scope, Terms,
};

/// A shared tier whose calls are timed, by what they ask.
///
/// A call that its caller gave up is counted with the time until then. With the feature `tracing` each is a span at `debug`, named after what it asks.
///
/// Around a [`Breaker`](crate::Breaker) it times what the cache
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
    #[cfg(feature = "metrics")]
    store: Arc<str>,
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
        told: impl Fn(Duration),
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.keys.fetch_add(keys as u64, Ordering::Relaxed);
        let mut timing = Timing { meter: self, began: Instant::now(), ended: false, told };
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
struct Timing<'a, F: Fn(Duration)> {
    meter: &'a Meter,
    began: Instant,
    ended: bool,
    told: F,
}

impl<F: Fn(Duration)> Drop for Timing<'_, F> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.meter.took.record(took);
        (self.told)(took);
        self.meter.given_up.fetch_add(u64::from(!self.ended), Ordering::Relaxed);
    }
}

impl<B: CacheBackend> Metered<B> {
    /// Around `inner`.
    pub fn new(inner: B) -> Self {
        let [get_or_lease, fill_if, remove, news] = std::array::from_fn(|_| Meter::default());
        #[cfg(feature = "metrics")]
        let store = inner.caps().name.into();
        Self {
            inner,
            #[cfg(feature = "metrics")]
            store,
            get_or_lease,
            fill_if,
            remove,
            news,
        }
    }

    /// Tells the recorder how long a call took.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "nobody to tell"))]
    fn tell(&self, call: &'static str) -> impl Fn(Duration) {
        #[cfg(feature = "metrics")]
        let store = Arc::clone(&self.store);
        move |took| {
            #[cfg(feature = "metrics")]
            metrics::histogram!("offgridflow_cache_operation_duration_seconds", "store" => Arc::clone(&store), "call" => call)
                .record(took);
            #[cfg(not(feature = "metrics"))]
            let _ = (took, call);
        }
    }

    /// What became of the calls so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let [get_or_lease, fill_if, remove, news] =
            [&self.get_or_lease, &self.fill_if, &self.remove, &self.news].map(Meter::get);
        Calls { get_or_lease, fill_if, remove, news }
    }

    /// Hands the counts to the `metrics` facade: call it before they are scraped. The counter `offgridflow_cache_calls_total` has the
    /// labels `store` (what the tier calls itself), `call`, and `outcome`: ok, error, given_up. Beside it each call records its time in the
    /// histogram `offgridflow_cache_operation_duration_seconds` (labels `store`, `call`), when it ends.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self) {
        let calls = self.calls();
        let kinds = [
            ("get_or_lease", calls.get_or_lease),
            ("fill_if", calls.fill_if),
            ("remove", calls.remove),
            ("news", calls.news),
        ];
        for (kind, metering) in kinds {
            record(&self.store, kind, &metering);
        }
    }
}

/// Absolute figures, so that recording twice counts once.
#[cfg(feature = "metrics")]
fn record(store: &str, kind: &'static str, metering: &Metering) {
    for (outcome, count) in [
        ("ok", metering.took.count().saturating_sub(metering.errors + metering.given_up)),
        ("error", metering.errors),
        ("given_up", metering.given_up),
    ] {
        let labels =
            [("store", store.to_owned()), ("call", kind.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("offgridflow_cache_calls_total", &labels).absolute(count);
    }
}

/// A call in a span of its own, at `debug`, below that of who asked.
#[cfg(feature = "tracing")]
macro_rules! spanned {
    ($metered:ident, $call:literal, $future:expr) => {{
        let span = tracing::debug_span!(
            target: "offgridflow_cache",
            "call",
            otel.name = $call,
            otel.kind = "client",
            store = $metered.inner.caps().name,
            error = tracing::field::Empty,
        );
        let future = tracing::Instrument::instrument($future, span.clone());
        async move {
            let answer = future.await;
            span.record("error", answer.is_err());
            answer
        }
    }};
}
#[cfg(not(feature = "tracing"))]
macro_rules! spanned {
    ($metered:ident, $call:literal, $future:expr) => {
        $future
    };
}

#[async_trait]
impl<B: CacheBackend> CacheBackend for Metered<B> {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let call = spanned!(self, "get_or_lease", self.inner.get_or_lease(keys, terms));
        self.get_or_lease.time(keys.len(), self.tell("get_or_lease"), call).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let keys = fills.len();
        let call = spanned!(self, "fill_if", self.inner.fill_if(fills));
        self.fill_if.time(keys, self.tell("fill_if"), call).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        let keys = if let Scope::Keys(keys) = &scope { keys.len() } else { 0 };
        let call = spanned!(self, "remove", self.inner.remove(namespace, scope));
        self.remove.time(keys, self.tell("remove"), call).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        let call = spanned!(self, "news", self.inner.news(namespace, seen));
        self.news.time(0, self.tell("news"), call).await
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
