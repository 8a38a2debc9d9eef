//! Loads: the loader's answers, near and in the shared tier.

use std::future::pending;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use super::Inner;
use super::run::{Batch, Errand, Flying, PORTION, Purpose};
use super::settings::LONGEST_TTL;
use crate::batch::{Told, one_by_one};
use crate::failures::Failure;
use crate::loader::{Fate, LOADS_OF_A_BATCH};
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
    async fn turn(
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
    fn settle(
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
    fn holds(&self, key: &K) -> Option<Holding<V>> {
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

    async fn fill(&self, mut fills: Vec<Fill>) {
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
    value: Arc<V>,
    tags: Option<Arc<Tags>>,
}

type Answers<V, E> = Vec<Result<Loaded<V>, E>>;

/// How a batch is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Together,
    /// After the loader panicked over all of them.
    OneByOne,
}

/// Loads the keys of `flying` in a task of its own, and lands each as soon as its outcome is known: bounded in number and, with the wait
/// for a turn, in time.
pub(super) async fn load<K, V, L>(inner: &Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>, errand: &Errand)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    if flying.is_empty() {
        return;
    }
    let deadline = Instant::now() + inner.settings.load_timeout;
    match inner.turn(&flying, errand, deadline).await {
        Ok(_turn) => {
            let left = Round::new(inner, flying).load(errand, Way::Together, deadline).await;
            if !left.is_empty() {
                Round::new(inner, left).load(errand, Way::OneByOne, deadline).await;
            }
        }
        Err(error) => Round::new(inner, flying).fail_rest(&error).await,
    }
}

/// A batch that is being loaded.
struct Round<'i, K: Hash + Eq, V, L: Loader<K, V>> {
    inner: &'i Arc<Inner<K, V, L>>,
    began: Instant,
    flying: Vec<Option<Flying<K, V, L::Error>>>, // `None`: landed
    held: Vec<Option<Holding<V>>>,
    fills: Vec<Fill>,
}

impl<'i, K, V, L> Round<'i, K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn new(inner: &'i Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>) -> Self {
        let held = flying.iter().map(|one| inner.holds(&one.landing.key)).collect();
        let flying = flying.into_iter().map(Some).collect();
        Self { inner, began: Instant::now(), flying, held, fills: Vec::new() }
    }

    /// Loads them all; gives back those whose loader panicked over all of them together.
    async fn load(mut self, errand: &Errand, way: Way, deadline: Instant) -> Batch<K, V, L::Error> {
        let inner = self.inner;
        let asked = self.flying.len();
        inner.counters.loads.add(if way == Way::Together { asked as u64 } else { 0 });
        let (mut task, mut told) = self.start(errand, way);
        let mut flush = None;
        let ended = loop {
            tokio::select! {
                biased;
                Some((index, answer)) = told.recv() => {
                    self.settle(index, answer);
                    flush = Some(Instant::now() + TOGETHER);
                }
                ended = timeout_at(deadline, &mut task) => break ended,
                () = until(flush) => {
                    self.send_fills();
                    flush = None;
                }
            }
        };
        while let Ok((index, answer)) = told.try_recv() {
            self.settle(index, answer);
        }
        let took = self.began.elapsed();
        inner.counters.load_time.record(took);
        event!(DEBUG, inner, keys = asked, ?took, in_time = ended.is_ok(), "loaded");
        match ended {
            Ok(Ok(answers)) if answers.len() == asked => {
                answers.into_iter().enumerate().for_each(|(index, answer)| self.settle(index, answer));
                self.end().await;
            }
            Ok(Ok(answers)) => self.fail_rest(&Error::LoadCount { asked, got: answers.len() }).await,
            Ok(Err(ended)) if ended.is_panic() && asked > 1 && way == Way::Together => {
                let left = std::mem::take(&mut self.flying).into_iter().flatten().collect();
                self.end().await;
                return left;
            }
            Ok(Err(ended)) if ended.is_panic() => self.fail_rest(&Error::LoadPanicked).await,
            Ok(Err(_)) => self.fail_rest(&Error::Closed).await,
            Err(_) => {
                task.abort();
                self.fail_rest(&Error::LoadTimeout(inner.settings.load_timeout)).await;
            }
        }
        Vec::new()
    }

    /// A task, so that a panic is an answer.
    #[expect(clippy::type_complexity, reason = "said once")]
    fn start(
        &self,
        errand: &Errand,
        way: Way,
    ) -> (JoinHandle<Answers<V, L::Error>>, UnboundedReceiver<Told<V, L::Error>>) {
        let flying = || self.flying.iter().flatten();
        let names: Vec<K> = flying().map(|one| one.landing.key.clone()).collect();
        let held = self.held.iter().map(|held| held.as_ref().map(|holding| Arc::clone(&holding.value)));
        let keys: Vec<_> = names.iter().cloned().zip(held).collect();
        let (inner, within) = (Arc::clone(self.inner), Arc::clone(&errand.within));
        let (batch, told) = crate::batch::Batch::new();
        let tell = batch.teller();
        let task = tokio::spawn(async move {
            let work = async {
                match way {
                    Way::Together => batch.loading(async { inner.loader.reload_many(keys).await }).await,
                    Way::OneByOne => {
                        let loads = keys.into_iter().map(|(key, _)| inner.loader.load(key));
                        one_by_one(LOADS_OF_A_BATCH, loads, tell).await
                    }
                }
            };
            inner.loading(&within, &names, work).await
        });
        (task, told)
    }

    /// Lands one key, unless it has landed.
    fn settle(&mut self, index: usize, answer: Result<Loaded<V>, L::Error>) {
        if answer.as_ref().is_ok_and(|loaded| loaded.fate == Fate::Told) {
            return;
        }
        if let Some(one) = self.flying.get_mut(index).and_then(Option::take) {
            let with = self.inner.settle(&one, answer, self.held[index].take(), self.began);
            self.fills.extend(fill(&one, with));
        }
    }

    /// Tells the shared tier what has landed so far, while the rest is still being loaded.
    fn send_fills(&mut self) {
        let (inner, fills) = (Arc::clone(self.inner), std::mem::take(&mut self.fills));
        tokio::spawn(async move { inner.fill(fills).await });
    }

    async fn fail_rest(mut self, error: &Error<L::Error>) {
        for one in std::mem::take(&mut self.flying).into_iter().flatten() {
            self.inner.fail(&one, error.clone());
            self.fills.extend(fill(&one, FillWith::Release));
        }
        self.end().await;
    }

    async fn end(self) {
        self.inner.fill(self.fills).await;
    }
}

/// Outcomes that come within this time of each other go to the shared tier in one call.
const TOGETHER: Duration = Duration::from_millis(5);

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}

fn fill<K: Hash + Eq, V, E>(one: &Flying<K, V, E>, with: FillWith) -> Option<Fill> {
    Some(Fill { key: one.wire.clone()?, lease: one.lease.clone()?, with })
}
