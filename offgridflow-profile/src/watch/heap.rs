use std::time::Duration;

use crate::source::{AllocatorSource, AllocatorStats};
use crate::trend::{Shape, TrendDetector, TrendOptions, Verdict, WindowDetector};
use crate::{MemoryReading, Series};

/// How often an allocator is asked.
const ALLOCATOR_EVERY: Duration = Duration::from_secs(10);
/// Of the time, at most one in so many is spent asking.
const ALLOCATOR_SHARE: u32 = 10_000;

/// What the allocator said so far.
#[derive(Clone)]
pub(super) struct Heap {
    pub(super) source: Option<AllocatorSource>,
    pub(super) newest: Option<AllocatorStats>,
    /// What was read when that was said.
    pub(super) beside: Option<(Duration, MemoryReading)>,
    allocated: WindowDetector,
    held: WindowDetector,
    pub(super) next: Duration,
}

impl Heap {
    pub(super) fn new(source: Option<AllocatorSource>, capacity: usize, options: TrendOptions) -> Self {
        let detector = || WindowDetector::new(Series::with_capacity(capacity), options.clone());
        Self {
            source,
            newest: None,
            beside: None,
            allocated: detector(),
            held: detector(),
            next: Duration::ZERO,
        }
    }

    /// Takes what the allocator said at an instant, and how long it took to say it.
    pub(super) fn push(&mut self, at: Duration, stats: Option<AllocatorStats>, took: Duration) {
        self.next = at.saturating_add(ALLOCATOR_EVERY.max(took.saturating_mul(ALLOCATOR_SHARE)));
        self.newest = stats;
        if let Some(stats) = stats {
            self.allocated.push(at, stats.allocated_bytes);
            self.held.push(at, stats.held_bytes.unwrap_or(stats.allocated_bytes));
        }
    }

    pub(super) fn explain(&self, verdict: Verdict) -> Verdict {
        if verdict.shape == Shape::Leak && self.newest.is_some() {
            verdict.explained(&self.allocated.verdict(), &self.held.verdict())
        } else {
            verdict
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sample;

    fn noise(second: u64, salt: u64) -> u64 {
        (second ^ salt << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46
    }

    /// Half an hour of a heap that is asked every ten seconds, and the verdict on memory that grows by 8 KiB a second meanwhile.
    fn judged(allocated: u64, held: u64) -> Verdict {
        let mut heap = Heap::new(None, 4_096, TrendOptions::default());
        for second in (0..1_800).step_by(10) {
            let bytes = |slope: u64, salt| 100_000_000 + slope * second + noise(second, salt);
            let stats = AllocatorStats {
                name: "test",
                allocated_bytes: bytes(allocated, 1),
                free_bytes: None,
                held_bytes: Some(bytes(held, 2)),
            };
            heap.push(Duration::from_secs(second), Some(stats), Duration::ZERO);
        }
        let sample = |s| Sample { at: Duration::from_secs(s), bytes: 200_000_000 + 8_192 * s + noise(s, 3) };
        heap.explain((0..1_800).map(sample).collect::<Series>().verdict(&TrendOptions::default()))
    }

    #[test]
    fn growth_that_the_allocator_keeps_is_told_from_a_leak() {
        let retention = judged(0, 8_192);
        assert_eq!(retention.shape, Shape::Retention, "{retention}");
        assert!(retention.why.starts_with("retention, not leak: "), "{retention}");
        assert_eq!(judged(8_192, 8_192).shape, Shape::Leak, "the control: the program allocates");
    }

    #[test]
    fn an_allocator_that_answers_slowly_is_asked_rarely() {
        let mut heap = Heap::new(None, 16, TrendOptions::default());
        let at = Duration::from_secs(100);
        heap.push(at, None, Duration::from_micros(5));
        assert_eq!(heap.next, at + ALLOCATOR_EVERY);
        heap.push(at, None, Duration::from_millis(20));
        assert_eq!(heap.next, at + Duration::from_secs(200), "a ten-thousandth of the time");
    }
}
