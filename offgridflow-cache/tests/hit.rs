//! What a hit costs, and how the near tiers are bounded.
#![cfg(all(feature = "json", feature = "moka", feature = "quick_cache"))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use offgridflow_cache::{
    Cache, Codec, CodecError, Held, InProcess, Json, Loaded, Loader, MemoryTier, Moka, QuickCache, loader_fn,
};

/// Counts this thread's allocations.
struct Counting;
thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A near tier of a user's own: a map without bounds.
#[derive(Default)]
struct Plain(RwLock<HashMap<u64, Arc<Held<u64>>>>);

impl MemoryTier<u64, u64> for Plain {
    fn get(&self, key: &u64, look: &mut dyn FnMut(&Held<u64>)) {
        if let Some(held) = self.0.read().unwrap().get(key) {
            look(held);
        }
    }

    fn insert(&self, key: u64, held: Arc<Held<u64>>) {
        self.0.write().unwrap().insert(key, held);
    }

    fn remove(&self, key: &u64) {
        self.0.write().unwrap().remove(key);
    }

    fn len(&self) -> u64 {
        self.0.read().unwrap().len() as u64
    }
}

/// JSON that counts how often it decodes.
#[derive(Debug, Default, Clone)]
struct CountedJson(Arc<AtomicU64>);

impl Codec<u64> for CountedJson {
    fn format(&self) -> u64 {
        Codec::<u64>::format(&Json)
    }

    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        Json.encode(value)
    }

    fn decode(&self, bytes: Bytes) -> Result<u64, CodecError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Json.decode(bytes)
    }
}

fn source() -> impl Loader<u64, u64, Error = Infallible> {
    loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key).tag("all").tag("some")) })
}

/// What a future gives that does not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit does not wait"),
    }
}

/// Of 50 000 looks at a cache over `near`, at most `costly` allocate, and none decodes.
async fn hits_cost_nothing(near: impl MemoryTier<u64, u64>, costly: usize) {
    const KEYS: u64 = 100;
    let (store, json) = (InProcess::new(), CountedJson::default());
    let writer = Cache::builder("hit").shared(store.clone(), Json).build(source()).unwrap();
    let cache = Cache::builder("hit").near(near).shared(store, json.clone()).build(source()).unwrap();
    let keys: Vec<u64> = (0..KEYS).collect();
    writer.get_many(&keys).await;
    tokio::time::sleep(Duration::from_millis(1)).await; // the first look at the shared tier
    cache.get_many(&keys).await;
    assert_eq!(json.0.load(Ordering::SeqCst), KEYS, "all of them came from the shared tier");
    for changed in [false, true] {
        if changed {
            let _ = cache.invalidate_tag("something else").await; // all entries are now older than the newest change
        }
        let look = |key: &&u64| {
            let before = ALLOCATIONS.with(Cell::get);
            assert_eq!(cache.peek(key).as_deref(), Some(*key));
            assert_eq!(now(cache.get(key)).unwrap().as_deref(), Some(*key));
            ALLOCATIONS.with(Cell::get) > before
        };
        let allocating = keys.iter().cycle().take(50_000).filter(look).count();
        assert!(allocating <= costly, "{allocating} of 50 000 allocate, changed: {changed}");
    }
    assert_eq!(json.0.load(Ordering::SeqCst), KEYS);
    let stats = cache.stats();
    assert_eq!((stats.near_hits, stats.age_at_serve.count()), (200_000, 200_000_u64.div_ceil(1_024)));
}

#[tokio::test]
async fn a_hit_neither_allocates_nor_decodes() {
    hits_cost_nothing(QuickCache::entries(1_000), 0).await;
    hits_cost_nothing(Plain::default(), 0).await;
    // Moka keeps house on its readers' threads, once in 64 reads at the oftenest.
    hits_cost_nothing(Moka::entries(1_000), 50_000 * 2 / 64).await;
}

/// The control: the counter sees what a hit would cost that copied its value out.
#[test]
fn a_copy_is_an_allocation() {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(Box::new(1_u64)));
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 1);
}

/// Reads `keys` through a cache over `near`; the cache, and what it then keeps of all that was ever read.
async fn read_through(near: impl MemoryTier<u64, u64>, keys: impl Iterator<Item = u64>) -> Vec<u64> {
    let cache = Cache::builder("bounds").near(near).build(source()).unwrap();
    let keys: Vec<u64> = keys.collect();
    for key in &keys {
        cache.get(key).await.unwrap();
    }
    keys.into_iter().filter(|key| cache.peek(key).is_some()).collect()
}

