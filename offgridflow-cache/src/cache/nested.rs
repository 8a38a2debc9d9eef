//! Loaders that read caches: which loads a task runs within, so that one that would wait for itself is told.

use std::hash::Hash;
use std::sync::Arc;

use super::Inner;
use crate::Loader;

/// A load under way: the cache's address, and the hash of the key.
type Load = (usize, u64);

tokio::task_local! {
    /// Loads that wait for this task, the outermost first.
    static WITHIN: Arc<[Load]>;
}

/// What the current task loads for.
pub(super) fn within() -> Arc<[Load]> {
    WITHIN.try_with(Arc::clone).unwrap_or_default()
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

    /// Whether the current task runs for a load of `key`, directly or through other loads: a read of it would wait for itself.
    pub(super) fn awaits_itself(self: &Arc<Self>, key: &K) -> bool {
        WITHIN.try_with(|within| within.contains(&self.load_of(key))).unwrap_or(false)
    }

    /// Runs `work` as a load of `keys`, which `outer` waits for.
    pub(super) async fn loading<T>(
        self: &Arc<Self>,
        outer: &[Load],
        keys: &[K],
        work: impl Future<Output = T>,
    ) -> T {
        let within = outer.iter().copied().chain(keys.iter().map(|key| self.load_of(key))).collect();
        WITHIN.scope(within, work).await
    }
}
