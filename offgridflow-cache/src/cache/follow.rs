//! Following the shared tier's sequence of removals, and delivering what was deferred.

use std::future::pending;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::Inner;
use crate::caught::caught;
use crate::{Change, Loader, News, Position};

/// Whether a task follows.
#[derive(Debug, Default)]
pub(super) struct Following(Arc<AtomicBool>);

/// The right to follow. Dropped with the task, also by a runtime that ends: whoever comes next on another one takes it again.
struct Turn(Arc<AtomicBool>);

impl Following {
    /// Unless somebody has it.
    fn take(&self) -> Option<Turn> {
        let free = !self.0.load(Ordering::Acquire) && !self.0.swap(true, Ordering::AcqRel);
        free.then(|| Turn(Arc::clone(&self.0)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Asks for news four times within Δ, and sooner after a message, for as long as the cache lives. The near tier is trusted for Δ from when a question was *sent*
/// that was answered without a gap.
async fn follow<K, V, L>(cache: Weak<Inner<K, V, L>>, _turn: Turn)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    let (mut seen, mut messages) = (None, None);
    while let Some(inner) = cache.upgrade() {
        let Some(wire) = &inner.wire else { return };
        let messages =
            messages.get_or_insert_with(|| caught(|| wire.backend.messages(&wire.namespace)).flatten());
        let delivered = inner.deliver(wire).await;
        messages.iter_mut().for_each(watch::Receiver::mark_unchanged); // what comes from here on may not be in the answer
        let sent = Instant::now();
        let news = inner.ask_shared(wire, || wire.backend.news(&wire.namespace, seen.clone())).await;
        inner.down.store(news.is_none(), Ordering::Release);
        if inner.outages.looked(news.is_some(), delivered) {
            event!(INFO, inner, "the shared tier answers again");
        }
        if let Some(news) = news {
            inner.apply(&news, seen.as_ref());
            seen = Some(news.position);
            inner.trust.extend(inner.watch.at(sent + inner.settings.max_staleness)); // after what it tells was applied
        }
        let pause = inner.settings.max_staleness / 4;
        drop(inner); // so that the cache can end while this waits
        sleep(pause / 32).await; // a burst of messages is one look
        let _ = timeout(pause - pause / 32, message(messages)).await;
    }
}

/// The next message; never, without messages.
async fn message(messages: &mut Option<watch::Receiver<()>>) {
    if let Some(some) = messages {
        if some.changed().await.is_ok() {
            return;
        }
        *messages = None; // whoever sent them is gone
    }
    pending::<()>().await;
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Has the shared tier followed by a task on `runtime`, unless one does so already.
    pub(super) fn follow_on(self: &Arc<Self>, runtime: &Handle) {
        if self.wire.is_some()
            && let Some(turn) = self.following.take()
        {
            runtime.spawn(follow(Arc::downgrade(self), turn));
        }
    }

    fn apply(&self, news: &News, seen: Option<&Position>) {
        let same_life = seen.is_some_and(|seen| seen.epoch == news.position.epoch);
        let Some(changes) = news.changes.as_ref().filter(|_| same_life) else {
            if seen.is_some() {
                self.counters.gaps.add(1);
                event!(INFO, self, "a gap in the news of invalidations: everything near is invalid");
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
