//! Waiting for the next arrival.

use std::time::Duration;

use crate::clock::{ClockSource, RunClock};

/// No sleep is longer, so that a stop is noticed.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// How a pacer spends the last stretch before an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// Asleep: it wakes as late as the system's timer does.
    Sleep,
    /// Asleep, with the alarm set earlier by as much as the timer is nearly always late: seldom too early, and then
    /// only by microseconds, which are spun.
    Anticipate,
    /// Spinning, from as long before as the timer is hardly ever late.
    Spin,
}

/// Sleeps until just before an instant, and spins the rest as its [`Pacing`] says.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: RunClock,
    sleeper: Sleeper,
    margin: Option<Margin>,
}

#[derive(Debug)]
enum Sleeper {
    /// Wakes within about a millisecond, and obeys tokio's paused clock.
    Tokio,
    /// Wakes within tens of microseconds.
    #[cfg(target_os = "linux")]
    Precise(crate::sys::PreciseTimer),
    #[cfg(test)]
    Fine,
}

impl Pacer {
    /// The monotonic clock comes with the system's finest timer, where there is one.
    pub(crate) fn new(clock: RunClock, source: ClockSource, pacing: Pacing) -> Self {
        let sleeper = sleeper(source);
        let margin = Margin::of(&sleeper, pacing);
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

/// How long before an instant sleeping ends: a quantile of how late the timer wakes, learnt as it goes.
#[derive(Debug)]
struct Margin {
    length: Duration,
    longest: Duration,
    grow: Duration, // on a wake-up later than `length`
    shrink: Duration,
}

impl Margin {
    /// Steps up and down in the ratio q : 1 − q settle at the q-quantile (Robbins and Monro 1951).
    fn of(sleeper: &Sleeper, pacing: Pacing) -> Option<Self> {
        let coarse = matches!(sleeper, Sleeper::Tokio);
        let [length, longest, grow, shrink] = match pacing {
            Pacing::Sleep => return None,
            Pacing::Anticipate if coarse => return None, // its milliseconds are not worth spinning
            Pacing::Anticipate => [10_000, 200_000, 200, 1_800],
            Pacing::Spin if coarse => [2_000_000, 4_000_000, 19_000, 1_000],
            Pacing::Spin => [80_000, 200_000, 1_900, 100],
        };
        let [length, longest, grow, shrink] = [length, longest, grow, shrink].map(Duration::from_nanos);
        Some(Self { length, longest, grow, shrink })
    }

    fn learn(&mut self, lateness: Duration) {
        self.length = if lateness > self.length {
            (self.length + self.grow).min(self.longest)
        } else {
            self.length.saturating_sub(self.shrink)
        };
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
    use crate::rng::OpRng;

    fn settled(pacing: Pacing, lateness: impl Fn(u64) -> u64) -> Duration {
        let mut margin = Margin::of(&Sleeper::Fine, pacing).expect("not asleep");
        (0..20_000).for_each(|index| margin.learn(Duration::from_nanos(lateness(index))));
        margin.length
    }

    #[test]
    fn the_margin_settles_at_its_quantile_of_how_late_the_timer_wakes() {
        let even = |index| 20_000 + OpRng::new(1, index).below(50_000); // 20 to 70 µs
        let (early, late) = (settled(Pacing::Anticipate, even), settled(Pacing::Spin, even));
        assert!((20..32).contains(&early.as_micros()), "the 10th percentile is 25 µs: {early:?}");
        assert!((62..75).contains(&late.as_micros()), "the 95th is 67.5 µs: {late:?}");
        assert_eq!(settled(Pacing::Spin, |_| 5_000_000_000), Duration::from_micros(200), "bounded");
        assert_eq!(settled(Pacing::Spin, |_| 0), Duration::ZERO);
    }
}
