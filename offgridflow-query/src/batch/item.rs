//! A row on its way, with whoever waits for it.

use crate::batch::board::Board;
use crate::batch::outcome::{Outcome, Verdict, Why};
use crate::batch::report::Counters;
use crate::batch::worker::Message;
use crate::error::{Cause, Class};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What the rows of one push share.
pub(crate) struct Push<R> {
    pub(crate) board: Board<R>,
    queue: mpsc::WeakUnboundedSender<Message<R>>, // weak: a ticket keeps no writer open
    counters: Arc<Counters>,
    places: Arc<Semaphore>, // in the queue, one a row until it is settled
}

/// A row in the queue. However it ends, somebody is told: dropping it (a panic, a runtime that shuts down) returns it.
#[derive(Debug)]
pub(crate) struct Item<R> {
    row: Option<R>, // `None` once settled
    at: usize,      // on the board
    sent: bool,     // its flush has begun, so it may be stored
    push: Arc<Push<R>>,
}

impl<R> Push<R> {
    /// The items of `rows`, which have `room` in the queue of `places`.
    pub(crate) fn items(
        rows: Vec<R>,
        queue: &mpsc::UnboundedSender<Message<R>>,
        counters: Arc<Counters>,
        places: Arc<Semaphore>,
        room: OwnedSemaphorePermit,
    ) -> (Arc<Self>, Vec<Item<R>>) {
        debug_assert_eq!(room.num_permits(), rows.len(), "one place a row");
        room.forget(); // each item gives its place back
        counters.rows_in.fetch_add(rows.len() as u64, Relaxed);
        let board = Board::new(rows.len());
        let push = Arc::new(Self { board, queue: queue.downgrade(), counters, places });
        let item = |(at, row)| Item { row: Some(row), at, sent: false, push: Arc::clone(&push) };
        let items = rows.into_iter().enumerate().map(item).collect();
        (push, items)
    }

    /// Nobody wants the outcome of row `at` any more. If it was told, and the row is not stored, the writer's report has it.
    pub(crate) fn forget(&self, at: usize) {
        let told = self.board.forget(at).filter(|outcome| !outcome.is_settled());
        if let (Some(outcome), Some(queue)) = (told, self.queue.upgrade()) {
            let _ = queue.send(Message::Unheard(outcome)); // a writer that was closed has reported
        }
    }
}

impl<R> fmt::Debug for Push<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("rows", &self.board.rows()).finish_non_exhaustive()
    }
}

/// Places of settled rows, given back together.
#[derive(Debug, Default)]
pub(crate) struct Vacated {
    places: Option<Arc<Semaphore>>,
    count: usize,
}

impl Vacated {
    fn add(&mut self, places: &Arc<Semaphore>) {
        self.places.get_or_insert_with(|| Arc::clone(places));
        self.count += 1;
    }
}

impl Drop for Vacated {
    fn drop(&mut self) {
        if let Some(places) = &self.places {
            places.add_permits(self.count);
        }
    }
}

impl<R> Item<R> {
    pub(crate) fn row(&self) -> &R {
        self.row.as_ref().expect("settling consumes the item")
    }

    /// From now on nobody can say of an item that is dropped that its row is not stored.
    pub(crate) fn depart(&mut self) {
        self.sent = true;
    }

    /// Tells whoever waits; the outcome comes back if nobody does. Its place is among the `vacated` then.
    pub(crate) fn settle(
        mut self,
        verdict: Verdict,
        flush: u64,
        vacated: &mut Vacated,
    ) -> Option<Outcome<R>> {
        self.push.counters.count(&verdict);
        vacated.add(&self.push.places);
        let row = self.row.take()?;
        self.push.board.tell(self.at, verdict.attach(row, flush))
    }
}

impl<R> Drop for Item<R> {
    fn drop(&mut self) {
        let Some(row) = self.row.take() else { return };
        let lost = || Cause::new(Class::Other, "the flush ended without saying what became of its rows");
        let why = if self.sent { Why::CommitUnknown(lost()) } else { Why::Closed };
        let verdict = Verdict::Returned(why);
        self.push.counters.count(&verdict);
        let _ = self.push.board.tell(self.at, verdict.attach(row, 0)); // nobody waits: the counters have it
        self.push.places.add_permits(1);
    }
}
