use std::collections::HashMap;
#[cfg(feature = "sim")]
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "sim")]
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

#[cfg(feature = "sim")]
pub(crate) use self::faults::Asks;
use self::space::Space;
use super::{BackendStats, CacheBackend, Caps, Fill, Filled, Lookup, News, Position, Scope, Terms};
#[cfg(feature = "sim")]
use crate::sim::Notice;
use crate::{BackendError, Key};

#[cfg(feature = "sim")]
mod faults;
mod listeners;
mod space;

/// Keys kept a namespace, unless another number is given.
const KEYS: usize = 100_000;

/// A shared tier in this process's memory: for tests, and for several caches in one process. Clones share it.
///
/// A namespace keeps at most 100 000 keys, or as many as [`with_capacity`](Self::with_capacity) says; when it is full, what is
/// expired goes, then an eighth of the rest at random.
#[derive(Clone)]
pub struct InProcess {
    memory: Arc<Mutex<Memory>>,
    commands: Arc<AtomicU64>,
    capacity: usize,
}

/// What a restart loses.
#[derive(Debug)]
struct Memory {
    epoch: u64,
    spaces: HashMap<String, Space>,
    #[cfg(feature = "sim")]
    run: u64, // of the store; another after each restart
    #[cfg(feature = "sim")]
    notice: Notice,
    #[cfg(feature = "sim")]
    scripts: HashSet<Asks>, // that it knows since it was started
    #[cfg(feature = "sim")]
    saved: HashMap<String, Space>,
    #[cfg(feature = "sim")]
    skew: Duration,
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl InProcess {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(KEYS)
    }

    /// An empty store that keeps at most `keys` keys a namespace, and at least one.
    #[must_use]
    pub fn with_capacity(keys: usize) -> Self {
        Self { memory: Arc::default(), commands: Arc::default(), capacity: keys.max(1) }
    }

    /// Works on a namespace, with the store's own time.
    fn with<T>(&self, namespace: &str, work: impl FnOnce(&mut Space, Instant) -> T) -> T {
        self.commands.fetch_add(1, Ordering::Relaxed);
        let mut memory = self.memory();
        let (epoch, now) = (memory.epoch, memory.now());
        #[cfg(feature = "sim")]
        let run = memory.run;
        let empty = || Space {
            #[cfg(feature = "sim")]
            run,
            ..Space::new(epoch, self.capacity)
        };
        work(memory.spaces.entry(namespace.to_owned()).or_insert_with(empty), now)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            epoch: next_epoch(),
            spaces: HashMap::new(),
            #[cfg(feature = "sim")]
            run: next_epoch(),
            #[cfg(feature = "sim")]
            notice: Notice::ByAll,
            #[cfg(feature = "sim")]
            scripts: HashSet::new(),
            #[cfg(feature = "sim")]
            saved: HashMap::new(),
            #[cfg(feature = "sim")]
            skew: Duration::from_secs(3_600), // so that it can jump back as well
        }
    }
}

impl Memory {
    #[cfg(feature = "sim")]
    fn now(&self) -> Instant {
        Instant::now() + self.skew
    }

    #[cfg(not(feature = "sim"))]
    #[expect(clippy::unused_self, reason = "with the feature `sim` it has a clock of its own")]
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Another in every life of every store of the process.
fn next_epoch() -> u64 {
    static EPOCHS: AtomicU64 = AtomicU64::new(0);
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

#[async_trait]
impl CacheBackend for InProcess {
    async fn get_or_lease(&self, keys: &[Key], terms: &Terms) -> Result<Vec<Lookup>, BackendError> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        Ok(self.with(first.namespace(), |space, now| {
            keys.iter().map(|key| space.look_up(key, terms, now)).collect()
        }))
    }

    async fn fill_if(&self, fills: Vec<Fill>) -> Result<Vec<Filled>, BackendError> {
        let fill = |fill: Fill| {
            let namespace = fill.key.namespace().to_owned();
            self.with(&namespace, |space, now| space.fill(fill, now))
        };
        Ok(fills.into_iter().map(fill).collect())
    }

    async fn remove(&self, namespace: &str, scope: Scope) -> Result<(), BackendError> {
        self.with(namespace, |space, _| space.remove(scope));
        Ok(())
    }

    async fn news(&self, namespace: &str, seen: Option<Position>) -> Result<News, BackendError> {
        Ok(self.with(namespace, |space, _| space.news(seen.as_ref())))
    }

    fn messages(&self, namespace: &str) -> Option<watch::Receiver<()>> {
        Some(self.with(namespace, |space, _| space.listeners.add()))
    }

    fn caps(&self) -> Caps {
        Caps::new("the in-process store", true)
    }

    fn stats(&self) -> BackendStats {
        BackendStats { commands: self.commands.load(Ordering::Relaxed), ..BackendStats::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::space::TAGS;
    use super::*;
    use crate::{Entry, FillWith};

    #[tokio::test(start_paused = true)]
    async fn a_full_store_keeps_its_bound_and_drops_what_is_expired_first() {
        let (store, second) = (InProcess::with_capacity(16), Duration::from_secs(1));
        let key = |n: u64| Key::new(&"test".into(), 1, &n);
        let fill = async |n: u64, ttl: Duration| {
            let Lookup::Miss(lease) =
                store.get_or_lease(&[key(n)], &Terms::new(second)).await.unwrap().remove(0)
            else {
                panic!("a miss")
            };
            let entry = Entry::new(Bytes::from_static(b"v"), ttl, Vec::new());
            store.fill_if(vec![Fill::new(key(n), lease, FillWith::Entry(entry))]).await.unwrap()
        };
        for n in 0..8 {
            fill(n, second).await;
        }
        tokio::time::advance(second * 2).await;
        for n in 8..24 {
            assert_eq!(fill(n, second).await, [Filled::Stored]);
        }
        let size = || store.with("test", |space, _| space.slots.len());
        assert_eq!(size(), 16, "the expired went, and nothing else");
        for n in 24..1_000 {
            fill(n, second).await;
            assert!(size() <= 16);
        }
    }

    #[test]
    fn removed_tags_keep_their_bound_on_the_safe_side() {
        let store = InProcess::new();
        let born = store.with("test", |space, _| space.sequence);
        let many = (0..=TAGS).map(|n| n.to_string().into()).collect();
        store.with("test", |space, _| space.remove(Scope::Tags(many)));
        store.with("test", |space, _| {
            assert!(space.tags.len() <= TAGS);
            assert!(space.floor > born, "what is forgotten concerns everything older");
        });
    }
}
