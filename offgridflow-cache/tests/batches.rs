//! Loads that meet: batches whose keys go different ways, and loaders that read caches.
#![cfg(any(feature = "moka", feature = "quick_cache"))]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use offgridflow_cache::{Cache, Error, Loaded, Loader, LoaderFn, loader_fn};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const PANICS: u64 = 3;
const HANGS: u64 = 4;

/// One key at a time; one of them panics, one never returns.
#[derive(Clone)]
struct Moody;

impl Loader<u64, u64> for Moody {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        assert_ne!(key, PANICS, "a loader's own fault");
        if key == HANGS {
            std::future::pending::<()>().await;
        }
        Ok(Loaded::value(key * 10))
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_or_hangs_leaves_the_others_of_its_batch_alone() {
    let cache = Cache::<u64, u64>::builder("batch").load_timeout(5_000 * MS).build(Moody).unwrap();
    let keys: Vec<u64> = (0..40).collect();
    let batch = tokio::spawn({
        let (cache, keys) = (cache.clone(), keys.clone());
        async move { cache.get_many(&keys).await }
    });
    let began = Instant::now();
    sleep(10 * MS).await;
    assert_eq!(cache.get(&39).await.unwrap().as_deref(), Some(&390));
    assert!(began.elapsed() < 20 * MS, "it does not wait for the key that hangs");
    for (key, answer) in keys.into_iter().zip(batch.await.unwrap()) {
        match key {
            PANICS => assert!(matches!(answer, Err(Error::LoadPanicked)), "{answer:?}"),
            HANGS => assert!(matches!(answer, Err(Error::LoadTimeout(_))), "{answer:?}"),
            _ => assert_eq!(answer.unwrap().as_deref(), Some(&(key * 10))),
        }
    }
    assert_eq!((cache.stats().loads, cache.stats().load_errors), (40, 2));
}

/// One query for all keys, which panics over one of them.
struct OneQuery;

impl Loader<u64, u64> for OneQuery {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        Moody.load(key).await
    }

