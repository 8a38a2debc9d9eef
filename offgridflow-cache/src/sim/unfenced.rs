//! Stores of mutants: [`Mutant::FillUnleased`](super::Mutant) and [`Mutant::OwnSequences`](super::Mutant).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::world::World;
use crate::{
    BackendError, BackendStats, CacheBackend, Caps, Change, Fill, FillWith, Filled, Key, Lookup, News,
    Position, Scope, Terms,
};

/// A store that takes a fill without a lease, as SET does.
#[derive(Debug)]
pub(super) struct Unfenced(pub(super) Arc<dyn CacheBackend>);

#[async_trait]
impl CacheBackend for Unfenced {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.0.get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let filled = self.0.fill_if(fills.clone()).await?;
        for (mut fill, filled) in fills.into_iter().zip(filled) {
            if filled == Filled::Stored || !matches!(fill.with, FillWith::Entry(_)) {
                continue;
            }
            let terms = Terms::new(std::time::Duration::from_secs(1));
            let lookups = self.0.get_or_lease(std::slice::from_ref(&fill.key), &terms).await?;
            if let Some(Lookup::Miss(lease)) = lookups.into_iter().next() {
                fill.lease = lease;
                self.0.fill_if(vec![fill]).await?;
            }
        }
        Ok(Vec::new())
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

/// What nodes send each other: numbered by their sender, and lost at times.
#[derive(Debug, Default)]
pub(super) struct Bus(Mutex<HashMap<usize, Inbox>>);

#[derive(Debug, Default)]
struct Inbox {
    sent: u64,                  // the number of the last message that this node sent itself
    heard: HashMap<usize, u64>, // of each other node: the last number that came without a gap
    changes: Vec<Change>,
    gap: bool,
}

impl Bus {
    fn inboxes(&self) -> MutexGuard<'_, HashMap<usize, Inbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn joins(&self, node: usize) {
        let mut inboxes = self.inboxes();
        let heard = inboxes.iter().map(|(other, inbox)| (*other, inbox.sent)).collect();
        inboxes.insert(node, Inbox { heard, ..Inbox::default() });
    }

    /// Sends changes; `lost` says to whom they do not come.
    pub(super) fn send(&self, from: usize, changes: &[Change], lost: impl Fn(usize) -> bool) {
        let mut inboxes = self.inboxes();
        let number = inboxes.get_mut(&from).map_or(0, |own| {
            own.sent += 1;
            own.sent
        });
        let mut to: Vec<_> = inboxes.iter_mut().filter(|(node, _)| **node != from).collect();
        to.sort_unstable_by_key(|(node, _)| **node);
        for (node, inbox) in to {
            if !lost(*node) {
                inbox.hears(from, number - 1, number);
                inbox.changes.extend_from_slice(changes);
            }
        }
    }

    /// Tells everybody the number of one's last message, and takes what came; `None` after a gap.
    pub(super) fn beat(&self, node: usize, lost: impl Fn(usize) -> bool) -> Option<Vec<Change>> {
        let mut inboxes = self.inboxes();
        let number = inboxes.get(&node).map_or(0, |own| own.sent);
        let mut to: Vec<_> = inboxes.iter_mut().filter(|(other, _)| **other != node).collect();
        to.sort_unstable_by_key(|(other, _)| **other);
        for (other, inbox) in to {
            if !lost(*other) {
                inbox.hears(node, number, number);
            }
        }
        let own = inboxes.entry(node).or_default();
        let changes = std::mem::take(&mut own.changes);
        let gap = std::mem::take(&mut own.gap);
        (!gap).then_some(changes)
    }
}

impl Inbox {
    /// A sign of life with the number `now` of a sender whose last message before it had the number `before`.
    fn hears(&mut self, from: usize, before: u64, now: u64) {
        let heard = self.heard.entry(from).or_default();
        self.gap |= *heard < before;
        *heard = now;
    }
}

/// A store whose nodes tell each other what was removed, each in a sequence of its own.
#[derive(Debug)]
pub(super) struct OwnSequences {
    pub(super) store: Arc<dyn CacheBackend>,
    pub(super) bus: Arc<Bus>,
    pub(super) node: usize,
    pub(super) world: Arc<World>,
}

impl OwnSequences {
    fn lost(&self, kind: u64) -> impl Fn(usize) -> bool {
        move |to| {
            let mut site = self.world.site(self.node, 64 + kind * 32 + to as u64);
            let lost = self.world.mishap(&mut site, 1, 15);
            if lost {
                self.world.note(|| format!("node {}: its message to node {to} is lost", self.node));
            }
            lost
        }
    }
}

fn changes(scope: &Scope) -> Vec<Change> {
    match scope {
        Scope::Keys(keys) => keys.iter().map(|key| Change::Key(Bytes::copy_from_slice(key.name()))).collect(),
        Scope::Tags(tags) => tags.iter().cloned().map(Change::Tag).collect(),
        Scope::Namespace => vec![Change::Namespace],
    }
}

#[async_trait]
impl CacheBackend for OwnSequences {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        self.store.get_or_lease(keys, terms).await
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        self.store.fill_if(fills).await
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        let changes = changes(&scope);
        self.store.remove(namespace, scope).await?;
        self.bus.send(self.node, &changes, self.lost(0));
        Ok(())
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        let followed = seen.is_some();
        let mut news = self.store.news(namespace, seen.clone()).await?;
        let heard = self.bus.beat(self.node, self.lost(1));
        if followed && seen.is_some_and(|seen| seen.epoch == news.position.epoch) {
            news.changes = heard;
        }
        Ok(news)
    }

    fn caps(&self) -> Caps {
        self.store.caps()
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S3: a new node invalidates, its message is lost, and it dies before it gives another sign of life.
    #[test]
    fn s3_sequences_of_one_s_own_never_show_the_gap_of_a_node_that_died() {
        let (bus, change) = (Bus::default(), [Change::Namespace]);
        (0..2).for_each(|node| bus.joins(node));
        bus.send(1, &change, |_| true);
        assert_eq!(bus.beat(0, |_| false), Some(vec![]), "no gap, though a removal is missing");
        bus.beat(1, |_| false);
        assert_eq!(bus.beat(0, |_| false), None, "had it lived, its next sign of life would have shown it");
        bus.send(1, &change, |_| false);
        assert_eq!(bus.beat(0, |_| false), Some(change.to_vec()), "and what is not lost arrives");
    }
}
