//! What is promised within one process.
#![cfg(any(feature = "moka", feature = "quick_cache"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use offgridflow_cache::{Cache, Delivery, Error, Loaded, Loader, loader_fn};
use tokio::sync::Semaphore;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

/// A source that counts its loads, waits for a permit before each, and gives the value it held when the load began.
#[derive(Clone)]
struct Source {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

impl Source {
    fn open() -> Self {
        Self {
            value: Arc::default(),
            loads: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn closed() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::open() }
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        Ok(Loaded::value(value).tag("all"))
    }
}

fn cache(source: &Source) -> Cache<u64, u64, Source> {
    Cache::builder("test").build(source.clone()).unwrap()
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_readers_of_one_cold_key_cost_one_load_though_a_thousand_go_away() {
    let source = Source::closed();
    let cache = cache(&source);
    let readers: Vec<_> = (0..10_000)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get(&1).await.unwrap() })
        })
        .collect();
    until(|| cache.stats().asked() == 10_000).await;
    readers.iter().step_by(10).for_each(tokio::task::JoinHandle::abort);
    source.gate.add_permits(1);
    for (index, reader) in readers.into_iter().enumerate() {
        if index % 10 != 0 {
            assert_eq!(reader.await.unwrap().as_deref(), Some(&0));
        }
    }
    assert_eq!((source.loads(), cache.stats().loads), (1, 1));
}

#[tokio::test]
async fn a_load_outlives_its_only_caller() {
    let source = Source::closed();
    let cache = cache(&source);
    let caller = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await }
    });
    until(|| source.loads() == 1).await;
    caller.abort();
    source.gate.add_permits(1);
    until(|| cache.peek(&1).is_some()).await;
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_keeps_nothing() {
    let source = Source::closed();
    let cache = cache(&source);
    let early = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await.unwrap() }
    });
    until(|| source.loads() == 1).await;
    source.value.store(1, Ordering::SeqCst);
    assert_eq!(cache.invalidate(&1).await, Delivery::Delivered);
    let late = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await.unwrap() }
    });
    until(|| source.loads() == 2).await;
    source.gate.add_permits(2);
    assert_eq!(
        late.await.unwrap().as_deref(),
        Some(&1),
        "a read that began after the invalidation joins no older load"
    );
    assert_eq!(early.await.unwrap().as_deref(), Some(&0), "one that began before may see the old value");
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&1));
    assert_eq!((source.loads(), cache.stats().fenced), (2, 1));
}

/// The control: moka's own `get_with` keeps what a load brings that began before the invalidation.
#[test]
fn moka_alone_keeps_the_value_of_a_load_that_began_before() {
    let map = moka::sync::Cache::new(10);
    let ((began, has_begun), (go, may_go)) = (channel(), channel::<()>());
    let early = std::thread::spawn({
        let map = map.clone();
        move || {
            map.get_with(1, || {
                began.send(()).unwrap();
                may_go.recv().unwrap();
                0
            })
        }
    });
    has_begun.recv().unwrap();
    map.invalidate(&1);
    go.send(()).unwrap();
    early.join().unwrap();
    assert_eq!(map.get(&1), Some(0), "stale for as long as it lives");
}

#[tokio::test]
async fn tags_and_clear_reach_loads_under_way() {
    for clear in [false, true] {
        let source = Source::closed();
        let cache = cache(&source);
        let early = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(&1).await.unwrap() }
        });
        until(|| source.loads() == 1).await;
        source.value.store(1, Ordering::SeqCst);
        let delivery = if clear { cache.clear().await } else { cache.invalidate_tag("all").await };
        assert_eq!(delivery, Delivery::Delivered);
        source.gate.add_permits(2);
        assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&1));
        early.await.unwrap();
        assert_eq!(
            cache.get(&1).await.unwrap().as_deref(),
            Some(&1),
            "what the early load brought is not served"
        );
        assert_eq!(cache.invalidate_tag("other").await, Delivery::Delivered);
        assert!(cache.peek(&1).is_some(), "another tag is another matter");
    }
}

