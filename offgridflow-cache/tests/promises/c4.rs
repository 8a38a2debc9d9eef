//! C4: what the shared tier costs in round trips, counted by a proxy.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, Held, Json, Loaded, Loader, MemoryTier, RedisBackend};
use testkit::{FaultProxy, Redis};
use tokio::time::sleep;

use crate::{full, say};

const BATCH: u64 = 100;

/// A near tier that keeps nothing: every read goes to the shared one.
struct Nothing;

impl MemoryTier<u64, u64> for Nothing {
    fn get(&self, _key: &u64, _look: &mut dyn FnMut(&Held<u64>)) {}

    fn insert(&self, _key: u64, _held: Arc<Held<u64>>) {}

    fn remove(&self, _key: &u64) {}

    fn len(&self) -> u64 {
        0
    }
}

#[derive(Clone)]
struct Source;

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        Ok(Loaded::value(key).tag("tag"))
    }
}

type Node = Cache<u64, u64, Source>;

/// Looks for news are an hour apart, so that only reads make trips.
fn node(url: &str) -> Node {
    let builder = Cache::builder("trips").near(Nothing).shared(RedisBackend::connect(url).unwrap(), Json);
    builder
        .max_staleness(Duration::from_secs(4 * 3_600))
        .ttl(Duration::from_secs(3_600))
        .build(Source)
        .unwrap()
}

/// Until nothing has passed for a while.
async fn quiet(proxy: &FaultProxy) {
    let mut before = u64::MAX;
    while proxy.counters().client_flushes != before {
        before = proxy.counters().client_flushes;
        sleep(Duration::from_millis(300)).await;
    }
}

/// Flushes to the server that `work` causes, with all that it leaves to be done behind it.
async fn flushes(proxy: &FaultProxy, work: impl Future<Output = ()>) -> u64 {
    quiet(proxy).await;
    let before = proxy.counters().client_flushes;
    work.await;
    quiet(proxy).await;
    proxy.counters().client_flushes - before
}

async fn batch(node: &Node, keys: &[u64]) -> Duration {
    let began = Instant::now();
    let answers = node.get_many(keys).await;
    let took = began.elapsed();
    assert!(answers.into_iter().zip(keys).all(|(answer, key)| answer.unwrap().as_deref() == Some(key)));
    took
}

async fn singles(node: &Node, keys: &[u64]) -> Duration {
    let began = Instant::now();
    for key in keys {
        assert_eq!(node.get(key).await.unwrap().as_deref(), Some(key));
    }
    began.elapsed()
}

/// How many times faster a batch is than single gets, by the median of interleaved pairs, with the lowest and highest.
async fn gain(node: &Node, keys: &[u64], pairs: usize) -> [f64; 3] {
    let mut ratios = Vec::new();
    for _ in 0..pairs {
        let batch = batch(node, keys).await;
        ratios.push(singles(node, keys).await.as_secs_f64() / batch.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    [ratios[pairs / 2], ratios[0], ratios[pairs - 1]]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a promise: scripts/verify/C4.sh"]
async fn promise() {
    let redis = Redis::start().unwrap();
    let proxy = FaultProxy::start(redis.addr()).unwrap();
    let (through, direct) = (node(&format!("redis://{}", proxy.addr())), node(&redis.url()));
    let keys: Vec<u64> = (0..BATCH).collect();
    batch(&direct, &keys).await; // filled, and the scripts are loaded
    through.get(&0).await.unwrap();

    let many = flushes(&proxy, async {
        batch(&through, &keys).await;
    })
    .await;
    let cold = flushes(&proxy, async { drop(through.get(&1_000).await.unwrap()) }).await;
    assert_eq!(direct.get(&1_000).await.unwrap().as_deref(), Some(&1_000));
    assert_eq!(direct.stats().loads, BATCH, "the cold get was filled: nobody loads it again");
    let _ = direct.invalidate_tag("tag").await;
    let tagged = flushes(&proxy, async { drop(through.get(&1_000).await.unwrap()) }).await;

    let pairs = if full() { 60 } else { 15 };
    batch(&direct, &keys).await;
    let loopback = gain(&direct, &keys, pairs).await;
    proxy.delay(Duration::from_micros(100)); // each way
    let delayed = gain(&through, &keys, pairs).await;
    let passed = many == 1 && cold == 2 && tagged <= 3 && loopback[0] >= 12.0 && delayed[0] >= 20.0;
    let ratio = |[median, low, high]: [f64; 3]| format!("{median:.1}x({low:.1}-{high:.1})");
    say(
        passed,
        &format!(
            "measured=get_many({BATCH}):{many}-flush,cold:{cold},tag-invalidated:{tagged},rate-at-0.2ms:{},on-loopback:{} control=sequential-gets:{BATCH}-flushes n={pairs}",
            ratio(delayed),
            ratio(loopback)
        ),
    );
}
