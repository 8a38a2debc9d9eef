//! Work on removals: in a task of its own, so that a caller who goes away does not stop it half-way; and what is done about work that is
//! cut short all the same.

use std::hash::Hash;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Cache, Delivery, Inner};
use crate::Loader;
use crate::caught::caught_within;

/// Removes the namespace as a whole, and defers that, if it is dropped before the work on a removal was done: it panicked, or its
/// runtime ended, and nobody knows how far it got.
struct Unfinished<K, V, L>(Option<Arc<Inner<K, V, L>>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>;

impl<K, V, L> Drop for Unfinished<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            inner.defer_all();
        }
    }
}

impl<K, V, L> Unfinished<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn done(mut self) {
        self.0 = None;
    }
}

impl<K, V, L> Cache<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Does `work` to its end, or removes the namespace in its place. Without a shared tier there is nothing to wait for, and nothing that
    /// could be deferred.
    pub(super) async fn detached(&self, work: impl Future<Output = Delivery> + Send + 'static) -> Delivery {
        let unfinished = Unfinished(Some(Arc::clone(&self.inner)));
        let guarded = async move {
            let done = caught_within(|| work).await;
            if done.is_some() {
                unfinished.done();
            }
            done
        };
        if self.inner.wire.is_none() {
            return guarded.await.unwrap_or(Delivery::Delivered);
        }
        let done = match Handle::try_current() {
            Ok(runtime) => {
                self.inner.follow_on(&runtime);
                runtime.spawn(in_span!(guarded)).await.ok().flatten()
            }
            Err(_) => guarded.await,
        };
        done.unwrap_or(Delivery::Deferred)
    }
}
