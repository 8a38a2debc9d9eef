//! A source whose value counts its loads, and nodes over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use offgridflow_cache::{Cache, CacheBuilder, Loaded, Loader};
use tokio::time::sleep;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// A source whose value is the number of the load, that can be slow and can fail.
#[derive(Clone, Default)]
pub(crate) struct Source {
    loads: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    takes_millis: Arc<AtomicU64>,
}

impl Source {
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    pub(crate) fn take(&self, time: Duration) {
        self.takes_millis.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the source is down")]
pub(crate) struct Down;

impl Loader<u64, u64> for Source {
    type Error = Down;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Down> {
        let number = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(Duration::from_millis(self.takes_millis.load(Ordering::SeqCst))).await;
        if self.fails.load(Ordering::SeqCst) { Err(Down) } else { Ok(Loaded::value(number).tag("tag")) }
    }
}

pub(crate) type Node = Cache<u64, u64, Source>;

pub(crate) fn builder() -> CacheBuilder<u64, u64> {
    Cache::builder("fresh").ttl(TTL).jitter(0.0)
}

pub(crate) fn node(builder: CacheBuilder<u64, u64>) -> (Node, Source) {
    let source = Source::default();
    (builder.build(source.clone()).unwrap(), source)
}

pub(crate) async fn read(node: &Node) -> u64 {
    *node.get(&1).await.unwrap().expect("a value")
}

/// Lets what was spawned run.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}
