//! Loads that wait for themselves.

use std::sync::Arc;
use std::time::Duration;

use offgridflow_cache::{Cache, Error, Loaded, Loader};
use tokio::time::Instant;

/// A loader that reads its own cache: its own key, or one whose loader reads the first.
#[derive(Clone, Default)]
struct Circular(Arc<std::sync::OnceLock<Cache<u64, u64, Self>>>);

impl Loader<u64, u64> for Circular {
    type Error = String;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, String> {
        let next = match key {
            1 => 1,
            2 => 3,
            3 => 2,
            _ => return Ok(Loaded::value(key)),
        };
        let answer = Box::pin(self.0.get().unwrap().get(&next)).await;
        answer.map(|value| Loaded::maybe(value.map(|value| *value))).map_err(|error| format!("{error:?}"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_would_wait_for_itself_is_told_so_at_once() {
    let loader = Circular::default();
    let cache = Cache::builder("circular").build(loader.clone()).unwrap();
    loader.0.set(cache.clone()).unwrap();
    for key in [1, 2] {
        let began = Instant::now();
        let said = format!("{:?}", cache.get(&key).await.unwrap_err());
        assert!(said.contains("Reentrant"), "{said}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    assert_eq!(cache.get(&4).await.unwrap().as_deref(), Some(&4));
}

/// A loader whose keys have no end: each reads the next.
#[derive(Clone, Default)]
struct Endless(Arc<std::sync::OnceLock<Cache<u64, u64, Self>>>);

impl Loader<u64, u64> for Endless {
    type Error = String;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, String> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let answer = Box::pin(self.0.get().unwrap().get(&(key + 1))).await;
        Err(answer.map_or_else(|error| format!("{error}"), |_| "an end".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn loads_that_beget_each_other_without_end_are_ended() {
    let loader = Endless::default();
    let cache = Cache::builder("endless").build(loader.clone()).unwrap();
    loader.0.set(cache.clone()).unwrap();
    let Err(Error::Load(_)) = cache.get(&0).await else { panic!("each fails by the next") };
    let loads = cache.stats().loads;
    assert!(loads < 100, "{loads}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cache.stats().loads, loads, "and none goes on behind its readers' backs");
}
