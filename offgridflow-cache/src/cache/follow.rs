//! Following the shared tier's sequence of removals, and delivering what was deferred.

use std::hash::Hash;
use std::sync::Weak;

use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use super::{Inner, Wire};
use crate::{Change, Loader, News, Position, Scope};

/// Asks for news four times within Δ, for as long as the cache lives. The near tier is trusted for Δ from when a question was *sent*
/// that was answered without a gap.
pub(super) async fn follow<K, V, L>(cache: Weak<Inner<K, V, L>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let mut seen = None;
    while let Some(inner) = cache.upgrade() {
        let Some(wire) = &inner.wire else { return };
        inner.deliver(wire).await;
        let sent = Instant::now();
        let asked = wire.backend.news(&wire.namespace, seen.clone());
        if let Some(news) = inner.ask_shared(asked).await {
            inner.apply(&news, seen.as_ref());
            seen = Some(news.position);
            inner.trust.extend(sent, inner.settings.max_staleness);
        }
        let pause = inner.settings.max_staleness / 4;
        drop(inner); // so that the cache can end while this waits
        sleep(pause).await;
    }
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    fn apply(&self, news: &News, seen: Option<&Position>) {
        let same_life = seen.is_some_and(|seen| seen.epoch == news.position.epoch);
        let Some(changes) = news.changes.as_ref().filter(|_| same_life) else {
            if seen.is_some() {
                self.counters.gaps.add(1);
            }
            return self.clock.remove_all(); // anything may have been removed
        };
        for change in changes {
            match change {
                Change::Key(name) => self.clock.remove_name(xxh3_64(name)),
                Change::Tag(tag) => self.clock.remove_tag(tag),
                Change::Namespace => self.clock.remove_all(),
            }
        }
    }

    /// Tells the shared tier what it could not be told before; stops at the first failure.
    async fn deliver(&self, wire: &Wire<K, V>) {
        let (keys, tags, all) = {
            let deferred = self.deferred();
            let keys: Vec<_> =
                deferred.keys.iter().map(|(wire_key, key)| (wire_key.clone(), key.clone())).collect();
            (keys, deferred.tags.clone(), deferred.all)
        };
        if all && self.removed(wire, Scope::Namespace).await {
            self.clock.remove_all();
            self.defer(|deferred| deferred.all = false);
        }
        if !tags.is_empty() && self.removed(wire, Scope::Tags(tags.clone())).await {
            tags.iter().for_each(|tag| self.clock.remove_tag(tag));
            self.defer(|deferred| deferred.tags.retain(|tag| !tags.contains(tag)));
        }
        for portion in keys.chunks(512) {
            let names = portion.iter().map(|(wire_key, _)| wire_key.clone()).collect();
            if !self.removed(wire, Scope::Keys(names)).await {
                return;
            }
            for (wire_key, key) in portion {
                self.fence(key);
                self.defer(|deferred| drop(deferred.keys.remove(wire_key)));
                self.flights.skip_shared(key, false);
            }
        }
    }
}
