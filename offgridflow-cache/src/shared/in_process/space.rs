//! A namespace of the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::listeners::Listeners;
use crate::shared::LONGEST;
use crate::{Change, Entry, Fill, FillWith, Filled, Key, Lease, Lookup, News, Position, Scope, Terms};

/// Removals remembered a namespace; who is further behind starts over.
const LOG: usize = 1_024;
/// Removed tags remembered a namespace; beyond it everything older is invalid.
pub(super) const TAGS: usize = 10_000;

#[derive(Debug, Default)]
#[cfg_attr(feature = "sim", derive(Clone))]
pub(super) struct Space {
    pub(super) epoch: u64,
    #[cfg(feature = "sim")]
    pub(super) run: u64, // in which the epoch was minted
    pub(super) capacity: usize,
    pub(super) slots: HashMap<Vec<u8>, Slots>,
    pub(super) sequence: u64,
    pub(super) floor: u64,
    pub(super) tags: HashMap<Arc<str>, u64>,
    pub(super) log: BTreeMap<u64, Vec<Change>>,
    pub(super) tokens: u64,
    pub(super) listeners: Arc<Listeners>,
}

/// What there is of a key, by schema: removed together.
pub(super) type Slots = Vec<(u32, Slot)>;

#[derive(Debug, Default)]
#[cfg_attr(feature = "sim", derive(Clone))]
pub(super) struct Slot {
    stored: Option<Stored>,
    lease: Option<Given>,
}

/// A lease that was given.
#[derive(Debug)]
#[cfg_attr(feature = "sim", derive(Clone))]
pub(super) struct Given {
    token: Bytes,
    at: Instant,
    until: Instant,
}

#[derive(Debug)]
#[cfg_attr(feature = "sim", derive(Clone))]
pub(super) struct Stored {
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

impl Slot {
    fn lives_at(&self, now: Instant) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.until > now)
            || self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }
}

/// When so much time will have passed.
fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(LONGEST)
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
    pub(super) fn new(epoch: u64, capacity: usize) -> Self {
        Self { epoch, capacity, ..Self::default() }
    }

    pub(super) fn position(&self) -> Position {
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

    pub(super) fn look_up(&mut self, key: &Key, terms: &Terms, now: Instant) -> Lookup {
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
        slot.lease = Some(Given { token: token.clone(), at: now, until: after(now, terms.lease) });
        let lease = Lease { token, born: self.sequence };
        match entry {
            Some(entry) => Lookup::Stale(entry, Some(lease)),
            None => Lookup::Miss(lease),
        }
    }

    pub(super) fn fill(&mut self, fill: Fill, now: Instant) -> Filled {
        let Some(slots) = self.slots.get_mut(fill.key.name()) else { return Filled::Fenced };
        let slot = slot_of(slots, fill.key.schema());
        if !slot.lease.as_ref().is_some_and(|given| given.token == fill.lease.token && given.until > now) {
            return Filled::Fenced;
        }
        slot.lease = None;
        if let FillWith::Entry(entry) = fill.with {
            let (fresh, born) = (after(now, entry.left), fill.lease.born);
            let until = after(fresh, entry.grace);
            slot.stored = Some(Stored { frame: entry.frame, fresh, until, born, tags: entry.tags });
        }
        Filled::Stored
    }

    pub(super) fn remove(&mut self, scope: Scope) {
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

    pub(super) fn news(&self, seen: Option<&Position>) -> News {
        let position = self.position();
        let known = |since: u64| self.sequence == since || self.log.contains_key(&(since + 1));
        let whole = seen.filter(|seen| seen.epoch == position.epoch && known(seen.sequence));
        let since = |seen: &Position| {
            self.log.range(seen.sequence + 1..).flat_map(|(_, changes)| changes.clone()).collect()
        };
        News { changes: whole.map(since), position }
    }
}
