use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    BackendStats, CacheBackend, Caps, Change, Entry, Fill, FillWith, Filled, Lease, Lookup, News, Position,
    Scope,
};
use crate::{BackendError, Key};

/// Removals remembered a namespace; who is further behind starts over.
const LOG: usize = 1_024;

/// A shared tier in this process's memory, unbounded: for tests, and for several caches in one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct InProcess {
    spaces: Arc<Mutex<HashMap<String, Space>>>,
    commands: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Space {
    slots: HashMap<Vec<u8>, Slot>,
    sequence: u64,
    floor: u64,
    tags: HashMap<Arc<str>, u64>,
    log: BTreeMap<u64, Vec<Change>>,
    tokens: u64,
}

#[derive(Debug, Default)]
struct Slot {
    stored: Option<(Bytes, Instant, u64, Vec<Arc<str>>)>,
    lease: Option<(Bytes, Instant)>,
}

impl InProcess {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, namespace: &str, work: impl FnOnce(&mut Space) -> T) -> T {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        work(spaces.entry(namespace.to_owned()).or_default())
    }
}

impl Space {
    fn look_up(&mut self, name: &[u8], lease: Duration) -> Lookup {
        let now = Instant::now();
        let (floor, tags) = (self.floor, &self.tags);
        let slot = self.slots.entry(name.to_vec()).or_default();
        if let Some((frame, until, born, of)) = &slot.stored {
            let removed = of.iter().any(|tag| tags.get(tag).is_some_and(|version| version > born));
            if *until > now && *born >= floor && !removed {
                return Lookup::Fresh(Entry { frame: frame.clone(), left: *until - now, tags: of.clone() });
            }
        }
        if slot.lease.as_ref().is_some_and(|(_, until)| *until > now) {
            return Lookup::Busy;
        }
        self.tokens += 1;
        let token = Bytes::copy_from_slice(&self.tokens.to_be_bytes());
        slot.lease = Some((token.clone(), now + lease));
        Lookup::Miss(Lease { token, born: self.sequence })
    }

    fn fill(&mut self, fill: Fill) -> Filled {
        let now = Instant::now();
        let Some(slot) = self.slots.get_mut(fill.key.name()) else { return Filled::Fenced };
        if !slot.lease.as_ref().is_some_and(|(token, until)| *token == fill.lease.token && *until > now) {
            return Filled::Fenced;
        }
        slot.lease = None;
        if let FillWith::Entry(entry) = fill.with {
            slot.stored = Some((entry.frame, now + entry.left, fill.lease.born, entry.tags));
        }
        Filled::Stored
    }

    fn remove(&mut self, scope: Scope) {
        self.sequence += 1;
        let sequence = self.sequence;
        let changes = match scope {
            Scope::Keys(keys) => keys.iter().map(|key| self.remove_key(key)).collect(),
            Scope::Tags(tags) => tags.into_iter().map(|tag| self.remove_tag(tag, sequence)).collect(),
            Scope::Namespace => {
                self.floor = sequence;
                self.slots.clear(); // with them the leases
                vec![Change::Namespace]
            }
        };
        self.log.insert(sequence, changes);
        while self.log.len() > LOG {
            self.log.pop_first();
        }
    }

    fn remove_key(&mut self, key: &Key) -> Change {
        self.slots.remove(key.name());
        Change::Key(Bytes::copy_from_slice(key.name()))
    }

    fn remove_tag(&mut self, tag: Arc<str>, sequence: u64) -> Change {
        self.tags.insert(Arc::clone(&tag), sequence);
        Change::Tag(tag)
    }

    fn news(&self, seen: Option<&Position>) -> News {
        let position = Position { epoch: Bytes::from_static(b"in-process"), sequence: self.sequence };
        let whole =
            seen.filter(|seen| self.sequence == seen.sequence || self.log.contains_key(&(seen.sequence + 1)));
        let since = |seen: &Position| {
            self.log.range(seen.sequence + 1..).flat_map(|(_, changes)| changes.clone()).collect()
        };
        News { position, changes: whole.map(since) }
    }
}

#[async_trait]
impl CacheBackend for InProcess {
    async fn get_or_lease(&self, keys: &[Key], lease: Duration) -> Result<Vec<Lookup>, BackendError> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        Ok(self.with(first.namespace(), |space| {
            keys.iter().map(|key| space.look_up(key.name(), lease)).collect()
        }))
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let fill = |fill: Fill| {
            let namespace = fill.key.namespace().to_owned();
            self.with(&namespace, |space| space.fill(fill))
        };
        Ok(fills.into_iter().map(fill).collect())
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.with(namespace, |space| space.remove(scope));
        Ok(())
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        Ok(self.with(namespace, |space| space.news(seen.as_ref())))
    }

    fn caps(&self) -> Caps {
        Caps::new("the in-process store", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats { commands: self.commands.load(Ordering::Relaxed), errors: 0 }
    }
}
