//! Putting what was written under a lease: kept only if nobody invalidated the key since the lease was taken.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::run::Purpose;
use super::{Cache, Delivery, Inner, Wire};
use crate::loader::Fate;
use crate::near::nanos;
use crate::recovery::Kept;
use crate::tags::Tags;
use crate::{Change, Entry, Fill, FillWith, Filled, Held, Key, Loaded, Loader, Lookup, Position, Scope};

/// The right to [`put`](Self::put) one key, taken before its source is written. Costs nothing to drop.
#[must_use = "a lease that is taken after the write does not see who wrote before"]
pub struct PutLease<K, V, L: Loader<K, V>> {
    inner: Arc<Inner<K, V, L>>,
    key: K,
    revoked: u64,
    swept: u64,
    seen: Option<Position>, // `None`: there is a shared tier, and it did not say
}

impl<K: fmt::Debug, V, L: Loader<K, V>> fmt::Debug for PutLease<K, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutLease").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<K, V, L> PutLease<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Invalidates the key, and keeps `value` in its place unless anybody, here or on another node, invalidated it since the lease
    /// was taken: whoever did so wrote the source meanwhile, and nobody can tell who was last. It errs on the safe side: here, an invalidation of another key may
    /// be taken for one of this (one in as many as there are locks), and one of any tag is, since nobody knows which tags the key had. [`Loaded::not_modified`] carries no value, and
    /// only invalidates. Costs four trips to the shared tier.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn put(self, value: impl Into<Loaded<V>>) -> Delivery {
        let (cache, value) = (Cache { inner: Arc::clone(&self.inner) }, value.into());
        cache.detached(async move { self.inner.put_leased(&self, value).await }).await
    }
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    pub(super) async fn lease(self: &Arc<Self>, key: &K) -> PutLease<K, V, L> {
        let (swept, revoked) = (self.clock.swept(), self.flights.revoked(key));
        let seen = match self.readable() {
            Some(wire) => {
                let asked = || wire.backend.news(&wire.namespace, None);
                self.ask_shared(wire, asked).await.map(|news| news.position)
            }
            None => None,
        };
        PutLease { inner: Arc::clone(self), key: key.clone(), revoked, swept, seen }
    }

    /// The removal is numbered before the sequence is asked who else removed the key, and the lease of the fill is taken in between:
    /// who came before it is seen in the sequence, who comes after it takes the lease away. What this node could not tell the shared
    /// tier is in no sequence: its own flights and its own clock know.
    async fn put_leased(&self, lease: &PutLease<K, V, L>, value: Loaded<V>) -> Delivery {
        let (key, lenient) = (&lease.key, mutated!(self, PutUnleased));
        if value.fate == Fate::Unchanged {
            return self.invalidate(key).await; // there is no value in it
        }
        if self.swept_since(lease) {
            return self.invalidate(key).await;
        }
        let least = if lenient { self.flights.revoked(key) } else { lease.revoked };
        let born = self.clock.now();
        let Some(revoked) = self.flights.revoke_if(key, least, || self.drop_near(key)) else {
            return self.invalidate(key).await;
        };
        self.failures.forget(key);
        note_fence!(self, key);
        let value = self.with_ttl(value, None);
        let Some(wire) = &self.wire else {
            self.keep_put(lease, revoked, born, 0, value);
            return Delivery::Delivered;
        };
        let Some(seen) = &lease.seen else { return self.invalidate(key).await };
        let name = wire.key(key);
        self.counters.invalidations.add(1);
        if !self.remove_for_put(wire, &name, key).await {
            return Delivery::Deferred;
        }
        if self.fill_put(lease, revoked, &name, seen, &value).await {
            self.keep_put(lease, revoked, born, xxh3_64(name.name()), value);
        }
        Delivery::Delivered
    }

    /// Whether this node removed a tag or everything since the lease was taken. Which tags the key had then, nobody knows.
    fn swept_since(&self, lease: &PutLease<K, V, L>) -> bool {
        self.clock.swept() != lease.swept && !mutated!(self, PutUnleased)
    }

    /// Tells the shared tier; in between, the key passes it by. Where it cannot be told, the removal is deferred as any other.
    async fn remove_for_put(&self, wire: &Wire<K, V>, name: &Key, key: &K) -> bool {
        self.flights.skip_shared(key, true);
        let removed = self.removed(wire, Scope::Keys(vec![name.clone()])).await;
        let kept = (!removed).then(|| self.keep(|recovery| recovery.keep_key(name.clone(), key.clone())));
        if !removed {
            self.fence(key);
        }
        if kept != Some(Kept::New) {
            self.flights.skip_shared(key, false);
        }
        removed
    }

    /// Fills the shared tier, unless anybody else removed the key since `seen`, or it is passed by.
    async fn fill_put(
        &self,
        lease: &PutLease<K, V, L>,
        revoked: u64,
        name: &Key,
        seen: &Position,
        value: &Loaded<Arc<V>>,
    ) -> bool {
        let Some(wire) = self.readable() else { return false };
        let lookup = self.look_up(wire, std::slice::from_ref(name), Purpose::Refresh).await;
        let Some(Lookup::Miss(right)) = lookup.and_then(|mut lookups| lookups.pop()) else { return false };
        let alone = self.removed_alone(wire, name, seen).await || mutated!(self, PutUnleased);
        let alone = alone && !self.swept_since(lease) && self.flights.revoked(&lease.key) == revoked;
        let left = value.ttl.unwrap_or_default();
        let with = if alone && !left.is_zero() {
            let entry = |frame| Entry::new(frame, left, value.tags.clone()).with_grace(self.settings.grace());
            let frame = wire.encode(name, value.value.as_deref());
            frame.map_or_else(|| self.not_encoded(), |frame| FillWith::Entry(entry(frame)))
        } else {
            FillWith::Release
        };
        let filled =
            self.ask_shared(wire, || wire.backend.fill_if(vec![Fill::new(name.clone(), right, with)])).await;
        alone && filled.is_some_and(|filled| filled == [Filled::Stored])
    }

    /// Whether the removal just sent is the only one since `seen` that may concern the key.
    async fn removed_alone(&self, wire: &Wire<K, V>, name: &Key, seen: &Position) -> bool {
        let asked = || wire.backend.news(&wire.namespace, Some(seen.clone()));
        let Some(news) = self.ask_shared(wire, asked).await else { return false };
        let Some(changes) = news.changes.filter(|_| news.position.epoch == seen.epoch) else { return false };
        let concerns = |change: &&Change| !matches!(change, Change::Key(other) if *other != name.name());
        changes.iter().filter(concerns).count() == 1
    }

    fn keep_put(&self, lease: &PutLease<K, V, L>, revoked: u64, born: u64, name: u64, value: Loaded<Arc<V>>) {
        let key = &lease.key;
        let now = Instant::now();
        let fresh = self.watch.at(now + value.ttl.unwrap_or_default());
        let cost = self.typical_cost();
        let held = Held {
            value: value.value,
            born,
            checked: AtomicU64::new(born),
            calm: self.calm_until(fresh, cost),
            fresh,
            doubted: self.watch.at(now),
            cost: nanos(cost),
            name,
            tags: Tags::of(value.tags),
        };
        let keep = || self.keep_near(key, Arc::new(held));
        if self.swept_since(lease) || self.flights.revoke_if(key, revoked, keep).is_none() {
            self.counters.fenced.add(1);
        }
        note_fence!(self, key);
    }
}
