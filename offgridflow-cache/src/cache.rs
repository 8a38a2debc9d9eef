use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::xxh3_64;

use crate::flight::{Boarding, Flights, Waiting, answer_of};
use crate::stats::Counters;
use crate::tags::Clock;
use crate::trust::Trust;
use crate::{
    BackendError, BackendStats, CacheBackend, CacheBuilder, Codec, ConfigError, Error, Held, Key, Loader,
    MemoryTier, Scope, Stats,
};

mod follow;
mod run;

/// Deferred invalidations kept one by one; beyond it the whole namespace is removed instead.
const DEFERRED: usize = 10_000;

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
    #[cfg(feature = "metrics")]
    name: Arc<str>,
    near: Box<dyn MemoryTier<K, V>>,
    wire: Option<Wire<K, V>>,
    loader: L,
    settings: Settings,
    flights: Arc<Flights<K, V, L::Error>>,
    clock: Clock,
    trust: Trust,
    loads: Semaphore,
    counters: Counters,
    deferred: Mutex<Deferred<K>>,
    blind: AtomicBool, // a removal of tags or of everything is deferred: the shared tier is passed by
    draws: AtomicU64,
}

/// Makes the wire key of a namespace, a schema and a key.
pub(crate) type WireKey<K> = fn(&Arc<str>, u32, &K) -> Key;

/// What is needed to speak with a shared tier.
pub(crate) struct Wire<K, V> {
    pub(crate) backend: Arc<dyn CacheBackend>,
    pub(crate) codec: Arc<dyn Codec<V>>,
    pub(crate) key: WireKey<K>,
    pub(crate) namespace: Arc<str>,
    pub(crate) schema: u32,
}

impl<K, V> Wire<K, V> {
    fn key(&self, key: &K) -> Key {
        (self.key)(&self.namespace, self.schema, key)
    }
}

