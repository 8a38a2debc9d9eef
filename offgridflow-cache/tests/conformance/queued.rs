//! A store behind one connection: a call waits for the one before it, however long that one is held.

use async_trait::async_trait;
use offgridflow_cache::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, InProcess, Key, Lookup, News, Position,
    Scope, Terms,
};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::yield_now;

#[derive(Debug, Default)]
pub(crate) struct Queued(Mutex<InProcess>);

impl Queued {
    /// Waits for its turn, and once more while it has it.
    async fn turn(&self) -> MutexGuard<'_, InProcess> {
        let turn = self.0.lock().await;
        yield_now().await;
        turn
    }
}

#[async_trait]
impl CacheBackend for Queued {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.turn().await.get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.turn().await.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.turn().await.remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.turn().await.news(namespace, seen).await
    }

    fn caps(&self) -> Caps {
        Caps::new("the queue", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }
}
