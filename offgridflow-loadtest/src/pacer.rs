//! Waiting for the next arrival.

use std::time::Duration;

use crate::clock::{ClockSource, RunClock};

/// No sleep is longer, so that a stop is noticed.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Sleeps until just before an instant; spins the rest if asked to.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: RunClock,
    sleeper: Sleeper,
    margin: Option<Margin>, // with spinning
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
    /// The monotonic clock comes with the system's finest timer, where there is one.
    pub(crate) fn new(clock: RunClock, source: ClockSource, spin: bool) -> Self {
        let sleeper = sleeper(source);
        let margin = spin.then(|| Margin::of(&sleeper));
        Self { clock, sleeper, margin }
    }

    /// Waits until `at` or for [`LONGEST_SLEEP`], whichever is shorter, and returns the time.
    pub(crate) async fn approach(&mut self, at: Duration) -> Duration {
        let now = self.clock.now();
        let left = at.saturating_sub(now);
        let early = self.margin.as_ref().map_or(Duration::ZERO, |margin| margin.length);
        let sleep = left.saturating_sub(early).min(LONGEST_SLEEP);
        if sleep.is_zero() {
            tokio::task::yield_now().await; // the last stretch of a spin, or already due
            return self.clock.now();
        }
        self.sleep(now, sleep).await;
        let woken = self.clock.now();
        if let Some(margin) = &mut self.margin {
            margin.learn(woken.saturating_sub(now + sleep));
        }
        woken
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

/// How long before an instant sleeping ends and spinning begins: as late as the timer usually wakes.
#[derive(Debug)]
struct Margin {
    length: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Margin {
    fn of(sleeper: &Sleeper) -> Self {
        let micros = if matches!(sleeper, Sleeper::Tokio) { [2_000, 1_100, 4_000] } else { [80, 20, 200] };
        let [length, shortest, longest] = micros.map(Duration::from_micros);
        Self { length, shortest, longest }
    }

    /// Grows fast and shrinks slowly, so that nine wake-ups in ten are early enough.
    fn learn(&mut self, lateness: Duration) {
        let length = if lateness > self.length {
            self.length + (lateness - self.length) / 4
        } else {
            self.length - (self.length - lateness) / 32
        };
        self.length = length.clamp(self.shortest, self.longest);
    }
}

#[cfg(target_os = "linux")]
fn sleeper(source: ClockSource) -> Sleeper {
    let timer = (source == ClockSource::Monotonic).then(crate::sys::PreciseTimer::new);
    timer.and_then(Result::ok).map_or(Sleeper::Tokio, Sleeper::Precise)
}

#[cfg(not(target_os = "linux"))]
fn sleeper(_source: ClockSource) -> Sleeper {
    Sleeper::Tokio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_follows_how_late_the_timer_wakes() {
        let mut margin = Margin::of(&Sleeper::Tokio);
        (0..1_000).for_each(|_| margin.learn(Duration::from_micros(1_500)));
        assert!((1_490..1_560).contains(&margin.length.as_micros()), "{margin:?}");
        margin.learn(Duration::from_secs(5));
        assert_eq!(margin.length, margin.longest);
        (0..10_000).for_each(|_| margin.learn(Duration::ZERO));
        assert_eq!(margin.length, margin.shortest);
    }
}
