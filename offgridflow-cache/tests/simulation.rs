//! What is promised, under seeded disorder: nodes over one store whose requests and replies are late or lost, loaders that are
//! slow, fail or panic, callers that go away, outages. One seed is one run; `SIMULATION_SEEDS=a..b` picks others.
#![cfg(all(feature = "json", feature = "quick_cache"))]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Cache, CacheBackend, Caps, Delivery, Error, Fill, Filled, InProcess, Json,
    Key, Loaded, Loader, Lookup, News, Position, Scope, Terms,
};
use tokio::time::{Instant, sleep, timeout};

const DELTA: Duration = Duration::from_millis(200);
const KEYS: u64 = 4;
const MS: Duration = Duration::from_millis(1);

/// SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let mut draw = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (draw ^ (draw >> 31)) % limit
    }

    fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Mostly short, sometimes long enough to cross whatever else is under way.
    async fn linger(&self) {
        let most = if self.percent(15) { 120 } else { 4 };
        sleep(MS * u32::try_from(self.below(most)).unwrap()).await;
    }
}

/// The source, and what every read has to see.
#[derive(Debug)]
struct World {
    dice: Dice,
    began: Instant,
    versions: Vec<AtomicU64>,
    down: AtomicBool,
    /// What reads that start on a node after an invalidation returned there must see at least.
    on_node: Mutex<HashMap<(usize, u64), u64>>,
    /// What reads anywhere must see at least, from an instant on.
    anywhere: Mutex<Vec<(Instant, u64, u64)>>,
    history: Mutex<String>,
    violations: Mutex<Vec<String>>,
}

impl World {
    fn note(&self, line: &str) {
        let _ = writeln!(
            self.history.lock().unwrap(),
            "{:>6?} {line}",
            (Instant::now() - self.began).as_millis()
        );
    }

    fn version(&self, key: u64) -> u64 {
        self.versions[usize::try_from(key).unwrap()].load(Ordering::SeqCst)
    }

    fn write(&self, key: u64) -> u64 {
        self.versions[usize::try_from(key).unwrap()].fetch_add(1, Ordering::SeqCst) + 1
    }

    fn required(&self, node: usize, key: u64) -> u64 {
        let now = Instant::now();
        let anywhere = self.anywhere.lock().unwrap();
        let due =
            anywhere.iter().filter(|(from, of, _)| *of == key && *from <= now).map(|(_, _, least)| *least);
        let here = self.on_node.lock().unwrap().get(&(node, key)).copied().unwrap_or(0);
        due.max().unwrap_or(0).max(here)
    }

    fn invalidated(&self, node: usize, keys: &[(u64, u64)], delivery: Delivery) {
        for &(key, version) in keys {
            let mut here = self.on_node.lock().unwrap();
            let least = here.entry((node, key)).or_default();
            *least = version.max(*least);
            if delivery == Delivery::Delivered {
                self.anywhere.lock().unwrap().push((Instant::now() + DELTA, key, version));
            }
        }
    }

    fn saw(&self, node: usize, key: u64, version: u64, required: u64) {
        self.note(&format!("node {node} read {key} = {version} (at least {required})"));
        if version < required {
            let line = format!(
                "node {node} read {key} = {version}, required {required}, at {:?}",
                Instant::now() - self.began
            );
            self.violations.lock().unwrap().push(line);
        }
    }
}

/// A store behind a network that delays and loses.
#[derive(Debug, Clone)]
struct Network {
    store: InProcess,
    world: Arc<World>,
}

impl Network {
    /// The request goes its way whether or not its sender still waits.
    async fn send<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, BackendError>> + Send + 'static,
    ) -> Result<T, BackendError> {
        let world = Arc::clone(&self.world);
        let lost = || BackendError::Timeout { backend: "network", waited: MS };
        let underway = tokio::spawn(async move {
            world.dice.linger().await;
            if world.down.load(Ordering::SeqCst) || world.dice.percent(8) {
                return Err(lost());
            }
            let answer = request.await;
            world.dice.linger().await;
            if world.down.load(Ordering::SeqCst) || world.dice.percent(8) { Err(lost()) } else { answer }
        });
        underway.await.unwrap()
    }
}

