//! One run: the steps of a plan, on a runtime of its own whose time is simulated.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Builder;
use tokio::time::{Duration, timeout};

use super::Subject;
use super::check::Broken;
use super::history::Seen;
use super::mutant::{Mutant, Probe};
use super::network::Network;
use super::node::Node;
use super::plan::{Act, DELTA_MS, KEYS, Reach, Shape, Step};
use super::source::Source;
use super::store::{Notice, Store};
use super::unfenced::{Bus, OwnSequences, Unfenced};
use super::world::{Mishaps, World};
use crate::CacheBackend;

/// What is run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) steps: Vec<Step>,
    pub(super) mishaps: Mishaps,
    pub(super) subject: Subject,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) broken: Option<Broken>,
    pub(super) mishaps: Vec<u64>,
    pub(super) reads: u64,
    pub(super) notes: Vec<(u64, String)>,
}

/// A run's nodes, and what they share.
struct Fleet<S> {
    world: Arc<World>,
    store: S,
    subject: Subject,
    bus: Arc<Bus>,
    #[cfg(feature = "moka")]
    channel: super::composition::Channel,
    nodes: Mutex<Vec<(usize, Arc<Node>)>>,
    writers: Vec<tokio::sync::Mutex<()>>, // who puts a key writes it alone
}

pub(super) fn play<S: Store>(plan: &Plan, store: S, traced: bool) -> Ran {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else {
        let broken = Broken { promise: "a run begins", how: "there is no runtime".to_owned(), at: 0 };
        return Ran { broken: Some(broken), mishaps: Vec::new(), reads: 0, notes: Vec::new() };
    };
    runtime.block_on(run(plan, store, traced))
}

async fn run<S: Store>(plan: &Plan, store: S, traced: bool) -> Ran {
    let world = Arc::new(World::new(plan.seed, plan.shape.clone(), plan.mishaps.clone(), traced));
    let fleet = Arc::new(Fleet {
        world: Arc::clone(&world),
        store,
        subject: plan.subject,
        bus: Arc::default(),
        #[cfg(feature = "moka")]
        channel: super::composition::Channel::default(),
        nodes: Mutex::default(),
        writers: (0..KEYS).map(|_| tokio::sync::Mutex::default()).collect(),
    });
    for _ in 0..plan.shape.nodes {
        let node = fleet.node();
        fleet.nodes().push(node);
    }
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            let (fleet, step) = (Arc::clone(&fleet), step.clone());
            tokio::spawn(async move {
                fleet.world.linger(step.at).await;
                fleet.act(step.act).await;
            })
        })
        .collect();
    world.linger(plan.steps.last().map_or(0, |step| step.at) + 1).await;
    let panicked = fleet.settle(steps).await;
    let broken = panicked.or_else(|| world.with_history(|history| history.check(&plan.shape.bounds()).err()));
    let reads = world.with_history(|history| history.reads.len() as u64);
    Ran { broken, mishaps: world.drawn(), reads, notes: world.notes() }
}

