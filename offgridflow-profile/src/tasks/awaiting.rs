//! Which tasks wait where: a wait that begins while a profiled task is polled is put down to that task's place too.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{OnceLock, PoisonError, RwLock};

use super::site::Counters;
use super::wait::WaitSite;

/// Pairs of places told apart; waits of later ones are counted by their place alone.
const PAIRS: usize = 1_024;

thread_local! {
    static CURRENT: Cell<Option<&'static Counters>> = const { Cell::new(None) };
}

/// Says for as long as it lives whose task this thread polls.
pub(super) struct Polling {
    outer: Option<&'static Counters>,
}

impl Polling {
    pub(super) fn begin(site: &'static Counters) -> Self {
        Self { outer: CURRENT.with(|current| current.replace(Some(site))) }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
    }
}

/// Tasks of one place that wait at another.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) task: &'static Counters,
    pub(super) wait: &'static WaitSite,
    waiting: AtomicI64,
}

/// Identity of both places.
type Key = (usize, usize);

fn pairs() -> &'static RwLock<HashMap<Key, &'static Pair>> {
    static PAIRS: OnceLock<RwLock<HashMap<Key, &'static Pair>>> = OnceLock::new();
    PAIRS.get_or_init(RwLock::default)
}

/// A wait begins, in whatever task is polled; which pair it belongs to, for its end.
pub(super) fn enter(wait: &'static WaitSite) -> Option<&'static Pair> {
    let task = CURRENT.with(Cell::get)?;
    let key = (std::ptr::from_ref(task).addr(), std::ptr::from_ref(wait).addr());
    let known = pairs().read().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
    let pair = known.or_else(|| first(key, task, wait))?;
    pair.waiting.fetch_add(1, Relaxed);
    Some(pair)
}

#[cold]
fn first(key: Key, task: &'static Counters, wait: &'static WaitSite) -> Option<&'static Pair> {
    let mut pairs = pairs().write().unwrap_or_else(PoisonError::into_inner);
    if pairs.len() >= PAIRS && !pairs.contains_key(&key) {
        return None;
    }
    let pair = || &*Box::leak(Box::new(Pair { task, wait, waiting: AtomicI64::new(0) }));
    Some(pairs.entry(key).or_insert_with(pair))
}

impl Pair {
    pub(super) fn leave(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.waiting.load(Relaxed)).unwrap_or(0)
    }
}

/// Every pair at which something waits.
pub(super) fn all() -> Vec<&'static Pair> {
    let pairs = pairs().read().unwrap_or_else(PoisonError::into_inner);
    pairs.values().copied().filter(|pair| pair.waiting() > 0).collect()
}
