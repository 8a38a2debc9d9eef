//! How a read that found nothing near gets its answer: by a flight that it joins or opens.

use std::hash::Hash;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::run::Errand;
use super::{Inner, nested, run};
use crate::flight::{Boarding, Ticket};
use crate::{Error, Loader};

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Whether a read of `key` that comes now may wait for a flight that was born and began then. What was removed elsewhere
    /// more than Δ ago has to be known by now, or be older than the flight.
    pub(super) fn is_joinable(&self, key: &K, born: u64, began: Instant) -> bool {
        if mutated!(self, JoinAny) {
            return true;
        }
        if mutated!(self, LoadAlone) {
            return false;
        }
        let young = began + self.settings.max_staleness > Instant::now();
        let heard = self.wire.is_none() || young || self.watch.exact() < self.trusted_until();
        if !heard {
            note_fence!(self, key);
        }
        heard && !self.clock.forgot(born)
    }

    /// Joins or opens the flights of `keys`, and runs those it opened as one batch.
    pub(super) fn board<'k>(self: &Arc<Self>, keys: impl Iterator<Item = &'k K>) -> Vec<Ticket<V, L::Error>>
    where
        K: 'k,
    {
        self.find_places(keys, 1)
    }

    /// As [`board`](Self::board), for a read that was counted before.
    fn board_again(self: &Arc<Self>, key: &K) -> Option<Ticket<V, L::Error>> {
        self.find_places(std::iter::once(key), 0).pop()
    }

    /// Each counts as so many reads.
    fn find_places<'k>(
        self: &Arc<Self>,
        keys: impl Iterator<Item = &'k K>,
        reads: u64,
    ) -> Vec<Ticket<V, L::Error>>
    where
        K: 'k,
    {
        let (mut tickets, mut opened) = (Vec::new(), Vec::new());
        let runtime = Handle::try_current();
        if let Ok(runtime) = &runtime {
            self.follow_on(runtime);
        }
        for key in keys {
            let nested = self.refused_within(key);
            let refused = runtime.is_err().then_some(Error::NoRuntime).or(nested);
            if let Some(error) = refused.or_else(|| self.failures.recent(key, &self.clock)) {
                self.counters.refused.add(reads);
                tickets.push(Ticket::answered(Err(error)));
                continue;
            }
            match self.flights.board(key, &self.clock, |born, began| self.is_joinable(key, born, began)) {
                Boarding::Joined(ticket) => {
                    self.counters.coalesced.add(reads);
                    if nested::is_nested() {
                        ticket.hurry();
                        self.hurry.notify_waiters();
                    }
                    tickets.push(ticket);
                }
                Boarding::Opened(landing, ticket) => {
                    self.counters.misses.add(reads);
                    opened.push(landing);
                    tickets.push(ticket);
                }
            }
        }
        if let Some(runtime) = runtime.ok().filter(|_| !opened.is_empty()) {
            runtime.spawn(in_span!(run::run(Arc::clone(self), opened, Errand::read())));
        }
        tickets
    }

    /// Joins or opens the flight of `key`, and waits for its answer.
    pub(super) async fn fly(self: &Arc<Self>, key: &K) -> Result<Option<Arc<V>>, Error<L::Error>> {
        let patience = self.patience();
        let ticket = self.board(std::iter::once(key)).pop().ok_or(Error::Closed)?;
        self.arrive(key, ticket, patience).await
    }

    /// The answer of a flight, unless what it brought was invalidated between its start and this read's, whose tags are known only
    /// now: then the flight of the key that was opened since is late enough. So is one for a read whose flight ended with the runtime
    /// that another read had opened it on.
    pub(super) async fn arrive(
        self: &Arc<Self>,
        key: &K,
        ticket: Ticket<V, L::Error>,
        patience: Option<Instant>,
    ) -> Result<Option<Arc<V>>, Error<L::Error>> {
        let at = ticket.at;
        let answer = self.answer(key, ticket, patience).await;
        let stands = match &answer {
            Ok(held) => {
                held.born >= at
                    || mutated!(self, JoinAny)
                    || self.clock.allows(held.born, held.name, held.marks())
            }
            Err(error) => !matches!(error, Error::Closed),
        };
        let again = if stands { None } else { self.board_again(key) };
        match again {
            Some(ticket) => Ok(self.answer(key, ticket, patience).await?.value().cloned()),
            None => Ok(answer?.value().cloned()),
        }
    }
}
