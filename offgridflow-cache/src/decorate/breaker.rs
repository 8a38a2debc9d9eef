use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::circuit::{Circuit, Pass};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, Key, Lookup, News, Position, Scope, Terms,
};

/// A shared tier that is left alone while it is down: reads go on from memory and the loader without waiting for it.
///
/// It opens after [`failures_in_a_row`](BreakerSettings::failures_in_a_row), or when most calls of a
/// [`window`](BreakerSettings::window) fail. Then every call fails at once with [`BackendError::Open`], except one probe a
/// pause; a probe that succeeds closes it. A call that its caller gave up counts as failed once it has taken
/// [`slow`](BreakerSettings::slow). Removals that it refuses are deferred by the cache and delivered later, none is lost.
///
/// ```
/// use offgridflow_cache::{Breaker, CacheBackend, InProcess};
///
/// let shared = Breaker::new(InProcess::new());
/// assert!(!shared.is_open());
/// assert_eq!(shared.caps(), InProcess::new().caps());
/// ```
pub struct Breaker<B> {
    inner: B,
    slow: Duration,
    circuit: Circuit,
    shed: AtomicU64,
}

/// When a [`Breaker`] opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerSettings {
    /// So many failures without a success between them open it. Default 2.
    pub failures_in_a_row: u32,
    /// A larger share of failures among the calls of a window (20 at least) opens it. Default 0.5.
    pub failure_share: f64,
    /// How long calls are counted together. Default 10 s.
    pub window: Duration,
    /// A call that its caller gave up after so long has failed; before, it says nothing. Default 50 ms.
    pub slow: Duration,
    /// How long it stays open before the first probe. Default 250 ms.
    pub first_pause: Duration,
    /// Each failed probe doubles the pause up to this. Default 500 ms: nodes agree again within Δ of 2 s only if it is
    /// tried about as often as they look for news.
    pub longest_pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_in_a_row: 2,
            failure_share: 0.5,
            window: Duration::from_secs(10),
            slow: Duration::from_millis(50),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_millis(500),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Breaker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("inner", &self.inner).field("open", &self.circuit.is_open()).finish()
    }
}

impl<B: CacheBackend> Breaker<B> {
    /// Around `inner`, with the default settings.
    pub fn new(inner: B) -> Self {
        Self::with(inner, BreakerSettings::default())
    }

    /// Around `inner`.
    pub fn with(inner: B, settings: BreakerSettings) -> Self {
        Self { inner, slow: settings.slow, circuit: Circuit::new(settings), shed: AtomicU64::new(0) }
    }

    /// Whether calls are refused now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.circuit.is_open()
    }

    /// How often it opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.circuit.opened()
    }

    /// Hands the state to the `metrics` facade: call it before it is scraped. The gauge `offgridflow_cache_circuit_state` has the labels `store`
    /// (what the tier calls itself) and `state`: closed, open.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self) {
        let open = self.is_open();
        for (state, is) in [("closed", !open), ("open", open)] {
            metrics::gauge!("offgridflow_cache_circuit_state", "store" => self.inner.caps().name, "state" => state)
                .set(f64::from(u8::from(is)));
        }
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        let pass = self.circuit.enter().map_err(|retry_in| {
            self.shed.fetch_add(1, Ordering::Relaxed);
            BackendError::Open { backend: self.inner.caps().name, retry_in }
        })?;
        let mut under_way = UnderWay { breaker: self, pass, began: Instant::now(), ended: false };
        let answer = call.await;
        under_way.ended = true;
        match &answer {
            Ok(_) => self.circuit.succeeded(pass),
            Err(_) => self.circuit.failed(pass),
        }
        answer
    }
}

/// A call that may be given up by its caller.
struct UnderWay<'a, B> {
    breaker: &'a Breaker<B>,
    pass: Pass,
    began: Instant,
    ended: bool,
}

impl<B> Drop for UnderWay<'_, B> {
    fn drop(&mut self) {
        if !self.ended && self.began.elapsed() >= self.breaker.slow {
            self.breaker.circuit.failed(self.pass);
        }
    }
}

#[async_trait]
impl<B: CacheBackend> CacheBackend for Breaker<B> {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.pass(self.inner.get_or_lease(keys, terms)).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.pass(self.inner.fill_if(fills)).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.pass(self.inner.remove(namespace, scope)).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.pass(self.inner.news(namespace, seen)).await
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        self.inner.messages(namespace)
    }

    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn stats(&self) -> BackendStats {
        let inner = self.inner.stats();
        BackendStats { shed: inner.shed + self.shed.load(Ordering::Relaxed), ..inner }
    }
}
