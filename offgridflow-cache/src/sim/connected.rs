//! What a node knows of a store beside its answers: how far its sequence was seen to have come.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task_local;
use tokio::time::Instant;

use crate::shared::Asks;
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Fill, Filled, InProcess, Key, Lookup, News, Position,
    Scope, Terms,
};

task_local! {
    /// When the call that is being carried out was sent: what its node has seen since, it did not say.
    pub(super) static SENT: Instant;
}

/// A node's connection to a store that may come back with an older memory. (What the node was answered counts as seen even where the answer
/// is lost.)
#[derive(Debug)]
pub(super) struct Connected {
    store: InProcess,
    seen: Mutex<HashMap<String, Vec<(Instant, Position)>>>,
}

impl Connected {
    pub(super) fn to(store: &InProcess) -> Self {
        Self { store: store.clone(), seen: Mutex::default() }
    }

    /// Before a call: a store that was rolled back may notice it by what its caller had seen.
    fn asks(&self, namespace: &str, asks: Asks) {
        let sent = SENT.try_with(|sent| *sent).unwrap_or_else(|_| Instant::now());
        let seen = {
            let all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let of_namespace = all.get(namespace).into_iter().flatten();
            of_namespace.filter(|(at, _)| *at <= sent).last().map(|(_, seen)| seen.clone())
        };
        self.store.notice(namespace, seen.as_ref(), asks);
    }

    /// After a call.
    fn saw(&self, namespace: &str) {
        let now = self.store.position(namespace);
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(namespace.to_owned()).or_default();
        if seen.last().is_none_or(|(_, last)| *last != now) {
            seen.push((Instant::now(), now));
        }
    }

    fn called<T>(&self, namespace: &str, answer: T) -> T {
        self.saw(namespace);
        answer
    }
}

#[async_trait]
impl CacheBackend for Connected {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let Some(namespace) = keys.first().map(Key::namespace) else { return Ok(Vec::new()) };
        self.asks(namespace, Asks::Look);
        self.called(namespace, self.store.get_or_lease(keys, terms).await)
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let Some(namespace) = fills.first().map(|fill| fill.key.namespace().to_owned()) else {
            return Ok(Vec::new());
        };
        self.asks(&namespace, Asks::Fill);
        self.called(&namespace, self.store.fill_if(fills).await)
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.asks(namespace, Asks::Remove);
        self.called(namespace, self.store.remove(namespace, scope).await)
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        self.asks(namespace, Asks::News);
        self.called(namespace, self.store.news(namespace, seen).await)
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        self.store.messages(namespace)
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}
