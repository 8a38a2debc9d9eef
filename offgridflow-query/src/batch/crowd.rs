//! Those who wait for room in the queue, and how the writer's task hears of them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Notify;

/// Counted one by one, so that nobody is forgotten with another who is served.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    waiting: AtomicUsize,
    called: Notify,
}

/// Somebody in the crowd, until he is served or gives up.
pub(crate) struct Waiting<'a>(&'a Crowd);

impl Crowd {
    /// One more waits.
    pub(crate) fn join(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        self.called.notify_one();
        Waiting(self)
    }

    /// Whether anybody waits.
    pub(crate) fn waits(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Until somebody has joined since the last call.
    pub(crate) async fn joined(&self) {
        self.called.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}
