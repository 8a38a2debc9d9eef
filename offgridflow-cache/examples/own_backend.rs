//! A shared tier of one's own, and the checks that say whether it keeps what the cache relies on.
//!
//! `cargo run -p offgridflow-cache --example own_backend --features conformance`

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use offgridflow_cache::{
    BackendError, BackendStats, CacheBackend, Caps, Change, Entry, Fill, FillWith, Filled, Key, Lease,
    Lookup, News, Position, Scope, Terms, conformance,
};
use tokio::time::Instant;

/// Removals that are remembered; who missed more is told so.
const LOG: u64 = 1_000;

/// Times are cut down to this: a clock does not count to the end of every `Duration`.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Maps under a lock. Nothing is ever evicted: a real store would bound its slots and tags.
#[derive(Debug, Default)]
struct Shelf(Mutex<HashMap<String, Space>>);

#[derive(Debug, Default)]
struct Space {
    slots: HashMap<Vec<u8>, Slot>,
    removed_tags: HashMap<Arc<str>, u64>, // when, in the sequence of removals
    log: BTreeMap<u64, Vec<Change>>,
    sequence: u64,
    tokens: u64,
}

/// A value and a lease may stand side by side: while one loads, others may still read.
#[derive(Debug, Default)]
struct Slot {
    value: Option<(Entry, Instant, u64)>, // until when it is valid, and how old it is in the sequence
    lease: Option<(Bytes, Instant)>,
}

impl Shelf {
    fn with<T>(&self, namespace: &str, work: impl FnOnce(&mut Space) -> T) -> T {
        work(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(namespace.to_owned()).or_default())
    }
}

impl Space {
    fn look_up(&mut self, key: &Key, terms: &Terms) -> Lookup {
        let (now, removed_tags) = (Instant::now(), &self.removed_tags);
        let slot = self.slots.entry(key.name().to_vec()).or_default();
        if let Some((entry, until, born)) = &slot.value {
            let removed = entry.tags.iter().any(|tag| removed_tags.get(tag).is_some_and(|at| at > born));
            if *until > now && !removed {
                return Lookup::Fresh(Entry::new(entry.frame.clone(), *until - now, entry.tags.clone()));
            }
        }
        if slot.lease.as_ref().is_some_and(|(_, until)| *until > now) {
            return Lookup::Busy;
        }
        self.tokens += 1;
        let token = Bytes::copy_from_slice(&self.tokens.to_be_bytes());
        slot.lease = Some((token.clone(), now + terms.lease.min(LONGEST)));
        Lookup::Miss(Lease::new(token, self.sequence)) // as old as the lease, not as the fill: tags removed meanwhile count
    }

    fn fill(&mut self, fill: Fill) -> Filled {
        let now = Instant::now();
        let Some(slot) = self.slots.get_mut(fill.key.name()) else { return Filled::Fenced };
        if !slot.lease.as_ref().is_some_and(|(token, until)| *token == fill.lease.token && *until > now) {
            return Filled::Fenced;
        }
        slot.lease = None;
        if let FillWith::Entry(entry) = fill.with {
            slot.value = Some((entry.clone(), now + entry.left.min(LONGEST), fill.lease.born));
        }
        Filled::Stored
    }

    fn remove(&mut self, scope: Scope) {
        self.sequence += 1;
        let sequence = self.sequence;
        let changes = match scope {
            Scope::Keys(keys) => keys.iter().map(|key| self.remove_key(key)).collect(),
            Scope::Tags(tags) => {
                self.removed_tags.extend(tags.iter().map(|tag| (Arc::clone(tag), sequence)));
                tags.into_iter().map(Change::Tag).collect()
            }
            Scope::Namespace => {
                self.slots.clear(); // with them the leases
                vec![Change::Namespace]
            }
        };
        self.log.insert(sequence, changes);
        self.log = self.log.split_off(&(sequence + 1).saturating_sub(LOG));
    }

    fn remove_key(&mut self, key: &Key) -> Change {
        self.slots.remove(key.name()); // with it its lease
        Change::Key(Bytes::copy_from_slice(key.name()))
    }

    fn news(&self, seen: Option<&Position>) -> News {
        let position = Position { epoch: Bytes::from_static(b"one life"), sequence: self.sequence };
        let known = |since: u64| since == self.sequence || self.log.contains_key(&(since + 1));
        let followed = seen.filter(|seen| seen.epoch == position.epoch && known(seen.sequence));
        let since = |seen: &Position| {
            self.log.range(seen.sequence + 1..).flat_map(|(_, changes)| changes.clone()).collect()
        };
        News { position: position.clone(), changes: followed.map(since) }
    }
}

#[async_trait]
impl CacheBackend for Shelf {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        Ok(self.with(first.namespace(), |space| keys.iter().map(|key| space.look_up(key, terms)).collect()))
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
        Caps::new("the shelf", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let report = conformance::run(Arc::new(Shelf::default())).await;
    print!("{report}");
    assert!(report.passed());
}
