//! A log by who asked: one visit after the other, each a chain of requests with the pauses between them.

use std::{collections::HashMap, time::Duration};

use super::trace::Arrival;
use crate::step::MAX_STEPS_AN_OPERATION;

/// Who nobody is told of: each of their entries is a visit of its own.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What was asked in each visit, in the order of their beginnings.
#[derive(Debug, Clone)]
pub(super) struct Visits {
    starts: Box<[u32]>, // of each visit among the requests, and where the last one ends
    requests: Box<[Request]>,
}

/// One request of a visit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) entry: u32,
    pub(super) pause_ns: u64, // since the one before, as the log has it
}

/// A visit that may go on.
struct Open {
    visit: usize,
    last_ns: i64,
    requests: usize,
}

impl Visits {
    /// Takes entries in order of time apart: those of one client are a visit while none comes more than `longest_pause_ns` after the one before, and up to as many
    /// as an operation has steps. The answer is when each visit begins, and what is asked in it.
    pub(super) fn of(arrivals: &[Arrival], longest_pause_ns: i64) -> (Vec<Arrival>, Self) {
        let mut open = HashMap::<u32, Open>::new();
        let (mut begins, mut counts) = (Vec::<Arrival>::new(), Vec::<u32>::new());
        let mut places = Vec::with_capacity(arrivals.len()); // visit, and pause before
        for arrival in arrivals {
            let goes_on = open.get_mut(&arrival.client).filter(|open| {
                arrival.client != UNKNOWN
                    && arrival.at_ns - open.last_ns <= longest_pause_ns
                    && open.requests < MAX_STEPS_AN_OPERATION
            });
            match goes_on {
                Some(open) => {
                    places.push((open.visit, arrival.at_ns - open.last_ns));
                    counts[open.visit] += 1;
                    (open.last_ns, open.requests) = (arrival.at_ns, open.requests + 1);
                }
                None => {
                    places.push((begins.len(), 0));
                    let begun = Open { visit: begins.len(), last_ns: arrival.at_ns, requests: 1 };
                    open.insert(arrival.client, begun);
                    begins.push(*arrival);
                    counts.push(1);
                }
            }
        }
        (begins, Self::sorted(arrivals, &places, &counts))
    }

    /// Each visit's requests side by side.
    fn sorted(arrivals: &[Arrival], places: &[(usize, i64)], counts: &[u32]) -> Self {
        let mut starts = Vec::with_capacity(counts.len() + 1);
        starts.push(0);
        for count in counts {
            starts.push(starts[starts.len() - 1] + count);
        }
        let mut next: Vec<usize> = starts.iter().map(|&start| index(start)).collect();
        let mut requests = vec![Request { entry: 0, pause_ns: 0 }; arrivals.len()];
        for (arrival, &(visit, pause)) in arrivals.iter().zip(places) {
            let pause_ns = u64::try_from(pause).unwrap_or(0);
            requests[next[visit]] = Request { entry: arrival.entry, pause_ns };
            next[visit] += 1;
        }
        Self { starts: starts.into(), requests: requests.into() }
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// What is asked in visit `k`; nothing beyond the last.
    pub(super) fn requests(&self, k: usize) -> &[Request] {
        let bounds = self.starts.get(k).zip(self.starts.get(k + 1));
        bounds.map_or(&[], |(&from, &to)| &self.requests[index(from)..index(to)])
    }

    /// How long the longest takes whose requests take so long each.
    pub(super) fn longest(&self, request: Duration) -> Duration {
        let takes = |k| {
            let requests = self.requests(k);
            let pauses = Duration::from_nanos(requests.iter().map(|request| request.pause_ns).sum());
            let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
            pauses.saturating_add(request.saturating_mul(count))
        };
        (0..self.count()).map(takes).max().unwrap_or_default()
    }

    /// How many go on at a time at most, where answers take no time.
    pub(super) fn at_once(&self, begins: &[Arrival]) -> usize {
        let ends = (0..self.count()).map(|k| {
            let pauses: u64 = self.requests(k).iter().map(|request| request.pause_ns).sum();
            begins[k].ns().saturating_add(pauses)
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let (mut ended, mut most) = (0, 0);
        for (begun, begin) in (1..).zip(begins) {
            while ends[ended] < begin.ns() {
                ended += 1; // before the one that begins now ends
            }
            most = most.max(begun - ended);
        }
        most
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn visits(entries: &[(i64, u32)], longest_pause_ns: i64) -> (Vec<Arrival>, Visits) {
        let arrivals: Vec<_> =
            (0..).zip(entries).map(|(entry, &(at_ns, client))| Arrival { at_ns, entry, client }).collect();
        Visits::of(&arrivals, longest_pause_ns)
    }

    #[test]
    fn a_longer_pause_begins_another_visit() {
        let (begins, visits) = visits(&[(0, 1), (5, 2), (10, 1), (21, 1), (22, UNKNOWN), (23, UNKNOWN)], 10);
        assert_eq!(begins.iter().map(|begin| begin.at_ns).collect::<Vec<_>>(), [0, 5, 21, 22, 23]);
        let asked = |k| -> Vec<_> {
            visits.requests(k).iter().map(|request| (request.entry, request.pause_ns)).collect()
        };
        assert_eq!((asked(0), asked(1), asked(2)), (vec![(0, 0), (2, 10)], vec![(1, 0)], vec![(3, 0)]));
        assert_eq!((asked(5), visits.at_once(&begins)), (vec![], 2));
        assert_eq!(visits.longest(Duration::from_nanos(3)), Duration::from_nanos(16));
    }

    proptest! {
        /// Nothing is lost or doubled, no visit mixes clients, and its requests lie where the log has them.
        #[test]
        fn every_entry_is_in_one_visit_of_its_client(
            gaps in prop::collection::vec((0_i64..30, 0_u32..5), 0..200), longest in 0_i64..40,
        ) {
            let mut at = 0;
            let entries: Vec<_> = gaps.into_iter().map(|(gap, client)| { at += gap; (at, client) }).collect();
            let (begins, visits) = visits(&entries, longest);
            let mut seen = vec![0; entries.len()];
            for (k, begin) in begins.iter().enumerate() {
                let mut now = begin.at_ns;
                for (place, request) in visits.requests(k).iter().enumerate() {
                    let pause = i64::try_from(request.pause_ns).expect("short");
                    prop_assert!(pause <= longest && (place > 0 || pause == 0));
                    now += pause;
                    let entry = usize::try_from(request.entry).expect("small");
                    prop_assert_eq!((now, begin.client), entries[entry]);
                    seen[entry] += 1;
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
            let at_once = |at: i64| (0..begins.len()).filter(|&k| {
                let pauses: u64 = visits.requests(k).iter().map(|request| request.pause_ns).sum();
                begins[k].at_ns <= at && at <= begins[k].at_ns + i64::try_from(pauses).expect("short")
            }).count();
            let most = entries.iter().map(|&(at, _)| at_once(at)).max().unwrap_or(0);
            prop_assert!(visits.at_once(&begins) <= most);
            prop_assert_eq!(visits.at_once(&begins) == 0, entries.is_empty());
        }
    }
}
