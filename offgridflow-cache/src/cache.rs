use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

pub use self::lease::PutLease;
pub use self::settings::Outage;
pub(crate) use self::settings::Settings;
pub(crate) use self::wire::{Wire, WireKey};
use crate::failures::Failures;
use crate::flight::Flights;
use crate::loader::Fate;
use crate::near::{Watch, nanos};
use crate::recovery::Recovery;
use crate::stats::Counters;
use crate::tags::Clock;
use crate::trust::Trust;
use crate::{BackendStats, CacheBuilder, Error, Loaded, Loader, MemoryTier, Stats};

mod boarding;
mod detached;
mod follow;
mod fresh;
mod hit;
mod invalidate;
mod lease;
mod load;
mod nested;
mod outage;
mod refresh;
mod round;
mod run;
mod settings;
mod wire;

use self::follow::Following;
use self::outage::Outages;
use self::refresh::Refreshes;

/// A typed cache in front of a loader. Clones share it.
///
/// ```
/// use offgridflow_cache::{Cache, Loaded, loader_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let squares = Cache::<u64, u64>::builder("squares").build(loader_fn(|n: u64| async move {
///     Ok::<_, std::io::Error>(n.checked_mul(n).map_or_else(Loaded::absent, Loaded::value))
/// }))?;
/// assert_eq!(squares.get(&12).await?.as_deref(), Some(&144));
/// assert_eq!(squares.get(&u64::MAX).await?, None);          // the absence is cached too
/// assert_eq!(squares.get_many(&[1, 2, 3]).await.len(), 3);  // one `load_many` for what is missing
/// assert_eq!(squares.stats().loads, 5);
/// # Ok(()) }
/// ```
pub struct Cache<K, V, L: Loader<K, V> = NoLoader> {
    inner: Arc<Inner<K, V, L>>,
}

pub(crate) struct Inner<K, V, L: Loader<K, V>> {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    name: Arc<str>,
    near: Box<dyn MemoryTier<K, V>>,
    wire: Option<Wire<K, V>>,
    loader: L,
    settings: Settings,
    flights: Arc<Flights<K, V, L::Error>>,
    clock: Clock,
    trust: Trust,
    following: Following,
    watch: Watch,
    loads: Semaphore,
    alarm: Arc<Notify>, // a call of the shared tier failed: it is looked at sooner
    hurry: Notify,      // a load waits for a flight: who waits for a turn looks whether it is theirs
    failures: Failures<K, Error<L::Error>>,
    refreshes: Refreshes<K>,
    typical_cost: AtomicU64, // of a load, in nanoseconds
    half_delta: u64,         // of Δ, in nanoseconds
    counters: Counters,
    recovery: Mutex<Recovery<K>>,
    outages: Outages,
    blind: AtomicBool, // a removal of tags or of everything is deferred: the shared tier is passed by
    down: AtomicBool, // the shared tier did not answer a read: it is passed by until it answers the next look for news
    draws: AtomicU64,
}

/// How far an invalidation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a deferred invalidation has not reached the other nodes"]
pub enum Delivery {
    /// This node and the shared tier: other nodes follow within Δ.
    Delivered,
    /// This node; the shared tier could not be reached. It is told as soon as it answers, unless this process ends before.
    Deferred,
}

/// The loader of a cache that is not built yet; there is no value of this type.
#[derive(Debug)]
pub enum NoLoader {}

impl<K: Send, V> Loader<K, V> for NoLoader {
    type Error = std::convert::Infallible;