#[async_trait]
impl CacheBackend for Network {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let (store, keys, terms) = (self.store.clone(), keys.to_vec(), *terms);
        self.send(async move { store.get_or_lease(&keys, &terms).await }).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let store = self.store.clone();
        self.send(async move { store.fill_if(fills).await }).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        let (store, namespace) = (self.store.clone(), namespace.to_owned());
        self.send(async move { store.remove(&namespace, scope).await }).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        let (store, namespace) = (self.store.clone(), namespace.to_owned());
        self.send(async move { store.news(&namespace, seen).await }).await
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}

struct Source(Arc<World>);

impl Loader<u64, u64> for Source {
    type Error = &'static str;

    async fn load(&self, key: u64) -> Result<Loaded<u64>, &'static str> {
        let dice = &self.0.dice;
        dice.linger().await;
        let version = self.0.version(key);
        dice.linger().await;
        assert!(!dice.percent(2), "a loader's own fault");
        if dice.percent(2) {
            return Err("the source failed");
        }
        Ok(tagged(key, version))
    }
}

fn tagged(key: u64, version: u64) -> Loaded<u64> {
    Loaded::value(version).tag("all").tag(format!("tag {}", key % 2))
}

type Node = Cache<u64, u64, Source>;

fn node(world: &Arc<World>, store: &InProcess) -> Node {
    Cache::builder("simulation")
        .shared(Network { store: store.clone(), world: Arc::clone(world) }, Json)
        .max_staleness(DELTA)
        .shared_timeout(50 * MS)
        .lease_wait(60 * MS)
        .load_timeout(300 * MS)
        .build(Source(Arc::clone(world)))
        .unwrap()
}

async fn read(world: &World, id: usize, node: &Node, key: u64) {
    let required = world.required(id, key);
    if world.dice.percent(30)
        && let Some(version) = node.peek(&key)
    {
        return world.saw(id, key, *version, required);
    }
    match node.get(&key).await {
        Ok(Some(version)) => world.saw(id, key, *version, required),
        Err(Error::Load(_) | Error::LoadPanicked | Error::LoadTimeout(_)) => {}
        other => panic!("a read that the loader could answer: {other:?}"),
    }
}

async fn read_many(world: &World, id: usize, node: &Node) {
    let keys: Vec<u64> = (0..KEYS).collect();
    let required: Vec<u64> = keys.iter().map(|key| world.required(id, *key)).collect();
    for ((key, required), answer) in keys.iter().zip(required).zip(node.get_many(&keys).await) {
        if let Ok(Some(version)) = answer {
            world.saw(id, *key, *version, required);
        }
    }
}

/// Writes the source and invalidates by key, by tag or by everything; at times the caller goes away in between.
async fn update(world: &World, id: usize, node: &Node, key: u64, alone: &tokio::sync::Mutex<()>) {
    let version = {
        let _alone = alone.lock().await; // not while the key is put
        world.write(key)
    };
    let kind = world.dice.below(10);
    let reached: Vec<(u64, u64)> = match kind {
        0 => (0..KEYS).map(|key| (key, world.version(key))).collect(),
        1 | 2 => {
            (0..KEYS).filter(|other| other % 2 == key % 2).map(|key| (key, world.version(key))).collect()
        }
        _ => vec![(key, version)],
    };
    world.note(&format!("node {id} wrote {key} = {version}, invalidates {reached:?}"));
    let invalidation = async {
        match kind {
            0 => node.clear().await,
            1 | 2 => node.invalidate_tag(format!("tag {}", key % 2)).await,
            _ => node.invalidate(&key).await,
        }
    };
    let patience = if world.dice.percent(10) { 3 * MS } else { 3_600_000 * MS };
    if let Ok(delivery) = timeout(patience, invalidation).await {
        world.note(&format!("node {id} invalidated {reached:?}: {delivery:?}"));
        world.invalidated(id, &reached, delivery);
    }
}

