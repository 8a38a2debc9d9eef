//! Room for a row, and the promise of its outcome.

use crate::batch::item::Item;
use crate::batch::outcome::{NotCommitted, Outcome, Receipt};
use crate::batch::report::Counters;
use crate::batch::worker::Message;
use crate::error::Error;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Room for one row. Dropping it gives the room back.
#[must_use = "room that is not used is given back"]
pub struct Permit<R: Send + 'static> {
    pub(super) queue: mpsc::UnboundedSender<Message<R>>,
    pub(super) counters: Arc<Counters>,
    pub(super) place: OwnedSemaphorePermit,
}

impl<R: Send + 'static> Permit<R> {
    /// Hands the row over. Never waits and never loses it: if the writer has ended, the ticket returns the row.
    pub fn push(self, row: R) -> Ticket<R> {
        let (item, outcome) = Item::new(row, self.counters, self.place);
        let _ = self.queue.send(Message::Rows(vec![item])); // a closed queue drops the item, which returns the row
        Ticket { outcome }
    }
}

impl<R: Send + 'static> fmt::Debug for Permit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// The promise of one row's outcome. Dropping it cancels nothing; if the row fails, [`Report`](crate::Report) has it then.
#[must_use = "the outcome is known only through its ticket"]
#[derive(Debug)]
pub struct Ticket<R> {
    pub(super) outcome: oneshot::Receiver<Outcome<R>>,
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
    /// # Panics
    /// Never: an item answers even when it is dropped.
    pub async fn outcome(self) -> Outcome<R> {
        self.outcome.await.expect("an item answers before it goes")
    }
}

/// The tickets of several rows, in the order of the rows.
#[must_use = "the outcomes are known only through their tickets"]
#[derive(Debug)]
pub struct Tickets<R> {
    pub(super) tickets: Vec<Ticket<R>>,
}

impl<R> Tickets<R> {
    /// Waits for all outcomes, in the order of the rows.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing, but the outcomes are gone.
    pub async fn outcomes(self) -> Vec<Outcome<R>> {
        let mut outcomes = Vec::with_capacity(self.tickets.len());
        for ticket in self.tickets {
            outcomes.push(ticket.outcome().await);
        }
        outcomes
    }

    /// Rows taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether no row was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

impl<R> IntoIterator for Tickets<R> {
    type Item = Ticket<R>;
    type IntoIter = std::vec::IntoIter<Ticket<R>>;

    fn into_iter(self) -> Self::IntoIter {
        self.tickets.into_iter()
    }
}

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
