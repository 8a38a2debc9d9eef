//! Keys whose load has just failed, so that a source that is down is not asked again by every read.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Keys remembered at once; of more the newest are not.
const REMEMBERED: usize = 10_000;

/// What failed, and until when it is not to be tried again.
#[derive(Debug)]
pub(crate) struct Failures<K, E> {
    count: AtomicUsize, // so that nobody takes the lock while there are none
    recent: Mutex<HashMap<K, (Instant, E)>>,
}

impl<K, E> Default for Failures<K, E> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), recent: Mutex::default() }
    }
}

impl<K: Hash + Eq + Clone, E: Clone> Failures<K, E> {
    pub(crate) fn note(&self, key: &K, until: Instant, error: E) {
        let mut recent = self.lock();
        if recent.len() >= REMEMBERED {
            let now = Instant::now();
            recent.retain(|_, (until, _)| *until > now);
        }
        if recent.len() < REMEMBERED {
            recent.insert(key.clone(), (until, error));
        }
        self.count.store(recent.len(), Ordering::Release);
    }

    /// The error of a load that failed so recently that there is no sense in another.
    pub(crate) fn recent(&self, key: &K) -> Option<E> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut recent = self.lock();
        let (until, error) = recent.get(key)?;
        if *until > Instant::now() {
            return Some(error.clone());
        }
        recent.remove(key);
        self.count.store(recent.len(), Ordering::Release);
        None
    }

    /// Something has changed: the next read tries.
    pub(crate) fn forget(&self, key: &K) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut recent = self.lock();
            recent.remove(key);
            self.count.store(recent.len(), Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Instant, E)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