struct Deferred<K> {
    keys: HashMap<Key, K>,
    tags: Vec<Arc<str>>,
    all: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) jitter: f64,
    pub(crate) load_timeout: Duration,
    pub(crate) max_loads: usize,
    pub(crate) shared_timeout: Duration,
    pub(crate) lease_wait: Duration,
    pub(crate) max_staleness: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(30),
            jitter: 0.1,
            load_timeout: Duration::from_secs(5),
            max_loads: 256,
            shared_timeout: Duration::from_millis(500),
            lease_wait: Duration::from_millis(500),
            max_staleness: Duration::from_secs(2),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, hint| Err(ConfigError { setting, hint });
        match self {
            _ if self.ttl.is_zero() => refuse("ttl", "must be longer than zero"),
            _ if self.negative_ttl.is_zero() => refuse("negative_ttl", "must be longer than zero"),
            _ if !(0.0..1.0).contains(&self.jitter) => refuse("jitter", "a share from 0 to below 1"),
            _ if self.load_timeout.is_zero() => refuse("load_timeout", "must be longer than zero"),
            _ if self.max_loads == 0 => refuse("max_loads", "at least 1"),
            _ if self.shared_timeout.is_zero() => refuse("shared_timeout", "must be longer than zero"),
            _ if self.max_staleness < Duration::from_millis(20) => refuse("max_staleness", "at least 20 ms"),
            _ => Ok(()),
        }
    }

    /// A lease outlives the load and the fill, so that a slow load is not fenced by its own lease.
    fn lease(&self) -> Duration {
        self.load_timeout + self.shared_timeout * 2
    }
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

    async fn load(&self, _: K) -> Result<crate::Loaded<V>, Self::Error> {
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
        #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "a label of metrics"))]
        name: &str,
        near: Box<dyn MemoryTier<K, V>>,
        wire: Option<Wire<K, V>>,
        loader: L,
        settings: Settings,
    ) -> Self {
        let trust = if wire.is_some() { Trust::none_yet() } else { Trust::without_shared_tier() };
        let inner = Arc::new(Inner {
            #[cfg(feature = "metrics")]
            name: name.into(),
            near,
            wire,
            loader,
            flights: Arc::new(Flights::new()),
            clock: Clock::default(),
            trust,
            loads: Semaphore::new(settings.max_loads),
            counters: Counters::default(),
            deferred: Mutex::new(Deferred { keys: HashMap::new(), tags: Vec::new(), all: false }),
            blind: AtomicBool::new(false),
            draws: AtomicU64::new(0),
            settings,
        });
        if inner.wire.is_some() {
            tokio::spawn(follow::follow(Arc::downgrade(&inner)));
        }
        Self { inner }
    }

    /// What the near tier has, if it may be served. Synchronous; allocates nothing beyond what the near tier does (moka does its
    /// housekeeping on a reader's thread now and then). An absence is `None` too.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.inner.near_hit(key)?.value().cloned()
    }

    /// The value of `key`: near, shared, or loaded; `None` when the source has none.
    ///
    /// Reads of one key that meet share one load, which runs to its end even if all of them go away.
    ///
    /// # Errors
    /// When it had to be loaded and that failed; every waiter gets the same error.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the load to the others, and its value to the cache.
    pub async fn get(&self, key: &K) -> Result<Option<Arc<V>>, Error<L::Error>> {
        if let Some(held) = self.inner.near_hit(key) {
            self.inner.counters.near_hits.add(1);
            return Ok(held.value().cloned());
        }
        answer_of(self.inner.board(std::iter::once(key)).pop().ok_or(Error::Closed)?).await
    }

    /// The values of `keys` in their order, with one question to the shared tier and one `load_many` for what is missing.
    ///
    /// # Cancel safety
    /// As [`get`](Self::get).
    pub async fn get_many(&self, keys: &[K]) -> Vec<Result<Option<Arc<V>>, Error<L::Error>>> {
        let mut answers: Vec<_> = keys.iter().map(|key| self.inner.near_hit(key)).collect();
        let missing: Vec<&K> =
            keys.iter().zip(&answers).filter(|(_, held)| held.is_none()).map(|(key, _)| key).collect();
        self.inner.counters.near_hits.add((keys.len() - missing.len()) as u64);
        let mut waiting = self.inner.board(missing.into_iter()).into_iter();
        let mut out = Vec::with_capacity(keys.len());
        for held in answers.drain(..) {
            out.push(match held {
                Some(held) => Ok(held.value().cloned()),
                None => match waiting.next() {
                    Some(waiting) => answer_of(waiting).await,
                    None => Err(Error::Closed),
                },
            });
        }
        out
    }

    /// Makes `value` the value of `key` on this node and, if the lease can be had, in the shared tier: an invalidation and a fill.
    /// The last to arrive wins; other writers of the source are not waited for.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation; the value may then be filled or not.
    pub async fn put(&self, key: &K, value: V) -> Delivery {
        let delivery = self.invalidate(key).await;
        self.inner.put(key, value).await;
        delivery
    }

    /// Removes `key` here and, through the shared tier, everywhere. A read that starts after this returned never sees what was
    /// there, and a load that began before keeps nothing.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn invalidate(&self, key: &K) -> Delivery {
        let (inner, key) = (Arc::clone(&self.inner), key.clone());
        self.detached(async move { inner.invalidate(&key).await }).await
    }

    /// Removes everything that carries `tag`, here and everywhere. Costs the same for one entry and for a million.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the invalidation.
    pub async fn invalidate_tag(&self, tag: impl Into<Arc<str>>) -> Delivery {
        let (inner, tag) = (Arc::clone(&self.inner), tag.into());
        self.detached(async move { inner.invalidate_tag(tag).await }).await
    }

    /// Removes everything in the namespace, here and everywhere.
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
        let shared = self.inner.wire.as_ref().map_or_else(BackendStats::default, |wire| wire.backend.stats());
        let deferred = self.inner.deferred();
        let waiting = deferred.keys.len() + deferred.tags.len() + usize::from(deferred.all);
        drop(deferred);
        self.inner.counters.stats(self.inner.near.len(), waiting as u64, shared)
    }

    /// Hands the figures to the `metrics` facade: call it before they are scraped. Hits cost nothing for it.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn record_metrics(&self) {
        crate::stats::record(&self.inner.name, &self.stats());
    }

    /// Runs `work` in a task of its own, so that a caller who goes away does not stop it half-way.
    async fn detached(&self, work: impl Future<Output = Delivery> + Send + 'static) -> Delivery {
        tokio::spawn(work).await.unwrap_or(Delivery::Deferred)
    }
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// A near value that is fresh, valid and trusted.
    fn near_hit(&self, key: &K) -> Option<Arc<Held<V>>> {
        let held = self.near.get(key)?;
        let now = Instant::now();
        if held.until <= now || !self.clock.allows(held.born, held.name, &held.tags) {
            return None;
        }
        if !self.trust.holds_at(now) {
            self.counters.distrusted.add(1);
            return None;
        }
        Some(held)
    }

    /// Joins or opens the flights of `keys`, and runs those it opened as one batch.
    fn board<'k>(self: &Arc<Self>, keys: impl Iterator<Item = &'k K>) -> Vec<Waiting<V, L::Error>>
    where
        K: 'k,
    {
        let (mut waiting, mut opened) = (Vec::new(), Vec::new());
        for key in keys {
            // A flight that began before any invalidation may bring what was invalidated: it is not joined.
            match self.flights.board(key, self.clock.now(), |born| !self.clock.changed_since(born)) {
                Boarding::Joined(answer) => {
                    self.counters.coalesced.add(1);
                    waiting.push(answer);
                }
                Boarding::Opened(landing, answer) => {
                    self.counters.misses.add(1);
                    opened.push(landing);
                    waiting.push(answer);
                }
            }
        }
        if !opened.is_empty() {
            tokio::spawn(run::run(Arc::clone(self), opened));
        }
        waiting
    }

    async fn invalidate(&self, key: &K) -> Delivery {
        self.counters.invalidations.add(1);
        self.fence(key);
        let Some(wire) = &self.wire else { return Delivery::Delivered };
        self.flights.skip_shared(key, true);
        let wire_key = wire.key(key);
        let removed = self.removed(wire, Scope::Keys(vec![wire_key.clone()])).await;
        self.fence(key); // again: a read meanwhile may have found the old value still there
        if removed {
            self.flights.skip_shared(key, false);
            return Delivery::Delivered;
        }
        self.defer(|deferred| {
            let known = deferred.keys.contains_key(&wire_key);
            let room = deferred.keys.len() < DEFERRED;
            if room && !known {
                deferred.keys.insert(wire_key, key.clone());
                return; // the key passes the shared tier by until it was delivered
            }
            deferred.all |= !room && !known; // then every key does
            self.flights.skip_shared(key, false);
        });
        Delivery::Deferred
    }

    fn fence(&self, key: &K) {
        self.flights.revoke(key, || self.near.remove(key));
    }

    async fn invalidate_tag(&self, tag: Arc<str>) -> Delivery {
        self.counters.invalidations.add(1);
        self.clock.remove_tag(&tag);
        let Some(wire) = &self.wire else { return Delivery::Delivered };
        let removed = self.removed(wire, Scope::Tags(vec![Arc::clone(&tag)])).await;
        self.clock.remove_tag(&tag);
        if removed {
            return Delivery::Delivered;
        }
        self.defer(|deferred| {
            if deferred.tags.len() >= DEFERRED {
                deferred.all = true;
            } else if !deferred.tags.contains(&tag) {
                deferred.tags.push(tag);
            }
        });
        Delivery::Deferred
    }

    async fn clear(&self) -> Delivery {
        self.counters.invalidations.add(1);
        self.clock.remove_all();
        let Some(wire) = &self.wire else { return Delivery::Delivered };
        let removed = self.removed(wire, Scope::Namespace).await;
        self.clock.remove_all();
        if removed {
            return Delivery::Delivered;
        }
        self.defer(|deferred| deferred.all = true);
        Delivery::Deferred
    }

    async fn removed(&self, wire: &Wire<K, V>, scope: Scope) -> bool {
        self.ask_shared(wire.backend.remove(&wire.namespace, scope)).await.is_some()
    }

    /// The shared tier's answer in time; a failure is counted, and the caller goes on without.
    async fn ask_shared<T>(&self, question: impl Future<Output = Result<T, BackendError>>) -> Option<T> {
        let answer = timeout(self.settings.shared_timeout, question).await;
        let answer = answer.ok().and_then(Result::ok);
        if answer.is_none() {
            self.counters.shared_errors.add(1);
        }
        answer
    }

    fn deferred(&self) -> MutexGuard<'_, Deferred<K>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn defer(&self, write: impl FnOnce(&mut Deferred<K>)) {
        let mut deferred = self.deferred();
        write(&mut deferred);
        self.blind.store(deferred.all || !deferred.tags.is_empty(), Ordering::Release);
    }

    async fn put(&self, key: &K, value: V) {
        let (born, value) = (self.clock.now(), Arc::new(value));
        let held = Held {
            value: Some(Arc::clone(&value)),
            born,
            name: self.name_of(key),
            until: self.until(self.settings.ttl),
            tags: Vec::new(),
        };
        self.flights.revoke(key, || self.near.insert(key.clone(), Arc::new(held)));
        if let Some(wire) = &self.wire {
            run::put(self, wire, key, &value).await;
        }
    }

    fn name_of(&self, key: &K) -> u64 {
        self.wire.as_ref().map_or(0, |wire| xxh3_64(wire.key(key).name()))
    }

    /// Now and `ttl`, shortened at random.
    fn until(&self, ttl: Duration) -> Instant {
        Instant::now() + self.jittered(ttl)
    }

    #[expect(clippy::cast_precision_loss, reason = "a random share")]
    fn jittered(&self, ttl: Duration) -> Duration {
        // SplitMix64 of a counter: spread, not secrecy (Steele, Lea & Flood 2014).
        let mut draw = self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((draw ^ (draw >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        ttl.mul_f64(1.0 - self.settings.jitter * unit)
    }
}
