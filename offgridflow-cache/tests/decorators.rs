//! Breaker and chaos around a shared tier, alone and below a cache.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Breaker, BreakerSettings, CacheBackend, Caps, Chaos, Faults, Fill, Filled,
    InProcess, Key, Lookup, Metered, News, Position, Scope, Terms,
};
use tokio::time::{Instant, advance, timeout};

const TERMS: Terms = Terms::new(Duration::from_secs(1));

fn key(n: u64) -> Key {
    Key::of("test", 1, &n)
}

async fn ask(backend: &impl CacheBackend) -> Result<Vec<Lookup>, BackendError> {
    backend.get_or_lease(&[key(1)], &TERMS).await
}

fn chaos(faults: Faults) -> Arc<Chaos<InProcess>> {
    Arc::new(Chaos::new(InProcess::new(), 7, faults))
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_is_down_is_asked_twice_and_then_only_probed() {
    let down = chaos(Faults { refused: 1.0, ..Faults::default() });
    let breaker = Breaker::new(Arc::clone(&down));
    for _ in 0..1_000 {
        ask(&breaker).await.unwrap_err();
    }
    assert_eq!(down.injected(), 2);
    assert_eq!(breaker.stats().shed, 998);
    assert!(matches!(ask(&breaker).await, Err(BackendError::Open { retry_in, .. }) if !retry_in.is_zero()));

    down.rest();
    advance(Duration::from_millis(500)).await;
    ask(&breaker).await.unwrap();
    assert!(!breaker.is_open());
    assert_eq!(breaker.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hung_tier_is_given_up_by_its_caller_and_counts() {
    let hung = chaos(Faults { hung: 1.0, ..Faults::default() });
    let breaker = Breaker::new(Arc::clone(&hung));
    for limit in [10, 10, 10, 60] {
        timeout(Duration::from_millis(limit), ask(&breaker)).await.unwrap_err();
        assert!(!breaker.is_open(), "callers that leave early say nothing, and one slow call is not two");
    }
    timeout(Duration::from_millis(60), ask(&breaker)).await.unwrap_err();
    assert!(breaker.is_open());
    let before = Instant::now();
    ask(&breaker).await.unwrap_err();
    assert_eq!(before.elapsed(), Duration::ZERO, "refused at once");
}

#[tokio::test(start_paused = true)]
async fn one_probe_passes_while_it_is_open() {
    let slow =
        chaos(Faults { slow: 1.0, slow_by: Duration::from_millis(40), refused: 1.0, ..Faults::default() });
    let settings = BreakerSettings { first_pause: Duration::from_secs(1), ..BreakerSettings::default() };
    let breaker = Arc::new(Breaker::with(Arc::clone(&slow), settings));
    let _ = (ask(&*breaker).await, ask(&*breaker).await);
    advance(Duration::from_secs(1)).await;
    let before = slow.injected();
    let many: Vec<_> = (0..50)
        .map(|_| {
            let breaker = Arc::clone(&breaker);
            tokio::spawn(async move { ask(&*breaker).await })
        })
        .collect();
    for one in many {
        one.await.unwrap().unwrap_err();
    }
    assert_eq!(slow.injected() - before, 2, "one call, slow and refused");
}

#[tokio::test(start_paused = true)]
async fn chaos_is_the_same_for_a_seed_and_what_it_says() {
    let faults = Faults { refused: 0.2, answers_lost: 0.1, ..Faults::default() };
    let fates = async |seed| {
        let chaos = Chaos::new(InProcess::new(), seed, faults);
        let mut fates = Vec::new();
        for _ in 0..2_000 {
            fates.push(ask(&chaos).await.is_err());
        }
        fates
    };
    let first = fates(1).await;
    assert_eq!(first, fates(1).await);
    assert_ne!(first, fates(2).await);
    let failed = first.iter().filter(|failed| **failed).count();
    assert!((480..640).contains(&failed), "28 % of 2 000 are 560: {failed}");
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_a_refused_call_was_not() {
    for (faults, carried_out) in [
        (Faults { answers_lost: 1.0, ..Faults::default() }, true),
        (Faults { refused: 1.0, ..Faults::default() }, false),
    ] {
        let store = InProcess::new();
        Chaos::new(store.clone(), 1, faults).remove("test", Scope::Namespace).await.unwrap_err();
        let news = store.news("test", None).await.unwrap();
        assert_eq!(news.position.sequence == 1, carried_out);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_timed_whatever_becomes_of_them() {
    let faults = Faults { slow: 1.0, slow_by: Duration::from_millis(100), ..Faults::default() };
    let slow = chaos(faults);
    let metered = Metered::new(Arc::clone(&slow));
    for _ in 0..100 {
        ask(&metered).await.unwrap();
    }
    timeout(Duration::ZERO, metered.news("test", None)).await.unwrap_err();
    let calls = metered.calls();
    assert_eq!((calls.get_or_lease.took.count(), calls.get_or_lease.keys), (100, 100));
    let p99 = calls.get_or_lease.took.quantile(0.99).unwrap();
    assert!((Duration::from_millis(80)..Duration::from_millis(126)).contains(&p99), "{p99:?}");
    assert_eq!((calls.news.given_up, calls.news.errors), (1, 0));
    let refused = Metered::new(Chaos::new(InProcess::new(), 1, Faults { refused: 1.0, ..Faults::default() }));
    refused.remove("test", Scope::Keys(vec![key(1), key(2)])).await.unwrap_err();
    assert_eq!((refused.calls().remove.errors, refused.calls().remove.keys), (1, 2));
}

/// Takes calls and never answers.
#[derive(Debug)]
#[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only below a cache"))]
struct Unreachable;

#[async_trait]
impl CacheBackend for Unreachable {
    async fn get_or_lease(&self, _keys: &[Key], _terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        std::future::pending().await
    }

    async fn fill_if(&self, _fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        std::future::pending().await
    }

    async fn remove(&self, _namespace: &str, _scope: Scope) -> Result<(), BackendError> {
        std::future::pending().await
    }

    async fn news(&self, _namespace: &str, _seen: Option<Position>) -> Result<News, BackendError> {
        std::future::pending().await
    }

    fn caps(&self) -> Caps {
        Caps::new("nothing", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }
}

#[cfg(feature = "json")]
mod below_a_cache {
    use std::convert::Infallible;

    use offgridflow_cache::{Cache, Delivery, Json, Loaded, loader_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_a_hung_tier_twice_and_never_again() {
        let breaker = Arc::new(Breaker::new(Unreachable));
        let cache = Cache::builder("towns")
            .shared(Arc::clone(&breaker), Json)
            .shared_timeout(Duration::from_millis(100))
            .build(loader_fn(async |key: u64| Ok::<_, Infallible>(Loaded::value(key))))
            .unwrap();
        for n in 0..3 {
            cache.get(&n).await.unwrap();
        }
        assert!(breaker.is_open());
        let before = Instant::now();
        for n in 10..30 {
            assert_eq!(cache.get(&n).await.unwrap().as_deref(), Some(&n));
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(cache.invalidate(&10).await, Delivery::Deferred, "refused removals are kept");
    }
}

/// A store whose calls take up to 40 ms each, and all of the batch together longer than any one may.
#[tokio::test(start_paused = true)]
async fn a_long_batch_has_a_time_out_for_each_portion() {
    use offgridflow_cache::{Cache, Json, Loaded, loader_fn};
    let slow = Faults { slow: 1.0, slow_by: Duration::from_millis(40), ..Faults::default() };
    let cache = Cache::<u64, u64>::builder("long")
        .shared(chaos(slow), Json)
        .shared_timeout(Duration::from_millis(50))
        .load_timeout(Duration::from_secs(60))
        .build(loader_fn(|key: u64| async move { Ok::<_, std::convert::Infallible>(Loaded::value(key)) }))
        .unwrap();
    let keys: Vec<u64> = (0..20_000).collect();
    assert!(cache.get_many(&keys).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!((cache.stats().shared_errors, cache.stats().outages), (0, 0));
}
