//! Removing: fenced here, told to the shared tier, fenced here again.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::time::timeout;

#[cfg(feature = "sim")]
use super::Cache;
use super::run::PORTION;
use super::{Delivery, Inner, Wire};
use crate::caught::{caught, caught_within};
use crate::recovery::{Kept, Recovery};
use crate::{BackendError, Held, Key, Loader, Scope};

#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
impl<K, V, L> Cache<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// When a flight of `key` was last taken out on this node, or made too old to be joined: for a
    /// [`History`](crate::sim::History) of loads.
    #[must_use]
    pub fn last_fenced(&self, key: &K) -> Option<tokio::time::Instant> {
        self.inner.settings.probe.fenced(key)
    }
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    pub(super) async fn invalidate(&self, key: &K) -> Delivery {
        self.invalidate_many(std::slice::from_ref(key)).await
    }

    /// All are fenced before the first is told of. What comes after a portion that could not be told is deferred at once.
    pub(super) async fn invalidate_many(&self, keys: &[K]) -> Delivery {
        self.counters.invalidations.add(keys.len() as u64);
        keys.iter().for_each(|key| self.fence(key));
        let Some(wire) = &self.wire else { return Delivery::Delivered };
        let mut reached = true;
        for portion in keys.chunks(PORTION) {
            reached = self.remove_keys(wire, portion, reached).await;
        }
        if reached {
            return Delivery::Delivered;
        }
        event!(WARN, self, "an invalidation is deferred: the shared tier could not be told");
        Delivery::Deferred
    }

    /// Removes keys from the shared tier, or defers that where it is out of `reach` or does not answer; whether it was told.
    async fn remove_keys(&self, wire: &Wire<K, V>, keys: &[K], reach: bool) -> bool {
        let skip = |skip| keys.iter().for_each(|key| self.flights.skip_shared(key, skip));
        let names: Vec<_> = keys.iter().map(|key| wire.key(key)).collect();
        if !mutated!(self, FenceOnce) {
            skip(true);
        }
        let removed = reach && self.removed(wire, Scope::Keys(names.clone())).await;
        if mutated!(self, FenceOnce) {
            skip(true);
        }
        for (key, name) in keys.iter().zip(names) {
            self.end_removal(key, name, removed);
        }
        removed
    }

    /// Fences a key again: a read meanwhile may have found the old value still there.
    fn end_removal(&self, key: &K, name: Key, removed: bool) {
        let kept = (!removed).then(|| self.keep(|recovery| recovery.keep_key(name, key.clone())));
        if !mutated!(self, FenceOnce) {
            self.fence(key);
        }
        if kept != Some(Kept::New) || mutated!(self, ForgetDeferred) {
            self.flights.skip_shared(key, false); // removed, or something else sees to it
        }
    }

    pub(super) fn fence(&self, key: &K) {
        self.flights.revoke(key, || self.drop_near(key));
        self.failures.forget(key);
        note_fence!(self, key);
    }

    /// Keeps a value near. A near tier that panics over it keeps nothing of the key.
    pub(super) fn keep_near(&self, key: &K, held: Arc<Held<V>>) {
        if caught(|| self.near.insert(key.clone(), held)).is_none() {
            self.counters.near_errors.add(1);
            event!(
                WARN,
                self,
                "the near tier, or what it weighs by, panicked over a value, which is not kept"
            );
            self.drop_near(key);
        }
    }

    /// Forgets what is near. Where the near tier panics, nothing that it has is valid any more.
    pub(super) fn drop_near(&self, key: &K) {
        if caught(|| self.near.remove(key)).is_none() {
            self.counters.near_errors.add(1);
            event!(WARN, self, "the near tier panicked over a removal: everything near is invalid");
            self.clock.remove_all();
        }
    }

    /// Work on a removal panicked, by a key's own methods: nobody knows how far it got. All of the namespace is removed in its place.
    pub(super) fn defer_all(&self) {
        self.fence_all();
        if self.wire.is_some() {
            self.keep(Recovery::keep_all);
            self.fence_all();
        }
    }

    pub(super) fn fence_all(&self) {
        self.clock.remove_all();
        #[cfg(feature = "sim")]
        self.settings.probe.fence_all();
    }

    pub(super) async fn invalidate_tag(&self, tag: Arc<str>) -> Delivery {
        let scope = Scope::Tags(vec![Arc::clone(&tag)]);
        self.sweep(
            scope,
            |inner| inner.clock.remove_tag(&tag),
            |recovery| recovery.keep_tag(Arc::clone(&tag)),
        )
        .await
    }

    pub(super) async fn clear(&self) -> Delivery {
        self.sweep(Scope::Namespace, Self::fence_all, Recovery::keep_all).await
    }

    /// Removes what is not known by key. When it is deferred, this node is blind to the shared tier *before* it fences again: what
    /// is read there in between was born before the second fence.
    async fn sweep(
        &self,
        scope: Scope,
        fence: impl Fn(&Self),
        keep: impl FnOnce(&mut Recovery<K>),
    ) -> Delivery {
        self.counters.invalidations.add(1);
        fence(self);
        let Some(wire) = &self.wire else { return Delivery::Delivered };
        let removed = self.removed(wire, scope).await;
        if !removed {
            event!(WARN, self, "an invalidation of many is deferred: the shared tier could not be told");
            self.keep(keep);
        }
        fence(self);
        if removed { Delivery::Delivered } else { Delivery::Deferred }
    }

    pub(super) async fn removed(&self, wire: &Wire<K, V>, scope: Scope) -> bool {
        self.ask_shared(wire, || wire.backend.remove(&wire.namespace, scope)).await.is_some()
    }

    /// The shared tier's answer in time; a failure or a panic is counted, and the caller goes on without. Outside a runtime it is not asked:
    /// there is no clock to wait by.
    pub(super) async fn ask_shared<T, F: Future<Output = Result<T, BackendError>>>(
        &self,
        wire: &Wire<K, V>,
        question: impl FnOnce() -> F,
    ) -> Option<T> {
        if Handle::try_current().is_err() {
            return None;
        }
        let (backend, waited) = (wire.name, self.settings.shared_timeout);
        let answer = match caught_within(|| timeout(waited, question())).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(BackendError::Timeout { backend, waited }),
            None => Err(BackendError::Panicked { backend }),
        };
        answer.map_err(|error| self.trouble(&error)).ok()
    }

    fn trouble(&self, error: &BackendError) {
        self.counters.shared_errors.add(1);
        let trouble = self.outages.failed(error);
        self.alarm.notify_one();
        self.counters.outages.add(u64::from(trouble.begins));
        if let Some(reason) = trouble.said {
            event!(WARN, self, %reason, "the shared tier failed, or did not answer in time");
            let _ = reason;
        }
    }

    pub(super) fn recovery(&self) -> MutexGuard<'_, Recovery<K>> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is deferred, and with it whether the shared tier can be read.
    pub(super) fn keep<T>(&self, change: impl FnOnce(&mut Recovery<K>) -> T) -> T {
        let mut recovery = self.recovery();
        let changed = change(&mut recovery);
        self.blind.store(recovery.blinds(), Ordering::Release);
        changed
    }

    /// Tells the shared tier what it could not be told before; stops at the first failure. Whether nothing is left.
    pub(super) async fn deliver(&self, wire: &Wire<K, V>) -> bool {
        let backlog = self.recovery().backlog();
        if backlog.all.is_some() {
            if !self.removed(wire, Scope::Namespace).await {
                return false;
            }
            self.fence_all();
            for key in self.keep(|recovery| recovery.delivered_all(&backlog)) {
                self.fence(&key);
                self.flights.skip_shared(&key, false);
            }
            return true;
        }
        for portion in backlog.tags.chunks(512) {
            let tags: Vec<_> = portion.iter().map(|(tag, _)| Arc::clone(tag)).collect();
            if !self.removed(wire, Scope::Tags(tags.clone())).await {
                return false;
            }
            tags.iter().for_each(|tag| self.clock.remove_tag(tag));
            self.keep(|recovery| recovery.delivered_tags(portion));
        }
        for portion in backlog.keys.chunks(512) {
            let names = portion.iter().map(|(name, ..)| name.clone()).collect();
            if !self.removed(wire, Scope::Keys(names)).await {
                return false;
            }
            for (name, key, number) in portion {
                self.fence(key);
                if self.keep(|recovery| recovery.delivered_key(name, *number)) {
                    self.flights.skip_shared(key, false);
                }
            }
        }
        true
    }
}
