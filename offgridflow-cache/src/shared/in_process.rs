use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "sim")]
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{
    BackendStats, CacheBackend, Caps, Change, Entry, Fill, FillWith, Filled, Lease, Lookup, News, Position,
    Scope, Terms,
};
#[cfg(feature = "sim")]
use crate::sim::Notice;
use crate::{BackendError, Key};

/// Removals remembered a namespace; who is further behind starts over.
const LOG: usize = 1_024;
/// Removed tags remembered a namespace; beyond it everything older is invalid.
const TAGS: usize = 10_000;
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
    saved: HashMap<String, Space>,
    #[cfg(feature = "sim")]
    skew: Duration,
}

#[derive(Debug, Default)]
#[cfg_attr(feature = "sim", derive(Clone))]
struct Space {
    epoch: u64,
    #[cfg(feature = "sim")]
    run: u64, // in which the epoch was minted
    capacity: usize,
    slots: HashMap<Vec<u8>, Slots>,
    sequence: u64,
    floor: u64,
    tags: HashMap<Arc<str>, u64>,
    log: BTreeMap<u64, Vec<Change>>,
    tokens: u64,
    listeners: Arc<Listeners>,
}

/// Who wants to hear of removals: a channel each, told in the order they came. Receivers of one channel would be woken in an order
/// that tokio draws, and no run of the simulation could be repeated.
#[derive(Debug, Default)]
struct Listeners(Mutex<Vec<watch::Sender<()>>>);

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Vec<watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        self.lock().push(sender);
        receiver
    }

    /// Tells all, and forgets those who are gone.
    fn tell(&self) {
        self.lock().retain(|listener| listener.send(()).is_ok());
    }
}

/// What there is of a key, by schema: removed together.
type Slots = Vec<(u32, Slot)>;

#[derive(Debug, Default)]
#[cfg_attr(feature = "sim", derive(Clone))]
struct Slot {
    stored: Option<Stored>,
    lease: Option<Given>,
}

/// A lease that was given.
#[derive(Debug)]
#[cfg_attr(feature = "sim", derive(Clone))]
struct Given {
    token: Bytes,
    at: Instant,
    until: Instant,
}

#[derive(Debug)]
#[cfg_attr(feature = "sim", derive(Clone))]
struct Stored {
    frame: Bytes,
    fresh: Instant,
    until: Instant, // kept
    born: u64,
    tags: Vec<Arc<str>>,
}

impl Stored {
    fn entry_at(&self, now: Instant) -> Entry {
        let left = self.fresh.saturating_duration_since(now);
        let entry = Entry::new(self.frame.clone(), left, self.tags.clone());
        entry.stale_for(now.saturating_duration_since(self.fresh))
    }
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

impl Slot {
    fn lives_at(&self, now: Instant) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.until > now)
            || self.lease.as_ref().is_some_and(|lease| lease.until > now)
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
            epoch,
            #[cfg(feature = "sim")]
            run,
            capacity: self.capacity,
            ..Space::default()
        };
        work(memory.spaces.entry(namespace.to_owned()).or_insert_with(empty), now)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Faults that only a simulation plays.
#[cfg(feature = "sim")]
impl InProcess {
    pub(crate) fn lose_memory(&self) {
        let mut memory = self.memory();
        (memory.epoch, memory.spaces) = (next_epoch(), HashMap::new());
    }

    pub(crate) fn save_memory(&self) {
        let mut memory = self.memory();
        memory.saved = memory.spaces.clone();
    }

    /// What was saved is there again, values and epochs included, until [`notice`](Self::notice) says so.
    pub(crate) fn restore_memory(&self, notice: Notice) {
        let mut memory = self.memory();
        memory.spaces = memory.saved.clone();
        (memory.epoch, memory.run, memory.notice) = (next_epoch(), next_epoch(), notice);
    }

    /// Gives the namespace another epoch, in which nothing is stored, if it was rolled back and who asks can know: by what it has `seen`,
    /// or by the run where it `checks` that, or does not know the epoch.
    pub(crate) fn notice(&self, namespace: &str, seen: Option<&Position>, checks: bool) {
        let mut memory = self.memory();
        let (run, notice) = (memory.run, memory.notice);
        let Some(space) = memory.spaces.get_mut(namespace) else { return };
        let now = space.position();
        let known = seen.filter(|seen| seen.epoch == now.epoch);
        let behind = known.is_some_and(|seen| seen.sequence > now.sequence);
        let rolled_back = match notice {
            Notice::ByAll => behind || (checks || known.is_none()) && run != space.run,
            Notice::ByNews => checks && run != space.run,
            Notice::Never => false,
        };
        if rolled_back {
            (space.epoch, space.run) = (next_epoch(), run);
            space.slots.clear();
        }
    }

    pub(crate) fn position(&self, namespace: &str) -> Position {
        self.with(namespace, |space, _| space.position())
    }

