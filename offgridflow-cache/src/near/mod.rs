//! The near tier: in the process, typed, synchronous.

#[cfg(feature = "moka")]
mod moka;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(feature = "moka")]
pub use self::moka::Moka;

/// A value as the near tier keeps it.
#[derive(Debug)]
pub struct Held<V> {
    pub(crate) value: Option<Arc<V>>, // `None`: known to be absent
    pub(crate) born: u64,             // the cache's own clock of invalidations, when the load began
    pub(crate) name: u64,             // hash of the wire name; 0 without a shared tier
    pub(crate) calm: Instant,         // until then nothing about its age needs a thought
    pub(crate) fresh: Instant,        // until then it is what the source said
    pub(crate) doubted: Instant, // Δ/2 after it was asked for: until then it needs no news of invalidations
    pub(crate) cost: Duration,   // what it took to load
    pub(crate) tags: Vec<Arc<str>>,
}

impl<V> Held<V> {
    /// The value; `None` when the key is known to be absent.
    #[must_use]
    pub fn value(&self) -> Option<&Arc<V>> {
        self.value.as_ref()
    }
}

/// A bounded map in the process. The cache owns freshness, tags and fences; the map only keeps and evicts.
///
/// It is called from many threads; what `insert` returned from, `get` sees until it is removed or evicted.
pub trait MemoryTier<K, V>: Send + Sync + 'static {
    /// What is kept under `key`. On the path of every hit: must not block or allocate.
    fn get(&self, key: &K) -> Option<Arc<Held<V>>>;

    /// Keeps `held` in place of what was there; may evict anything.
    fn insert(&self, key: K, held: Arc<Held<V>>);

    /// Forgets `key`, before it returns.
    fn remove(&self, key: &K);

    /// Entries kept, roughly.
    fn len(&self) -> u64;

    /// Whether nothing is kept, roughly.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
