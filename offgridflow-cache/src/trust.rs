use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Until when the near tier may be served: a deadline that only a gap-free look at the shared tier moves, read at each hit.
#[derive(Debug)]
pub(crate) struct Trust {
    began: Instant,
    until_nanos: AtomicU64, // since `began`; `u64::MAX`: for ever, without a shared tier
}

impl Trust {
    pub(crate) fn without_shared_tier() -> Self {
        Self { began: Instant::now(), until_nanos: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn none_yet() -> Self {
        Self { began: Instant::now(), until_nanos: AtomicU64::new(0) }
    }

    pub(crate) fn holds_at(&self, now: Instant) -> bool {
        nanos(now.saturating_duration_since(self.began)) < self.until_nanos.load(Ordering::Acquire)
    }

    /// For how long it has not held at `now`, if it ever did.
    pub(crate) fn lost_for(&self, now: Instant) -> Option<Duration> {
        let until = self.until_nanos.load(Ordering::Acquire);
        (until > 0).then(|| {
            Duration::from_nanos(nanos(now.saturating_duration_since(self.began)).saturating_sub(until))
        })
    }

    /// A look that was sent at `sent` found no gap.
    pub(crate) fn extend(&self, sent: Instant, by: Duration) {
        let until = nanos(sent.saturating_duration_since(self.began) + by);
        self.until_nanos.fetch_max(until, Ordering::AcqRel);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}
