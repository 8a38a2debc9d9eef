//! The near tier: in the process, typed, synchronous.

#[cfg(feature = "moka")]
mod moka;
#[cfg(feature = "quick_cache")]
mod quick;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "moka")]
pub use self::moka::Moka;
#[cfg(feature = "quick_cache")]
pub use self::quick::QuickCache;
pub(crate) use self::watch::{Watch, nanos};
use crate::tags::{Mark, Tags};

/// A value as the near tier keeps it, with all that a hit has to look at.
#[derive(Debug)]
pub struct Held<V> {
    pub(crate) value: Option<Arc<V>>, // `None`: known to be absent
    pub(crate) born: u64,             // the cache's own clock of invalidations, when the load began
    pub(crate) checked: AtomicU64, // by the same clock: up to then nothing that concerns it was invalidated
    pub(crate) calm: u64,          // by the cache's watch: until then nothing about its age needs a thought
    pub(crate) fresh: u64,         // until then it is what the source said
    pub(crate) doubted: u64,       // Δ/2 after it was asked for: until then it needs no news of invalidations
    pub(crate) cost: u64,          // nanoseconds that it took to load
    pub(crate) name: Mark,         // of the wire name; 0 without a shared tier
    pub(crate) tags: Option<Arc<Tags>>,
}

impl<V> Held<V> {
    /// The value; `None` when the key is known to be absent.
    #[must_use]
    pub fn value(&self) -> Option<&Arc<V>> {
        self.value.as_ref()
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        self.tags.as_ref().map_or(&[], |tags| tags.marks())
    }
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        let checked = AtomicU64::new(self.checked.load(Ordering::Relaxed));
        Self { value: self.value.clone(), tags: self.tags.clone(), checked, ..*self }
    }
}

/// What a near tier may keep at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Bound {
    /// So many entries.
    Entries(u64),
    /// A weight, as the tier's weigher counts it.
    Weight {
        /// That of what is kept, roughly.
        kept: u64,
        /// That of what may be kept.
        most: u64,
    },
}

/// A bounded map in the process. The cache owns freshness, tags and fences; the map only keeps and evicts.
///
/// It is called from many threads; what `insert` returned from, `get` sees until it is removed or evicted.
pub trait MemoryTier<K, V>: Send + Sync + 'static {
    /// Calls `look` with what is kept under `key`, once; not at all when nothing is. On the path of every hit: must not block or
    /// allocate. `look` is short and does not call the tier, so it may be called under a lock: nothing needs to be copied out.
    fn get(&self, key: &K, look: &mut dyn FnMut(&Held<V>));

    /// As [`get`](Self::get), by the cache itself: no sign that the key is popular. Asked on each miss, after `get`. Default: `get`.
    fn peek(&self, key: &K, look: &mut dyn FnMut(&Held<V>)) {
        self.get(key, look);
    }

    /// Keeps `held` in place of what was there; may evict anything, and best drops it when no lock is held: a value may read the cache when
    /// it goes.
    fn insert(&self, key: K, held: Arc<Held<V>>);

    /// Forgets `key`, before it returns.
    fn remove(&self, key: &K);

    /// Entries kept, roughly.
    fn len(&self) -> u64;

    /// What may be kept. Default: nobody knows.
    fn bound(&self) -> Option<Bound> {
        None
    }

    /// Entries that were thrown out, or not taken, because there was no room. Default: nobody knows.
    fn evicted(&self) -> Option<u64> {
        None
    }

    /// Whether nothing is kept, roughly.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The near tier of a cache that names none.
#[cfg(feature = "quick_cache")]
#[expect(clippy::unnecessary_wraps, reason = "without a feature there is none")]
pub(crate) fn default_tier<K, V>() -> Option<Box<dyn MemoryTier<K, V>>>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Some(Box::new(QuickCache::entries(DEFAULT_ENTRIES)))
}

/// The near tier of a cache that names none.
#[cfg(all(feature = "moka", not(feature = "quick_cache")))]
#[expect(clippy::unnecessary_wraps, reason = "without a feature there is none")]
pub(crate) fn default_tier<K, V>() -> Option<Box<dyn MemoryTier<K, V>>>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    Some(Box::new(Moka::entries(DEFAULT_ENTRIES)))
}

/// The near tier of a cache that names none.
#[cfg(not(any(feature = "moka", feature = "quick_cache")))]
pub(crate) fn default_tier<K, V>() -> Option<Box<dyn MemoryTier<K, V>>> {
    None
}

#[cfg(any(feature = "moka", feature = "quick_cache"))]
const DEFAULT_ENTRIES: u64 = 10_000;
