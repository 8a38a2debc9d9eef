//! Running flights: the shared tier, then the loader.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::nested::{self, Within};
use super::round::load;
use super::{Inner, Wire};
use crate::flight::Landing;
use crate::loader::Fate;
use crate::near::nanos;
use crate::{Entry, Error, Key, Lease, Loaded, Loader, Lookup, Terms};

/// First pause before a busy key is asked for again; it doubles up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(32));

/// Keys that the shared tier is asked for, or given, at once: each call has a time-out of its own.
pub(super) const PORTION: usize = 512;

/// A flight, with what the shared tier knows it by.
pub(super) struct Flying<K: Hash + Eq, V, E> {
    pub(super) landing: Landing<K, V, E>,
    pub(super) wire: Option<Key>,
    pub(super) lease: Option<Lease>,
    pub(super) purpose: Purpose,
}

/// Why keys are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits.
    Read,
    /// Nobody does: there is a value, which is to be replaced.
    Refresh,
}

/// What a batch of flights is opened for.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) purpose: Purpose,
    /// The loads that wait for it.
    pub(super) within: Within,
}

impl Errand {
    /// Of the current task, which waits.
    pub(super) fn read() -> Self {
        Self { purpose: Purpose::Read, within: nested::within() }
    }

    /// Behind the readers' backs: no load waits for it.
    pub(super) fn refresh() -> Self {
        Self { purpose: Purpose::Refresh, within: Within::default() }
    }
}

/// Brings a batch of flights to their end.
pub(super) async fn run<K, V, L>(
    inner: Arc<Inner<K, V, L>>,
    landings: Vec<Landing<K, V, L::Error>>,
    errand: Errand,
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let deadline = Instant::now() + inner.settings.longest_wait();
    let wire_key = |landing: &Landing<K, V, L::Error>| inner.wire.as_ref().map(|wire| wire.key(&landing.key));
    let flying = |landing| Flying { wire: wire_key(&landing), landing, lease: None, purpose: errand.purpose };
    let flying: Vec<_> = landings.into_iter().map(flying).collect();
    let (to_load, busy) = inner.ask(flying, errand.purpose).await;
    if !busy.is_empty() {
        tokio::spawn(in_span!(wait(Arc::clone(&inner), busy, deadline, errand.clone())));
    }
    load(&inner, to_load, &errand).await;
}

/// Asks again for keys that another node is loading, until its value is there, its lease is free, or the time is up.
async fn wait<K, V, L>(
    inner: Arc<Inner<K, V, L>>,
    mut busy: Batch<K, V, L::Error>,
    deadline: Instant,
    errand: Errand,
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let mut pause = PAUSES.0;
    while !busy.is_empty() && Instant::now() < deadline {
        sleep_until(deadline.min(Instant::now() + pause)).await;
        pause = (pause * 2).min(PAUSES.1);
        let (to_load, still) = inner.ask(busy, Purpose::Read).await;
        busy = still;
        if !to_load.is_empty() {
            let (inner, errand) = (Arc::clone(&inner), errand.clone());
            tokio::spawn(in_span!(async move { load(&inner, to_load, &errand).await }));
        }
    }
    load(&inner, busy, &errand).await;
}

