//! What a hit, a miss and a batch cost beside raw maps, and what two threads do to a hit. With the feature `rivals`, foyer and
//! multi-tier-cache take part; all hold the same keys and values.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use offgridflow_cache::{Cache, InProcess, Json, Loaded, Loader, Moka, QuickCache, loader_fn};
use tokio::runtime::{Builder, Runtime};

const KEYS: u64 = 1_000;
const ROOM: u64 = 2 * KEYS;

fn source() -> impl Loader<u64, u64, Error = Infallible> {
    loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Something that holds values: a name, a read of a key that is there, and a read of a key that has to be made first.
struct Subject {
    name: &'static str,
    hit: Box<dyn Fn(&u64) -> bool + Send + Sync>,
    miss: Box<dyn Fn(u64) -> bool + Send + Sync>,
}

fn filled(subject: Subject) -> Subject {
    (0..KEYS).for_each(|key| assert!((subject.miss)(key), "{} keeps nothing", subject.name));
    subject
}

fn subjects() -> Vec<Subject> {
    let raw = [moka_itself(), quick_itself()];
    let ours = [ours("cache over moka", true), ours("cache over quick_cache", false)];
    raw.into_iter().chain(ours).chain(rivals::all()).map(filled).collect()
}

fn moka_itself() -> Subject {
    let map = moka::sync::Cache::new(ROOM);
    let same = map.clone();
    Subject {
        name: "baseline: moka::sync",
        hit: Box::new(move |key| map.get(key).is_some()),
        miss: Box::new(move |key| *same.get_with(key, || Arc::new(key)) == key),
    }
}

fn quick_itself() -> Subject {
    let map = Arc::new(quick_cache::sync::Cache::new(usize::try_from(ROOM).unwrap()));
    let same = Arc::clone(&map);
    Subject {
        name: "baseline: quick_cache",
        hit: Box::new(move |key| map.get(key).is_some()),
        miss: Box::new(move |key| {
            same.get_or_insert_with(&key, || Ok::<_, Infallible>(Arc::new(key))).is_ok()
        }),
    }
}

fn ours(name: &'static str, over_moka: bool) -> Subject {
    let builder = Cache::<u64, u64>::builder("bench").ttl(Duration::from_secs(3_600));
    let builder =
        if over_moka { builder.near(Moka::entries(ROOM)) } else { builder.near(QuickCache::entries(ROOM)) };
    let cache = builder.build(source()).unwrap();
    let (same, runtime) = (cache.clone(), std::sync::Mutex::new(runtime()));
    Subject {
        name,
        hit: Box::new(move |key| cache.peek(key).is_some()),
        miss: Box::new(move |key| runtime.lock().unwrap().block_on(same.get(&key)).unwrap().is_some()),
    }
}

/// A thousand hot keys, read in turn by one thread.
fn hit(c: &mut Criterion) {
    let mut group = c.benchmark_group("hit");
    for subject in subjects() {
        let mut turn = (0..KEYS).cycle();
        group.bench_function(subject.name, |b| b.iter(|| black_box((subject.hit)(&turn.next().unwrap()))));
    }
    let (runtime, cache) = (runtime(), Cache::<u64, u64>::builder("hit").build(source()).unwrap());
    (0..KEYS).for_each(|key| drop(runtime.block_on(cache.get(&key))));
    let mut turn = (0..KEYS).cycle();
    group.bench_function("get, on a runtime", |b| {
        b.iter(|| runtime.block_on(cache.get(&turn.next().unwrap())).unwrap());
    });
}

/// Keys that are not there: each is loaded, and once there is no room, takes the place of another.
fn miss(c: &mut Criterion) {
    let mut group = c.benchmark_group("miss");
    for subject in subjects() {
        let next = AtomicU64::new(KEYS);
        group.bench_function(subject.name, |b| {
            b.iter(|| black_box((subject.miss)(next.fetch_add(1, Ordering::Relaxed))));
        });
    }
}

/// Two threads: over a thousand hot keys, and over one.
fn contention(c: &mut Criterion) {
    for (name, keys) in [("hit by two threads", KEYS), ("one key hit by two threads", 1)] {
        let mut group = c.benchmark_group(name);
        for subject in subjects() {
            group.bench_function(subject.name, |b| b.iter_custom(|reads| by_two(&subject, keys, reads)));
        }
    }
}

/// The longer of two threads' times for so many reads each.
fn by_two(subject: &Subject, keys: u64, reads: u64) -> Duration {
    let together = std::sync::Barrier::new(2);
    let work = |first: u64| {
        together.wait();
        let began = Instant::now();
        for read in 0..reads {
            black_box((subject.hit)(&((first + read) % keys)));
        }
        began.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(keys / 2));
        work(0).max(other.join().unwrap())
    })
}

