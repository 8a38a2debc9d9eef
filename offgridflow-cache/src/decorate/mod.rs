//! What wraps a shared tier: each is a [`CacheBackend`] over another.

mod breaker;
mod chaos;
mod circuit;
mod metered;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::breaker::{Breaker, BreakerSettings};
pub use self::chaos::{Chaos, Faults};
pub use self::metered::{Calls, Metered, Metering};
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, Key, Lookup, News, Position, Scope, Terms,
};

#[async_trait]
impl<B: CacheBackend + ?Sized> CacheBackend for Arc<B> {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        (**self).get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        (**self).fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        (**self).remove(namespace, scope).await
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        (**self).news(namespace, seen).await
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        (**self).messages(namespace)
    }

    fn caps(&self) -> Caps {
        (**self).caps()
    }

    fn stats(&self) -> BackendStats {
        (**self).stats()
    }
}
