//! C6: no read is older than Δ and a bit, whatever messages are lost.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Cache, CacheBackend, Caps, Delivery, Fill, Filled, Json, Key, Loaded, Loader,
    Lookup, News, Position, RedisBackend, Scope, Terms,
};
use testkit::Redis;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::{Node as Process, rival, say};

const DELTA: Duration = Duration::from_secs(2);
/// What a read may be older than Δ.
const GRACE: Duration = Duration::from_millis(100);
const KEYS: u64 = 50;
const BURST: u64 = 10_000;
const LOST_FOR: Duration = Duration::from_secs(10);

/// Redis, without a single message.
#[derive(Debug)]
struct Deaf(RedisBackend);

#[async_trait]
impl CacheBackend for Deaf {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.0.get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.0.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.0.remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.0.news(namespace, seen).await
    }

    fn caps(&self) -> Caps {
        self.0.caps()
    }

    fn stats(&self) -> BackendStats {
        self.0.stats()
    }
}

/// The source: a version for each key, and when each version was superseded for all to know.
#[derive(Clone)]
struct Source(Arc<Vec<(AtomicU64, Mutex<Vec<Instant>>)>>);

impl Source {
    fn new(keys: u64) -> Self {
        Self(Arc::new((0..keys).map(|_| Default::default()).collect()))
    }

    fn version(&self, key: u64) -> u64 {
        self.0[usize::try_from(key).unwrap()].0.load(Ordering::SeqCst)
    }

    fn update(&self, key: u64) {
        self.0[usize::try_from(key).unwrap()].0.fetch_add(1, Ordering::SeqCst);
    }

    /// The invalidation of the newest version returned at `at`.
    fn announced(&self, key: u64, at: Instant) {
        self.0[usize::try_from(key).unwrap()].1.lock().unwrap().push(at);
    }

    /// How long a version that was read at `at` had been superseded.
    fn age(&self, key: u64, version: u64, at: Instant) -> Duration {
        let announced = self.0[usize::try_from(key).unwrap()].1.lock().unwrap();
        let superseded = announced.get(usize::try_from(version).unwrap());
        superseded.map_or(Duration::ZERO, |superseded| at.saturating_duration_since(*superseded))
    }
}

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, Infallible> {
        Ok(Loaded::value(self.version(key)))
    }
}

type Node = Cache<u64, u64, Source>;

fn node(redis: &str, source: &Source) -> Node {
    let shared = Deaf(RedisBackend::connect(redis).unwrap());
    Cache::builder("lost").shared(shared, Json).max_staleness(DELTA).build(source.clone()).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Reads all keys again and again until told to stop; the oldest read, and how many came from the near tier.
fn read_on(node: &Node, source: &Source, keys: u64, stop: &AtomicBool, runtime: &Runtime) -> (Duration, u64) {
    let (mut oldest, mut near) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        for key in 0..keys {
            let at = Instant::now();
            if let Some(version) = node.peek(&key).map(|value| *value) {
                near += 1;
                oldest = oldest.max(source.age(key, version, at));
            } else {
                let version = *runtime.block_on(node.get(&key)).unwrap().expect("a value");
                oldest = oldest.max(source.age(key, version, at));
            }
        }
        runtime.block_on(sleep(Duration::from_millis(1)));
    }
    (oldest, near)
}

