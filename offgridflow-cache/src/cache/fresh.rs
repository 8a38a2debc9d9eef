//! Values that are no longer calm: about to end, stale, or in doubt because the shared tier has not been heard of.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::run::{Purpose, run};
use super::{Inner, Outage};
use crate::flight::{Answer, Boarding, Ticket, answer_of};
use crate::random::share;
use crate::{Held, Loader};

/// ln u of the smallest share that is drawn: so many times its cost before its end a value may first be loaded again.
const FARTHEST: f64 = 37.0;

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// A value that is served, perhaps, and perhaps loaded again behind its reader's back.
    #[cold]
    pub(super) fn uneasy_hit(
        self: &Arc<Self>,
        key: &K,
        held: Arc<Held<V>>,
        now: Instant,
    ) -> Option<Arc<Held<V>>> {
        let (trusted, soon_not) = self.trusts(&held, now);
        let suspect = !trusted && self.serves_suspects(now);
        if !trusted && !suspect {
            self.counters.distrusted.add(1);
            return None;
        }
        if !self.clock.allows(held.born, held.name, &held.tags) {
            return None;
        }
        let stale = now >= held.fresh;
        if stale && now >= held.fresh + self.settings.stale_while_revalidate {
            return None;
        }
        if stale || soon_not || self.is_early(&held, now) {
            self.refresh(key);
        }
        self.counters.stale_hits.add(u64::from(stale));
        self.counters.suspect_hits.add(u64::from(suspect));
        Some(held)
    }

    /// Whether a value needs no news or the news is good, and whether that ends within Δ/2.
    fn trusts(&self, held: &Held<V>, now: Instant) -> (bool, bool) {
        let half = self.settings.max_staleness / 2;
        let trusted = now < held.doubted + half || self.trust.holds_at(now);
        (trusted, now >= held.doubted && !self.trust.holds_at(now + half))
    }

    fn serves_suspects(&self, now: Instant) -> bool {
        let Outage::ServeSuspect(limit) = self.settings.outage else { return false };
        self.trust.lost_for(now).is_some_and(|lost| lost < limit)
    }

    /// XFetch: −β·cost·ln u ≥ what is left (Vattani, Chierichetti and Lowenstein 2015).
    fn is_early(&self, held: &Held<V>, now: Instant) -> bool {
        let lead = held.cost.as_secs_f64() * self.settings.refresh_early;
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let left = held.fresh.saturating_duration_since(now).as_secs_f64();
        lead > 0.0 && -lead * share(draw).max(f64::MIN_POSITIVE).ln() >= left
    }

    /// When a value that is fresh until then stops being calm.
    pub(super) fn calm_until(&self, fresh: Instant, cost: Duration) -> Instant {
        let lead = cost.mul_f64((self.settings.refresh_early * FARTHEST).min(1e6));
        fresh.checked_sub(lead).unwrap_or(fresh)
    }

    /// Loads `key` again, unless somebody does already or it has just failed.
    fn refresh(self: &Arc<Self>, key: &K) {
        let Ok(runtime) = Handle::try_current() else { return }; // a `peek` from outside
        if self.failures.recent(key).is_some() {
            return;
        }
        if let Boarding::Opened(landing, _) =
            self.flights.board(key, &self.clock, |born| !self.clock.forgot(born))
        {
            self.counters.refreshes.add(1);
            runtime.spawn(run(Arc::clone(self), vec![landing], Purpose::Refresh));
        }
    }

    /// A value that is past its time and may be served because there is no better one.
    pub(super) fn last_resort(&self, key: &K) -> Option<Arc<Held<V>>> {
        if self.settings.stale_on_error.is_zero() {
            return None;
        }
        let held = self.near.get(key)?;
        let now = Instant::now();
        let usable = now < held.fresh + self.settings.stale_on_error
            && (self.trusts(&held, now).0 || self.serves_suspects(now))
            && self.clock.allows(held.born, held.name, &held.tags);
        usable.then_some(held)
    }

    /// A flight's answer; a stale one if there is one and the load fails or takes too long.
    pub(super) async fn answer(&self, key: &K, ticket: Ticket<V, L::Error>) -> Answer<V, L::Error> {
        let resort = self.last_resort(key);
        let answer = match (self.settings.soft_timeout, &resort) {
            (Some(wait), Some(held)) => match timeout(wait, answer_of(ticket)).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.counters.stale_hits.add(1);
                    return Ok(Arc::clone(held));
                }
            },
            _ => answer_of(ticket).await,
        };
        match (answer, self.last_resort(key)) {
            (Err(_), Some(held)) => {
                self.counters.stale_hits.add(1);
                Ok(held)
            }
            (answer, _) => answer,
        }
    }
}
