//! Hits: what the near tier has, if it may be served.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Inner;
use super::fresh::Judged;
use crate::{Held, Loader};

impl<K, V, L> Inner<K, V, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    L: Loader<K, V>,
{
    /// A near value that may be served. Trust is looked at before what was invalidated: news is applied before it extends trust, so
    /// what was trusted is also checked against that news.
    #[inline]
    pub(super) fn near_hit(self: &Arc<Self>, key: &K) -> Option<Option<Arc<V>>> {
        let (mut hit, mut refresh) = (None, false);
        self.near.get(key, &mut |held| {
            let now = self.watch.at_latest();
            let calm = now < held.calm
                && (now < held.doubted || now < self.trusted_until().saturating_sub(self.half_delta));
            let judged = if calm { Judged::CALM } else { self.judge(held) };
            if judged.serve && self.is_valid(held) {
                hit = Some((held.value.clone(), held.doubted));
                refresh = judged.refresh;
            }
        });
        if refresh {
            self.refresh(key);
        }
        let (value, doubted) = hit?;
        self.counters.near_hit(|| self.age(doubted));
        Some(value)
    }

    /// Whether nothing that concerns an entry was invalidated since it was born.
    #[inline]
    pub(super) fn is_valid(&self, held: &Held<V>) -> bool {
        let newest = self.clock.now();
        newest <= held.checked.load(Ordering::Relaxed) || self.still_valid(held, newest)
    }

    /// Whether nothing up to the change `newest` concerns an entry; looked up once for each entry and change.
    fn still_valid(&self, held: &Held<V>, newest: u64) -> bool {
        let valid = self.clock.allows(held.born, held.name, held.marks());
        if valid {
            held.checked.store(newest, Ordering::Relaxed); // a later one that this overwrites is only looked up again
        }
        valid
    }

    #[cold]
    fn age(&self, doubted: u64) -> Duration {
        let asked = doubted.saturating_sub(self.half_delta);
        Duration::from_nanos(self.watch.exact().saturating_sub(asked))
    }

    /// Until when the near tier may be served, by the cache's watch.
    pub(super) fn trusted_until(&self) -> u64 {
        if mutated!(self, TickedTrust) {
            return if self.down.load(Ordering::Acquire) { 0 } else { u64::MAX };
        }
        self.trust.until()
    }
}
