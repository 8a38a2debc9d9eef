//! Loads behind their readers' backs: a hit leaves the key, and one task opens the flights.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::Inner;
use super::run::{Errand, run};
use crate::Loader;
use crate::flight::Boarding;

/// Keys that wait at once. Beyond it a hit asks in vain, and the next one asks again.
const ROOM: usize = 4_096;

/// How often the task looks while it goes on: a hit pays for a task's start only when there was none for `LINGER` looks.
const LOOK: Duration = Duration::from_millis(2);
const LINGER: u32 = 50;

type Keys<K> = HashSet<K, BuildHasherDefault<DefaultHasher>>; // the same in every run, as that of the flights

/// Keys that hits want loaded again. During an outage that is every sixth hit: none of them starts a task, wakes a thread or waits.
#[derive(Debug)]
pub(super) struct Refreshes<K> {
    keys: Mutex<Keys<K>>,
    running: AtomicBool, // the task that empties it
}

impl<K> Default for Refreshes<K> {
    fn default() -> Self {
        Self { keys: Mutex::default(), running: AtomicBool::new(false) }
    }
}

impl<K: Hash + Eq + Clone> Refreshes<K> {
    /// Leaves `key`, unless somebody else is at it: of two hits that meet here the second goes on.
    fn ask(&self, key: &K) {
        let Ok(mut keys) = self.keys.try_lock() else { return };
        if keys.len() < ROOM && !keys.contains(key) {
            keys.insert(key.clone());
        }
    }

    fn take(&self) -> Keys<K> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Keys<K>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to empty it. Dropped with the task, also by a runtime that ends before the task began: the next hit takes it again.
struct Turn<K, V, L: Loader<K, V>>(Arc<Inner<K, V, L>>);

impl<K, V, L: Loader<K, V>> Turn<K, V, L> {
    /// Unless somebody has it.
    fn take(inner: &Arc<Inner<K, V, L>>) -> Option<Self> {
        let free = !inner.refreshes.running.swap(true, Ordering::SeqCst);
        free.then(|| Self(Arc::clone(inner)))
    }
}

impl<K, V, L: Loader<K, V>> Drop for Turn<K, V, L> {
    fn drop(&mut self) {
        self.0.refreshes.running.store(false, Ordering::SeqCst);
    }
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Has `key` loaded again, within `LOOK` or so.
    pub(super) fn refresh(self: &Arc<Self>, key: &K) {
        self.refreshes.ask(key);
        if self.refreshes.running.load(Ordering::SeqCst) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return }; // a `peek` from outside
        if let Some(turn) = Turn::take(self) {
            self.follow_on(&runtime); // a value in doubt may be so because nobody follows any more
            runtime.spawn(Self::refresh_all(turn));
        }
    }

    /// Opens flights for what hits leave, until they leave nothing for a while.
    async fn refresh_all(turn: Turn<K, V, L>) {
        let mut turn = Some(turn);
        while let Some(Turn(inner)) = &turn {
            let inner = Arc::clone(inner);
            inner.refresh_until_idle().await;
            turn = None; // what was left since the last look is looked for once more
            if !inner.refreshes.lock().is_empty() {
                turn = Turn::take(&inner);
            }
        }
    }

    async fn refresh_until_idle(self: &Arc<Self>) {
        let mut idle = 0;
        while idle < LINGER {
            let keys = self.refreshes.take();
            idle = if keys.is_empty() { idle + 1 } else { 0 };
            keys.iter().for_each(|key| self.refresh_one(key));
            sleep(LOOK).await;
        }
    }

    /// Loads `key`, unless somebody does already or it has just failed.
    fn refresh_one(self: &Arc<Self>, key: &K) {
        if self.failures.recent(key, &self.clock).is_some() {
            return;
        }
        let joinable = |born, began| self.is_joinable(key, born, began);
        if let Boarding::Opened(landing, _) = self.flights.board(key, &self.clock, joinable) {
            self.counters.refreshes.add(1);
            tokio::spawn(run(Arc::clone(self), vec![landing], Errand::refresh()));
        }
    }
}
