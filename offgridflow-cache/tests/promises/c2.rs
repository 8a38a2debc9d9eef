//! C2: a stampede on a cold key is one load.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offgridflow_cache::{Cache, Error, Json, Loaded, Loader, RedisBackend};
use testkit::Redis;
use tokio::time::sleep;

use crate::{Node, full, rival, say};

const TASKS: u64 = 10_000;
const PROCESSES: u64 = 4;
const TAKES: Duration = Duration::from_millis(150);

/// A source that counts its loads, or panics.
#[derive(Clone, Default)]
struct Source {
    loads: Arc<AtomicU64>,
    panics: Option<Arc<Mutex<Option<Instant>>>>, // and when it did
}

impl Loader<u64, u64> for Source {
    type Error = io::Error;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, io::Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        sleep(TAKES).await;
        if let Some(when) = &self.panics {
            *when.lock().unwrap() = Some(Instant::now());
            panic!("as asked");
        }
        Ok(Loaded::value(key))
    }
}

fn cache(source: &Source) -> Cache<u64, u64, Source> {
    Cache::builder("stampede").build(source.clone()).unwrap()
}

async fn all_ask(
    cache: &Cache<u64, u64, Source>,
    key: u64,
    abort_every: Option<u64>,
) -> Vec<Result<bool, Error<io::Error>>> {
    let ask = |_| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get(&key).await.map(|value| value.as_deref() == Some(&key)) })
    };
    let tasks: Vec<_> = (0..TASKS).map(ask).collect();
    tokio::task::yield_now().await;
    for (n, task) in (0..).zip(&tasks) {
        if abort_every.is_some_and(|every| n % every == 0) {
            task.abort(); // the first of all among them: the one that began the load
        }
    }
    let mut answers = Vec::new();
    for task in tasks {
        match task.await {
            Ok(answer) => answers.push(answer),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    answers
}

async fn one_load(abort_every: Option<u64>) -> u64 {
    let source = Source::default();
    let answers = all_ask(&cache(&source), 1, abort_every).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(true))), "everybody who waits gets the value");
    source.loads.load(Ordering::SeqCst)
}

/// From the panic until the last caller had its error.
async fn one_panic() -> Duration {
    let when = Arc::new(Mutex::new(None));
    let source = Source { panics: Some(Arc::clone(&when)), ..Source::default() };
    let answers = all_ask(&cache(&source), 1, None).await;
    let took = when.lock().unwrap().expect("it panicked").elapsed();
    assert_eq!(source.loads.load(Ordering::SeqCst), 1);
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(Error::LoadPanicked))),
        "one typed error for all"
    );
    took
}

/// Loads of all processes for one cold key.
fn fleet(test: &str, redis: &Redis, round: u64) -> u64 {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(1_500);
    let environment =
        [("C2_REDIS", redis.url()), ("C2_KEY", round.to_string()), ("C2_AT", at.as_millis().to_string())];
    let nodes: Vec<_> = (0..PROCESSES).map(|_| Node::start(test, &environment)).collect();
    nodes.into_iter().map(|node| node.result("loads")).sum()
}

#[test]
#[ignore = "a promise: scripts/verify/C2.sh"]
fn promise() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rounds = if full() { 20 } else { 3 };
    std::panic::set_hook(Box::new(|_| {}));
    let (mut loads, mut aborted, mut slowest) = (0, 0, Duration::ZERO);
    for _ in 0..rounds {
        loads = loads.max(runtime.block_on(one_load(None)));
        aborted = aborted.max(runtime.block_on(one_load(Some(10))));
        slowest = slowest.max(runtime.block_on(one_panic()));
    }
    let _ = std::panic::take_hook();
    let redis = Redis::start().unwrap();
    let fleets: Vec<u64> = (0..rounds).map(|round| fleet("c2::node", &redis, round)).collect();
    let rivals: Vec<u64> = (0..rounds).map(|round| fleet("c2::rival_node", &redis, 1_000 + round)).collect();
    let (most, fewest) = (fleets.iter().max().unwrap(), rivals.iter().min().unwrap());
    let passed =
        loads == 1 && aborted == 1 && slowest < Duration::from_millis(50) && *most == 1 && *fewest > 1;
    say(
        passed,
        &format!(
            "measured={TASKS}-tasks:{loads}-load,1000-aborted:{aborted}-load,panic-told-to-all-in-{:.1}ms,{PROCESSES}-processes:{most}-load control=moka+Redis-without-lease:{fewest}-loads-or-more n={rounds}",
            slowest.as_secs_f64() * 1e3
        ),
    );
}

/// Where and when a process asks.
struct Order {
    redis: String,
    key: u64,
    at: Duration,
}

impl Order {
    fn read() -> Self {
        let variable = |name| std::env::var(name).expect("started by `promise`");
        Self {
            redis: variable("C2_REDIS"),
            key: variable("C2_KEY").parse().unwrap(),
            at: Duration::from_millis(variable("C2_AT").parse().unwrap()),
        }
    }

    async fn wait(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        sleep(self.at.saturating_sub(now)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `promise`"]
async fn node() {
    let (order, source) = (Order::read(), Source::default());
    let shared = RedisBackend::connect(&order.redis).unwrap();
    let cache = Cache::builder("stampede").shared(shared, Json).build(source.clone()).unwrap();
    cache.get(&0).await.unwrap(); // connected, and followed
    let before = source.loads.load(Ordering::SeqCst);
    order.wait().await;
    let answers = all_ask(&cache, order.key + 1, None).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(true))));
    println!("\nloads={}", source.loads.load(Ordering::SeqCst) - before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `promise`"]
async fn rival_node() {
    let order = Order::read();
    let rival = rival::Composition::connect(&order.redis, Duration::from_secs(300)).await;
    let loads = Arc::new(AtomicU64::new(0));
    order.wait().await;
    let ask = |_| {
        let (rival, loads) = (rival.clone(), Arc::clone(&loads));
        tokio::spawn(async move {
            let load = async {
                loads.fetch_add(1, Ordering::SeqCst);
                sleep(TAKES).await;
                order.key
            };
            rival.get(order.key, load).await
        })
    };
    let tasks: Vec<_> = (0..TASKS / PROCESSES).map(ask).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), order.key);
    }
    println!("\nloads={}", loads.load(Ordering::SeqCst));
}
