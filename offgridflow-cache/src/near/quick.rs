use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};

use super::{Bound, Held, MemoryTier};

/// Smaller shards would evict what others have room for.
const FEWEST_IN_A_SHARD: u64 = 32;

/// The near tier over [`quick_cache`](https://docs.rs/quick_cache): Clock-PRO with ghosts, like S3-FIFO; bounded by count or by
/// weight. It is cut into shards, 4 a core but none smaller than 32 entries, each of which keeps its own part of the capacity: what
/// weighs more than a shard may is not kept at all.
pub struct QuickCache<K, V> {
    entries: Cache<Kept<K, V>, (), ByWeight, DefaultHashBuilder, Leaving>,
    evicted: AtomicU64,
    weigh: Option<Weigh<K, V>>,
}

type Weigh<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;

/// An entry. All of it is quick_cache's key, none its value: keys are compared in place, so that is where a hit can look at the
/// entry without copying it out.
struct Kept<K, V> {
    key: K,
    weight: u32,
    held: Held<V>,
}

impl<K: Eq, V> PartialEq for Kept<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq, V> Eq for Kept<K, V> {}

impl<K: Hash, V> Hash for Kept<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

type Look<'a, V> = &'a mut dyn FnMut(&Held<V>);

/// A key that is asked for, and who is to look at its entry.
struct Asked<'a, K, V> {
    key: &'a K,
    look: Cell<Option<Look<'a, V>>>,
}

impl<K: Hash, V> Hash for Asked<'_, K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl<K: Eq, V> Equivalent<Kept<K, V>> for Asked<'_, K, V> {
    fn equivalent(&self, kept: &Kept<K, V>) -> bool {
        let same = *self.key == kept.key;
        if same && let Some(look) = self.look.take() {
            look(&kept.held);
        }
        same
    }
}

#[derive(Clone)]
struct ByWeight;

impl<K, V> Weighter<Kept<K, V>, ()> for ByWeight {
    fn weight(&self, kept: &Kept<K, V>, (): &()) -> u64 {
        u64::from(kept.weight)
    }
}

/// Keeps what leaves in a call until its locks are open: a value's own `drop` may read the cache.
#[derive(Clone)]
struct Leaving;

impl<K, V> Lifecycle<Kept<K, V>, ()> for Leaving {
    type RequestState = Vec<Kept<K, V>>;

    fn on_evict(&self, left: &mut Self::RequestState, kept: Kept<K, V>, (): ()) {
        left.push(kept);
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> QuickCache<K, V> {
    /// At most `capacity` entries.
    #[must_use]
    pub fn entries(capacity: u64) -> Self {
        Self::new(capacity, capacity, None)
    }

    /// Entries that weigh at most `capacity` together, some `expected` of them; `weigh` is asked once an insert (an absence weighs
    /// 1, and so does what weighs nothing). `expected` sizes the memory of what was evicted; a wrong guess costs hits, not bounds.
    #[must_use]
    pub fn weighted(
        capacity: u64,
        expected: u64,
        weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
    ) -> Self {
        Self::new(capacity, expected, Some(Box::new(weigh)))
    }

    fn new(capacity: u64, expected: u64, weigh: Option<Weigh<K, V>>) -> Self {
        let shards = shards(capacity.min(expected));
        let capacity = capacity - capacity % shards; // quick_cache would round a shard's part up
        let size = |entries| usize::try_from(entries).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        options.shards(size(shards)).weight_capacity(capacity).estimated_items_capacity(size(expected));
        let hasher = DefaultHashBuilder::default();
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, ByWeight, hasher, Leaving),
            Err(_) => Cache::with(size(expected), capacity, ByWeight, hasher, Leaving),
        };
        Self { entries, evicted: AtomicU64::new(0), weigh }
    }
}

/// Four a core, a power of two, and fewer where they would keep less than 32 entries each.
fn shards(entries: u64) -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let most = (entries / FEWEST_IN_A_SHARD).max(1);
    (4 * cores).next_power_of_two().min(1 << most.ilog2())
}

impl<K, V> fmt::Debug for QuickCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickCache").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> MemoryTier<K, V> for QuickCache<K, V> {
    fn get(&self, key: &K, look: &mut dyn FnMut(&Held<V>)) {
        self.entries.get(&Asked { key, look: Cell::new(Some(look)) });
    }

    fn peek(&self, key: &K, look: &mut dyn FnMut(&Held<V>)) {
        self.entries.peek(&Asked { key, look: Cell::new(Some(look)) });
    }

    fn insert(&self, key: K, held: Arc<Held<V>>) {
        let weigh = |value: &Arc<V>| self.weigh.as_ref().map_or(1, |weigh| weigh(&key, value).max(1));
        let weight = held.value().map_or(1, weigh);
        let (kept, mut left) = (Kept { key, weight, held: Arc::unwrap_or_clone(held) }, Vec::new());
        let replaced = match self.entries.replace_with_lifecycle(kept, (), false, &mut left) {
            Ok(()) => 1, // it has left as well, and not for want of room
            Err((kept, ())) => {
                self.entries.insert_with_lifecycle(kept, (), &mut left);
                0
            }
        };
        self.evicted.fetch_add((left.len() as u64).saturating_sub(replaced), Ordering::Relaxed);
    }

    fn remove(&self, key: &K) {
        self.entries.remove(&Asked { key, look: Cell::new(None) });
    }

    fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    fn bound(&self) -> Option<Bound> {
        let most = self.entries.capacity();
        Some(match self.weigh {
            Some(_) => Bound::Weight { kept: self.entries.weight(), most },
            None => Bound::Entries(most),
        })
    }

    fn evicted(&self) -> Option<u64> {
        Some(self.evicted.load(Ordering::Relaxed))
    }
}
