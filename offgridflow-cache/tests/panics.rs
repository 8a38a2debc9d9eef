//! Stores, weighers and keys that panic: no invalidation is lost, and reads have answers.
#![cfg(all(feature = "json", feature = "moka", feature = "quick_cache"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Cache, CacheBackend, CacheKey, Caps, Delivery, Error, Fill, Filled,
    InProcess, Json, Key, KeyParts, Loaded, Lookup, Moka, News, Position, QuickCache, Scope, Terms,
    loader_fn,
};
use tokio::time::sleep;

/// A store that panics at every call, for as long as it is told to.
#[derive(Debug, Clone, Default)]
struct Panicky {
    store: InProcess,
    panics: Arc<AtomicBool>,
}

impl Panicky {
    fn may_panic(&self) {
        assert!(!self.panics.load(Ordering::SeqCst), "a store's own fault");
    }
}

#[async_trait]
impl CacheBackend for Panicky {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.may_panic();
        self.store.get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.may_panic();
        self.store.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.may_panic();
        self.store.remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.may_panic();
        self.store.news(namespace, seen).await
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_loses_no_invalidation_and_fails_no_read() {
    let (shared, value) = (Panicky::default(), Arc::new(AtomicU64::new(0)));
    let node = |shared: Panicky| {
        let value = Arc::clone(&value);
        Cache::<u64, u64>::builder("panicky")
            .shared(shared, Json)
            .build(loader_fn(move |_: u64| {
                let value = value.load(Ordering::SeqCst);
                async move { Ok::<_, Infallible>(Loaded::value(value)) }
            }))
            .unwrap()
    };
    let cache = node(shared.clone());
    let other = node(Panicky { store: shared.store.clone(), ..Panicky::default() });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        (cache.get(&1).await.unwrap().as_deref(), other.get(&1).await.unwrap().as_deref()),
        (Some(&0), Some(&0))
    );
    shared.panics.store(true, Ordering::SeqCst);
    value.store(1, Ordering::SeqCst);
    assert_eq!(cache.invalidate(&1).await, Delivery::Deferred);
    assert_eq!(cache.stats().deferred, 1);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&1), "the loader answers");
    assert_eq!(cache.get(&2).await.unwrap().as_deref(), Some(&1));
    assert!(cache.stats().outage.unwrap().contains("panicked"), "and it is said");
    assert_eq!(cache.stats().outages, 1);
    sleep(Duration::from_secs(5)).await;
    shared.panics.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    assert_eq!((cache.stats().deferred, cache.stats().outage), (0, None), "delivered");
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&1));
}

#[tokio::test]
async fn a_weigher_that_panics_costs_the_place_near_and_no_answer() {
    let weigh = |_: &u64, value: &u64| {
        assert_ne!(*value, 13, "a weigher's own fault");
        1
    };
    let load = || loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let quick = Cache::builder("w").near(QuickCache::weighted(100, 100, weigh)).build(load()).unwrap();
    let moka = Cache::builder("w").near(Moka::weighted(100, weigh)).build(load()).unwrap();
    for cache in [quick, moka] {
        for key in [13, 14, 13] {
            assert_eq!(cache.get(&key).await.unwrap().as_deref(), Some(&key));
        }
        assert!(cache.peek(&13).is_none() && cache.peek(&14).is_some());
        assert_eq!(cache.stats().near_errors, 2);
        let _ = cache.put(&14, 13).await;
        assert!(cache.peek(&14).is_none(), "nor is what was there before");
    }
}

/// A key whose wire name cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Nameless(u64);

impl CacheKey for Nameless {
    fn parts(&self, parts: &mut KeyParts) {
        assert_ne!(self.0, 13, "a key's own fault");
        self.0.parts(parts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_is_a_typed_error_and_its_removal_is_everybodys() {
    let store = InProcess::new();
    let load = loader_fn(|key: Nameless| async move { Ok::<_, Infallible>(Loaded::value(key.0)) });
    let cache = Cache::builder("keys").shared(store.clone(), Json).build(load).unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(cache.get(&Nameless(1)).await.unwrap().as_deref(), Some(&1));
    assert!(matches!(cache.get(&Nameless(13)).await, Err(Error::Panicked)));
    assert_eq!(cache.invalidate(&Nameless(13)).await, Delivery::Deferred);
    assert!(cache.peek(&Nameless(1)).is_none());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cache.stats().deferred, 0, "the namespace was removed in its place");
    assert_eq!(cache.get(&Nameless(1)).await.unwrap().as_deref(), Some(&1));
    assert_eq!(cache.stats().loads, 2);
}

#[test]
fn a_read_outside_a_runtime_is_a_typed_error_unless_it_is_near() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let load = loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let cache = Cache::<u64, u64>::builder("outside").build(load).unwrap();
    runtime.block_on(cache.get(&1)).unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut now = |key: u64| match std::pin::pin!(cache.get(&key)).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("there is nothing to wait for"),
    };
    assert_eq!(now(1).unwrap().as_deref(), Some(&1));
    assert!(matches!(now(2), Err(Error::NoRuntime)));
}

/// A key that panics when it is cloned for the last time that it allows.
#[derive(Debug)]
struct Fragile(Arc<AtomicU64>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let left = self.0.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(left, 1, "a key's own fault");
        Self(Arc::clone(&self.0))
    }
}

impl PartialEq for Fragile {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Fragile {}

impl std::hash::Hash for Fragile {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[tokio::test(start_paused = true)]
async fn wherever_a_key_panics_that_is_cloned_the_next_read_has_its_answer() {
    let load = loader_fn(|_: Fragile| async move { Ok::<_, Infallible>(Loaded::value(7)) });
    let cache = Cache::<Fragile, u64>::builder("fragile").retry_after(Duration::ZERO).build(load).unwrap();
    for clones in 1..12 {
        let _ = cache.clear().await;
        let key = Fragile(Arc::new(AtomicU64::new(clones)));
        let first = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(&key).await.is_ok() }
        });
        let _may_panic = first.await;
        let began = tokio::time::Instant::now();
        let lasting = Fragile(Arc::new(AtomicU64::new(u64::MAX)));
        assert_eq!(cache.get(&lasting).await.unwrap().as_deref(), Some(&7), "after {clones} clones");
        assert!(began.elapsed() < Duration::from_secs(1), "after {clones} clones: {:?}", began.elapsed());
    }
}
