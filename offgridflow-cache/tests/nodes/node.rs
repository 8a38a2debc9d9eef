//! Nodes over one source and one shared tier.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, CacheBackend, InProcess, Json, Loaded, Loader, RedisBackend};
use tokio::time::sleep;

pub(crate) const DELTA: Duration = Duration::from_millis(400);

/// The source that all nodes read.
#[derive(Clone, Default)]
pub(crate) struct Source {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    takes: Duration,
}

impl Source {
    pub(crate) fn that_takes(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    pub(crate) fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<String, u64> for Source {
    type Error = Infallible;

    async fn load(&self, key: String) -> Result<Loaded<u64>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        sleep(self.takes).await;
        if key == "absent" { Ok(Loaded::absent().tag("tag")) } else { Ok(Loaded::value(value).tag("tag")) }
    }
}

pub(crate) type Node = Cache<String, u64, Source>;

pub(crate) fn node(space: &str, shared: impl CacheBackend, source: &Source) -> Node {
    node_behind(DELTA, space, shared, source)
}

pub(crate) fn node_behind(
    staleness: Duration,
    space: &str,
    shared: impl CacheBackend,
    source: &Source,
) -> Node {
    let builder = Cache::builder(space)
        .shared(shared, Json)
        .max_staleness(staleness)
        .shared_timeout(Duration::from_millis(300));
    builder.build(source.clone()).unwrap()
}

pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn read<L>(node: &Cache<String, u64, L>, key: &str) -> Option<u64>
where
    L: Loader<String, u64, Error = Infallible>,
{
    node.get(&key.to_owned()).await.unwrap().map(|value| *value)
}

/// Waits until a node's near tier is trusted, so that what follows is about coherence and not about the start.
pub(crate) async fn warmed<L>(node: &Cache<String, u64, L>, key: &str)
where
    L: Loader<String, u64, Error = Infallible>,
{
    while node.peek(&key.to_owned()).is_none() {
        read(node, key).await;
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn eventually(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Runs `check` with two backends over one store: in process, and Redis.
pub(crate) async fn on_both<F: Future<Output = ()>>(
    check: impl Fn(String, Arc<dyn Fn() -> Shared + Send + Sync>) -> F,
) {
    let store = InProcess::new();
    check(unique("in-process"), Arc::new(move || Shared::Mine(store.clone()))).await;
    let url = testkit::redis().url();
    check(unique("redis"), Arc::new(move || Shared::Redis(RedisBackend::connect(&url).unwrap()))).await;
}

#[derive(Debug)]
pub(crate) enum Shared {
    Mine(InProcess),
    Redis(RedisBackend),
}

pub(crate) fn two(space: &str, shared: &(dyn Fn() -> Shared + Send + Sync), source: &Source) -> [Node; 2] {
    [(); 2].map(|()| match shared() {
        Shared::Mine(store) => node(space, store, source),
        Shared::Redis(redis) => node(space, redis, source),
    })
}
