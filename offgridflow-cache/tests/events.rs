//! What a cache tells through `tracing`.
#![cfg(all(feature = "tracing", feature = "json", feature = "quick_cache"))]

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offgridflow_cache::{Cache, Chaos, Delivery, Faults, InProcess, Json, Loaded, loader_fn};
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

/// What was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Told {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Told {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn loads_and_troubles_are_told_and_hits_are_not() {
    let told = Told::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(told.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let store = Arc::new(Chaos::new(InProcess::new(), 1, Faults { refused: 1.0, ..Faults::default() }));
    store.rest();
    let cache = Cache::builder("towns")
        .shared(Arc::clone(&store), Json)
        .build(loader_fn(async |key: u64| Ok::<_, Infallible>(Loaded::value(key))))
        .unwrap();
    sleep(Duration::from_millis(1)).await;
    cache.get(&1).await.unwrap();
    let said = told.take();
    assert!(said.contains("loaded") && said.contains("cache=\"towns\"") && said.contains("keys=1"), "{said}");
    cache.get(&1).await.unwrap();
    assert_eq!(told.take(), "", "a hit");
    store.resume();
    assert_eq!(cache.invalidate(&1).await, Delivery::Deferred);
    let said = told.take();
    assert!(said.contains("WARN") && said.contains("deferred"), "{said}");
    assert!(said.contains("WARN") && said.contains("refused by chaos"), "the reason: {said}");
    let said = |told: &str| told.matches("the shared tier failed").count();
    let _ = cache.get(&1).await;
    let _ = cache.invalidate(&2).await;
    assert_eq!(said(&told.take()), 0, "the outage was said with its first failure");
    sleep(Duration::from_secs(120)).await;
    store.rest();
    sleep(Duration::from_secs(5)).await;
    assert!(told.take().contains("answers again"));
    store.resume();
    assert_eq!(cache.invalidate(&1).await, Delivery::Deferred);
    assert_eq!(said(&told.take()), 1, "another outage");
}
