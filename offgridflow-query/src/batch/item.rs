//! A row on its way, with whoever waits for it.

use crate::batch::outcome::{Outcome, Verdict, Why};
use crate::batch::report::Counters;
use crate::error::{Cause, Class};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A row in the queue. However it ends, somebody is told: dropping it (a panic, a runtime that shuts down) returns it.
#[derive(Debug)]
pub(crate) struct Item<R> {
    inner: Option<Inner<R>>, // `None` once settled
    sent: bool,              // its flush has begun, so it may be stored
    counters: Arc<Counters>,
    _place: OwnedSemaphorePermit, // in the queue, until the row is settled
}

#[derive(Debug)]
struct Inner<R> {
    row: R,
    reply: oneshot::Sender<Outcome<R>>,
}

impl<R> Item<R> {
    pub(crate) fn new(
        row: R,
        counters: Arc<Counters>,
        place: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Outcome<R>>) {
        let (reply, outcome) = oneshot::channel();
        counters.rows_in.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (Self { inner: Some(Inner { row, reply }), sent: false, counters, _place: place }, outcome)
    }

    pub(crate) fn row(&self) -> &R {
        &self.inner.as_ref().expect("settling consumes the item").row
    }

    /// From now on nobody can say of an item that is dropped that its row is not stored.
    pub(crate) fn depart(&mut self) {
        self.sent = true;
    }

    /// Tells whoever waits; the outcome comes back if nobody does.
    pub(crate) fn settle(mut self, verdict: Verdict, flush: u64) -> Option<Outcome<R>> {
        self.counters.count(&verdict);
        let Inner { row, reply } = self.inner.take()?;
        reply.send(verdict.attach(row, flush)).err()
    }
}

impl<R> Drop for Item<R> {
    fn drop(&mut self) {
        if let Some(Inner { row, reply }) = self.inner.take() {
            let lost = || Cause::new(Class::Other, "the flush ended without saying what became of its rows");
            let why = if self.sent { Why::CommitUnknown(lost()) } else { Why::Closed };
            let verdict = Verdict::Returned(why);
            self.counters.count(&verdict);
            let _ = reply.send(verdict.attach(row, 0)); // nobody waits: the counters have it
        }
    }
}
