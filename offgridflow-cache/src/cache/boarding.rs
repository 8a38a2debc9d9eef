//! How a read that found nothing near gets its answer: by a flight that it joins or opens.

use std::hash::Hash;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::run::Errand;
use super::{Inner, nested, run};
use crate::caught::caught_within;
use crate::flight::{Answer, Boarding, Ticket};
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
        let now = Instant::now();
        let young = began + self.settings.max_staleness > now;
        let heard = self.wire.is_none() || young || self.watch.exact() < self.trusted_until();
        let moves = now < began + self.settings.longest_flight(); // else its runtime stands still
        if !(heard && moves) {
            note_fence!(self, key);
        }
        heard && moves && !self.clock.forgot(born)
    }

    /// Joins or opens the flights of `keys`, runs those it opened as one batch, and waits for their answers. Keys whose answer is no answer
    /// to this read have theirs from a second round: there each is late enough.
    pub(super) async fn fly(self: &Arc<Self>, keys: &[&K]) -> Vec<Result<Option<Arc<V>>, Error<L::Error>>> {
        let patience = self.patience(); // one for all
        let mut answers = Vec::with_capacity(keys.len());
        for (key, ticket) in keys.iter().zip(self.board(keys, 1)) {
            answers.push(self.arrive(key, ticket, patience).await.filter(|(_, stands)| *stands));
        }
        let again: Vec<usize> = (0..keys.len()).filter(|index| answers[*index].is_none()).collect();
        let late: Vec<&K> = again.iter().map(|index| keys[*index]).collect();
        for (index, ticket) in again.into_iter().zip(self.board(&late, 0)) {
            answers[index] = self.arrive(keys[index], ticket, patience).await;
        }
        let value = |answer: Answer<V, L::Error>| Ok(answer?.value().cloned());
        answers
            .into_iter()
            .map(|answer| value(answer.map_or(Err(Error::Closed), |(answer, _)| answer)))
            .collect()
    }

    /// Joins or opens the flights of `keys`, and runs those it opened as one batch. Each counts as so many reads.
    fn board(self: &Arc<Self>, keys: &[&K], reads: u64) -> Vec<Ticket<V, L::Error>> {
        let (mut tickets, mut opened) = (Vec::new(), Vec::new());
        let runtime = Handle::try_current();
        if let Ok(runtime) = &runtime {
            self.follow_on(runtime);
        }
        for key in keys.iter().copied() {
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

    /// The answer of a flight, and whether it is one for this read: not when what it brought was invalidated between its start and the
    /// read's, whose tags are known only now, nor when it ended with the runtime that another read had opened it on. `None` when that
    /// runtime stands still.
    async fn arrive(
        &self,
        key: &K,
        ticket: Ticket<V, L::Error>,
        patience: Option<Instant>,
    ) -> Option<(Answer<V, L::Error>, bool)> {
        let (at, joined) = (ticket.at, ticket.joined);
        let answer = self.answer(key, ticket, patience);
        let answer = match joined {
            Some(began) => self.within(began + self.settings.longest_flight(), answer).await?,
            None => answer.await,
        };
        let stands = match &answer {
            Ok(held) => {
                held.born >= at
                    || mutated!(self, JoinAny)
                    || self.clock.allows(held.born, held.name, held.marks())
            }
            Err(error) => !matches!(error, Error::Closed),
        };
        Some((answer, stands))
    }

    /// The answer of another read's flight, if there is one in time. Its own runtime sees to that, unless nobody drives it.
    async fn within(
        &self,
        end: Instant,
        answer: impl Future<Output = Answer<V, L::Error>>,
    ) -> Option<Answer<V, L::Error>> {
        match caught_within(|| timeout_at(end, answer)).await {
            Some(answer) => answer.ok(),
            None => Some(Err(Error::Panicked)), // a runtime without a timer
        }
    }
}
