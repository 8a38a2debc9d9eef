//! C5: Redis frozen, killed and emptied, and rolled back, under reads.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offgridflow_cache::{Breaker, Cache, Delivery, Json, Loaded, Loader, Outage, RedisBackend};
use testkit::Redis;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::{full, rival, say};

const KEYS: u64 = 1_000;
const TICK: Duration = Duration::from_millis(1);
const READS_A_TICK: u64 = 5;
const DELTA: Duration = Duration::from_secs(2);
const LOAD: Duration = Duration::from_millis(5);
const MIB: f64 = 1024.0 * 1024.0;

/// Every key has the same version, and takes 5 ms to load.
#[derive(Clone, Default)]
struct Source(Arc<AtomicU64>);

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        let version = self.0.load(Ordering::SeqCst);
        sleep(LOAD).await;
        Ok(Loaded::value(version))
    }
}

struct Node {
    cache: Cache<u64, u64, Source>,
    breaker: Arc<Breaker<RedisBackend>>,
}

fn node(redis: &Redis, source: &Source, outage: Outage) -> Node {
    let breaker = Arc::new(Breaker::new(RedisBackend::connect(&redis.url()).unwrap()));
    let builder =
        Cache::builder("outage").shared(Arc::clone(&breaker), Json).max_staleness(DELTA).outage(outage);
    Node { cache: builder.build(source.clone()).unwrap(), breaker }
}

/// Reads at a steady rate in the background, and what became of them.
#[derive(Default)]
struct Reads {
    nanos: Mutex<Vec<u64>>,
    errors: AtomicU64,
    stop: AtomicBool,
}

impl Reads {
    async fn run(self: Arc<Self>, cache: Cache<u64, u64, Source>) {
        let (mut ticks, mut next) = (interval(TICK), 0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            for _ in 0..READS_A_TICK {
                next = (next + 617) % KEYS; // all keys, in no order
                let (reads, cache, key) = (Arc::clone(&self), cache.clone(), next);
                tokio::spawn(async move {
                    let began = Instant::now();
                    let answer = cache.get(&key).await;
                    let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    reads.nanos.lock().unwrap().push(took);
                    reads.errors.fetch_add(u64::from(!matches!(answer, Ok(Some(_)))), Ordering::Relaxed);
                });
            }
        }
    }

    /// The 99th percentile of the reads since this was last asked.
    fn p99(&self) -> Duration {
        let mut nanos = std::mem::take(&mut *self.nanos.lock().unwrap());
        assert!(nanos.len() > 1_000, "only {} reads", nanos.len());
        let rank = nanos.len() * 99 / 100;
        Duration::from_nanos(*nanos.select_nth_unstable(rank).1)
    }
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096.0
}

async fn value(node: &Node, key: u64) -> u64 {
    *node.cache.get(&key).await.unwrap().expect("a value")
}