#[tokio::test]
async fn both_tiers_are_bounded_by_count() {
    let quick = read_through(QuickCache::entries(500), 0..5_000).await;
    let moka = read_through(Moka::entries(500), 0..5_000).await;
    for kept in [quick, moka] {
        assert!((100..=1_200).contains(&kept.len()), "{} of 500", kept.len()); // moka evicts a batch of writes late
    }
}

#[tokio::test]
async fn both_tiers_are_bounded_by_weight() {
    let weigh = |_: &u64, value: &u64| u32::try_from(*value).unwrap_or(u32::MAX);
    let quick = QuickCache::weighted(100_000, 500, weigh);
    let moka = Moka::weighted(100_000, weigh);
    let keys = || (0..5_000).map(|key| 100 + key % 1_000);
    for kept in [read_through(quick, keys()).await, read_through(moka, keys()).await] {
        let mut kept = kept;
        kept.sort_unstable();
        kept.dedup();
        let weight: u64 = kept.iter().sum();
        assert!((10_000..=200_000).contains(&weight), "{weight} of 100 000");
    }
}

#[tokio::test]
async fn what_weighs_more_than_all_is_not_kept() {
    let weigh = |_: &u64, _: &u64| 1_001;
    assert!(read_through(QuickCache::weighted(1_000, 10, weigh), 0..50).await.is_empty());
}

#[tokio::test]
async fn what_weighs_nothing_is_evicted_as_well() {
    let weigh = |_: &u64, _: &u64| 0;
    let quick = read_through(QuickCache::weighted(100, 100, weigh), 0..5_000).await;
    let moka = read_through(Moka::weighted(100, weigh), 0..5_000).await;
    assert!((1..=100).contains(&quick.len()), "{} of 100", quick.len());
    assert!((1..=1_000).contains(&moka.len()), "{} of 100", moka.len()); // evicts a batch of writes late
}

#[tokio::test]
async fn what_is_loaded_again_in_its_own_place_was_not_thrown_out() {
    let cache = Cache::builder("again").near(QuickCache::entries(100)).build(source()).unwrap();
    for _ in 0..10 {
        cache.get(&1).await.unwrap();
        let _ = cache.put(&1, 1).await;
        let _ = cache.clear().await; // near still has it, and replaces it
    }
    assert_eq!((cache.stats().near_entries, cache.stats().evictions), (1, Some(0)));
}

type Reader = Cache<u64, Reads, Readers>;

/// A value that reads its cache when it goes.
struct Reads(Arc<OnceLock<Reader>>);

impl Drop for Reads {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get() {
            (0..100).for_each(|key| assert!(cache.peek(&key).is_none_or(|value| value.0.get().is_some())));
        }
    }
}

struct Readers(Arc<OnceLock<Reader>>);

impl Loader<u64, Reads> for Readers {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<Reads>, Infallible> {
        Ok(Loaded::value(Reads(Arc::clone(&self.0))))
    }
}

/// Many of them go at once, for one that weighs as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_thrown_out_may_read_the_cache() {
    let itself = Arc::default();
    let near = QuickCache::weighted(40, 40, |key: &u64, _: &Reads| if key % 10 == 9 { 20 } else { 1 });
    let cache: Reader = Cache::builder("drops").near(near).build(Readers(Arc::clone(&itself))).unwrap();
    assert!(itself.set(cache.clone()).is_ok());
    let reads = tokio::spawn(async move {
        for key in 0..100 {
            cache.get(&key).await.unwrap();
        }
    });
    tokio::time::timeout(Duration::from_secs(10), reads).await.expect("no lock is held").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hit_near_the_end_of_its_ttl_knows_the_time_exactly() {
    let cache = Cache::builder("ttl").ttl(Duration::from_millis(100)).jitter(0.0).build(source()).unwrap();
    cache.get(&1).await.unwrap();
    tokio::time::advance(Duration::from_millis(99)).await;
    assert!(cache.peek(&1).is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(cache.peek(&1).is_none());
}

#[test]
fn on_the_kernels_clock_a_ttl_ends_in_time_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cache = Cache::builder("ttl").ttl(Duration::from_millis(150)).jitter(0.0).build(source()).unwrap();
    let began = std::time::Instant::now();
    runtime.block_on(cache.get(&1)).unwrap();
    let landed = std::time::Instant::now();
    let mut last_hit = landed;
    loop {
        let asked = std::time::Instant::now();
        if cache.peek(&1).is_none() {
            break;
        }
        last_hit = asked;
    }
    assert!(began.elapsed() >= Duration::from_millis(150), "it stays for its ttl");
    assert!(last_hit - landed <= Duration::from_millis(150), "and no longer");
}
