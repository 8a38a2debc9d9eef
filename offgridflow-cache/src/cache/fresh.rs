//! Near values that are no longer calm: about to end, stale, or in doubt because the shared tier has not been heard of.

use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Inner, Outage};
use crate::flight::{Answer, Ticket, Word, word_of};
use crate::near::nanos;
use crate::random::share;
use crate::{Held, Loader};

/// ln u of the smallest share that is drawn: so many times its cost before its end a value may first be loaded again.
const FARTHEST: f64 = 37.0;

/// What becomes of a near value at a hit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    pub(super) serve: bool,
    /// It is to be loaded again, behind its reader's back.
    pub(super) refresh: bool,
}

impl Judged {
    pub(super) const CALM: Self = Self { serve: true, refresh: false };
    const REFUSED: Self = Self { serve: false, refresh: false };
}

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// Whether a value is served that is close to some end or beyond it, by a precise reading of the time.
    #[cold]
    pub(super) fn judge(&self, held: &Held<V>) -> Judged {
        let now = self.watch.exact();
        let stale = now >= held.fresh;
        if stale && now >= held.fresh.saturating_add(nanos(self.settings.stale_while_revalidate)) {
            return Judged::REFUSED;
        }
        let trusted = self.trusts(held, now);
        let suspect = !trusted && self.serves_suspects(now);
        if !trusted && !suspect {
            self.counters.distrusted.add(1);
            return Judged::REFUSED;
        }
        self.counters.stale_hits.add(u64::from(stale));
        self.counters.suspect_hits.add(u64::from(suspect));
        let soon_doubtful =
            now >= held.doubted && now >= self.trusted_until().saturating_sub(self.half_delta);
        Judged { serve: true, refresh: stale || soon_doubtful || self.is_early(held, now) }
    }

    /// Whether a value needs no news of invalidations, or there was news within Δ.
    fn trusts(&self, held: &Held<V>, now: u64) -> bool {
        now < held.doubted.saturating_add(self.half_delta) || now < self.trusted_until()
    }

    fn serves_suspects(&self, now: u64) -> bool {
        let Outage::ServeSuspect(limit) = self.settings.outage else { return false };
        let until = self.trusted_until();
        until > 0 && now.saturating_sub(until) < nanos(limit)
    }

    /// XFetch: −β·cost·ln u ≥ what is left (Vattani, Chierichetti and Lowenstein 2015).
    #[expect(clippy::cast_precision_loss, reason = "a chance")]
    fn is_early(&self, held: &Held<V>, now: u64) -> bool {
        let lead = held.cost as f64 * self.settings.refresh_early;
        let left = held.fresh.saturating_sub(now) as f64;
        if lead <= 0.0 || left > lead * FARTHEST {
            return false;
        }
        let draw = share(self.draws.fetch_add(1, Ordering::Relaxed));
        -lead * draw.max(f64::MIN_POSITIVE).ln() >= left
    }

    /// When a value that is fresh until then stops being calm.
    pub(super) fn calm_until(&self, fresh: u64, cost: Duration) -> u64 {
        let lead = cost.mul_f64((self.settings.refresh_early * FARTHEST).min(1e6));
        fresh.saturating_sub(nanos(lead))
    }

    /// Whether a value of so much grace may be served at `now`.
    fn is_usable(&self, held: &Held<V>, now: u64, grace: Duration) -> bool {
        now < held.fresh.saturating_add(nanos(grace))
            && (self.trusts(held, now) || self.serves_suspects(now))
            && (mutated!(self, ServeInvalidated) || self.clock.allows(held.born, held.name, held.marks()))
    }

    /// A value that is past its time and may be served because there is no better one.
    fn last_resort(&self, key: &K) -> Option<Arc<Held<V>>> {
        if self.settings.stale_on_error.is_zero() {
            return None;
        }
        let now = self.watch.exact();
        let mut found = None;
        self.near.peek(key, &mut |held| {
            found = self.is_usable(held, now, self.settings.stale_on_error).then(|| Arc::new(held.clone()));
        });
        found
    }

    /// Until when a read that begins now waits for a load, if there is a stale value to fall back on.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.settings.soft_timeout.map(|wait| Instant::now() + wait)
    }

    /// A flight's answer. A stale value, if there is one: at once within `stale_while_revalidate`; within `stale_on_error` when the load
    /// fails, or once patience is over.
    pub(super) async fn answer(
        &self,
        key: &K,
        ticket: Ticket<V, L::Error>,
        patience: Option<Instant>,
    ) -> Answer<V, L::Error> {
        let serves = |held: &Held<V>| {
            let (now, settings) = (self.watch.exact(), &self.settings);
            let over = patience.is_some_and(|until| until <= Instant::now());
            self.is_usable(held, now, settings.stale_while_revalidate)
                || over && self.is_usable(held, now, settings.stale_on_error)
        };
        let mut flight = pin!(word_of(ticket, serves));
        let word = match patience {
            Some(until) => match timeout_at(until, flight.as_mut()).await {
                Ok(word) => word,
                Err(_) => match self.last_resort(key) {
                    Some(held) => Word::Stale(held),
                    None => flight.await,
                },
            },
            None => flight.await,
        };
        let answer = match word {
            Word::Last(Err(error)) => {
                self.last_resort(key).map(Word::Stale).unwrap_or(Word::Last(Err(error)))
            }
            word => word,
        };
        match answer {
            Word::Last(answer) => answer,
            Word::Stale(held) => {
                self.counters.stale_hits.add(1);
                Ok(held)
            }
        }
    }
}
