//! Loads: the loader's answers, near and in the shared tier.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use super::Inner;
use super::run::{Batch, Errand, Flying, Purpose};
use super::settings::LONGEST_TTL;
use crate::near::nanos;
use crate::random::share;
use crate::tags::marks;
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
        let keep = || self.near.insert(key.clone(), Arc::clone(&held));
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
            tags: marks(&loaded.tags),
        }
    }

    /// Loads `keys` in a task of its own, so that a panic is an answer; bounded in number and, with the wait for its turn, in
    /// time. Also when it began.
    async fn load_all(
        self: &Arc<Self>,
        keys: Vec<(K, Option<Arc<V>>)>,
        errand: &Errand,
    ) -> Result<(Instant, Answers<V, L::Error>), Error<L::Error>> {
        let limit = self.settings.load_timeout;
        let deadline = Instant::now() + limit;
        let late = |_| Error::LoadTimeout(limit);
        let turn = timeout_at(deadline, self.loads.acquire()).await.map_err(late)?;
        let _turn = turn.map_err(|_| Error::Closed)?;
        self.counters.loads.add(keys.len() as u64);
        let (inner, asked, began) = (Arc::clone(self), keys.len(), Instant::now());
        let within = Arc::clone(&errand.within);
        let mut task = tokio::spawn(async move {
            let names: Vec<K> = keys.iter().map(|(key, _)| key.clone()).collect();
            inner.loading(&within, &names, inner.loader.reload_many(keys)).await
        });
        let ended = timeout_at(deadline, &mut task).await;
        let took = began.elapsed();
        self.counters.load_time.record(took);
        event!(DEBUG, self, keys = asked, ?took, in_time = ended.is_ok(), "loaded");
        match ended {
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
        holds: Option<Arc<V>>,
        began: Instant,
    ) -> FillWith {
        match answer {
            Ok(loaded) if loaded.unchanged && holds.is_none() => {
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

    /// What is loaded, with the ttl it will have: its own or the cache's, shortened at random.
    pub(super) fn with_ttl(&self, loaded: Loaded<V>, holds: Option<Arc<V>>) -> Loaded<Arc<V>> {
        let value = if loaded.unchanged { holds } else { loaded.value.map(Arc::new) };
        let own = if value.is_some() { self.settings.ttl } else { self.settings.negative_ttl };
        let ttl = self.jittered(loaded.ttl.unwrap_or(own).min(LONGEST_TTL));
        Loaded { value, unchanged: loaded.unchanged, ttl: Some(ttl), tags: loaded.tags }
    }

    /// What the cache holds of a key, fresh or not, unless it was invalidated.
    fn holds(&self, key: &K) -> Option<Arc<V>> {
        let mut holds = None;
        self.near.peek(key, &mut |held| {
            if self.clock.allows(held.born, held.name, &held.tags) {
                holds.clone_from(&held.value);
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
            None => FillWith::Release,
        }
    }

    pub(super) fn fail(&self, one: &Flying<K, V, L::Error>, error: Error<L::Error>) {
        self.counters.load_errors.add(1);
        if !self.settings.retry_after.is_zero() {
            self.failures.note(&one.landing.key, Instant::now() + self.settings.retry_after, error.clone());
        }
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

type Answers<V, E> = Vec<Result<Loaded<V>, E>>;

/// Loads the keys of `flying` together, and lands each.
pub(super) async fn load<K, V, L>(inner: &Arc<Inner<K, V, L>>, flying: Batch<K, V, L::Error>, errand: &Errand)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    if flying.is_empty() {
        return;
    }
    let held: Vec<_> = flying.iter().map(|one| inner.holds(&one.landing.key)).collect();
    let keys = flying.iter().zip(&held).map(|(one, held)| (one.landing.key.clone(), held.clone())).collect();
    let fills = match inner.load_all(keys, errand).await {
        Ok((began, answers)) => {
            let settled = |((one, answer), held)| fill(one, inner.settle(one, answer, held, began));
            flying.iter().zip(answers).zip(held).filter_map(settled).collect()
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