async fn act(world: Arc<World>, id: usize, node: Node, writers: Arc<Vec<tokio::sync::Mutex<()>>>) {
    for _ in 0..60 {
        sleep(MS * u32::try_from(world.dice.below(12)).unwrap()).await;
        let key = world.dice.below(KEYS);
        match world.dice.below(20) {
            0..14 => read(&world, id, &node, key).await,
            14 => read_many(&world, id, &node).await,
            15..19 => update(&world, id, &node, key, &writers[usize::try_from(key).unwrap()]).await,
            _ => {
                // Nobody else writes the key while it is put; invalidations of what was written before may arrive meanwhile.
                let _alone = writers[usize::try_from(key).unwrap()].lock().await;
                let version = world.write(key);
                world.note(&format!("node {id} puts {key} = {version}"));
                let delivery = node.put(&key, tagged(key, version)).await;
                world.invalidated(id, &[(key, version)], delivery);
            }
        }
    }
}

async fn run(seed: u64) -> Result<(), String> {
    let world = Arc::new(World {
        dice: Dice(AtomicU64::new(seed.wrapping_mul(0xD134_2543_DE82_EF95))),
        began: Instant::now(),
        versions: (0..KEYS).map(|_| AtomicU64::new(1)).collect(),
        down: AtomicBool::new(false),
        on_node: Mutex::default(),
        anywhere: Mutex::default(),
        history: Mutex::default(),
        violations: Mutex::default(),
    });
    let store = InProcess::new();
    let nodes: Vec<Node> = (0..3).map(|_| node(&world, &store)).collect();
    let writers = Arc::new((0..KEYS).map(|_| tokio::sync::Mutex::new(())).collect::<Vec<_>>());
    let mut actors: Vec<_> = (0..9)
        .map(|actor| {
            tokio::spawn(act(Arc::clone(&world), actor % 3, nodes[actor % 3].clone(), Arc::clone(&writers)))
        })
        .collect();
    actors.push(tokio::spawn(outages(Arc::clone(&world))));
    for actor in actors {
        actor.await.map_err(|error| format!("seed {seed}: {error}"))?;
    }
    world.down.store(false, Ordering::SeqCst);
    while nodes.iter().any(|node| node.stats().deferred > 0) {
        sleep(DELTA).await;
    }
    sleep(DELTA * 10).await; // every late request has arrived, and looks for news get through
    for (id, node) in nodes.iter().enumerate() {
        for key in 0..KEYS {
            if let Ok(Some(version)) = node.get(&key).await {
                world.saw(id, key, *version, world.version(key));
            }
        }
    }
    let violations = world.violations.lock().unwrap();
    match violations.first() {
        None => Ok(()),
        Some(first) => {
            let history = world.history.lock().unwrap();
            Err(format!("seed {seed}: {first}\n{history}"))
        }
    }
}

async fn outages(world: Arc<World>) {
    for _ in 0..2 {
        sleep(MS * u32::try_from(world.dice.below(600)).unwrap()).await;
        world.down.store(true, Ordering::SeqCst);
        sleep(MS * u32::try_from(world.dice.below(400)).unwrap()).await;
        world.down.store(false, Ordering::SeqCst);
    }
}

#[test]
fn no_read_is_older_than_promised() {
    let range = std::env::var("SIMULATION_SEEDS").unwrap_or_else(|_| "0..300".to_owned());
    let (from, to) = range.split_once("..").expect("from..to");
    std::panic::set_hook(Box::new(|_| {})); // loaders panic on purpose
    let mut failed = Vec::new();
    for seed in from.parse::<u64>().unwrap()..to.parse::<u64>().unwrap() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        if let Err(report) = runtime.block_on(run(seed)) {
            failed.push(report);
        }
    }
    let _ = std::panic::take_hook();
    let first_lines: Vec<_> = failed.iter().filter_map(|report| report.lines().next()).collect();
    assert!(failed.is_empty(), "{} seeds failed: {first_lines:#?}\nthe first:\n{}", failed.len(), failed[0]);
}