impl<S: Store> Fleet<S> {
    fn nodes(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Arc<Node>)>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, place: usize) -> (usize, Arc<Node>) {
        self.nodes()[place].clone()
    }

    /// One more node.
    fn node(&self) -> (usize, Arc<Node>) {
        let (world, id) = (Arc::clone(&self.world), self.world.born());
        let store = self.link(id);
        let mutant = self.subject.mutant();
        let source = Source { world: Arc::clone(&world), node: id, probe: Probe::of(mutant) };
        let network = Network { world, node: id, store };
        let node = match self.subject {
            #[cfg(feature = "moka")]
            Subject::Composition => {
                Node::Composition(super::composition::Composition::new(network, source, &self.channel))
            }
            _ => Node::cache(&self.world.shape, network, source),
        };
        (id, Arc::new(node))
    }

    /// The store, as a node with this mutant has it.
    fn link(&self, node: usize) -> Arc<dyn CacheBackend> {
        let store = self.store.connect();
        match self.subject.mutant() {
            Some(Mutant::FillUnleased) => Arc::new(Unfenced(store)),
            Some(Mutant::OwnSequences) => {
                self.bus.joins(node);
                Arc::new(OwnSequences {
                    store,
                    bus: Arc::clone(&self.bus),
                    node,
                    world: Arc::clone(&self.world),
                })
            }
            _ => store,
        }
    }

    async fn act(&self, act: Act) {
        let world = &self.world;
        match act {
            Act::Read { node, key, patience } => self.read(node, key, patience).await,
            Act::Peek { node, key } => self.peek(node, key).await,
            Act::ReadMany { node } => self.read_all(node).await,
            Act::Update { node, key, reach, patience } => self.update(node, key, reach, patience).await,
            Act::Put { node, key } => self.put(node, key).await,
            Act::LeasedPut { node, key, takes } => self.put_leased(node, key, takes).await,
            fault => {
                world.note(|| fault.to_string());
                self.fault(&fault);
            }
        }
    }

    fn fault(&self, act: &Act) {
        let world = &self.world;
        match *act {
            Act::Outage { lasts } => world.away_for(lasts),
            Act::Cut { node, lasts } => world.cut_for(self.at(node).0, lasts),
            Act::Pause { node, lasts } => world.pause_for(self.at(node).0, lasts),
            Act::Starve { node, lasts } => world.starve_for(self.at(node).0, lasts),
            Act::Crash { node } => {
                world.dies(self.at(node).0);
                let another = self.node();
                self.nodes()[node] = another;
            }
            Act::Empty => self.store.empty(),
            Act::Save => self.store.save(),
            Act::Restart => self.store.restart(match self.subject.mutant() {
                Some(Mutant::TrustRollback) => Notice::Never,
                Some(Mutant::BelieveLooks) => Notice::ByNews,
                _ => Notice::ByAll,
            }),
            Act::Jump { millis } => {
                world.jumped();
                self.store.jump(millis);
            }
            _ => {}
        }
    }

    async fn read(&self, place: usize, key: u64, patience: Option<u64>) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let read = self.world.reads(id, key, false);
        self.world.note(|| format!("node {id} reads key {key}"));
        let seen = match patience {
            Some(millis) => timeout(Duration::from_millis(millis), node.get(key)).await.unwrap_or(Seen::Left),
            None => node.get(key).await,
        };
        self.world.saw(read, seen);
    }

    async fn peek(&self, place: usize, key: u64) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let read = self.world.reads(id, key, false);
        self.world.saw(read, node.peek(key));
    }

    async fn read_all(&self, place: usize) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let reads: Vec<_> = (0..KEYS).map(|key| self.world.reads(id, key, false)).collect();
        self.world.note(|| format!("node {id} reads every key"));
        for (read, seen) in reads.into_iter().zip(node.get_all().await) {
            self.world.saw(read, seen);
        }
    }

    /// Writes the source and invalidates; the caller may go away in between.
    async fn update(&self, place: usize, key: u64, reach: Reach, patience: Option<u64>) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let version = {
            let _alone = self.writers[usize::try_from(key).unwrap_or(0)].lock().await;
            self.world.write(key)
        };
        let reached: Vec<_> = (0..KEYS)
            .filter(|other| reach.covers(key, *other))
            .map(|key| (key, self.world.version(key)))
            .collect();
        self.world.note(|| format!("node {id} writes key {key} = {version}, and invalidates: {reach:?}"));
        let removal = self.world.removes(id, reached);
        let invalidation = node.invalidate(reach, key);
        let delivered = match patience {
            Some(millis) => timeout(Duration::from_millis(millis), invalidation).await.ok(),
            None => Some(invalidation.await),
        };
        self.told(id, key, removal, delivered);
    }

    fn told(&self, id: usize, key: u64, removal: usize, delivered: Option<bool>) {
        let what = match delivered {
            Some(true) => "is delivered",
            Some(false) => "is deferred",
            None => "has nobody waiting for it",
        };
        self.world.note(|| format!("node {id}: the invalidation for key {key} {what}"));
        if let Some(delivered) = delivered {
            self.world.removed(removal, delivered);
        }
    }

    async fn put(&self, place: usize, key: u64) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let _alone = self.writers[usize::try_from(key).unwrap_or(0)].lock().await;
        let version = self.world.write(key);
        self.world.note(|| format!("node {id} writes key {key} = {version}, and puts it"));
        let removal = self.world.removes(id, vec![(key, version)]);
        let delivered = node.put(key, version).await;
        self.told(id, key, removal, Some(delivered));
    }

    /// Others may write the key and invalidate it while this is under way.
    async fn put_leased(&self, place: usize, key: u64, takes: u64) {
        let (id, node) = self.at(place);
        self.world.running(id).await;
        let lease = node.lease(key).await;
        let version = {
            let _alone = self.writers[usize::try_from(key).unwrap_or(0)].lock().await;
            self.world.write(key)
        };
        self.world.linger(takes).await;
        self.world.note(|| format!("node {id} wrote key {key} = {version} under a lease, and puts it"));
        let removal = self.world.removes(id, vec![(key, version)]);
        let delivered = node.put_leased(lease, key, version).await;
        self.told(id, key, removal, Some(delivered));
    }

    /// Lets everything end, all be well, and every node read every key.
    async fn settle(&self, steps: Vec<tokio::task::JoinHandle<()>>) -> Option<Broken> {
        self.world.heal();
        for step in steps {
            match timeout(Duration::from_secs(60), step).await {
                Ok(Ok(())) | Err(_) => {} // a read that hangs is found by its promise
                Ok(Err(error)) => {
                    return Some(Broken { promise: "no call panics", how: error.to_string(), at: u64::MAX });
                }
            }
        }
        let nodes: Vec<_> = self.nodes().clone();
        for _ in 0..100 {
            if nodes.iter().all(|(_, node)| node.deferred() == 0) {
                break;
            }
            self.world.linger(DELTA_MS).await;
        }
        if let Some((id, _)) = nodes.iter().find(|(_, node)| node.deferred() > 0) {
            let how = format!("node {id} still has some long after all is well");
            return Some(Broken { promise: "(3) what is deferred is delivered", how, at: u64::MAX });
        }
        self.world.linger(DELTA_MS + 140).await; // and what is late has arrived
        self.world.note(|| "all is well again".to_owned());
        for (id, node) in nodes {
            for key in 0..KEYS {
                let read = self.world.reads(id, key, true);
                let seen = timeout(Duration::from_secs(60), node.get(key)).await;
                if let Ok(seen) = seen {
                    self.world.saw(read, seen);
                }
            }
        }
        None
    }
}
