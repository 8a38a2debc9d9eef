//! Waiting for the next arrival.

use std::time::Duration;

use crate::clock::RunClock;

/// No sleep is longer, so that a stop is noticed.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Sleeps until just before an instant; spins the rest if asked to.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: RunClock,
    sleeper: Sleeper,
    spin: Option<Duration>, // how long before the instant to stop sleeping
}

#[derive(Debug)]
enum Sleeper {
    /// Wakes within about a millisecond, and obeys tokio's paused clock.
    Tokio,
    /// Wakes within tens of microseconds.
    #[cfg(target_os = "linux")]
    Precise(crate::sys::PreciseTimer),
}

impl Pacer {
    /// `precise` asks for the system's finest timer, where there is one; real time only.
    pub(crate) fn new(clock: RunClock, precise: bool, spin: bool) -> Self {
        let sleeper = sleeper(precise);
        let margin = if matches!(sleeper, Sleeper::Tokio) { 2_000 } else { 80 };
        Self { clock, sleeper, spin: spin.then(|| Duration::from_micros(margin)) }
    }

    /// Waits until `at` or for [`LONGEST_SLEEP`], whichever is shorter, and returns the time.
    pub(crate) async fn approach(&mut self, at: Duration) -> Duration {
        let now = self.clock.now();
        let left = at.saturating_sub(now);
        let sleep = left.saturating_sub(self.spin.unwrap_or_default()).min(LONGEST_SLEEP);
        if sleep.is_zero() {
            tokio::task::yield_now().await; // the last stretch of a spin, or already due
        } else {
            self.sleep(now, sleep).await;
        }
        self.clock.now()
    }

    async fn sleep(&mut self, now: Duration, sleep: Duration) {
        #[cfg(target_os = "linux")]
        if let Sleeper::Precise(timer) = &mut self.sleeper {
            if timer.sleep(sleep).await.is_ok() {
                return;
            }
            self.sleeper = Sleeper::Tokio;
        }
        tokio::time::sleep_until(self.clock.instant(now + sleep)).await;
    }
}

#[cfg(target_os = "linux")]
fn sleeper(precise: bool) -> Sleeper {
    let timer = precise.then(crate::sys::PreciseTimer::new);
    timer.and_then(Result::ok).map_or(Sleeper::Tokio, Sleeper::Precise)
}

#[cfg(not(target_os = "linux"))]
fn sleeper(_precise: bool) -> Sleeper {
    Sleeper::Tokio
}