    async fn load(&self, _: K) -> Result<Loaded<V>, Self::Error> {
        match *self {}
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Settings of a cache, with their defaults. `namespace` tells caches apart that share a store.
    pub fn builder(namespace: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder::new(namespace.into())
    }
}

impl<K, V, L: Loader<K, V>> Clone for Cache<K, V, L> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, L: Loader<K, V>> fmt::Debug for Cache<K, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl<K, V, L> Cache<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    pub(crate) fn assemble(
        #[cfg_attr(
            not(any(feature = "metrics", feature = "tracing")),
            expect(unused_variables, reason = "a label of metrics and events")
        )]
        name: &str,
        near: Box<dyn MemoryTier<K, V>>,
        wire: Option<Wire<K, V>>,
        loader: L,
        settings: Settings,
    ) -> Self {
        let trust = if wire.is_some() { Trust::none_yet() } else { Trust::without_shared_tier() };
        let inner = Arc::new(Inner {
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            name: name.into(),
            near,
            wire,
            loader,
            flights: Arc::new(Flights::new()),
            clock: Clock::default(),
            trust,
            following: Following::default(),
            watch: Watch::start(),
            loads: Semaphore::new(settings.max_loads),
            alarm: Arc::default(),
            hurry: Notify::new(),
            failures: Failures::default(),
            refreshes: Refreshes::default(),
            typical_cost: AtomicU64::new(0),
            half_delta: nanos(settings.max_staleness / 2),
            counters: Counters::default(),
            recovery: Mutex::default(),
            outages: Outages::default(),
            blind: AtomicBool::new(false),
            down: AtomicBool::new(false),
            draws: AtomicU64::new(0),
            settings,
        });
        if let Ok(runtime) = Handle::try_current() {
            inner.follow_on(&runtime);
        }
        Self { inner }
    }

    /// What the near tier has, if it may be served. Synchronous; allocates nothing beyond what the near tier does (moka does its
    /// housekeeping on a reader's thread now and then). An absence is `None` too.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.inner.near_hit(key)?
    }

    /// The value of `key`: near, shared, or loaded; `None` when the source has none.
    ///
    /// Reads of one key that meet share one load, which runs to its end even if all of them go away.
    ///
    /// # Errors
    /// When it had to be loaded and that failed; every waiter gets the same error. Outside a tokio runtime, unless it is near.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the load to the others, and its value to the cache.
    pub async fn get(&self, key: &K) -> Result<Option<Arc<V>>, Error<L::Error>> {
        if let Some(value) = self.inner.near_hit(key) {
            return Ok(value);
        }
        let flown = Box::pin(self.inner.fly(&[key])).await; // boxed, so that the future of a hit is small
        flown.into_iter().next().unwrap_or(Err(Error::Closed))
    }

    /// The values of `keys` in their order, with one question to the shared tier and one `load_many` for what is missing.
    ///
    /// # Cancel safety
    /// As [`get`](Self::get).
    pub async fn get_many(&self, keys: &[K]) -> Vec<Result<Option<Arc<V>>, Error<L::Error>>> {
        let near: Vec<_> = keys.iter().map(|key| self.inner.near_hit(key)).collect();
        let missing = keys.iter().zip(&near).filter(|(_, value)| value.is_none());
        let missing: Vec<&K> = missing.map(|(key, _)| key).collect();
        let mut flown = self.inner.fly(&missing).await.into_iter();
        let answer = |value: Option<_>| value.map_or_else(|| flown.next().unwrap_or(Err(Error::Closed)), Ok);
        near.into_iter().map(answer).collect()
    }

    /// Makes `value` the value of `key`, here and in the shared tier: an invalidation, a lease, and a fill. Takes a value, or a
    /// [`Loaded`] with tags and a ttl of its own; [`Loaded::not_modified`] carries no value, and only invalidates.
    ///
    /// The last to arrive wins, and an invalidation that comes meanwhile wins over the value. Other writers of the source are not
    /// waited for: write the source first, and where several write the same key, invalidate instead or take a
    /// [`lease`](Self::lease).
    ///
    /// Outside a tokio runtime the shared tier is not told, which is [`Deferred`](Delivery::Deferred); on one that has ended, all of the
    /// namespace is removed in place of what was named.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn put(&self, key: &K, value: impl Into<Loaded<V>>) -> Delivery {
        let (inner, key, value) = (Arc::clone(&self.inner), key.clone(), value.into());
        self.detached(async move {
            let delivery = inner.invalidate(&key).await;
            if value.fate != Fate::Unchanged {
                inner.put(key, value).await;
            }
            delivery
        })
        .await
    }

    /// The right to put `key`, to be taken *before* its source is written: where several write the same key, what is put under a
    /// lease is coherent with what the others put and invalidate. Where the shared tier does not answer, or outside a tokio runtime, it
    /// is a right to invalidate only.
    ///
    /// ```
    /// use offgridflow_cache::{Cache, Loaded, loader_fn};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let prices = Cache::<u64, u64>::builder("prices")
    ///     .build(loader_fn(|_: u64| async { Ok::<_, std::io::Error>(Loaded::value(7)) }))?;
    /// let lease = prices.lease(&1).await;
    /// // … the source is written here, and meanwhile somebody else writes it as well, and invalidates:
    /// let _ = prices.invalidate(&1).await;
    /// let _ = lease.put(5).await;                                        // whose value is the newer one? not kept
    /// assert_eq!(prices.get(&1).await?.as_deref(), Some(&7));            // the source knows
    /// # Ok(()) }
    /// ```
    pub async fn lease(&self, key: &K) -> PutLease<K, V, L> {
        self.inner.lease(key).await
    }

    /// Removes `key` here and, through the shared tier, everywhere. A read that starts after this returned never sees what was
    /// there, and a load that began before keeps nothing.
    ///
    /// A shared tier that does not answer is waited for as long as [`shared_timeout`](CacheBuilder::shared_timeout), each time; a
    /// [`Breaker`](crate::Breaker) around it refuses at once what it would not answer.
    ///
    /// Outside a tokio runtime the shared tier is not told, which is [`Deferred`](Delivery::Deferred); on one that has ended, all of the
    /// namespace is removed in place of what was named.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn invalidate(&self, key: &K) -> Delivery {
        let (inner, key) = (Arc::clone(&self.inner), key.clone());
        self.detached(async move { inner.invalidate(&key).await }).await
    }

    /// Removes `keys` as [`invalidate`](Self::invalidate) does one: 512 of them cost one trip to the shared tier. Deferred if any of them is.
    ///
    /// Nodes remember the last thousand removals or so: after more at once, the others load everything again. A [tag](Self::invalidate_tag)
    /// is one removal.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn invalidate_many(&self, keys: &[K]) -> Delivery {
        let (inner, keys) = (Arc::clone(&self.inner), keys.to_vec());
        self.detached(async move { inner.invalidate_many(&keys).await }).await
    }

    /// Removes everything that carries `tag`, here and everywhere. Costs the same for one entry and for a million.
    ///
    /// Outside a tokio runtime the shared tier is not told, which is [`Deferred`](Delivery::Deferred); on one that has ended, all of the
    /// namespace is removed in place of what was named.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn invalidate_tag(&self, tag: impl Into<Arc<str>>) -> Delivery {
        let (inner, tag) = (Arc::clone(&self.inner), tag.into());
        self.detached(async move { inner.invalidate_tag(tag).await }).await
    }

    /// Removes everything in the namespace, here and everywhere.
    ///
    /// Outside a tokio runtime the shared tier is not told, which is [`Deferred`](Delivery::Deferred); on one that has ended, all of the
    /// namespace is removed in place of what was named.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn clear(&self) -> Delivery {
        let inner = Arc::clone(&self.inner);
        self.detached(async move { inner.clear().await }).await
    }

    /// What the cache did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        Stats {
            failures_forgotten: inner.failures.overflowed(),
            near_entries: inner.near.len(),
            near_bound: inner.near.bound(),
            evictions: inner.near.evicted(),
            deferred: inner.recovery().waiting() as u64,
            outage: inner.outages.reason(),
            shared: inner.wire.as_ref().map_or_else(BackendStats::default, |wire| wire.backend.stats()),
            ..inner.counters.stats()
        }
    }

    /// Hands the figures to the `metrics` facade: call it before they are scraped. Hits cost nothing for it. Each carries the label `cache`,
    /// the cache's [label](CacheBuilder::label); [`describe_metrics`](crate::describe_metrics) has their help texts:
    ///
    /// | | further labels |
    /// |---|---|
    /// | `offgridflow_cache_requests_total` | `tier` and `outcome`: near hit, coalesced, miss, refused; shared hit, error; loader miss, error |
    /// | `offgridflow_cache_stale_total` | `why`: ttl, outage |
    /// | `offgridflow_cache_events_total` | `event`: decode_error, distrusted, encode_error, fenced, gap, invalidation, near_error, outage, refresh |
    /// | `offgridflow_cache_entries`, `offgridflow_cache_capacity_entries` or (by weight, in what the weigher counts) `offgridflow_cache_size_bytes` and `offgridflow_cache_capacity_bytes` | `tier`: near |
    /// | `offgridflow_cache_evictions_total` | `tier`: near, `reason`: capacity |
    /// | `offgridflow_cache_loads_in_flight`, `offgridflow_cache_deferred_invalidations`, `offgridflow_cache_outage` (1 while there is one) | |
    ///
    /// Beside them each load records its time in the histogram `offgridflow_cache_load_duration_seconds`, when it ends.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self) {
        crate::stats::metrics::record(&self.inner.name, &self.stats());
    }
}
