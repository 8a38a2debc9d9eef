//! The time of a hit, for the price of one cheap reading.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since a cache was built, by tokio's clock.
///
/// A precise reading costs more than a near look-up. So a hit first reads the kernel's coarse clock, which is behind by less than a
/// few ticks, and adds those: what is fresh by then is fresh. Only what is within those ticks of its end needs [`exact`](Self::exact).
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    coarse_zero: u64, // the coarse clock's reading that stands for `began`, less what it may be behind
    exact_only: AtomicBool, // tokio's clock was seen to stand still, as in tests that pause it: the kernel's says nothing about it
}

impl Watch {
    pub(crate) fn start() -> Self {
        let coarse_zero = coarse::now().unwrap_or_default().saturating_sub(coarse::BEHIND_NANOS);
        let watch = Self { began: Instant::now(), coarse_zero, exact_only: AtomicBool::new(false) };
        watch.check();
        watch
    }

    /// A time that is not before now, by milliseconds at most; `u64::MAX` where only [`exact`](Self::exact) knows.
    #[inline]
    pub(crate) fn at_latest(&self) -> u64 {
        if self.exact_only.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        coarse::now().map_or(u64::MAX, |now| now.wrapping_sub(self.coarse_zero))
    }

    pub(crate) fn exact(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.began))
    }

    /// Notices that tokio's clock is paused: it stands still while real time passes. Costs some 100 ns, so it is not done at hits.
    pub(crate) fn check(&self) {
        let (before, real) = (Instant::now(), std::time::Instant::now());
        while std::time::Instant::now() == real {
            std::hint::spin_loop();
        }
        if Instant::now() == before {
            self.exact_only.store(true, Ordering::Relaxed);
        }
    }
}

/// Less than `u64::MAX`, which stands for ever.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

#[cfg(target_os = "linux")]
mod coarse {
    use rustix::time::{ClockId, clock_gettime};

    /// What the reading may be behind: ten ticks of a kernel that ticks 250 times a second. The kernel lets another core take over
    /// the clock after five that were missed.
    pub(super) const BEHIND_NANOS: u64 = 40_000_000;

    #[inline]
    #[expect(clippy::cast_sign_loss, reason = "time since the machine started")]
    pub(super) fn now() -> Option<u64> {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        Some((now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64))
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    pub(super) const BEHIND_NANOS: u64 = 0;

    pub(super) fn now() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheap_reading_is_never_early_and_seldom_late() {
        let watch = Watch::start();
        for _ in 0..200_000 {
            let (exact, latest) = (watch.exact(), watch.at_latest());
            assert!(exact <= latest, "{exact} > {latest}");
            assert!(cfg!(not(target_os = "linux")) || latest < exact + 2_000_000_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_noticed() {
        let watch = Watch::start();
        assert_eq!(watch.at_latest(), u64::MAX);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(watch.exact(), 7_000_000_000);
    }

    #[tokio::test]
    async fn a_clock_paused_later_is_noticed_at_the_next_check() {
        let watch = Watch::start();
        assert!(cfg!(not(target_os = "linux")) || watch.at_latest() < u64::MAX);
        tokio::time::pause();
        watch.check();
        assert_eq!(watch.at_latest(), u64::MAX);
    }
}
