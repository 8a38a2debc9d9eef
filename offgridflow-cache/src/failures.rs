//! Keys whose load has just failed, so that a source that is down is not asked again by every read.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::tags::{Clock, Mark};

/// Locks that the keys are spread over.
const SHARDS: usize = 16;
/// Keys remembered at once by each shard, which makes 10 000 in all, however unevenly they are spread. Of more, the oldest are forgotten.
const REMEMBERED: usize = 768;

/// What failed, and until when it is not to be tried again. Each call costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Failures<K, E> {
    shards: Box<[Shard<K, E>]>,
    hasher: BuildHasherDefault<DefaultHasher>, // the same in every run, as that of the flights
    overflowed: AtomicU64,
}

#[derive(Debug)]
struct Shard<K, E> {
    count: AtomicUsize, // so that nobody takes the lock while there are none
    state: Mutex<State<K, E>>,
}

#[derive(Debug)]
struct State<K, E> {
    recent: HashMap<Arc<K>, (u64, Failure<E>)>,
    order: VecDeque<(u64, Arc<K>)>, // in which they failed, which is that of their ends; some are not in `recent` any more
    next: u64,
}

/// A load that failed.
#[derive(Debug)]
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    pub(crate) until: Instant,
    /// By the clock of invalidations, when it began.
    pub(crate) born: u64,
    /// Of its key's wire name; 0 without a shared tier.
    pub(crate) name: Mark,
    /// What its key carries; `None` where nobody knows.
    pub(crate) tags: Option<Box<[Mark]>>,
}

impl<E> Failure<E> {
    /// Whether nothing that may concern its key was removed since it began: then another load would fail as well.
    fn stands(&self, clock: &Clock) -> bool {
        let known = self.tags.as_deref();
        clock.allows(self.born, self.name, known.unwrap_or_default())
            && (known.is_some() || clock.swept() <= self.born)
    }
}

impl<K, E> Default for Failures<K, E> {
    fn default() -> Self {
        let state = || State { recent: HashMap::new(), order: VecDeque::new(), next: 0 };
        let shard = || Shard { count: AtomicUsize::new(0), state: Mutex::new(state()) };
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            hasher: BuildHasherDefault::default(),
            overflowed: AtomicU64::new(0),
        }
    }
}

impl<K: Hash + Eq + Clone, E: Clone> Failures<K, E> {
    pub(crate) fn note(&self, key: &K, failure: Failure<E>) {
        let early = self.with(key, |state| {
            let early = state.make_room(Instant::now());
            state.keep(Arc::new(key.clone()), failure);
            early
        });
        self.overflowed.fetch_add(early, Ordering::Relaxed);
    }

    /// The error of a load that failed so recently that there is no sense in another.
    pub(crate) fn recent(&self, key: &K, clock: &Clock) -> Option<E> {
        if self.shard(key).is_empty() {
            return None;
        }
        self.with(key, |state| {
            let (_, failure) = state.recent.get(key)?;
            if failure.until > Instant::now() && failure.stands(clock) {
                return Some(failure.error.clone());
            }
            state.recent.remove(key);
            None
        })
    }

    /// Something has changed: the next read tries.
    pub(crate) fn forget(&self, key: &K) {
        if !self.shard(key).is_empty() {
            self.with(key, |state| state.recent.remove(key));
        }
    }

    fn with<T>(&self, key: &K, work: impl FnOnce(&mut State<K, E>) -> T) -> T {
        let shard = self.shard(key);
        let mut state = shard.lock();
        let done = work(&mut state);
        shard.count.store(state.recent.len(), Ordering::Release);
        done
    }

    fn shard(&self, key: &K) -> &Shard<K, E> {
        &self.shards[usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)]
    }
}

impl<K, E> Failures<K, E> {
    /// Failures that were forgotten before their time was over.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }
}

