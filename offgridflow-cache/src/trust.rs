use std::sync::atomic::{AtomicU64, Ordering};

/// Until when the near tier may be served: a deadline that only a gap-free look at the shared tier moves, read at each hit.
#[derive(Debug)]
pub(crate) struct Trust {
    until: AtomicU64, // by the cache's watch; `u64::MAX`: for ever, without a shared tier
}

impl Trust {
    pub(crate) fn without_shared_tier() -> Self {
        Self { until: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn none_yet() -> Self {
        Self { until: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// A look that was sent Δ before `until` found no gap.
    pub(crate) fn extend(&self, until: u64) {
        self.until.fetch_max(until, Ordering::AcqRel);
    }
}
