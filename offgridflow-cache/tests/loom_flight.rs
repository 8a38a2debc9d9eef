//! Every order in which readers, an invalidator and a writer can meet at a flight, by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p offgridflow-cache --test loom_flight --release`
//!
//! The flight and the clock of invalidations are the crate's own files, over loom's locks and atomics.
#![cfg(loom)]
#![expect(dead_code, reason = "a model needs a part of the files")]

#[path = "../src/flight.rs"]
mod flight;
#[path = "../src/tags.rs"]
mod tags;

/// Loom's, in place of `src/sync.rs`. One lock for the table of flights, so that the model is the same in every order, and few slots.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock};
    pub(crate) use std::sync::{OnceLock, PoisonError};

    pub(crate) const SHARDS: usize = 1;
    pub(crate) const SLOTS: usize = 2;
}

use std::sync::Arc;

use loom::future::block_on;
use loom::model::Builder;
use loom::thread;

use flight::{Answer, Boarding, Flights, Landing, Ticket, Word, word_of};
use sync::{AtomicU64, Mutex, Ordering};
use tags::Clock;

/// What a flight brings: here, a version of the source.
#[derive(Debug, PartialEq, Eq)]
pub struct Held<V> {
    version: V,
    born: u64,
}

/// Why it brings nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// It was given up.
    Closed,
    /// Something panicked.
    Panicked,
    /// Its load failed.
    Load(Arc<E>),
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::Panicked => Self::Panicked,
            Self::Load(error) => Self::Load(Arc::clone(error)),
        }
    }
}

const KEY: u64 = 1;

/// Waits for a flight's answer; none here offers a value past its time.
async fn answer_of(ticket: Ticket<u64, ()>) -> Answer<u64, ()> {
    match word_of(ticket, |_| false).await {
        Word::Last(answer) => answer,
        Word::Stale(_) => panic!("nothing was offered"),
    }
}

/// A node: a source with versions, a near tier of one key, and the crate's flights.
struct Node {
    source: AtomicU64,
    near: Mutex<Option<u64>>,
    flights: Arc<Flights<u64, u64, ()>>,
    clock: Clock,
}

impl Node {
    fn new() -> Arc<Self> {
        let (source, near) = (AtomicU64::new(0), Mutex::new(None));
        Arc::new(Self { source, near, flights: Arc::new(Flights::new()), clock: Clock::default() })
    }

    fn near(&self) -> Option<u64> {
        *self.near.lock().unwrap()
    }

    fn keep(&self, version: Option<u64>) {
        *self.near.lock().unwrap() = version;
    }

    /// As `Cache::get` does, without a shared tier; whoever opens a flight brings it to its end with `load`.
    fn read(&self, load: impl Fn(&Self, Landing<u64, u64, ()>)) -> Result<u64, Error<()>> {
        if let Some(version) = self.near() {
            return Ok(version);
        }
        let board = || self.flights.board(&KEY, &self.clock, |born, _| !self.clock.forgot(born));
        let ticket = match board() {
            Boarding::Joined(ticket) => ticket,
            Boarding::Opened(landing, ticket) => {
                load(self, landing);
                ticket
            }
        };
        block_on(answer_of(ticket)).map(|held| held.version)
    }

    fn load(&self, landing: Landing<u64, u64, ()>) {
        let version = self.source.load(Ordering::Acquire);
        let held = Arc::new(Held { version, born: landing.born });
        landing.land(Ok(held), || self.keep(Some(version)));
    }

    fn invalidate(&self) {
        self.flights.revoke(&KEY, || self.keep(None));
    }
}

/// Runs every order with at most three preemptions, which bounds the time and leaves few bugs out (Musuvathi & Qadeer 2007).
fn every_order(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn an_invalidation_is_seen_by_whoever_reads_after_it() {
    every_order(|| {
        let node = Node::new();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let node = Arc::clone(&node);
                thread::spawn(move || node.read(Node::load).unwrap())
            })
            .collect();
        node.source.store(1, Ordering::Release);
        node.invalidate();
        assert_eq!(node.read(Node::load), Ok(1), "no older flight is joined, and nothing older is kept");
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() <= 1));
        assert_ne!(node.near(), Some(0), "nothing older came in later");
    });
}

/// The control: what a flight brings, kept without its lease.
#[test]
#[should_panic(expected = "nothing older")]
fn a_value_that_is_kept_outside_the_lock_is_stale() {
    every_order(|| {
        let node = Node::new();
        let reader = thread::spawn({
            let node = Arc::clone(&node);
            move || {
                node.read(|node, landing| {
                    let version = node.source.load(Ordering::Acquire);
                    landing.land(Ok(Arc::new(Held { version, born: 0 })), || {});
                    node.keep(Some(version));
                })
            }
        });
        node.source.store(1, Ordering::Release);
        node.invalidate();
        reader.join().unwrap().unwrap();
        assert_ne!(node.near(), Some(0), "nothing older came in later");
    });
}

#[test]
fn a_flight_that_is_given_up_answers_who_waits_and_leaves_the_key_free() {
    every_order(|| {
        let node = Node::new();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let node = Arc::clone(&node);
                thread::spawn(move || node.read(|_, landing| drop(landing)))
            })
            .collect();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), Err(Error::Closed)));
        assert_eq!(node.read(Node::load), Ok(0));
    });
}

#[test]
fn readers_that_meet_share_one_load() {
    every_order(|| {
        let (node, loading) = (Node::new(), Arc::new(AtomicU64::new(0)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (node, loading) = (Arc::clone(&node), Arc::clone(&loading));
                thread::spawn(move || {
                    node.read(|node, landing| {
                        assert_eq!(loading.fetch_add(1, Ordering::AcqRel), 0, "two loads of a key at once");
                        let version = node.source.load(Ordering::Acquire);
                        loading.fetch_sub(1, Ordering::AcqRel);
                        landing.land(Ok(Arc::new(Held { version, born: landing.born })), || {
                            node.keep(Some(version))
                        });
                    })
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), Ok(0)));
        assert_eq!(node.near(), Some(0));
    });
}

#[test]
fn the_last_of_a_put_and_an_invalidation_wins() {
    every_order(|| {
        let node = Node::new();
        let writer = thread::spawn({
            let node = Arc::clone(&node);
            move || {
                let landing = node.flights.replace(&KEY, &node.clock, || node.keep(None));
                landing.land(Ok(Arc::new(Held { version: 1, born: landing.born })), || node.keep(Some(1)))
            }
        });
        let reader = thread::spawn({
            let node = Arc::clone(&node);
            move || node.read(Node::load)
        });
        node.source.store(2, Ordering::Release);
        node.invalidate();
        let after = node.read(Node::load);
        let kept = writer.join().unwrap();
        assert!(reader.join().unwrap().is_ok());
        assert!(after == Ok(2) || kept, "older than the invalidation only if the put came after it");
    });
}

#[test]
fn what_a_tag_removal_reaches_is_not_valid_however_removals_meet() {
    every_order(|| {
        let node = Node::new();
        let tag = tags::marks(&["tag"]);
        let born = node.clock.now();
        let other = thread::spawn({
            let node = Arc::clone(&node);
            move || node.clock.remove_all()
        });
        node.clock.remove_tag("tag");
        assert!(!node.clock.allows(born, 0, &tag));
        other.join().unwrap();
        assert!(!node.clock.allows(born, 0, &tag));
        assert!(node.clock.allows(node.clock.now(), 0, &tag));
    });
}