impl<K, E> Shard<K, E> {
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, State<K, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, E> State<K, E> {
    fn keep(&mut self, key: Arc<K>, failure: Failure<E>) {
        self.next += 1;
        self.recent.insert(Arc::clone(&key), (self.next, failure));
        self.order.push_back((self.next, key));
        if self.order.len() > 2 * REMEMBERED {
            self.order.retain(|(number, key)| self.recent.get(key).is_some_and(|(of, _)| of == number));
        }
    }

    /// Forgets what is over, and the oldest of the rest where it takes all the room; how many of those. Each that was kept is looked at
    /// once.
    fn make_room(&mut self, now: Instant) -> u64 {
        let mut early = 0;
        while let Some((number, key)) = self.order.front() {
            let kept = self.recent.get(key).filter(|(of, _)| of == number);
            if let Some((_, failure)) = kept {
                let over = failure.until <= now;
                if !over && self.recent.len() < REMEMBERED {
                    break;
                }
                early += u64::from(!over);
                self.recent.remove(key);
            }
            self.order.pop_front();
        }
        early
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn failed(clock: &Clock, tags: Option<Box<[Mark]>>) -> Failure<&'static str> {
        Failure { error: "down", until: Instant::now() + PAUSE, born: clock.now(), name: 7, tags }
    }

    fn remembered<K, E>(failures: &Failures<K, E>) -> usize {
        failures.shards.iter().map(|shard| shard.lock().recent.len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_keys_are_remembered_and_of_more_the_newest() {
        let (clock, failures) = (Clock::default(), Failures::default());
        (0..10_000_u64).for_each(|key| failures.note(&key, failed(&clock, None)));
        assert!((0..10_000).all(|key| failures.recent(&key, &clock).is_some()));
        assert_eq!(failures.overflowed(), 0);
        (10_000..100_000).for_each(|key| failures.note(&key, failed(&clock, None)));
        assert!(remembered(&failures) <= SHARDS * REMEMBERED);
        assert_eq!(
            remembered(&failures) as u64 + failures.overflowed(),
            100_000,
            "none without being counted"
        );
        assert!((92_000..100_000).all(|key| failures.recent(&key, &clock).is_some()), "the newest are there");
        tokio::time::advance(PAUSE).await;
        let overflowed = failures.overflowed();
        (0..10_000).for_each(|key| failures.note(&key, failed(&clock, None)));
        assert_eq!(failures.overflowed(), overflowed, "what is over makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_fails_again_and_again_takes_no_more_room() {
        let (clock, failures) = (Clock::default(), Failures::default());
        failures.note(&1_u64, failed(&clock, None)); // stands at the front of its queue
        for _ in 0..100_000 {
            for key in 2..40 {
                failures.note(&key, failed(&clock, None));
                failures.forget(&key);
            }
        }
        assert!(failures.shards.iter().all(|shard| shard.lock().order.len() <= 2 * REMEMBERED));
        assert_eq!(failures.recent(&1, &clock), Some("down"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_removal_of_what_a_key_carries_ends_its_failure() {
        let clock = Clock::default();
        let stands = |tags: Option<Box<[Mark]>>, remove: &dyn Fn()| {
            let failures = Failures::default();
            failures.note(&1_u64, failed(&clock, tags));
            assert!(failures.recent(&1, &clock).is_some());
            remove();
            failures.recent(&1, &clock).is_some()
        };
        let tags = || Some(crate::tags::marks(&["tag"]));
        assert!(!stands(tags(), &|| clock.remove_tag("tag")));
        assert!(stands(tags(), &|| clock.remove_tag("another")));
        assert!(!stands(None, &|| clock.remove_tag("another")), "nobody knows what it carries");
        for tags in [tags, || None] {
            assert!(!stands(tags(), &|| clock.remove_all()));
            assert!(!stands(tags(), &|| clock.remove_name(7)));
            assert!(stands(tags(), &|| clock.remove_name(8)));
        }
    }
}
