//! What is handed to the `metrics` facade: the families and labels that are documented, and no series more.
#![cfg(all(feature = "json", feature = "metrics", feature = "quick_cache"))]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use offgridflow_cache::{
    Breaker, Cache, CacheBackend, Chaos, Faults, InProcess, Json, Loaded, Metered, QuickCache, loader_fn,
};

/// The last figure of each series, by its name and labels; of a histogram, how many there were.
#[derive(Debug, Clone, Default)]
struct Scraped(Arc<Mutex<BTreeMap<String, f64>>>);

/// One series.
struct Series(Scraped, String);

impl Series {
    fn change(&self, change: impl FnOnce(&mut f64)) {
        change(self.0.0.lock().unwrap().entry(self.1.clone()).or_default());
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|now| *now += f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, value: u64) {
        self.change(|now| *now = f64::from(u32::try_from(value).unwrap()));
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.change(|now| *now += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|now| *now -= value);
    }

    fn set(&self, value: f64) {
        self.change(|now| *now = value);
    }
}

impl HistogramFn for Series {
    fn record(&self, _: f64) {
        self.change(|now| *now += 1.0);
    }
}

impl Scraped {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key.labels().map(|label| label.value().to_owned()).collect();
        Arc::new(Series(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }

    fn get(&self, series: &str) -> Option<f64> {
        self.0.lock().unwrap().get(&format!("offgridflow_cache_{series}")).copied()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Recorder for Scraped {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

#[tokio::test]
async fn the_figures_of_a_cache_are_twenty_six_series_however_often_they_are_recorded() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let load = loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let cache = Cache::<u64, u64>::builder("users").build(load).unwrap();
    for key in [1, 1, 2] {
        cache.get(&key).await.unwrap();
    }
    let _ = cache.invalidate(&1).await;
    cache.record_metrics();
    cache.record_metrics();
    for (series, value) in [
        ("requests_total users near hit", 1.0),
        ("requests_total users near miss", 2.0),
        ("requests_total users loader miss", 2.0),
        ("events_total users invalidation", 1.0),
        ("stale_total users ttl", 0.0),
        ("entries users near", 1.0),
        ("evictions_total users near capacity", 0.0),
        ("loads_in_flight users", 0.0),
        ("deferred_invalidations users", 0.0),
        ("outage users", 0.0),
        ("load_duration_seconds users", 2.0),
    ] {
        assert_eq!(scraped.get(series), Some(value), "{series}");
    }
    assert!(scraped.get("capacity_entries users near").is_some_and(|most| most >= 9_900.0));
    assert_eq!(scraped.count(), 26);
}

#[tokio::test]
async fn the_figures_of_a_store_are_four_series_a_kind_of_call() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let store = Metered::new(InProcess::new());
    store.news("users", None).await.unwrap();
    store.record_metrics();
    assert_eq!(scraped.get("calls_total the in-process store news ok"), Some(1.0));
    assert_eq!(scraped.get("calls_total the in-process store remove ok"), Some(0.0));
    assert_eq!(scraped.get("operation_duration_seconds the in-process store news"), Some(1.0));
    assert_eq!(scraped.count(), 13, "a call that was not made has no times yet");
}

#[tokio::test]
async fn an_outage_is_seen_while_it_lasts() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let faults = Faults { refused: 1.0, ..Default::default() };
    let store = Arc::new(Chaos::new(InProcess::new(), 1, faults));
    let load = loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) });
    let cache = Cache::<u64, u64>::builder("users").shared(Arc::clone(&store), Json).build(load).unwrap();
    cache.get(&1).await.unwrap();
    cache.record_metrics();
    assert_eq!(scraped.get("outage users"), Some(1.0));
}

#[tokio::test]
async fn a_tier_by_weight_says_what_it_weighs_and_what_it_threw_out() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let load = loader_fn(|_: u64| async move { Ok::<_, Infallible>(Loaded::value(vec![0_u8; 100])) });
    let near =
        QuickCache::weighted(1_000, 10, |_: &u64, value: &Vec<u8>| u32::try_from(value.len()).unwrap());
    let cache = Cache::<u64, Vec<u8>>::builder("users-1f3a").label("users").near(near).build(load).unwrap();
    for key in 0..100 {
        cache.get(&key).await.unwrap();
    }
    cache.record_metrics();
    let figure = |name: &str| scraped.get(&format!("{name} users near")).unwrap();
    let (size, capacity) = (figure("size_bytes"), figure("capacity_bytes"));
    assert!(size > 0.0 && size <= capacity && capacity <= 1_000.0, "{size} of {capacity}");
    let evicted = scraped.get("evictions_total users near capacity").unwrap();
    assert_eq!(evicted + figure("entries"), 100.0, "each is kept or was thrown out");
}

#[tokio::test]
async fn a_load_under_way_is_counted_until_it_ends() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let load =
        loader_fn(|_: u64| async move { std::future::pending::<Result<Loaded<u64>, Infallible>>().await });
    let limit = std::time::Duration::from_millis(50);
    let cache = Cache::<u64, u64>::builder("users").load_timeout(limit).build(load).unwrap();
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await.is_err() }
    });
    while cache.stats().loads_in_flight == 0 {
        tokio::task::yield_now().await;
    }
    assert!(waiting.await.unwrap(), "given up in time");
    cache.record_metrics();
    assert_eq!(scraped.get("loads_in_flight users"), Some(0.0));
}

#[tokio::test]
async fn a_breaker_shows_the_state_that_it_is_in() {
    let scraped = Scraped::default();
    let _here = metrics::set_default_local_recorder(&scraped);
    let faults = Faults { refused: 1.0, ..Default::default() };
    let store = Breaker::new(Chaos::new(InProcess::new(), 1, faults));
    store.record_metrics();
    assert_eq!(scraped.get("circuit_state the in-process store closed"), Some(1.0));
    for _ in 0..2 {
        store.news("users", None).await.unwrap_err();
    }
    store.record_metrics();
    assert_eq!(scraped.get("circuit_state the in-process store closed"), Some(0.0));
    assert_eq!(scraped.get("circuit_state the in-process store open"), Some(1.0));
}
