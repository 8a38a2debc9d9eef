//! Loaders that read caches: which loads a task runs within, so that one that would wait for itself is told.

use std::hash::Hash;
use std::sync::Arc;

use super::Inner;
use crate::{Error, Loader};

/// A load under way: the cache's address, and the hash of the key.
type Load = (usize, u64);

/// So many loads may wait for each other. Each of them is bounded in time, but goes on when nobody waits any more: without an end of their
/// number they would beget each other for ever.
const DEEPEST: usize = 64;

/// Loads that wait for a task. A batch is one, with many keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Within(Option<Arc<Level>>);

/// One of them, and those that wait for it.
#[derive(Debug)]
struct Level {
    loads: Box<[Load]>, // in order, so that each of many is found at once
    outer: Within,
    depth: usize,
}

impl Within {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn depth(&self) -> usize {
        self.0.as_ref().map_or(0, |level| level.depth)
    }

    fn contains(&self, load: &Load) -> bool {
        let mut levels = std::iter::successors(self.0.as_ref(), |level| level.outer.0.as_ref());
        levels.any(|level| level.loads.binary_search(load).is_ok())
    }
}

tokio::task_local! {
    static WITHIN: Within;
}

/// What the current task loads for.
pub(super) fn within() -> Within {
    WITHIN.try_with(Within::clone).unwrap_or_default()
}

/// Whether the current task runs for a load.
pub(super) fn is_nested() -> bool {
    WITHIN.try_with(|within| !within.is_empty()).unwrap_or(false)
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn load_of(self: &Arc<Self>, key: &K) -> Load {
        (Arc::as_ptr(self).addr(), self.flights.hash(key))
    }

    /// Why the current task must not wait for a load of `key`: it runs for one, directly or through other loads, and would wait for itself;
    /// or too many loads wait for it.
    pub(super) fn refused_within(self: &Arc<Self>, key: &K) -> Option<Error<L::Error>> {
        let refused = |within: &Within| match within.depth() {
            _ if within.contains(&self.load_of(key)) => Some(Error::Reentrant),
            DEEPEST.. => Some(Error::TooDeep(DEEPEST)),
            _ => None,
        };
        WITHIN.try_with(refused).ok().flatten()
    }

    /// Runs `work` as a load of `keys`, which `outer` waits for.
    pub(super) async fn loading<T>(
        self: &Arc<Self>,
        outer: &Within,
        keys: &[K],
        work: impl Future<Output = T>,
    ) -> T {
        let mut loads: Box<[Load]> = keys.iter().map(|key| self.load_of(key)).collect();
        loads.sort_unstable();
        let level = Level { loads, outer: outer.clone(), depth: outer.depth() + 1 };
        WITHIN.scope(Within(Some(Arc::new(level))), work).await
    }
}
