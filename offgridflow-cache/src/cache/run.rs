//! Running flights: the shared tier, then the loader, then the fills.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use super::settings::LONGEST_TTL;
use super::{Inner, Wire};
use crate::flight::Landing;
use crate::frame;
use crate::{Entry, Error, Fill, FillWith, Held, Key, Lease, Loaded, Loader, Lookup, Terms};

/// First pause before a busy key is asked for again; it doubles up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(32));

/// A flight, with what the shared tier knows it by.
struct Flying<K: Hash + Eq, V, E> {
    landing: Landing<K, V, E>,
    wire: Option<Key>,
    lease: Option<Lease>,
}

/// Brings a batch of flights to their end.
pub(super) async fn run<K, V, L>(inner: Arc<Inner<K, V, L>>, landings: Vec<Landing<K, V, L::Error>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let deadline = Instant::now() + inner.settings.lease_wait;
    let wire_key = |landing: &Landing<K, V, L::Error>| inner.wire.as_ref().map(|wire| wire.key(&landing.key));
    let flying = |landing| Flying { wire: wire_key(&landing), landing, lease: None };
    let flying: Vec<_> = landings.into_iter().map(flying).collect();
    let (to_load, busy) = inner.ask(flying).await;
    if !busy.is_empty() {
        tokio::spawn(wait(Arc::clone(&inner), busy, deadline));
    }
    load(&inner, to_load).await;
}

/// Asks again for keys that another node is loading, until its value is there, its lease is free, or the time is up.
async fn wait<K, V, L>(inner: Arc<Inner<K, V, L>>, mut busy: Vec<Flying<K, V, L::Error>>, deadline: Instant)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let mut pause = PAUSES.0;
    while !busy.is_empty() && Instant::now() < deadline {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
        let (to_load, still) = inner.ask(busy).await;
        busy = still;
        if !to_load.is_empty() {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move { load(&inner, to_load).await });
        }
    }
    load(&inner, busy).await;
}

