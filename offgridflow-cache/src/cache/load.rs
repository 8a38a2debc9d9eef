//! Loads: the loader's answers, near and in the shared tier.

use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep_until};
use xxhash_rust::xxh3::xxh3_64;

use super::Inner;
use super::round::fill;
use super::run::{Batch, Errand, Flying, PORTION, Purpose};
use super::settings::LONGEST_TTL;
use crate::failures::Failure;
use crate::loader::Fate;
use crate::near::nanos;
use crate::random::share;
use crate::tags::Tags;
use crate::{Entry, Error, Fill, FillWith, Held, Loaded, Loader, Lookup};

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// What a load takes here, as a moving average.
    pub(super) fn typical_cost(&self) -> Duration {
        Duration::from_nanos(self.typical_cost.load(Ordering::Relaxed))
    }

    fn learn_cost(&self, cost: Duration) {
        let (cost, typical) = (nanos(cost), self.typical_cost.load(Ordering::Relaxed));
        let next = if typical == 0 { cost } else { typical - typical / 8 + cost / 8 };
        self.typical_cost.store(next, Ordering::Relaxed); // of two at once one is forgotten
    }

    /// Answers the waiters, and keeps the value near unless the key was invalidated meanwhile; whether it was kept. `loaded`
    /// has its final ttl; it was asked for at `asked`.
    pub(super) fn land(
        &self,
        one: &Flying<K, V, L::Error>,
        loaded: Loaded<Arc<V>>,
        asked: Instant,
        cost: Duration,
    ) -> bool {
        self.watch.check();
        let fresh = self.watch.at(Instant::now() + loaded.ttl.unwrap_or_default().min(LONGEST_TTL));
        let held = Arc::new(self.held(one, loaded, fresh, asked, cost));
        self.failures.forget(&one.landing.key);
        let key = one.landing.key.clone();
        let keep = || self.keep_near(&key, Arc::clone(&held));
        let kept = one.landing.land(Ok(Arc::clone(&held)), keep);
        if !kept && mutated!(self, LandRevoked) {
            keep();
        }
        if !kept {
            self.counters.fenced.add(1);
        }
        kept
    }

    /// A value as the near tier keeps it, asked for at `asked` and fresh until `fresh`.
    pub(super) fn held(
        &self,
        one: &Flying<K, V, L::Error>,
        loaded: Loaded<Arc<V>>,
        fresh: u64,
        asked: Instant,
        cost: Duration,
    ) -> Held<V> {
        let born = if mutated!(self, BornAtLanding) { self.clock.now() } else { one.landing.born };
        Held {
            value: loaded.value,
            born,
            checked: AtomicU64::new(born),
            calm: self.calm_until(fresh, cost),
            fresh,
            doubted: self.watch.at(asked).saturating_add(self.half_delta),
            cost: nanos(cost),
            name: one.wire.as_ref().map_or(0, |wire| xxh3_64(wire.name())),
            tags: Tags::of(loaded.tags),
        }
    }

    /// Waits for a turn. A load that another load waits for has that one's: it must not wait for what that one holds.
    pub(super) async fn turn(
        &self,
        flying: &Batch<K, V, L::Error>,
        errand: &Errand,
        deadline: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, Error<L::Error>> {
        if errand.purpose == Purpose::Read && !errand.within.is_empty() {
            return Ok(None);
        }
        let mut turn = pin!(self.loads.acquire());
        loop {
            let hurry = self.hurry.notified(); // counts from here on, so that nothing is missed in between
            if flying.iter().any(|one| one.landing.is_hurried()) {
                return Ok(None);
            }
            tokio::select! {
                biased;
                turn = &mut turn => return turn.map(Some).map_err(|_| Error::Closed),
                () = hurry => {}
                () = sleep_until(deadline) => return Err(Error::LoadTimeout(self.settings.load_timeout)),
            }
        }
    }

    /// Lands one answer of the loader; what the shared tier should be told about it.
    pub(super) fn settle(
        &self,
        one: &Flying<K, V, L::Error>,
        answer: Result<Loaded<V>, L::Error>,
        holds: Option<Holding<V>>,
        began: Instant,
    ) -> FillWith {
        match answer {
            Ok(loaded) if loaded.fate == Fate::Panicked => {
                self.fail(one, Error::LoadPanicked);
                FillWith::Release
            }
            Ok(loaded) if loaded.fate == Fate::Unchanged && holds.is_none() => {
                self.fail(one, Error::NothingHeld);
                FillWith::Release
            }
            Ok(loaded) => {
                let (loaded, cost) = (self.with_ttl(loaded, holds), began.elapsed());
                let fill = self.fill_with(one, &loaded);
                self.learn_cost(cost);
                self.land(one, loaded, began, cost);
                fill
            }
            Err(error) => {
                self.fail(one, Error::Load(Arc::new(error)));
                FillWith::Release
            }
        }
    }

    /// What is loaded, with the ttl it will have: its own or the cache's, shortened at random. What has not changed keeps its tags, unless
    /// others are named.
    pub(super) fn with_ttl(&self, mut loaded: Loaded<V>, holds: Option<Holding<V>>) -> Loaded<Arc<V>> {
        let value = match holds.filter(|_| loaded.fate == Fate::Unchanged) {
            Some(holds) => {
                if let Some(tags) = holds.tags.filter(|_| loaded.tags.is_empty()) {
                    loaded.tags = tags.names().to_vec();
                }
                Some(holds.value)
            }
            None => loaded.value.map(Arc::new),
        };
        let own = if value.is_some() { self.settings.ttl } else { self.settings.negative_ttl };
        let ttl = self.jittered(loaded.ttl.unwrap_or(own).min(LONGEST_TTL));
        Loaded { value, fate: loaded.fate, ttl: Some(ttl), tags: loaded.tags }
    }

    /// What the cache holds of a key, fresh or not, unless it was invalidated.
    pub(super) fn holds(&self, key: &K) -> Option<Holding<V>> {
        let mut holds = None;
        self.near.peek(key, &mut |held| {
            if self.clock.allows(held.born, held.name, held.marks()) {
                let holding = |value: &Arc<V>| Holding { value: Arc::clone(value), tags: held.tags.clone() };
                holds = held.value().map(holding);
            }
        });
        holds
    }

    /// What goes to the shared tier, if it can be written at all and lives long enough.
    fn fill_with(&self, one: &Flying<K, V, L::Error>, loaded: &Loaded<Arc<V>>) -> FillWith {
        let left = loaded.ttl.unwrap_or_default();
        let Some((wire, key)) = self.wire.as_ref().zip(one.wire.as_ref()).filter(|_| !left.is_zero()) else {
            return FillWith::Release;
        };
        match wire.encode(key, loaded.value.as_deref()) {
            Some(frame) => {
                let entry = Entry::new(frame, left, loaded.tags.clone());
                FillWith::Entry(Entry { grace: self.settings.grace(), ..entry })
            }
            None => self.not_encoded(),
        }
    }

    /// Others load such a value for themselves.
    pub(super) fn not_encoded(&self) -> FillWith {
        self.counters.encode_errors.add(1);
        event!(WARN, self, "a value cannot be encoded: it is kept near only");
        FillWith::Release
    }

    /// Answers the waiters with an error, which is remembered unless the key was invalidated meanwhile.
    pub(super) fn fail(&self, one: &Flying<K, V, L::Error>, error: Error<L::Error>) {
        self.counters.load_errors.add(1);
        let failure = (!self.settings.retry_after.is_zero()).then(|| self.failure(one, error.clone()));
        let note = || failure.into_iter().for_each(|failure| self.failures.note(&one.landing.key, failure));
        one.landing.land(Err(error), note);
    }

    fn failure(&self, one: &Flying<K, V, L::Error>, error: Error<L::Error>) -> Failure<Error<L::Error>> {
        let mut tags = None;
        self.near.peek(&one.landing.key, &mut |held| {
            tags = self.is_valid(held).then(|| held.marks().into());
        });
        Failure {
            error,
            until: Instant::now() + self.settings.retry_after,
            born: one.landing.born,
            name: one.wire.as_ref().map_or(0, |wire| xxh3_64(wire.name())),
            tags,
        }
    }

    pub(super) async fn fill(&self, mut fills: Vec<Fill>) {
        let Some(wire) = &self.wire else { return };
        while !fills.is_empty() {
            let rest = fills.split_off(PORTION.min(fills.len()));
            if self.ask_shared(wire, || wire.backend.fill_if(fills)).await.is_none() {
                return; // the leases of the rest run out
            }
            fills = rest;
        }
    }

    /// Fills a key whose invalidation has just ended. The lease in the shared tier is asked for before the flight lands: whoever
    /// invalidates the key later takes it away, and whoever did so earlier took the flight.
    pub(super) async fn put(self: &Arc<Self>, key: K, value: Loaded<V>) {
        let landing = self.flights.replace(&key, &self.clock, || self.drop_near(&key));
        note_fence!(self, &key);
        let wire = self.wire.as_ref().map(|wire| wire.key(&key));
        let mut one = Flying { landing, wire, lease: None, purpose: Purpose::Refresh };
        if let Some((wire, name)) = self.readable().zip(one.wire.clone()).filter(|_| !one.landing.skip_shared)
        {
            let lookup =
                self.look_up(wire, &[name], Purpose::Refresh).await.and_then(|mut lookups| lookups.pop());
            if let Some(Lookup::Miss(lease) | Lookup::Stale(_, Some(lease))) = lookup {
                one.lease = Some(lease);
            }
        }
        let value = self.with_ttl(value, None);
        let with = self.fill_with(&one, &value);
        let began = one.landing.began;
        let kept = self.land(&one, value, began, self.typical_cost());
        let with = if kept { with } else { FillWith::Release };
        self.fill(fill(&one, with).into_iter().collect()).await;
    }

    fn jittered(&self, ttl: Duration) -> Duration {
        let draw = share(self.draws.fetch_add(1, Ordering::Relaxed));
        ttl.mul_f64(1.0 - self.settings.jitter * draw)
    }
}

/// What the cache holds of a key that is loaded.
pub(super) struct Holding<V> {
    pub(super) value: Arc<V>,
    tags: Option<Arc<Tags>>,
}
