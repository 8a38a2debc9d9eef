//! The slowest operations of a run, by name: what one looks for in a tracing system.

use std::time::Duration;

use crate::route::RouteId;

/// How many of them are kept.
pub(crate) const SLOWEST: usize = 10;

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) response: Duration,
    /// Of this process's operations.
    pub(crate) index: u64,
    pub(crate) intended: Duration,
    pub(crate) route: u32,
    pub(crate) answered: bool,
}

/// The slowest so far, the slowest first. Their room is made once and kept, so that no operation allocates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slowest {
    all: Vec<Slow>, // at most SLOWEST
}

impl Slowest {
    /// Takes one, if it is slow enough. One comparison for nearly all.
    pub(crate) fn take(&mut self, slow: Slow) {
        if self.all.len() == SLOWEST {
            if slow.response <= self.all[SLOWEST - 1].response {
                return;
            }
            self.all.pop();
        } else if self.all.capacity() == 0 {
            self.all.reserve_exact(SLOWEST);
        }
        let at = self.all.partition_point(|other| other.response >= slow.response);
        self.all.insert(at, slow);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|slow| self.take(*slow));
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slow> {
        self.all.iter()
    }
}

impl Slow {
    pub(crate) fn route(&self) -> RouteId {
        RouteId::from_bits(self.route)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn slow(ms: u64) -> Slow {
        Slow { response: Duration::from_millis(ms), index: ms, ..Slow::default() }
    }

    proptest! {
        #[test]
        fn the_slowest_are_those_of_all_however_they_were_split(times in vec(0_u64..500, 0..60), split in 0_usize..60) {
            let (one, two) = times.split_at(split.min(times.len()));
            let (mut whole, mut other) = (Slowest::default(), Slowest::default());
            one.iter().for_each(|&ms| whole.take(slow(ms)));
            two.iter().for_each(|&ms| other.take(slow(ms)));
            whole.merge(&other);
            let mut expected = times.clone();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            expected.truncate(SLOWEST);
            prop_assert_eq!(whole.iter().map(|slow| slow.index).collect::<Vec<_>>(), expected);
        }
    }
}
