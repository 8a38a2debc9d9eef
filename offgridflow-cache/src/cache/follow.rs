//! Following the shared tier's sequence of removals, and delivering what was deferred.

use std::hash::Hash;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use super::Inner;
use crate::{Change, Loader, News, Position};

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
        let news = inner.ask_shared(asked).await;
        inner.down.store(news.is_none(), Ordering::Release);
        if let Some(news) = news {
            inner.apply(&news, seen.as_ref());
            seen = Some(news.position);
            inner.trust.extend(sent, inner.settings.max_staleness); // after what it tells was applied
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
            if mutated!(self, IgnoreGaps) {
                return;
            }
            return self.fence_all(); // anything may have been removed
        };
        for change in changes {
            match change {
                Change::Key(name) => self.clock.remove_name(xxh3_64(name)),
                Change::Tag(tag) => self.clock.remove_tag(tag),
                Change::Namespace => self.fence_all(),
            }
        }
    }
}