type Batch<K, V, E> = Vec<Flying<K, V, E>>;

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// The shared tier, unless it may hold what was invalidated here or does not answer.
    fn readable(&self) -> Option<&Wire<K, V>> {
        let passed = self.blind.load(Ordering::Acquire) || self.down.load(Ordering::Acquire);
        self.wire.as_ref().filter(|_| !passed)
    }

    /// One question to the shared tier: lands what it has; gives back what has to be loaded, and what others are loading.
    async fn ask(&self, flying: Batch<K, V, L::Error>) -> (Batch<K, V, L::Error>, Batch<K, V, L::Error>) {
        let Some(wire) = self.readable() else { return (flying, Vec::new()) };
        let (asked, mut to_load): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|one| !one.landing.skip_shared);
        let keys: Vec<Key> = asked.iter().filter_map(|one| one.wire.clone()).collect();
        if keys.is_empty() {
            return (to_load, Vec::new());
        }
        let Some(lookups) = self.look_up(wire, &keys).await else {
            if mutated!(self, FailWithStore) {
                asked.iter().for_each(|one| self.fail(one, Error::Closed));
                return (to_load, Vec::new());
            }
            to_load.extend(asked);
            return (to_load, Vec::new());
        };
        let mut busy = Vec::new();
        for (mut one, lookup) in asked.into_iter().zip(lookups) {
            match lookup {
                Lookup::Fresh(entry) => to_load.extend(self.promote(wire, one, &entry)),
                Lookup::Miss(lease) => {
                    one.lease = Some(lease);
                    to_load.push(one);
                }
                Lookup::Busy if mutated!(self, LoadWhileBusy) => to_load.push(one),
                Lookup::Busy => busy.push(one),
                Lookup::Failed => to_load.push(one),
            }
        }
        (to_load, busy)
    }

    /// What the shared tier has under `keys`. Where it does not answer, reads pass it by until it answers a look for news.
    async fn look_up(&self, wire: &Wire<K, V>, keys: &[Key]) -> Option<Vec<Lookup>> {
        let terms = Terms::new(self.settings.lease());
        let Some(lookups) = self.ask_shared(wire.backend.get_or_lease(keys, &terms)).await else {
            self.down.store(true, Ordering::Release);
            return None;
        };
        if lookups.len() != keys.len() {
            self.counters.shared_errors.add(1);
            return None;
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
        let Some(value) = one.wire.as_ref().and_then(|key| decode(wire, key, &entry.frame)) else {
            self.counters.decode_errors.add(1);
            return Some(one);
        };
        self.counters.shared_hits.add(1);
        let asked = one.landing.began;
        self.land(&one, Loaded { value, ttl: Some(entry.left), tags: entry.tags.clone() }, asked);
        None
    }

    /// Answers the waiters, and keeps the value near unless the key was invalidated meanwhile; whether it was kept. `loaded`
    /// has its final ttl; it was asked for at `asked`.
    fn land(&self, one: &Flying<K, V, L::Error>, loaded: Loaded<Arc<V>>, asked: Instant) -> bool {
        let held = Arc::new(Held {
            value: loaded.value,
            born: if mutated!(self, BornAtLanding) { self.clock.now() } else { one.landing.born },
            name: one.wire.as_ref().map_or(0, |wire| xxh3_64(wire.name())),
            until: Instant::now() + loaded.ttl.unwrap_or_default().min(LONGEST_TTL),
            vouched: asked + self.settings.max_staleness,
            tags: loaded.tags,
        });
        let key = one.landing.key.clone();
        let kept =
            one.landing.land(Ok(Arc::clone(&held)), || self.near.insert(key.clone(), Arc::clone(&held)));
        if !kept && mutated!(self, LandRevoked) {
            self.near.insert(key, held);
        }
        if !kept {
            self.counters.fenced.add(1);
        }
        kept
    }

    /// Loads `keys` in a task of its own, so that a panic is an answer; bounded in number and, with the wait for its turn, in
    /// time. Also when it began.
    async fn load_all(
        self: &Arc<Self>,
        keys: Vec<K>,
    ) -> Result<(Instant, Answers<V, L::Error>), Error<L::Error>> {
        let limit = self.settings.load_timeout;
        let deadline = Instant::now() + limit;
        let late = |_| Error::LoadTimeout(limit);
        let turn = timeout_at(deadline, self.loads.acquire()).await.map_err(late)?;
        let _turn = turn.map_err(|_| Error::Closed)?;
        self.counters.loads.add(keys.len() as u64);
        let (inner, asked, began) = (Arc::clone(self), keys.len(), Instant::now());
        let mut task = tokio::spawn(async move { inner.loader.load_many(keys).await });
        match timeout_at(deadline, &mut task).await {
            Ok(Ok(answers)) if answers.len() == asked => Ok((began, answers)),
            Ok(Ok(answers)) => Err(Error::LoadCount { asked, got: answers.len() }),
            Ok(Err(ended)) if ended.is_panic() => Err(Error::LoadPanicked),
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                task.abort();
                Err(Error::LoadTimeout(limit))
            }
        }
    }

    /// Lands one answer of the loader; what the shared tier should be told about it.
    fn settle(
        &self,
        one: &Flying<K, V, L::Error>,
        answer: Result<Loaded<V>, L::Error>,
        began: Instant,
    ) -> FillWith {
        match answer {
            Ok(loaded) => {
                let loaded = self.with_ttl(loaded);
                let fill = self.fill_with(one, &loaded);
                self.land(one, loaded, began);
                fill
            }
            Err(error) => {
                self.fail(one, Error::Load(Arc::new(error)));
                FillWith::Release
            }
        }
    }

    /// What is loaded, with the ttl it will have: its own or the cache's, shortened at random.
    fn with_ttl(&self, loaded: Loaded<V>) -> Loaded<Arc<V>> {
        let own = if loaded.value.is_some() { self.settings.ttl } else { self.settings.negative_ttl };
        let ttl = self.jittered(loaded.ttl.unwrap_or(own).min(LONGEST_TTL));
        Loaded { value: loaded.value.map(Arc::new), ttl: Some(ttl), tags: loaded.tags }
    }

    /// What goes to the shared tier, if it can be written at all and lives long enough.
    fn fill_with(&self, one: &Flying<K, V, L::Error>, loaded: &Loaded<Arc<V>>) -> FillWith {
        let left = loaded.ttl.unwrap_or_default();
        let Some((wire, key)) = self.wire.as_ref().zip(one.wire.as_ref()).filter(|_| !left.is_zero()) else {
            return FillWith::Release;
        };
        match encode(wire, key, loaded.value.as_deref()) {
            Some(frame) => FillWith::Entry(Entry::new(frame, left, loaded.tags.clone())),
            None => FillWith::Release,
        }
    }

    fn fail(&self, one: &Flying<K, V, L::Error>, error: Error<L::Error>) {
        self.counters.load_errors.add(1);
        one.landing.land(Err(error), || {});
    }

    async fn fill(&self, fills: Vec<Fill>) {
        if let Some(wire) = self.wire.as_ref().filter(|_| !fills.is_empty()) {
            self.ask_shared(wire.backend.fill_if(fills)).await;
        }
    }

    /// Fills a key whose invalidation has just ended. The lease in the shared tier is asked for before the flight lands: whoever
    /// invalidates the key later takes it away, and whoever did so earlier took the flight.
    pub(super) async fn put(self: &Arc<Self>, key: K, value: Loaded<V>) {
        let landing = self.flights.replace(&key, &self.clock, || self.near.remove(&key));
        note_fence!(self, &key);
        let wire = self.wire.as_ref().map(|wire| wire.key(&key));
        let mut one = Flying { landing, wire, lease: None };
        if let Some((wire, name)) = self.readable().zip(one.wire.clone()).filter(|_| !one.landing.skip_shared)
        {
            let lookup = self.look_up(wire, &[name]).await.and_then(|mut lookups| lookups.pop());
            if let Some(Lookup::Miss(lease)) = lookup {
                one.lease = Some(lease);
            }
        }
        let value = self.with_ttl(value);
        let with = self.fill_with(&one, &value);
        let began = one.landing.began;
        let kept = self.land(&one, value, began);
        let with = if kept { with } else { FillWith::Release };
        self.fill(fill(&one, with).into_iter().collect()).await;
    }

    #[expect(clippy::cast_precision_loss, reason = "a random share")]
    fn jittered(&self, ttl: Duration) -> Duration {
        // SplitMix64 of a counter: spread, not secrecy (Steele, Lea & Flood 2014).
        let mut draw = self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((draw ^ (draw >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        ttl.mul_f64(1.0 - self.settings.jitter * unit)
    }
}

type Answers<V, E> = Vec<Result<Loaded<V>, E>>;

async fn load<K, V, L>(inner: &Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    if flying.is_empty() {
        return;
    }
    let keys = flying.iter().map(|one| one.landing.key.clone()).collect();
    let fills = match inner.load_all(keys).await {
        Ok((began, answers)) => {
            let settled = |(one, answer)| fill(one, inner.settle(one, answer, began));
            flying.iter().zip(answers).filter_map(settled).collect()
        }
        Err(error) => {
            flying.iter().for_each(|one| inner.fail(one, error.clone()));
            flying.iter().filter_map(|one| fill(one, FillWith::Release)).collect()
        }
    };
    inner.fill(fills).await;
}

fn fill<K: Hash + Eq, V, E>(one: &Flying<K, V, E>, with: FillWith) -> Option<Fill> {
    Some(Fill { key: one.wire.clone()?, lease: one.lease.clone()?, with })
}

/// The frame of a value, if it can be written. A codec that panics could not write it.
fn encode<K, V: 'static>(wire: &Wire<K, V>, key: &Key, value: Option<&V>) -> Option<Bytes> {
    let encode = |value| catch_unwind(AssertUnwindSafe(|| wire.codec.encode(value))).ok()?.ok();
    let payload = match value {
        Some(value) => Some(encode(value)?),
        None => None,
    };
    Some(frame::encode(wire.schema, key.long_name(), payload.as_deref()))
}

/// The value of a frame, `Some(None)` for an absence; `None` when it is none.
fn decode<K, V: 'static>(wire: &Wire<K, V>, key: &Key, frame: &Bytes) -> Option<Option<Arc<V>>> {
    match frame::decode(wire.schema, key.long_name(), frame).ok()? {
        None => Some(None),
        Some(bytes) => {
            let value = catch_unwind(AssertUnwindSafe(|| wire.codec.decode(bytes))).ok()?.ok()?;
            Some(Some(Arc::new(value)))
        }
    }
}