/// Until the near tier holds all keys and is trusted.
async fn warm(node: &Node) {
    while node.peek(&0).is_none() {
        for key in 0..KEYS {
            node.get(&key).await.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn write(node: &Node, source: &Source, key: u64) {
    source.update(key);
    while node.invalidate(&key).await != Delivery::Delivered {
        sleep(Duration::from_millis(5)).await;
    }
    source.announced(key, Instant::now());
}

/// All messages lost for a while, then a burst, with a reader on a thread of its own.
fn lost_and_burst(redis: &str) -> (Duration, u64) {
    let source = Source::new(BURST);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (source, stop, redis) = (source.clone(), Arc::clone(&stop), redis.to_owned());
        thread::spawn(move || {
            let runtime = runtime();
            let _inside = runtime.enter();
            let node = node(&redis, &source);
            read_on(&node, &source, KEYS, &stop, &runtime)
        })
    };
    let runtime = runtime();
    let _inside = runtime.enter();
    let writer = node(redis, &source);
    runtime.block_on(async {
        let began = Instant::now();
        for key in (0..KEYS).cycle().take_while(|_| began.elapsed() < LOST_FOR) {
            write(&writer, &source, key).await;
            sleep(Duration::from_millis(20)).await;
        }
        for key in 0..BURST {
            write(&writer, &source, key).await;
        }
        sleep(DELTA * 2).await;
    });
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap()
}

/// A reader whose thread never lets its own look for news run.
fn starved(redis: &str) -> Duration {
    let source = Source::new(KEYS);
    let runtime = runtime();
    let _inside = runtime.enter();
    let reader = node(redis, &source);
    runtime.block_on(warm(&reader));
    let writing = {
        let (source, redis) = (source.clone(), redis.to_owned());
        thread::spawn(move || {
            let runtime = crate::c6::runtime();
            let _inside = runtime.enter();
            let writer = node(&redis, &source);
            runtime.block_on(async {
                for key in 0..KEYS {
                    write(&writer, &source, key).await;
                }
            });
        })
    };
    let (began, mut oldest, mut hits) = (Instant::now(), Duration::ZERO, 0_u64);
    while began.elapsed() < DELTA * 3 {
        for key in 0..KEYS {
            let at = Instant::now();
            if let Some(version) = reader.peek(&key).map(|value| *value) {
                hits += 1;
                oldest = oldest.max(source.age(key, version, at));
            }
        }
    }
    writing.join().unwrap();
    assert!(hits > 0 && reader.peek(&0).is_none(), "it served near, and stopped when it was not told for Δ");
    oldest
}

/// A process that removes and dies at once, before it ever looked for news.
fn died(redis: &str) -> Duration {
    let source = Source::new(KEYS);
    let runtime = runtime();
    let _inside = runtime.enter();
    let reader = node(redis, &source);
    runtime.block_on(warm(&reader));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let remote = scope.spawn(|| {
            (0..KEYS).for_each(|key| source.update(key));
            let process = Process::start("c6::remover", &[("C6_REDIS", redis.to_owned())]);
            let removed = UNIX_EPOCH + Duration::from_millis(process.result("removed"));
            let ago = SystemTime::now().duration_since(removed).unwrap_or_default();
            (0..KEYS).for_each(|key| source.announced(key, Instant::now().checked_sub(ago).unwrap()));
            thread::sleep(DELTA * 2);
            stop.store(true, Ordering::Relaxed);
        });
        let oldest = read_on(&reader, &source, KEYS, &stop, &runtime).0;
        remote.join().unwrap();
        oldest
    })
}

#[tokio::test]
#[ignore = "a process of `promise`"]
async fn remover() {
    let redis = std::env::var("C6_REDIS").expect("started by `promise`");
    let store = RedisBackend::connect(&redis).unwrap();
    let keys = (0..KEYS).map(|key| Key::of("lost", 1, &key)).collect();
    store.remove("lost", Scope::Keys(keys)).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    println!("\nremoved={}", now.as_millis());
}

/// The oldest read of the usual composition, when its messages are lost for as long.
fn rival(redis: &str) -> Duration {
    runtime().block_on(async {
        let ttl = Duration::from_secs(300);
        let reader = rival::Composition::connect(redis, ttl).await;
        let writer = rival::Composition::connect(redis, ttl).await;
        let source = Source::new(1);
        reader.get(0, async { source.version(0) }).await;
        source.update(0);
        writer.invalidate(0).await;
        source.announced(0, Instant::now());
        sleep(DELTA * 2).await;
        let version = reader.get(0, async { source.version(0) }).await;
        source.age(0, version, Instant::now())
    })
}

#[test]
#[ignore = "a promise: scripts/verify/C6.sh"]
fn promise() {
    let redis = Redis::start().unwrap();
    let url = redis.url();
    let rival = rival(&url);
    redis.cli(&["FLUSHALL"]).unwrap();
    let (lost, near) = lost_and_burst(&url);
    redis.cli(&["FLUSHALL"]).unwrap();
    let (starved, died) = (starved(&url), died(&url));
    let bound = DELTA + GRACE;
    let passed = [lost, starved, died].iter().all(|age| *age <= bound) && near > 1_000 && rival > bound;
    let seconds = |age: Duration| format!("{:.2}s", age.as_secs_f64());
    say(
        passed,
        &format!(
            "measured=oldest-read:{}-lost-and-burst,{}-starved,{}-dead-node(bound-{}) control=moka+Redis+pub/sub:{}-and-on n={near}-near-reads",
            seconds(lost),
            seconds(starved),
            seconds(died),
            seconds(bound),
            seconds(rival)
        ),
    );
}