    async fn load_many(&self, keys: Vec<u64>) -> Vec<Result<Loaded<u64>, Infallible>> {
        assert!(!keys.contains(&PANICS), "a loader's own fault");
        keys.into_iter().map(|key| Ok(Loaded::value(key * 10))).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_query_that_panics_are_loaded_one_by_one() {
    let cache = Cache::<u64, u64>::builder("query").build(OneQuery).unwrap();
    let answers = cache.get_many(&[1, 2, PANICS, 5]).await;
    assert!(matches!(answers[2], Err(Error::LoadPanicked)), "{answers:?}");
    for (at, value) in [(0, 10), (1, 20), (3, 50)] {
        assert_eq!(answers[at].as_ref().unwrap().as_deref(), Some(&value));
    }
}

/// A loader around another one of the same place in memory, which asks it for other keys in another order.
struct Around(Moody);

impl Loader<u64, u64> for Around {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        self.0.load(key).await
    }

    fn load_many(&self, keys: Vec<u64>) -> impl Future<Output = Vec<Result<Loaded<u64>, Infallible>>> + Send {
        let turned = self.0.load_many(keys.into_iter().rev().collect());
        async move { turned.await.into_iter().rev().collect() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_within_another_does_not_answer_for_it() {
    let cache = Cache::<u64, u64>::builder("around").build(Around(Moody)).unwrap();
    let answers = cache.get_many(&[1, PANICS, 5]).await;
    assert_eq!(answers[0].as_ref().unwrap().as_deref(), Some(&10));
    assert!(matches!(answers[1], Err(Error::LoadPanicked)), "{answers:?}");
    assert_eq!(answers[2].as_ref().unwrap().as_deref(), Some(&50));
}

/// A loader that passes parts of a batch on to others, and has something to add.
struct Split(Moody, Moody);

impl Loader<u64, u64> for Split {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        self.0.load(key).await
    }

    async fn reload_many(&self, keys: Vec<(u64, Option<Arc<u64>>)>) -> Vec<Result<Loaded<u64>, Infallible>> {
        let (even, odd): (Vec<_>, Vec<_>) = keys.iter().cloned().partition(|(key, _)| key.is_multiple_of(2));
        let mut even = self.0.reload_many(even).await.into_iter();
        let mut odd = self.1.reload_many(odd).await.into_iter();
        let one = |key: &u64| if key.is_multiple_of(2) { even.next() } else { odd.next() };
        let answers: Vec<_> = keys.iter().map(|(key, _)| key).map(one).collect();
        answers.into_iter().map(|answer| answer.unwrap().map(|loaded| loaded.tag("split"))).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_batch_that_others_reload_are_not_taken_for_the_whole() {
    let cache = Cache::<u64, u64>::builder("split").build(Split(Moody, Moody)).unwrap();
    for round in 0..2 {
        let keys = [1, 2, 5, 6];
        for (key, answer) in keys.into_iter().zip(cache.get_many(&keys).await) {
            assert_eq!(answer.unwrap().as_deref(), Some(&(key * 10)), "key {key}, round {round}");
        }
        assert_eq!(cache.stats().loads, 4 * (round + 1), "what was loaded has the tag that was added");
        let _ = cache.invalidate_tag("split").await;
    }
}

/// One query for all keys, which takes its time, and how many there were.
#[derive(Clone, Default)]
struct SlowQuery(Arc<AtomicUsize>);

impl Loader<u64, u64> for SlowQuery {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        unreachable!("a query is for many")
    }

    async fn load_many(&self, keys: Vec<u64>) -> Vec<Result<Loaded<u64>, Infallible>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        sleep(100 * MS).await;
        keys.into_iter().map(|key| Ok(Loaded::value(key).tag("tag"))).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_came_after_its_tag_was_removed_takes_one_more_query_and_not_one_a_key() {
    let loader = SlowQuery::default();
    let cache = Cache::<u64, u64>::builder("again").build(loader.clone()).unwrap();
    let keys: Vec<u64> = (0..100).collect();
    let early = tokio::spawn({
        let (cache, keys) = (cache.clone(), keys.clone());
        async move { cache.get_many(&keys).await }
    });
    sleep(50 * MS).await;
    let _ = cache.invalidate_tag("tag").await;
    let began = Instant::now();
    let late = cache.get_many(&keys).await;
    assert_eq!(loader.0.load(Ordering::SeqCst), 2);
    assert!(began.elapsed() < 200 * MS, "{:?}", began.elapsed());
    for (key, answer) in keys.iter().zip(late) {
        assert_eq!(answer.unwrap().as_deref(), Some(key));
    }
    assert_eq!(early.await.unwrap().len(), 100);
}

/// A loader that reads the next key of a cache, up to the last.
#[derive(Clone)]
struct Chain {
    next: Arc<OnceLock<Cache<u64, u64, Self>>>,
    last: u64,
}

impl Chain {
    fn to(last: u64) -> Self {
        Self { next: Arc::default(), last }
    }
}

impl Loader<u64, u64> for Chain {
    type Error = String;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, String> {
        sleep(10 * MS).await;
        if key == self.last {
            return Ok(Loaded::value(0));
        }
        let next = self.next.get().expect("set before the first read");
        let value = Box::pin(next.get(&(key + 1))).await.map_err(|error| format!("{error:?}"))?;
        Ok(Loaded::maybe(value.map(|value| *value + 1)))
    }
}

fn chain(loader: &Chain) -> Cache<u64, u64, Chain> {
    Cache::builder("chain").max_loads(1).load_timeout(5_000 * MS).build(loader.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn loads_that_read_the_same_cache_do_not_wait_for_their_own_turn() {
    let loader = Chain::to(5);
    let cache = chain(&loader);
    loader.next.set(cache.clone()).unwrap();
    let began = Instant::now();
    assert_eq!(cache.get(&0).await.unwrap().as_deref(), Some(&5));
    assert!(began.elapsed() < 100 * MS, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_waits_for_its_turn_is_let_through_when_the_one_before_it_needs_it() {
    let loader = Chain::to(1);
    let cache = chain(&loader);
    loader.next.set(cache.clone()).unwrap();
    let began = Instant::now();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&0).await }
    });
    sleep(5 * MS).await; // the first has its turn, and will read the second
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
    assert_eq!(first.await.unwrap().unwrap().as_deref(), Some(&1));
    assert!(began.elapsed() < 100 * MS, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_caches_that_read_each_other_do_not_wait_for_each_others_turns() {
    let (one, other) = (Chain::to(4), Chain::to(4));
    let (first, second) = (chain(&one), chain(&other));
    one.next.set(second.clone()).unwrap();
    other.next.set(first.clone()).unwrap();
    let began = Instant::now();
    let (a, b) = tokio::join!(first.get(&0), second.get(&0));
    assert_eq!((a.unwrap().as_deref(), b.unwrap().as_deref()), (Some(&4), Some(&4)));
    assert!(began.elapsed() < 500 * MS, "{:?}", began.elapsed());
}

/// The control: loads that nobody's load waits for keep to the limit.
#[tokio::test(start_paused = true)]
async fn loads_beside_each_other_take_turns() {
    let loader = Chain::to(7);
    let cache = chain(&loader);
    let began = Instant::now();
    let _ = tokio::join!(cache.get(&7), cache.get_many(&[7, 7]));
    assert!(began.elapsed() < 15 * MS, "one load");
    let slow: Cache<u64, u64, LoaderFn<_>> = Cache::builder("turns")
        .max_loads(1)
        .build(loader_fn(|key: u64| async move {
            sleep(10 * MS).await;
            Ok::<_, Infallible>(Loaded::value(key))
        }))
        .unwrap();
    let began = Instant::now();
    let _ = tokio::join!(slow.get(&1), slow.get(&2), slow.get(&3));
    assert!(began.elapsed() >= 30 * MS, "{:?}", began.elapsed());
}
