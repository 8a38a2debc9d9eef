//! Which part of a run is measured.

use std::time::Duration;

use crate::{
    executor::Executor,
    histogram::BLOCKS,
    schedule::ArrivalProcess,
    shard::{WINDOW, as_u64},
};

/// The measured part of a run, from the end of the warm-up to the end of the plan, divided into blocks of
/// equally many planned operations (open loop, and iterations) or equal length (closed loop).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    from: Duration,
    end: Duration,    // as far as is known
    length: Duration, // of the measured part, as planned
    /// Where that is planned: the first measured operation, and how many there are.
    operations: Option<(u64, u64)>,
}

impl Span {
    /// Everything from `from` on.
    pub(crate) fn new(executor: &Executor, from: Duration) -> Self {
        let operations = executor.operations().map(|all| {
            let first = executor.arrivals().map_or(0, |arrivals| due(&**arrivals, from));
            (first, all - first)
        });
        let end = executor.duration();
        Self { from, end, length: end.saturating_sub(from), operations }
    }

    /// Nothing, until it is known from when on.
    pub(crate) fn nothing_yet(executor: &Executor) -> Self {
        let (end, length) = (executor.duration(), Duration::ZERO);
        Self { from: Duration::MAX, end, length, operations: Some((u64::MAX, 0)) }
    }

    pub(crate) fn from(&self) -> Duration {
        self.from
    }

    /// When the window begins in which measuring does.
    pub(crate) fn first_window(&self) -> Duration {
        self.from.saturating_sub(Duration::from_nanos(nanos(self.from) % nanos(WINDOW)))
    }

    /// Puts off the end, or brings it forward.
    pub(crate) fn end_at(&mut self, end: Duration) {
        self.end = end;
    }

    /// When the plan is over.
    pub(crate) fn end(&self) -> Duration {
        self.end
    }

    /// How long the measured part is planned to be.
    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// The block of an operation; `None` if it belongs to the warm-up.
    pub(crate) fn block(&self, index: u64, intended: Duration) -> Option<usize> {
        let (at, all) = match self.operations {
            Some((first, count)) => (index.checked_sub(first)?, count),
            None => (nanos(intended.checked_sub(self.from)?), nanos(self.length())),
        };
        let block = at.saturating_mul(as_u64(BLOCKS)) / all.max(1);
        Some(usize::try_from(block).unwrap_or(BLOCKS - 1).min(BLOCKS - 1))
    }
}

/// How many operations are due before `at`. O(log operations).
pub(crate) fn due(arrivals: &dyn ArrivalProcess, at: Duration) -> u64 {
    let (mut low, mut high) = (0, arrivals.operations());
    while low < high {
        let middle = low + (high - low) / 2;
        if arrivals.intended(middle).is_some_and(|intended| intended < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;

    #[test]
    fn blocks_are_equal_parts_of_what_is_measured() {
        let second = Duration::from_secs(1);
        for executor in [Executor::open(Rate::constant(640.0, second * 11)), Executor::closed(3, second * 11)]
        {
            let span = Span::new(&executor, second);
            assert_eq!(span.block(639, second - Duration::from_nanos(1)), None);
            let mut counts = [0_u32; BLOCKS];
            (640..7_040_u32).for_each(|k| {
                let block = span.block(k.into(), second * k / 640).expect("measured");
                counts[block] += 1;
            });
            assert_eq!(counts, [100; BLOCKS]);
            assert_eq!(Span::nothing_yet(&executor).block(7_000, second * 10), None);
        }
    }
}
