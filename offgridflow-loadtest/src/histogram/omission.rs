//! What a worker that waits for its answer does not ask meanwhile.

use std::time::Duration;

use super::{Distribution, Latencies, latencies::SCALE};

/// How operations that a closed loop left out are told from slow ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Omission {
    /// How long a worker usually takes from one operation to the next. Above zero.
    pub(crate) turn: Duration,
    /// How long an answer may take without having held its worker up. At least two turns.
    pub(crate) usual: Duration,
    /// How long it can take at most if nobody else was answered meanwhile.
    pub(crate) longest: Duration,
}

impl Omission {
    /// The distribution with what was left out, and how much that is; `None` if nothing was.
    pub(crate) fn fill(self, seen: &Distribution) -> Option<(Distribution, u64)> {
        let answered = seen.answered().omitted(self);
        let given_up = seen.given_up().map(|given_up| given_up.omitted(self));
        let filled = answered.count() + given_up.as_ref().map_or(0, Latencies::count);
        (filled > 0).then(|| {
            let mut all = seen.clone();
            all.merge(&Distribution::of(answered, given_up));
            (all, filled)
        })
    }
}

impl Latencies {
    /// For each latency `l` from the usual to the longest, those of operations a turn apart that would have waited for the same end: `l − turn`,
    /// `l − 2 turn`, … down to a turn (Gil Tene's `copyCorrectedForCoordinatedOmission`). O(buckets²) at worst, however many.
    fn omitted(&self, Omission { turn, usual, longest: most }: Omission) -> Self {
        let mut filled = Self::new();
        let turn_ns = nanos(turn).max(1);
        let longest = self.max().map_or(0, nanos);
        for (latency, count) in self.buckets().filter(|(latency, _)| (usual..=most).contains(latency)) {
            let mut left = nanos(latency).min(longest).saturating_sub(turn_ns);
            while left >= turn_ns {
                // All that fall into one bucket at once.
                let lowest = SCALE.lowest(SCALE.index(left)).max(turn_ns);
                let steps = (left - lowest) / turn_ns + 1;
                filled.record_n(Duration::from_nanos(left), count.saturating_mul(steps));
                left = left.saturating_sub(steps.saturating_mul(turn_ns));
            }
        }
        filled
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_left_out_is_a_turn_apart_and_no_shorter_than_one() {
        let us = Duration::from_micros;
        let mut seen = Distribution::default();
        [10, 10, 19, 20, 50].into_iter().for_each(|n| seen.record(us(n)));
        seen.record_unanswered(us(31));
        let omission = Omission { turn: us(10), usual: us(20), longest: us(60) };
        let (all, filled) = omission.fill(&seen).expect("some");
        // 20 leaves out 10; 50 leaves out 40, 30, 20 and 10; 31, given up, leaves out 21 and 11.
        assert_eq!((filled, all.count(), all.unanswered()), (7, 13, 3));
        let sum: u64 = all.answered().buckets().map(|(latency, n)| nanos(latency) / 1_000 * n).sum();
        assert_eq!(sum, 10 + 10 + 19 + 20 + 50 + 10 + 100);
        assert_eq!(all.answered().max(), Some(us(50)));
        assert!(Omission { usual: us(60), ..omission }.fill(&seen).is_none());
        let (_, shorter) = Omission { longest: us(40), ..omission }.fill(&seen).expect("some");
        assert_eq!(shorter, 3, "beside 50 somebody else was answered");
    }

    proptest! {
        #[test]
        fn many_at_once_are_those_one_by_one(latency in 1_u64..50_000_000, turn in 1_000_u64..1_000_000) {
            let mut seen = Latencies::new();
            seen.record(Duration::from_nanos(latency));
            let filled = seen.omitted(Omission { turn: Duration::from_nanos(turn), usual: Duration::from_nanos(2 * turn), longest: Duration::MAX });
            let expected = if latency >= 2 * turn { latency / turn - 1 } else { 0 };
            prop_assert_eq!(filled.count(), expected);
            prop_assert!(filled.min().is_none_or(|least| nanos(least) >= turn));
        }
    }
}
