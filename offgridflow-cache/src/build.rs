use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Cache, Settings, Wire, WireKey};
use crate::near::default_tier;
use crate::{CacheBackend, CacheKey, Codec, ConfigError, Key, Loader, MemoryTier, Outage};

/// Settings of a [`Cache`]; see each method for its default.
#[must_use = "a builder does nothing until `build`"]
pub struct CacheBuilder<K, V> {
    namespace: String,
    label: Option<String>,
    schema: u32,
    near: Option<Box<dyn MemoryTier<K, V>>>,
    shared: Option<Arc<dyn CacheBackend>>,
    codec: Option<Arc<dyn Codec<V>>>,
    wire_key: Option<WireKey<K>>,
    settings: Settings,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("namespace", &self.namespace)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<K, V> CacheBuilder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(namespace: String) -> Self {
        Self {
            namespace,
            label: None,
            schema: 1,
            near: None,
            shared: None,
            codec: None,
            wire_key: None,
            settings: Settings::default(),
            types: PhantomData,
        }
    }

    /// What metrics and events call the cache: a namespace may hold what changes from one deployment to the next. Default: the namespace.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The map in the process. Default: [`QuickCache::entries(10_000)`](crate::QuickCache::entries); without the feature
    /// `quick_cache`, the same of `Moka`.
    pub fn near(mut self, near: impl MemoryTier<K, V>) -> Self {
        self.near = Some(Box::new(near));
        self
    }

    /// The store between processes, and how values are written there. Default: none.
    ///
    /// What was written by another codec is never taken for a value. Nodes that differ in theirs want another [`schema`](Self::schema) each: in one,
    /// they would replace each other's values in turn.
    pub fn shared(mut self, shared: impl CacheBackend, codec: impl Codec<V>) -> Self
    where
        K: CacheKey,
    {
        self.shared = Some(Arc::new(shared));
        self.codec = Some(Arc::new(codec));
        self.wire_key = Some(Key::new::<K>);
        self
    }

    /// Version of the value's wire format. Nodes of several versions may share a namespace, as they do while a new one is rolled out:
    /// each reads and fills values of its own, and what one of them invalidates is invalid in all. Default: 1.
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// How long a value stays. Default: 5 min.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// How long "there is nothing" stays. Default: 30 s.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl;
        self
    }

    /// The share by which a ttl is shortened at random, so that what was loaded together does not end together. Default: 0.1.
    pub fn jitter(mut self, share: f64) -> Self {
        self.settings.jitter = share;
        self
    }

    /// When a load is given up. Default: 5 s.
    pub fn load_timeout(mut self, limit: Duration) -> Self {
        self.settings.load_timeout = limit;
        self
    }

    /// Loads under way at once; more wait. What a loader reads from a cache, this one or another, is loaded in its own turn: it would
    /// wait for itself otherwise. A batch is one load. Default: 256.
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.settings.max_loads = loads;
        self
    }

    /// When a call of the shared tier is given up. Default: 500 ms.
    pub fn shared_timeout(mut self, limit: Duration) -> Self {
        self.settings.shared_timeout = limit;
        self
    }

    /// How long another node may load a key: after that one of those who wait takes its lease over, and has as long again. So a read waits for
    /// other nodes' loads for twice this long at most, and then loads by itself. Default: 1 s.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.settings.lease_wait = wait;
        self
    }

    /// Δ: how long after a delivered invalidation another node may still serve the old value. The shared tier is asked for news
    /// four times as often. Default: 2 s.
    pub fn max_staleness(mut self, staleness: Duration) -> Self {
        self.settings.max_staleness = staleness;
        self
    }

    /// For how long after its ttl a value, near or in the shared tier, is still served at once, while it is loaded again behind its reader's back. Never one
    /// that was invalidated. Default: zero.
    pub fn stale_while_revalidate(mut self, grace: Duration) -> Self {
        self.settings.stale_while_revalidate = grace;
        self
    }

    /// For how long after its ttl a value is served when it cannot be loaded: the load fails, panics, or takes longer than
    /// [`soft_timeout`](Self::soft_timeout) or [`load_timeout`](Self::load_timeout). Never one that was invalidated. Default: zero.
    pub fn stale_on_error(mut self, grace: Duration) -> Self {
        self.settings.stale_on_error = grace;
        self
    }

    /// How long a read, or a batch of them, that has a stale value to fall back on waits for the load, which goes on. Needs
    /// [`stale_on_error`](Self::stale_on_error). Default: as long as it takes.
    pub fn soft_timeout(mut self, wait: Duration) -> Self {
        self.settings.soft_timeout = Some(wait);
        self
    }

    /// How long after a failed load the key is not loaded again: reads get the stale value, or the same error. An invalidation ends it:
    /// of the key, of everything, of a tag that the key's last value carries, or of any where there was none. The last 10 000 keys that
    /// failed are remembered ([`Stats::failures_forgotten`](crate::Stats::failures_forgotten)). Default: 100 ms.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.settings.retry_after = pause;
        self
    }

    /// How eagerly a value that is still fresh is loaded again behind its reader's back, so that a key in use never runs out: with
    /// a chance that grows as its end comes near, in proportion to what its load takes (XFetch: Vattani, Chierichetti and Lowenstein
    /// 2015, β). 0 is never. Default: 1.
    pub fn refresh_early(mut self, beta: f64) -> Self {
        self.settings.refresh_early = beta;
        self
    }

    /// What is served near while the shared tier does not answer. Default: [`Outage::Reload`].
    pub fn outage(mut self, outage: Outage) -> Self {
        self.settings.outage = outage;
        self
    }

    /// Switches a mechanism of the protocol off, so that a check can be seen to miss it.
    #[cfg(feature = "sim")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
    pub fn mutant(self, mutant: Option<crate::sim::Mutant>) -> Self {
        self.probe(crate::sim::Probe::of(mutant))
    }

    #[cfg(feature = "sim")]
    pub(crate) fn probe(mut self, probe: crate::sim::Probe) -> Self {
        self.settings.probe = probe;
        self
    }

    /// Builds the cache. With a shared tier, a task on the current tokio runtime follows what other nodes remove; where there is none, or when it has ended, one on
    /// the runtime of the next read that is not near, or of the next removal.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn build<L: Loader<K, V>>(mut self, loader: L) -> Result<Cache<K, V, L>, ConfigError> {
        self.settings.check()?;
        let refuse = |setting, hint| Err(ConfigError { setting, hint });
        if self.namespace.is_empty() || self.namespace.len() > 64 || self.namespace.contains(['{', '}']) {
            return refuse("namespace", "1 to 64 bytes without braces");
        }
        let near = self.near.take().or_else(default_tier);
        let Some(near) = near else {
            return refuse("near", "name a near tier, or enable the feature `quick_cache` or `moka`");
        };
        let name = self.label.take().unwrap_or_else(|| self.namespace.clone());
        let wire = match (self.shared, self.codec, self.wire_key) {
            (Some(backend), Some(codec), Some(key)) => {
                let name = backend.caps().name;
                let (namespace, schema) = (self.namespace.into(), self.schema);
                #[cfg(feature = "sim")]
                let mutant = self.settings.probe.mutant;
                Some(Wire {
                    backend,
                    name,
                    codec,
                    key,
                    namespace,
                    schema,
                    #[cfg(feature = "sim")]
                    mutant,
                })
            }
            _ => None,
        };
        Ok(Cache::assemble(&name, near, wire, loader, self.settings))
    }
}