async fn warm(node: &Node) {
    while node.cache.peek(&0).is_none() {
        for key in 0..KEYS {
            value(node, key).await;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// What a freeze did.
struct Frozen {
    errors: u64,
    before: Duration,
    during: Duration,
    opened_after: Duration,
    grown: f64,
    agreed_after: Duration,
}

/// Reads go on while Redis is stopped; a key is updated meanwhile, and all nodes have to follow once it is back.
async fn freeze(redis: &Redis, source: &Source, outage: Outage, length: Duration) -> Frozen {
    let (a, b) = (node(redis, source, outage), node(redis, source, outage));
    tokio::join!(warm(&a), warm(&b));
    let reads = Arc::new(Reads::default());
    let reading = tokio::spawn(Arc::clone(&reads).run(a.cache.clone()));
    sleep(Duration::from_secs(3)).await;
    let (before, resident_before) = (reads.p99(), resident());

    redis.freeze();
    let began = Instant::now();
    while !a.breaker.is_open() && began.elapsed() < length {
        sleep(Duration::from_millis(1)).await;
    }
    let opened_after = began.elapsed();
    let new = source.0.fetch_add(1, Ordering::SeqCst) + 1;
    assert_eq!(a.cache.invalidate(&7).await, Delivery::Deferred, "nobody is there to be told");
    let mut grown = 0.0_f64;
    while began.elapsed() < length {
        assert_eq!(value(&a, 7).await, new, "what was removed here is never served here");
        grown = grown.max((resident() - resident_before) / MIB);
        sleep(Duration::from_millis(50)).await;
    }
    let during = reads.p99();
    redis.thaw();
    let back = Instant::now();
    while value(&b, 7).await != new && back.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(2)).await;
    }
    let agreed_after = back.elapsed();
    reads.stop.store(true, Ordering::Relaxed);
    reading.await.unwrap();
    Frozen { errors: reads.errors.load(Ordering::Relaxed), before, during, opened_after, grown, agreed_after }
}

/// The oldest versions that nodes serve after Redis came back with what it knew at a SAVE, or with nothing; none may be older than
/// what was removed.
async fn killed(redis: &mut Redis, source: &Source, emptied: bool) -> (u64, Duration) {
    let (a, b) = (node(redis, source, Outage::Reload), node(redis, source, Outage::Reload));
    tokio::join!(warm(&a), warm(&b));
    redis.cli(&["SAVE"]).unwrap();
    let new = source.0.fetch_add(1, Ordering::SeqCst) + 1;
    for key in 0..10 {
        assert_eq!(a.cache.invalidate(&key).await, Delivery::Delivered);
    }
    redis.kill();
    redis.restart().unwrap();
    if emptied {
        redis.cli(&["FLUSHALL"]).unwrap();
    }
    let back = Instant::now();
    let late = node(redis, source, Outage::Reload);
    let (mut old, mut agreed_after) = (0, Duration::ZERO);
    while back.elapsed() < DELTA * 3 {
        for (node, within) in [(&a, Duration::ZERO), (&b, DELTA), (&late, DELTA)] {
            for key in 0..10 {
                if value(node, key).await < new {
                    agreed_after = back.elapsed();
                    old += u64::from(back.elapsed() > within); // the node that removed never serves it; others within Δ
                }
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
    (old, agreed_after)
}

/// Of a hundred reads of warm keys, how many the usual composition has not answered a second later, whose near values stay for Δ.
async fn rival(redis: &Redis) -> u64 {
    let rival = rival::Composition::connect(&redis.url(), DELTA).await;
    for key in 0..100 {
        rival.get(key, async { 1 }).await;
    }
    redis.freeze();
    sleep(DELTA + Duration::from_secs(1)).await;
    let reads: Vec<_> = (0..100)
        .map(|key| {
            let rival = rival.clone();
            tokio::spawn(async move { timeout(Duration::from_secs(1), rival.get(key, async { 1 })).await })
        })
        .collect();
    let mut hung = 0;
    for read in reads {
        hung += u64::from(read.await.unwrap().is_err());
    }
    redis.thaw();
    hung
}

#[test]
#[ignore = "a promise: scripts/verify/C5.sh"]
fn promise() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let length = Duration::from_secs(if full() { 30 } else { 10 });
    let mut redis = Redis::start().unwrap();
    let hung = runtime.block_on(rival(&redis));
    let source = Source::default();
    let suspects = runtime.block_on(freeze(&redis, &source, Outage::ServeSuspect(length * 2), length));
    redis.cli(&["FLUSHALL"]).unwrap();
    let reloaded = runtime.block_on(freeze(&redis, &source, Outage::Reload, length));
    redis.cli(&["FLUSHALL"]).unwrap();
    let rolled_back = runtime.block_on(killed(&mut redis, &source, false));
    redis.cli(&["FLUSHALL"]).unwrap();
    let emptied = runtime.block_on(killed(&mut redis, &source, true));

    let ratio = suspects.during.as_secs_f64() / suspects.before.as_secs_f64();
    let both = [&suspects, &reloaded];
    let errors: u64 = both.iter().map(|frozen| frozen.errors).sum();
    let most = |of: fn(&Frozen) -> f64| both.iter().map(|frozen| of(frozen)).fold(0.0, f64::max);
    let (opened, grown) = (most(|one| one.opened_after.as_secs_f64()), most(|one| one.grown));
    let agreed = most(|one| one.agreed_after.as_secs_f64());
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let passed = errors == 0
        && ratio <= 2.0
        && reloaded.during < LOAD * 4
        && opened <= 2.0 * 0.5 + 0.5
        && grown <= 32.0
        && agreed <= DELTA.as_secs_f64()
        && rolled_back.0 + emptied.0 == 0
        && hung > 50;
    say(
        passed,
        &format!(
            "measured={errors}-errors,p99-{ratio:.2}x-with-suspects({:.4}-to-{:.4}ms),{:.3}ms-without,breaker-open-after-{opened:.2}s,+{grown:.1}MiB,agreed-{agreed:.2}s-after-return,{}-rolled-back-or-lost-values-served control=moka+Redis:{hung}-of-100-reads-hang n={}s-at-5000/s",
            millis(suspects.before),
            millis(suspects.during),
            millis(reloaded.during),
            rolled_back.0 + emptied.0,
            length.as_secs()
        ),
    );
}
