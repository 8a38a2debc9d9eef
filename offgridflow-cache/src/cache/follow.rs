//! Following the shared tier's sequence of removals, and delivering what was deferred.

use std::future::pending;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
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

/// While the shared tier does not answer, and while there is something to be told to it, it is asked this often, however large Δ is.
const IN_TROUBLE: Duration = Duration::from_millis(500);
/// Messages that come within this time of each other are one look, at most.
const TOGETHER: Duration = Duration::from_millis(100);

/// Asks for news four times within Δ, and sooner after a message or a failure, for as long as the cache lives. The near tier is trusted for Δ from when a question was *sent*
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
        let (usual, trouble) = (inner.settings.max_staleness / 4, inner.is_in_trouble());
        let pause = if trouble { usual.min(IN_TROUBLE) } else { usual };
        let alarm = (!trouble).then(|| Arc::clone(&inner.alarm)); // in trouble it would ring all the time
        drop(inner); // so that the cache can end while this waits
        let together = (pause / 32).min(TOGETHER); // a burst of messages is one look
        sleep(together).await;
        let stirred = async {
            tokio::select! {
                biased; // a seed of the simulation is one run
                () = message(messages) => {}
                () = rung(alarm) => {}
            }
        };
        let _ = timeout(pause - together, stirred).await;
    }
}

/// When a call of the shared tier fails; never, without an alarm.
async fn rung(alarm: Option<Arc<Notify>>) {
    match alarm {
        Some(alarm) => alarm.notified().await,
        None => pending().await,
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

    /// Whether the shared tier does not answer, or has not been told of every removal.
    fn is_in_trouble(&self) -> bool {
        self.down.load(Ordering::Acquire) || self.recovery().waiting() > 0
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
