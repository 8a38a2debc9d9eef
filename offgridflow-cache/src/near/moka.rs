use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use moka::sync::{Cache, CacheBuilder};

use super::{Bound, Held, MemoryTier};

/// The near tier over [`moka`](https://docs.rs/moka): W-TinyLFU, bounded by count or by weight. What it evicts is not counted: with a listener its hits would allocate.
///
/// A value that reads its cache when it is dropped wants another tier: moka drops some while its map is locked, and would wait for itself.
pub struct Moka<K, V> {
    entries: Cache<K, Arc<Held<V>>>,
    weighs: bool,
}

type Builder<K, V> = CacheBuilder<K, Arc<Held<V>>, Cache<K, Arc<Held<V>>>>;

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Moka<K, V> {
    /// At most `capacity` entries.
    #[must_use]
    pub fn entries(capacity: u64) -> Self {
        Self::new(Cache::builder().max_capacity(capacity), false)
    }

    /// Entries that weigh at most `capacity` together; `weigh` is asked once an insert (an absence weighs 1, and so does what
    /// weighs nothing).
    #[must_use]
    pub fn weighted(capacity: u64, weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        let weigher =
            move |key: &K, held: &Arc<Held<V>>| held.value().map_or(1, |value| weigh(key, value).max(1));
        Self::new(Cache::builder().max_capacity(capacity).weigher(weigher), true)
    }

    fn new(builder: Builder<K, V>, weighs: bool) -> Self {
        Self { entries: builder.build(), weighs }
    }
}

impl<K, V> fmt::Debug for Moka<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moka").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> MemoryTier<K, V> for Moka<K, V> {
    fn get(&self, key: &K, look: &mut dyn FnMut(&Held<V>)) {
        if let Some(held) = self.entries.get(key) {
            look(&held);
        }
    }

    fn peek(&self, key: &K, look: &mut dyn FnMut(&Held<V>)) {
        // Asking for what is absent would count: a key would be twice as popular as it is, by its misses.
        if self.entries.contains_key(key) {
            self.get(key, look);
        }
    }

    fn insert(&self, key: K, held: Arc<Held<V>>) {
        self.entries.insert(key, held);
    }

    fn remove(&self, key: &K) {
        self.entries.invalidate(key);
    }

    fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    fn bound(&self) -> Option<Bound> {
        let most = self.entries.policy().max_capacity()?;
        Some(match self.weighs {
            true => Bound::Weight { kept: self.entries.weighted_size(), most },
            false => Bound::Entries(most),
        })
    }
}
