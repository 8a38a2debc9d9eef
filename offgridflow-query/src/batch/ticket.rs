//! Room for a row, and the promise of its outcome.

use crate::batch::item::Push;
use crate::batch::outcome::{NotCommitted, Outcome, Receipt};
use crate::batch::report::Counters;
use crate::batch::worker::Message;
use crate::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Room for one row. Dropping it gives the room back.
#[must_use = "room that is not used is given back"]
pub struct Permit<R: Send + 'static> {
    pub(super) queue: mpsc::UnboundedSender<Message<R>>,
    pub(super) counters: Arc<Counters>,
    pub(super) places: Arc<Semaphore>,
    pub(super) place: OwnedSemaphorePermit,
}

impl<R: Send + 'static> Permit<R> {
    /// Hands the row over. Never waits and never loses it: if the writer has ended, the ticket returns the row.
    pub fn push(self, row: R) -> Ticket<R> {
        let (push, items) = Push::items(vec![row], &self.queue, self.counters, self.places, self.place);
        let _ = self.queue.send(Message::Rows(items)); // a closed queue drops the item, which returns the row
        Ticket { push, at: 0 }
    }
}

impl<R: Send + 'static> fmt::Debug for Permit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// The promise of one row's outcome. Dropping it cancels nothing; if the row fails, [`Report`](crate::Report) has it then, as long as the
/// writer is not closed.
///
/// The rows of one push share one allocation of outcomes, which lives as long as any of their tickets.
#[must_use = "the outcome is known only through its ticket"]
#[derive(Debug)]
pub struct Ticket<R> {
    push: Arc<Push<R>>,
    at: usize,
}

impl<R> Ticket<R> {
    /// Waits for the row's transaction to be committed.
    ///
    /// # Errors
    /// The row, and why it is not known to be stored.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing.
    pub async fn committed(self) -> Result<Receipt, NotCommitted<R>> {
        self.outcome().await.committed()
    }

    /// Waits for the outcome, whatever it is.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing.
    pub async fn outcome(self) -> Outcome<R> {
        poll_fn(|cx| self.push.board.poll(self.at, cx)).await
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        self.push.forget(self.at);
    }
}

/// The tickets of several rows, in the order of the rows.
#[must_use = "the outcomes are known only through their tickets"]
#[derive(Debug)]
pub struct Tickets<R> {
    parts: Vec<Part<R>>,
}

/// Tickets of one push that were not taken out yet.
#[derive(Debug)]
struct Part<R> {
    push: Arc<Push<R>>,
    left: Range<usize>,
}

impl<R> Part<R> {
    fn next(&mut self) -> Option<Ticket<R>> {
        self.left.next().map(|at| Ticket { push: Arc::clone(&self.push), at })
    }
}

impl<R> Drop for Part<R> {
    fn drop(&mut self) {
        self.left.by_ref().for_each(|at| self.push.forget(at));
    }
}

impl<R> Tickets<R> {
    pub(super) fn none() -> Self {
        Self { parts: Vec::new() }
    }

    pub(super) fn add(&mut self, push: Arc<Push<R>>) {
        let left = 0..push.board.rows();
        self.parts.push(Part { push, left });
    }

    /// Waits for all outcomes, in the order of the rows.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing, but the outcomes are gone.
    pub async fn outcomes(self) -> Vec<Outcome<R>> {
        let mut outcomes = Vec::with_capacity(self.len());
        for ticket in self {
            outcomes.push(ticket.outcome().await);
        }
        outcomes
    }

    /// Rows taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.left.len()).sum()
    }

    /// Whether no row was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R> IntoIterator for Tickets<R> {
    type Item = Ticket<R>;
    type IntoIter = TicketIter<R>;

    fn into_iter(self) -> TicketIter<R> {
        TicketIter { parts: self.parts.into_iter(), part: None }
    }
}

/// The tickets of several rows, one after the other. Dropping it drops those it still has.
#[derive(Debug)]
pub struct TicketIter<R> {
    parts: std::vec::IntoIter<Part<R>>,
    part: Option<Part<R>>,
}

impl<R> Iterator for TicketIter<R> {
    type Item = Ticket<R>;

    fn next(&mut self) -> Option<Ticket<R>> {
        loop {
            if let Some(ticket) = self.part.as_mut().and_then(Part::next) {
                return Some(ticket);
            }
            self.part = Some(self.parts.next()?);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.part.iter().chain(self.parts.as_slice()).map(|part| part.left.len()).sum();
        (left, Some(left))
    }
}

impl<R> ExactSizeIterator for TicketIter<R> {}

/// Rows that a writer did not take.
#[derive(thiserror::Error)]
#[error("{} rows were not taken: {error}", rows.len())]
#[non_exhaustive]
pub struct Refused<R> {
    /// Why.
    #[source]
    pub error: Error,
    /// The tickets of the rows before them, which were taken.
    pub tickets: Tickets<R>,
    /// The rows that were not taken.
    pub rows: Vec<R>,
}

impl<R> fmt::Debug for Refused<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, refused) = (self.tickets.len(), self.rows.len());
        let mut out = f.debug_struct("Refused");
        out.field("error", &self.error).field("taken", &taken).field("refused", &refused).finish()
    }
}
