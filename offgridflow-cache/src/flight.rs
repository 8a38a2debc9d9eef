//! Loads under way, at most one a key. The flight is the local lease: what it brings is kept only while it is not revoked.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sync::{Mutex, MutexGuard, PoisonError, SHARDS};

use crate::tags::Clock;
use crate::{Error, Held};

pub(crate) type Answer<V, E> = Result<Arc<Held<V>>, Error<E>>;
type Waiting<V, E> = Arc<Board<V, E>>;

/// Where the answer of a flight is written up, once. Who waits is woken in the order of arrival.
struct Board<V, E> {
    state: Mutex<State<V, E>>,
    written: Notify,
}

struct State<V, E> {
    answer: Option<Answer<V, E>>,
    stale: Option<Arc<Held<V>>>, // to be had while the flight goes on
    hurried: bool,               // a load waits for it
}

impl<V, E> Board<V, E> {
    fn new(answer: Option<Answer<V, E>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { answer, stale: None, hurried: false }),
            written: Notify::new(),
        })
    }

    fn write(&self, answer: Answer<V, E>) {
        self.state().answer.get_or_insert(answer);
        self.written.notify_waiters();
    }

    async fn read(&self, serves: impl Fn(&Held<V>) -> bool) -> Word<V, E> {
        loop {
            let written = self.written.notified(); // counts from here on, so that nothing is missed in between
            let (answer, stale) = {
                let state = self.state();
                (state.answer.clone(), state.stale.clone())
            };
            if let Some(answer) = answer {
                return Word::Last(answer);
            }
            if let Some(stale) = stale.filter(|stale| serves(stale)) {
                return Word::Stale(stale);
            }
            written.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<V, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a flight says.
pub(crate) enum Word<V, E> {
    /// Its answer.
    Last(Answer<V, E>),
    /// A value past its time, while it goes on.
    Stale(Arc<Held<V>>),
}

/// The table of flights.
pub(crate) struct Flights<K, V, E> {
    shards: Box<[Mutex<Shard<K, V, E>>]>,
    hasher: BuildHasherDefault<DefaultHasher>, // the same in every run, so that a seed of the simulation is one run; the maps' own are random
}

struct Shard<K, V, E> {
    flights: HashMap<K, Flight<V, E>>,
    skipping: HashMap<K, usize>, // keys whose removal the shared tier has not confirmed
    revoked: u64,                // how often the lease of any key of the shard was taken
}

struct Flight<V, E> {
    born: u64,
    began: Instant,
    board: Waiting<V, E>,
}

/// How a read gets its answer.
pub(crate) enum Boarding<K: Hash + Eq, V, E> {
    /// Another read opened the flight.
    Joined(Ticket<V, E>),
    /// This read opened it, and has to run it.
    Opened(Landing<K, V, E>, Ticket<V, E>),
}

/// A place in a flight.
pub(crate) struct Ticket<V, E> {
    board: Waiting<V, E>,
    /// The clock of invalidations when the place was taken: what the flight brings must not be older.
    pub(crate) at: u64,
    /// When the flight began, if another read opened it.
    pub(crate) joined: Option<Instant>,
}

/// The running end of a flight. Dropped without landing, it answers every waiter with [`Error::Closed`], or
/// [`Error::Panicked`] where a panic dropped it.
pub(crate) struct Landing<K: Hash + Eq, V, E> {
    flights: Arc<Flights<K, V, E>>,
    pub(crate) key: K,
    pub(crate) born: u64,
    pub(crate) began: Instant,
    pub(crate) skip_shared: bool,
    board: Waiting<V, E>,
}

impl<V, E> Ticket<V, E> {
    /// A place in a flight that has landed already.
    pub(crate) fn answered(answer: Answer<V, E>) -> Self {
        Self { board: Board::new(Some(answer)), at: 0, joined: None }
    }

    /// A load waits for this flight: it must not wait for what that load holds.
    pub(crate) fn hurry(&self) {
        self.board.state().hurried = true;
    }
}

impl<K: Hash + Eq + Clone, V, E> Flights<K, V, E> {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(Shard { flights: HashMap::new(), skipping: HashMap::new(), revoked: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: BuildHasherDefault::default() }
    }

    /// Joins the flight of `key` if it was born and began late enough; else opens one. The clock is read under the lock, so that a flight
    /// opened later is never born earlier.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: &K,
        clock: &Clock,
        joinable: impl Fn(u64, Instant) -> bool,
    ) -> Boarding<K, V, E> {
        let mut shard = self.shard(key);
        let at = clock.now();
        if let Some(flight) = shard.flights.get(key).filter(|flight| joinable(flight.born, flight.began)) {
            let (board, joined) = (Arc::clone(&flight.board), Some(flight.began));
            return Boarding::Joined(Ticket { board, at, joined });
        }
        let (landing, ticket) = self.open(&mut shard, key, at);
        Boarding::Opened(landing, ticket)
    }

    /// Takes the lease of whatever flight `key` has and gives a new one, with `work` in between.
    pub(crate) fn replace(self: &Arc<Self>, key: &K, clock: &Clock, work: impl FnOnce()) -> Landing<K, V, E> {
        let mut shard = self.shard(key);
        work();
        self.open(&mut shard, key, clock.now()).0
    }

    fn open(
        self: &Arc<Self>,
        shard: &mut Shard<K, V, E>,
        key: &K,
        born: u64,
    ) -> (Landing<K, V, E>, Ticket<V, E>) {
        // First what a key's own methods may panic in: no flight is left without a landing.
        let (own, name, skip_shared) = (key.clone(), key.clone(), shard.skipping.contains_key(key));
        let board = Board::new(None);
        let began = Instant::now();
        let flight = Flight { born, began, board: Arc::clone(&board) };
        shard.flights.insert(name, flight);
        let flights = Arc::clone(self);
        let ticket = Ticket { board: Arc::clone(&board), at: born, joined: None };
        (Landing { flights, key: own, born, began, skip_shared, board }, ticket)
    }

    /// Takes the lease of whatever flight `key` has, and does `work` before any other flight can land.
    pub(crate) fn revoke(&self, key: &K, work: impl FnOnce()) {
        let mut shard = self.shard(key);
        shard.flights.remove(key);
        shard.revoked += 1;
        work();
    }

    /// As [`revoke`](Self::revoke), if nothing was revoked since [`revoked`](Self::revoked) gave this number; the number after it.
    /// Keys that share a lock share it, which errs on the safe side.
    pub(crate) fn revoke_if(&self, key: &K, since: u64, work: impl FnOnce()) -> Option<u64> {
        let mut shard = self.shard(key);
        if shard.revoked != since {
            return None;
        }
        shard.flights.remove(key);
        shard.revoked += 1;
        work();
        Some(shard.revoked)
    }

    pub(crate) fn revoked(&self, key: &K) -> u64 {
        self.shard(key).revoked
    }

    /// From now on, or no longer, reads of `key` pass the shared tier by.
    pub(crate) fn skip_shared(&self, key: &K, skip: bool) {
        let mut shard = self.shard(key);
        let count = shard.skipping.get(key).copied().unwrap_or(0);
        match if skip { count + 1 } else { count.saturating_sub(1) } {
            0 => shard.skipping.remove(key),
            count => shard.skipping.insert(key.clone(), count),
        };
    }
}

impl<K: Hash + Eq, V, E> Flights<K, V, E> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V, E>> {
        let hash = self.hash(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the flight out; whether it still held its lease, in which case `keep` ran under the lock.
    fn end(&self, key: &K, board: &Waiting<V, E>, keep: impl FnOnce()) -> bool {
        let mut shard = self.shard(key);
        let holds = shard.flights.get(key).is_some_and(|flight| Arc::ptr_eq(&flight.board, board));
        if holds {
            shard.flights.remove(key);
            keep();
        }
        holds
    }
}

impl<K: Hash + Eq, V, E> Landing<K, V, E> {
    /// Does `work` if the flight still holds its lease, which it keeps.
    pub(crate) fn meanwhile(&self, work: impl FnOnce(&K)) {
        let shard = self.flights.shard(&self.key);
        if shard.flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(&flight.board, &self.board)) {
            work(&self.key);
        }
    }

    /// Offers a value past its time to who would rather have that than wait; whether it is the first.
    pub(crate) fn offer(&self, stale: Arc<Held<V>>) -> bool {
        let first = self.board.state().stale.replace(stale).is_none();
        self.board.written.notify_waiters();
        first
    }

    /// Whether it offered a value past its time.
    pub(crate) fn has_offered(&self) -> bool {
        self.board.state().stale.is_some()
    }

    /// Whether a load waits for it.
    pub(crate) fn is_hurried(&self) -> bool {
        self.board.state().hurried
    }

    /// Ends the flight: `keep` runs only if the key was not invalidated meanwhile; the waiters get `answer` in either case,
    /// since they began before the invalidation. Whether it was kept.
    pub(crate) fn land(&self, answer: Answer<V, E>, keep: impl FnOnce()) -> bool {
        let kept = self.flights.end(&self.key, &self.board, keep);
        self.board.write(answer);
        kept
    }
}

impl<K: Hash + Eq, V, E> Drop for Landing<K, V, E> {
    fn drop(&mut self) {
        self.flights.end(&self.key, &self.board, || {});
        self.board.write(Err(if std::thread::panicking() { Error::Panicked } else { Error::Closed }));
    }
}

/// Waits for a flight's answer, or for a value past its time that `serves`.
pub(crate) async fn word_of<V, E>(ticket: Ticket<V, E>, serves: impl Fn(&Held<V>) -> bool) -> Word<V, E> {
    ticket.board.read(serves).await
}

impl<K, V, E> fmt::Debug for Flights<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}