    pub(crate) fn jump_clock(&self, millis: i64) {
        let mut memory = self.memory();
        let by = Duration::from_millis(millis.unsigned_abs());
        memory.skew =
            if millis < 0 { memory.skew.saturating_sub(by) } else { memory.skew.saturating_add(by) };
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

/// The slot of a schema.
fn slot_of(slots: &mut Slots, schema: u32) -> &mut Slot {
    let place = slots.iter().position(|(of, _)| *of == schema).unwrap_or_else(|| {
        slots.push((schema, Slot::default()));
        slots.len() - 1
    });
    &mut slots[place].1
}

impl Space {
    fn position(&self) -> Position {
        Position { epoch: Bytes::copy_from_slice(&self.epoch.to_be_bytes()), sequence: self.sequence }
    }

    /// Makes room for one more key. What goes is a miss, and its leases are refused.
    fn make_room(&mut self, now: Instant) {
        if self.slots.len() < self.capacity {
            return;
        }
        self.slots.retain(|_, slots| {
            slots.retain(|(_, slot)| slot.lives_at(now));
            !slots.is_empty()
        });
        let surplus = (self.slots.len() + 1).saturating_sub(self.capacity);
        if surplus > 0 {
            let many = surplus.max(self.capacity / 8);
            let names: Vec<_> = self.slots.keys().take(many).cloned().collect(); // in the hash's order: at random
            names.iter().for_each(|name| drop(self.slots.remove(name)));
        }
    }

    fn look_up(&mut self, key: &Key, terms: &Terms, now: Instant) -> Lookup {
        if !self.slots.contains_key(key.name()) {
            self.make_room(now);
        }
        let (floor, tags) = (self.floor, &self.tags);
        let slots = self.slots.entry(key.name().to_vec()).or_default();
        slots.retain(|(schema, slot)| *schema == key.schema() || slot.lives_at(now)); // of a version that is no longer run
        let slot = slot_of(slots, key.schema());
        let valid = slot.stored.as_ref().filter(|stored| {
            let removed = |tag| tags.get(tag).is_some_and(|version| *version > stored.born);
            stored.until > now && stored.born >= floor && !stored.tags.iter().any(removed)
        });
        let entry = valid.map(|stored| stored.entry_at(now));
        let fresh = entry.as_ref().is_some_and(|entry| !entry.left.is_zero());
        let lives =
            |lease: &Given| lease.until > now && now.saturating_duration_since(lease.at) < terms.patience;
        let busy = slot.lease.as_ref().is_some_and(lives);
        match entry {
            Some(entry) if fresh && (busy || !terms.early) => return Lookup::Fresh(entry),
            Some(entry) if busy => return Lookup::Stale(entry, None),
            None if busy => return Lookup::Busy,
            _ => {}
        }
        self.tokens += 1;
        let token: Bytes = [self.epoch, self.tokens].map(u64::to_be_bytes).concat().into(); // no other life's
        slot.lease = Some(Given { token: token.clone(), at: now, until: now + terms.lease });
        let lease = Lease { token, born: self.sequence };
        match entry {
            Some(entry) => Lookup::Stale(entry, Some(lease)),
            None => Lookup::Miss(lease),
        }
    }

    fn fill(&mut self, fill: Fill, now: Instant) -> Filled {
        let Some(slots) = self.slots.get_mut(fill.key.name()) else { return Filled::Fenced };
        let slot = slot_of(slots, fill.key.schema());
        if !slot.lease.as_ref().is_some_and(|given| given.token == fill.lease.token && given.until > now) {
            return Filled::Fenced;
        }
        slot.lease = None;
        if let FillWith::Entry(entry) = fill.with {
            let (fresh, born) = (now + entry.left, fill.lease.born);
            let until = fresh + entry.grace;
            slot.stored = Some(Stored { frame: entry.frame, fresh, until, born, tags: entry.tags });
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
        self.listeners.tell();
    }

    fn remove_key(&mut self, key: &Key) -> Change {
        self.slots.remove(key.name());
        Change::Key(Bytes::copy_from_slice(key.name()))
    }

    fn remove_tag(&mut self, tag: Arc<str>, sequence: u64) -> Change {
        if self.tags.len() >= TAGS && !self.tags.contains_key(&tag) {
            self.tags.clear();
            self.floor = sequence;
        }
        self.tags.insert(Arc::clone(&tag), sequence);
        Change::Tag(tag)
    }

    fn news(&self, seen: Option<&Position>) -> News {
        let position = self.position();
        let known = |since: u64| self.sequence == since || self.log.contains_key(&(since + 1));
        let whole = seen.filter(|seen| seen.epoch == position.epoch && known(seen.sequence));
        let since = |seen: &Position| {
            self.log.range(seen.sequence + 1..).flat_map(|(_, changes)| changes.clone()).collect()
        };
        News { changes: whole.map(since), position }
    }
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

    use super::*;

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
