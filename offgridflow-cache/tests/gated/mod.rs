//! Nodes whose calls of the store and of the source stop at gates.
#![allow(dead_code, reason = "each test file needs a part")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, Cache, CacheBackend, Caps, Fill, Filled, InProcess, Json, Key, Loaded,
    Loader, Lookup, News, Position, Scope, Terms,
};
use tokio::sync::Semaphore;

pub(crate) const DELTA: Duration = Duration::from_secs(2);
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// A place that calls pass, unless it is closed.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) reached: Arc<AtomicU64>,
}

impl Gate {
    pub(crate) fn open() -> Self {
        Self { permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), reached: Arc::default() }
    }

    pub(crate) fn close(&self) {
        self.permits.forget_permits(usize::MAX);
        self.reached.store(0, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS - self.permits.available_permits());
    }

    pub(crate) async fn pass(&self) {
        self.reached.fetch_add(1, Ordering::SeqCst);
        let _pass = self.permits.acquire().await.unwrap();
    }

    /// Until somebody waits here.
    pub(crate) async fn reached(&self) {
        until(|| self.reached.load(Ordering::SeqCst) > 0).await;
    }
}

pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// A store with gates around its calls.
#[derive(Debug, Clone)]
pub(crate) struct Gated {
    pub(crate) store: InProcess,
    pub(crate) link: Arc<dyn CacheBackend>, // to it
    pub(crate) ask: Gate,
    pub(crate) told: Gate,
    pub(crate) fill: Gate,
    pub(crate) remove: Gate,
    pub(crate) news: Gate,
    pub(crate) silent: Arc<AtomicBool>,
    pub(crate) takes_no_removals: Arc<AtomicBool>,
    pub(crate) takes_no_fills: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicU64>,
}

impl Gated {
    pub(crate) fn over(store: &InProcess) -> Self {
        let (link, gate) = (Arc::new(store.clone()), Gate::open);
        let (silent, asked) = (Arc::default(), Arc::default());
        Self {
            store: store.clone(),
            link,
            ask: gate(),
            told: gate(),
            fill: gate(),
            remove: gate(),
            news: gate(),
            silent,
            takes_no_removals: Arc::default(),
            takes_no_fills: Arc::default(),
            asked,
        }
    }

    async fn unless_silent(&self) {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// What a store says that may only be read.
fn unless(refuses: &AtomicBool) -> Result<(), BackendError> {
    let refusal = BackendError::Protocol { backend: "the gated store", what: "that it takes no writes" };
    if refuses.load(Ordering::SeqCst) { Err(refusal) } else { Ok(()) }
}

#[async_trait]
impl CacheBackend for Gated {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.unless_silent().await;
        self.ask.pass().await;
        let answer = self.link.get_or_lease(keys, terms).await;
        self.told.pass().await;
        answer
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.unless_silent().await;
        self.fill.pass().await;
        unless(&self.takes_no_fills)?;
        self.link.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.unless_silent().await;
        self.remove.pass().await;
        unless(&self.takes_no_removals)?;
        self.link.remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.unless_silent().await;
        self.news.pass().await;
        self.link.news(namespace, seen).await
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}

#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) value: Arc<AtomicU64>,
    pub(crate) loads: Arc<AtomicU64>,
    pub(crate) gate: Gate,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self { value: Arc::default(), loads: Arc::default(), gate: Gate::open() }
    }

    pub(crate) fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        self.gate.pass().await;
        Ok(Loaded::value(value).tag("tag"))
    }
}

pub(crate) type Node = Cache<u64, u64, Source>;

pub(crate) fn node(shared: &Gated, source: &Source) -> Node {
    Cache::builder("schedules")
        .shared(shared.clone(), Json)
        .max_staleness(DELTA)
        .shared_timeout(PATIENCE)
        .build(source.clone())
        .unwrap()
}

pub(crate) async fn read(node: &Node) -> u64 {
    *node.get(&1).await.unwrap().unwrap()
}

pub(crate) fn reading(node: &Node) -> tokio::task::JoinHandle<u64> {
    let node = node.clone();
    tokio::spawn(async move { read(&node).await })
}