/// A hundred keys that only the shared tier has. Baseline: one get after the other.
fn batch(c: &mut Criterion) {
    let runtime = runtime();
    let store = InProcess::new();
    let keys: Vec<u64> = (0..100).collect();
    let node = || {
        let builder =
            Cache::<u64, u64>::builder("batch").ttl(Duration::from_secs(3_600)).shared(store.clone(), Json);
        builder.build(source()).unwrap()
    };
    runtime.block_on(async { node().get_many(&keys).await });
    let cold = || runtime.block_on(async { node() }); // a new node has nothing near
    let mut group = c.benchmark_group("batch of 100 from the shared tier");
    group.bench_function("baseline: 100 gets", |b| {
        b.iter_batched(
            cold,
            |cache| {
                runtime.block_on(async {
                    for key in &keys {
                        cache.get(key).await.unwrap();
                    }
                });
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("get_many", |b| {
        b.iter_batched(cold, |cache| runtime.block_on(cache.get_many(&keys)), BatchSize::PerIteration);
    });
    drop(group);
    near_batch(c, &keys);
}

/// A hundred keys that are near. Baselines: one read after the other.
fn near_batch(c: &mut Criterion, keys: &[u64]) {
    let mut group = c.benchmark_group("batch of 100 that are near");
    for subject in subjects() {
        let read = || keys.iter().filter(|key| (subject.hit)(key)).count();
        group.bench_function(subject.name, |b| b.iter(|| black_box(read())));
    }
    let (runtime, cache) = (runtime(), Cache::<u64, u64>::builder("near").build(source()).unwrap());
    group.bench_function("get_many", |b| b.iter(|| runtime.block_on(cache.get_many(keys))));
}

#[cfg(not(feature = "rivals"))]
mod rivals {
    pub(super) fn all() -> [super::Subject; 0] {
        []
    }
}

#[cfg(feature = "rivals")]
mod rivals {
    use super::{Arc, KEYS, ROOM, Subject, runtime};
    use bytes::Bytes;
    use multi_tier_cache::{CacheManager, CacheStrategy, CacheTier, MokaCache, MokaCacheConfig};

    pub(super) fn all() -> [Subject; 2] {
        [foyer(), multi_tier()]
    }

    fn foyer() -> Subject {
        let map: foyer_memory::Cache<u64, Arc<u64>> =
            foyer_memory::CacheBuilder::new(usize::try_from(ROOM).unwrap()).build();
        let same = map.clone();
        Subject {
            name: "foyer",
            hit: Box::new(move |key| map.get(key).is_some()),
            miss: Box::new(move |key| {
                let entry = same.get(&key).unwrap_or_else(|| same.insert(key, Arc::new(key)));
                **entry.value() == key
            }),
        }
    }

    /// One tier, in memory. Its keys are texts and its values bytes, decoded at each hit.
    fn multi_tier() -> Subject {
        let config = MokaCacheConfig { max_capacity: ROOM, ..MokaCacheConfig::default() };
        let tier = CacheTier::new(Arc::new(MokaCache::new(config).unwrap()), 1, false, 1, 1.0);
        let cache = Arc::new(CacheManager::new_with_tiers(vec![tier], None).unwrap());
        let (same, waits) = (Arc::clone(&cache), std::sync::Mutex::new(runtime()));
        let names: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
        Subject {
            name: "multi-tier-cache",
            hit: Box::new(move |key| {
                let name = &names[usize::try_from(*key).unwrap()];
                let read = std::pin::pin!(cache.get_typed::<u64>(name));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                matches!(Future::poll(read, &mut context), std::task::Poll::Ready(Ok(Some(_))))
            }),
            miss: Box::new(move |key| {
                let (name, value) = (key.to_string(), Bytes::from(key.to_string()));
                let strategy = CacheStrategy::LongTerm;
                let load = same.get_or_compute_with(&name, strategy, || async move { Ok(value) });
                waits.lock().unwrap().block_on(load).is_ok()
            }),
        }
    }
}

fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(500))
}

criterion_group! { name = suite; config = brief(); targets = hit, miss, contention, batch }
criterion_main!(suite);
