//! How much a tenant may ask: a rate with a burst of one second's worth, as the generic cell rate algorithm keeps it (ITU-T I.371).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Tenants that are remembered. One that has all of its rate left need not be; beyond that the one that asked least lately is forgotten.
const TENANTS: usize = 10_000;

/// The rate, and where each tenant stands.
#[derive(Debug)]
pub struct Limiter {
    rate: u32,
    interval: Duration,
    due: Mutex<HashMap<String, Instant>>, // when each tenant would be back at its whole rate
}

/// What a tenant has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether this request is let through.
    pub admitted: bool,
    /// Requests that would be let through now.
    pub left: u32,
    /// Until the next is let through, if none is; until all of them are, otherwise.
    pub wait: Duration,
}

impl Limiter {
    /// So many requests a second and tenant, at least one.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1);
        Self { rate, interval: Duration::from_secs(1) / rate, due: Mutex::default() }
    }

    /// Requests a second.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Counts a request of `tenant` at `now`, if it is let through.
    pub fn ask(&self, tenant: &str, now: Instant) -> Standing {
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let due = all.get(tenant).copied().unwrap_or(now).max(now);
        let after = due + self.interval;
        let burst = self.interval * self.rate;
        if after > now + burst {
            return Standing { admitted: false, left: 0, wait: after - (now + burst) };
        }
        if !all.contains_key(tenant) {
            make_room(&mut all, now);
        }
        all.insert(tenant.to_owned(), after);
        let left = (now + burst - after).as_nanos() / self.interval.as_nanos().max(1);
        Standing { admitted: true, left: u32::try_from(left).unwrap_or(self.rate), wait: after - now }
    }
}

fn make_room(all: &mut HashMap<String, Instant>, now: Instant) {
    if all.len() < TENANTS {
        return;
    }
    all.retain(|_, due| *due > now);
    while all.len() >= TENANTS {
        let Some(idlest) = all.iter().min_by_key(|(_, due)| **due).map(|(tenant, _)| tenant.clone()) else {
            return;
        };
        all.remove(&idlest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (limiter, start) = (Limiter::new(10), Instant::now());
        let burst: Vec<_> = (0..11).map(|_| limiter.ask("acme", start)).collect();
        assert!(burst[..10].iter().all(|standing| standing.admitted));
        assert_eq!(
            burst.iter().map(|standing| standing.left).collect::<Vec<_>>(),
            [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
        );
        assert_eq!(burst[10], Standing { admitted: false, left: 0, wait: Duration::from_millis(100) });
        assert!(limiter.ask("beta", start).admitted, "a tenant's burst is its own");
        let later = start + Duration::from_millis(100);
        assert!(limiter.ask("acme", later).admitted && !limiter.ask("acme", later).admitted);
    }

    #[test]
    fn tenants_are_forgotten_before_they_fill_the_memory() {
        let (limiter, now) = (Limiter::new(2), Instant::now());
        for tenant in 0..TENANTS + 500 {
            limiter.ask(&tenant.to_string(), now);
        }
        assert_eq!(limiter.due.lock().unwrap().len(), TENANTS);
        limiter.ask("later", now + Duration::from_secs(9));
        assert_eq!(limiter.due.lock().unwrap().len(), 1, "those that are back at their rate go first");
    }

    proptest! {
        /// In no stretch of time more than the rate and the burst.
        #[test]
        fn no_stretch_has_more_than_its_rate(rate in 1_u32..50, gaps in prop::collection::vec(0_u64..200, 1..300)) {
            let (limiter, start) = (Limiter::new(rate), Instant::now());
            let (mut at, mut passed) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                at += Duration::from_millis(gap);
                let standing = limiter.ask("acme", start + at);
                prop_assert_eq!(standing.admitted || standing.wait > Duration::ZERO, true);
                if standing.admitted {
                    passed.push(at);
                }
            }
            for (index, from) in passed.iter().enumerate() {
                for (count, to) in (1..).zip(&passed[index..]) {
                    let most = f64::from(rate) * ((*to - *from).as_secs_f64() + 1.0) + 1e-6;
                    prop_assert!(f64::from(count) <= most, "{count} within {:?} at {rate}/s", *to - *from);
                }
            }
        }
    }
}
