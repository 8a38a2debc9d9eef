//! Who holds a place: a slab of slots, as many as were ever taken at once.

use crate::pool::Lane;
use crate::pool_error::Holder;
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lane: Lane,
    pub(crate) at: &'static Location<'static>,
    pub(crate) since: Instant,        // when the place was taken
    pub(crate) lent: Option<Instant>, // when a connection was lent on it; `None` while connecting, and once it came back
    pub(crate) suspected: bool,       // of being a leak
}

/// The places taken now. Finding a slot is O(1); growing stops at the pool's limit, because nobody enters beyond it.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    slots: Vec<Option<Held>>,
    free: Vec<usize>,
}

impl Holders {
    pub(crate) fn insert(&mut self, lane: Lane, at: &'static Location<'static>, since: Instant) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(Held { lane, at, since, lent: Some(since), suspected: false });
        slot
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Held> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Held> {
        let held = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(held)
    }

    /// The `limit` oldest holders of a connection, oldest first.
    pub(crate) fn oldest(&self, now: Instant, limit: usize) -> Vec<Holder> {
        let mut lent: Vec<(Instant, &Held)> =
            self.taken().filter_map(|held| Some((held.lent?, held))).collect();
        lent.sort_unstable_by_key(|&(since, _)| since);
        lent.truncate(limit);
        lent.into_iter()
            .map(|(since, held)| Holder {
                at: site(held.at),
                held: now.saturating_duration_since(since),
                lane: held.lane,
            })
            .collect()
    }

    /// How long the places that are taken now have been so, summed up.
    pub(crate) fn occupied(&self, now: Instant) -> Duration {
        self.taken().map(|held| now.saturating_duration_since(held.since)).sum()
    }

    /// Whoever has had a connection for `limit` and was not named before; they count as named from now on.
    pub(crate) fn overdue(&mut self, now: Instant, limit: Duration) -> Vec<Holder> {
        let mut overdue = Vec::new();
        for held in self.slots.iter_mut().flatten().filter(|held| !held.suspected) {
            let Some(lent) = held.lent else { continue };
            let age = now.saturating_duration_since(lent);
            if age >= limit {
                held.suspected = true;
                overdue.push(Holder { at: site(held.at), held: age, lane: held.lane });
            }
        }
        overdue
    }

    fn taken(&self) -> impl Iterator<Item = &Held> {
        self.slots.iter().flatten()
    }
}

/// A call site as `file:line`.
pub(crate) fn site(at: &Location<'_>) -> String {
    format!("{}:{}", short(at.file()), at.line())
}

/// The last two parts of a path: enough to find the file, without the machine's directories.
fn short(path: &str) -> &str {
    let cut = path.rmatch_indices(['/', '\\']).nth(1).map_or(0, |(at, _)| at + 1);
    &path[cut..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_sites_do_not_show_the_machine() {
        assert_eq!(short("/home/user/app/src/main.rs"), "src/main.rs");
        assert_eq!(short("main.rs"), "main.rs");
    }

    #[test]
    fn slots_are_used_again() {
        let (mut holders, now) = (Holders::default(), Instant::now());
        let insert = |holders: &mut Holders| holders.insert(Lane::Interactive, Location::caller(), now);
        for _ in 0..100 {
            let (one, two) = (insert(&mut holders), insert(&mut holders));
            assert!(holders.remove(one).is_some() && holders.remove(two).is_some());
            assert!(holders.remove(one).is_none(), "once only");
        }
        assert_eq!(holders.slots.len(), 2, "as many as were taken at once");
    }

    #[test]
    fn holders_are_named_by_age_and_overdue_ones_once() {
        let (mut holders, start) = (Holders::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        let young = holders.insert(Lane::Interactive, Location::caller(), after(9));
        holders.insert(Lane::Background, Location::caller(), after(1));
        let back = holders.insert(Lane::Interactive, Location::caller(), start);
        holders.get_mut(back).unwrap().lent = None;

        let oldest = holders.oldest(after(11), 5);
        assert_eq!(oldest.iter().map(|h| h.held.as_secs()).collect::<Vec<_>>(), [10, 2]);
        assert_eq!(holders.oldest(after(11), 1).len(), 1);
        assert_eq!(holders.occupied(after(11)), Duration::from_secs(2 + 10 + 11));

        let overdue = holders.overdue(after(11), Duration::from_secs(5));
        assert_eq!((overdue.len(), overdue[0].lane), (1, Lane::Background));
        assert!(holders.overdue(after(12), Duration::from_secs(5)).is_empty(), "reported once");
        assert!(!holders.remove(young).unwrap().suspected);
    }
}