#[tokio::test]
async fn a_panic_and_an_error_answer_every_waiter_alike_and_are_not_kept() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let cache = Cache::<u64, u64>::builder("test")
        .retry_after(Duration::ZERO)
        .build(loader_fn(move |key: u64| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(MS).await;
                assert_ne!(key, 13, "a loader's own fault");
                Err::<Loaded<u64>, _>(std::io::Error::other("down"))
            }
        }))
        .unwrap();
    let (one, other) = tokio::join!(cache.get(&13), cache.get(&13));
    assert!(matches!((one, other), (Err(Error::LoadPanicked), Err(Error::LoadPanicked))));
    let (one, other) = tokio::join!(cache.get(&1), cache.get(&1));
    assert!(matches!((one, other), (Err(Error::Load(_)), Err(Error::Load(_)))));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(cache.get(&1).await.is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 3, "an error is asked again");
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_never_returns_is_given_up() {
    let builder = Cache::<u64, u64>::builder("test").load_timeout(50 * MS).max_loads(1);
    let cache =
        builder.build(loader_fn(|_: u64| std::future::pending::<Result<Loaded<u64>, Infallible>>())).unwrap();
    assert!(matches!(cache.get(&1).await, Err(Error::LoadTimeout(limit)) if limit == 50 * MS));
    assert!(matches!(cache.get(&2).await, Err(Error::LoadTimeout(_))), "its permit came back");
}

#[tokio::test(start_paused = true)]
async fn values_and_absences_end_with_their_ttl() {
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    let cache = Cache::<u64, u64>::builder("test")
        .ttl(1_000 * MS)
        .negative_ttl(100 * MS)
        .build(loader_fn(move |key: u64| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Infallible>(if key == 0 { Loaded::absent() } else { Loaded::value(key) }) }
        }))
        .unwrap();
    for _ in 0..3 {
        assert_eq!((cache.get(&0).await.unwrap(), cache.get(&7).await.unwrap().as_deref()), (None, Some(&7)));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    sleep(101 * MS).await;
    let _ = (cache.get(&0).await, cache.get(&7).await);
    assert_eq!(loads.load(Ordering::SeqCst), 3, "the absence ended, the value did not");
    sleep(800 * MS).await; // 901 ms: jitter shortens by at most a tenth
    sleep(100 * MS).await;
    let _ = cache.get(&7).await;
    assert_eq!(loads.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_batch_is_one_load_of_what_is_missing() {
    struct Batches(Arc<AtomicU64>);
    impl Loader<u64, u64> for Batches {
        type Error = Infallible;
        async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
            Ok(Loaded::value(key))
        }
        async fn load_many(&self, keys: Vec<u64>) -> Vec<Result<Loaded<u64>, Infallible>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            keys.into_iter().map(|key| Ok(Loaded::maybe((key % 2 == 0).then_some(key)))).collect()
        }
    }
    let batches = Arc::new(AtomicU64::new(0));
    let cache = Cache::<u64, u64>::builder("test").build(Batches(Arc::clone(&batches))).unwrap();
    cache.get(&2).await.unwrap();
    let keys: Vec<u64> = (0..100).chain([2, 2]).collect();
    let answers = cache.get_many(&keys).await;
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(answer.unwrap().as_deref(), (key % 2 == 0).then_some(key));
    }
    assert_eq!(batches.load(Ordering::SeqCst), 2, "one for the first get, one for the batch");
    assert_eq!(cache.stats().near_hits, 3);
}

#[tokio::test]
async fn what_is_put_is_read() {
    let source = Source::open();
    let cache = cache(&source);
    assert_eq!(cache.put(&1, 99).await, Delivery::Delivered);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&99));
    assert_eq!(source.loads(), 0);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let build = |builder: offgridflow_cache::CacheBuilder<u64, u64>| {
        builder.build(Source::open()).map(drop).unwrap_err().setting
    };
    assert_eq!(build(Cache::builder("")), "namespace");
    assert_eq!(build(Cache::builder("a{b}")), "namespace");
    assert_eq!(build(Cache::builder("x").ttl(Duration::ZERO)), "ttl");
    assert_eq!(build(Cache::builder("x").jitter(1.0)), "jitter");
    assert_eq!(build(Cache::builder("x").max_loads(0)), "max_loads");
    assert_eq!(build(Cache::builder("x").max_loads(usize::MAX)), "max_loads");
    assert_eq!(build(Cache::builder("x").max_staleness(MS)), "max_staleness");
}