pub(super) type Batch<K, V, E> = Vec<Flying<K, V, E>>;

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// The shared tier, unless it may hold what was invalidated here or does not answer.
    pub(super) fn readable(&self) -> Option<&Wire<K, V>> {
        let passed = self.blind.load(Ordering::Acquire) || self.down.load(Ordering::Acquire);
        self.wire.as_ref().filter(|_| !passed)
    }

    /// One question to the shared tier: lands what it has; gives back what has to be loaded, and what others are loading.
    async fn ask(
        &self,
        flying: Batch<K, V, L::Error>,
        purpose: Purpose,
    ) -> (Batch<K, V, L::Error>, Batch<K, V, L::Error>) {
        let Some(wire) = self.readable() else { return (flying, Vec::new()) };
        let (asked, mut to_load): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|one| !one.landing.skip_shared);
        let keys: Vec<Key> = asked.iter().filter_map(|one| one.wire.clone()).collect();
        if keys.is_empty() {
            return (to_load, Vec::new());
        }
        let Some(lookups) = self.look_up(wire, &keys, purpose).await else {
            if mutated!(self, FailWithStore) {
                asked.iter().for_each(|one| self.fail(one, Error::Closed));
                return (to_load, Vec::new());
            }
            to_load.extend(asked);
            return (to_load, Vec::new());
        };
        let (mut busy, mut unreadable) = (Vec::new(), Vec::new());
        for (mut one, lookup) in asked.into_iter().zip(lookups) {
            match lookup {
                Lookup::Fresh(entry) => unreadable.extend(self.promote(wire, one, &entry)),
                Lookup::Stale(entry, Some(lease)) => {
                    one.lease = Some(lease);
                    self.set_aside(wire, &one, &entry);
                    to_load.push(one);
                }
                Lookup::Stale(entry, None) => {
                    self.set_aside(wire, &one, &entry);
                    busy.push(one);
                }
                Lookup::Miss(lease) => {
                    one.lease = Some(lease);
                    to_load.push(one);
                }
                Lookup::Busy if mutated!(self, LoadWhileBusy) => to_load.push(one),
                Lookup::Busy => busy.push(one),
                Lookup::Failed => to_load.push(one),
            }
        }
        to_load.extend(self.lease_unreadable(wire, unreadable).await);
        (to_load, busy)
    }

    /// Leases for keys whose frames are no values, so that what is loaded replaces them. It costs a trip, and only where there are any.
    /// Where somebody else is about to replace one, there is none.
    async fn lease_unreadable(
        &self,
        wire: &Wire<K, V>,
        mut unreadable: Batch<K, V, L::Error>,
    ) -> Batch<K, V, L::Error> {
        let keys: Vec<Key> = unreadable.iter().filter_map(|one| one.wire.clone()).collect();
        if keys.is_empty() {
            return unreadable;
        }
        let lookups = self.look_up(wire, &keys, Purpose::Refresh).await.unwrap_or_default();
        for (one, lookup) in unreadable.iter_mut().zip(lookups) {
            if let Lookup::Stale(_, Some(lease)) | Lookup::Miss(lease) = lookup {
                one.lease = Some(lease);
            }
        }
        unreadable
    }

    /// What the shared tier has under `keys`. Where it does not answer, reads pass it by until it answers a look for news.
    pub(super) async fn look_up(
        &self,
        wire: &Wire<K, V>,
        keys: &[Key],
        purpose: Purpose,
    ) -> Option<Vec<Lookup>> {
        let terms = Terms::new(self.settings.lease()).patience(self.settings.lease_wait);
        let terms = Terms { early: purpose == Purpose::Refresh, ..terms };
        let mut lookups = Vec::with_capacity(keys.len());
        for portion in keys.chunks(PORTION) {
            let asked = || wire.backend.get_or_lease(portion, &terms);
            let Some(found) = self.ask_shared(wire, asked).await else {
                self.down.store(true, Ordering::Release);
                return None;
            };
            if found.len() != portion.len() {
                self.counters.shared_errors.add(1);
                return None;
            }
            lookups.extend(found);
        }
        Some(lookups)
    }

    /// Lands what the shared tier has; gives the flight back when its bytes are no value.
    fn promote(
        &self,
        wire: &Wire<K, V>,
        one: Flying<K, V, L::Error>,
        entry: &Entry,
    ) -> Option<Flying<K, V, L::Error>> {
        let Some(value) = one.wire.as_ref().and_then(|key| wire.decode(key, &entry.frame)) else {
            self.counters.decode_errors.add(1);
            event!(WARN, self, "a frame of the shared tier is damaged, another's, or cannot be decoded");
            return Some(one);
        };
        self.count_shared_hit(&one, !one.landing.has_offered());
        let loaded = Loaded { value, fate: Fate::Loaded, ttl: Some(entry.left), tags: entry.tags.clone() };
        self.land(&one, loaded, one.landing.began, self.typical_cost());
        None
    }

    /// A refresh is no read, and a flight is one hit at most.
    fn count_shared_hit(&self, one: &Flying<K, V, L::Error>, first: bool) {
        self.counters.shared_hits.add(u64::from(first && one.purpose == Purpose::Read));
    }

    /// Offers a stale value of the shared tier to who waits, and keeps it near, to be served for as long as it may: until the flight lands, or if it cannot.
    fn set_aside(&self, wire: &Wire<K, V>, one: &Flying<K, V, L::Error>, entry: &Entry) {
        let fresh = self.watch.exact().saturating_add(nanos(entry.left)).saturating_sub(nanos(entry.stale));
        let mut fresher = false;
        self.near.peek(&one.landing.key, &mut |held| fresher = held.fresh >= fresh);
        if fresher || self.settings.grace() <= entry.stale {
            return;
        }
        let Some(value) = one.wire.as_ref().and_then(|key| wire.decode(key, &entry.frame)) else {
            self.counters.decode_errors.add(1);
            return;
        };
        let loaded = Loaded { value, fate: Fate::Loaded, ttl: None, tags: entry.tags.clone() };
        let held = Arc::new(self.held(one, loaded, fresh, one.landing.began, Duration::ZERO));
        one.landing.meanwhile(|key| self.keep_near(key, Arc::clone(&held)));
        let usable = entry.stale < self.settings.stale_while_revalidate;
        let first = one.landing.offer(held);
        self.count_shared_hit(one, first && usable);
    }
}
