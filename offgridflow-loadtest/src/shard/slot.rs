//! A place for one operation in flight, handed work by its shard without lock, channel or allocation.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use crate::op::Marks;

/// One arrival, for a slot to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) index: u64,
    pub(super) intended: Duration,
    /// Since when the cap kept it waiting, if it did.
    pub(super) held_since: Option<Duration>,
}

/// Work for a slot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Run(Job),
    Close,
}

/// A mailbox of one order. All on one thread.
#[derive(Debug)]
pub(super) struct Slot {
    order: Cell<Option<Order>>,
    bell: Bell,
    /// What it is doing, for a run that is stopped.
    pub(super) running: Cell<Option<Running>>,
    /// What the operation in it marks.
    pub(super) marks: RefCell<Arc<Marks>>,
}

/// An operation in progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) dispatched: Duration,
    pub(super) began: Duration,
}

impl Slot {
    pub(super) fn new(marks: Arc<Marks>) -> Self {
        Self {
            order: Cell::default(),
            bell: Bell::default(),
            running: Cell::default(),
            marks: RefCell::new(marks),
        }
    }

    pub(super) fn give(&self, order: Order) {
        self.order.set(Some(order));
        self.bell.ring();
    }

    pub(super) async fn next(&self) -> Order {
        self.bell.wait_for(|| self.order.take()).await
    }
}

/// Wakes one waiting task of the same thread.
#[derive(Default)]
pub(super) struct Bell {
    waker: Cell<Option<Waker>>,
}

impl Bell {
    pub(super) fn ring(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits until `ready` gives something, looking again at each ring.
    pub(super) async fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
