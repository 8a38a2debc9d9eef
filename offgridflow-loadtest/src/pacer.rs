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
    /// Asleep, with the alarm set earlier by as much as the timer is nearly always late, and by so much more where it is
    /// often later: what is left when it rings is spun.
    Early(Duration),
    /// Asleep up to the next whole multiple of this: what falls due in between shares a wake.
    Slack(Duration),
}

impl Pacing {
    /// From as long before as the timer is hardly ever late, whatever it costs.
    pub(crate) const SPIN: Self = Self::Early(Duration::MAX);

    /// Spins for so much of a core's time at most, on average.
    pub(crate) fn within(share: f64, arrivals_per_sec: f64) -> Self {
        Self::Early(Duration::try_from_secs_f64(share / arrivals_per_sec).unwrap_or_default())
    }

    /// For instants that are not to be put together.
    pub(crate) fn exact(self) -> Self {
        if matches!(self, Self::Slack(_)) { Self::Early(Duration::ZERO) } else { self }
    }

    /// When to wake for an instant.
    fn wake(self, at: Duration) -> Duration {
        let Self::Slack(slack) = self else { return at };
        let [at, slack] = [at, slack].map(|length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        Duration::from_nanos(at.div_ceil(slack.max(1)).saturating_mul(slack))
    }
}

/// Sleeps until just before an instant, and spins the rest as its [`Pacing`] says.
#[derive(Debug)]
pub(crate) struct Pacer {
    clock: RunClock,
    sleeper: Sleeper,
    pacing: Pacing,
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
        Self { clock, sleeper, pacing, margin }
    }

    /// Waits from `now`, which was just read, until `at` or for [`LONGEST_SLEEP`], whichever is shorter, and returns the time.
    pub(crate) async fn approach(&mut self, now: Duration, at: Duration) -> Duration {
        let left = self.pacing.wake(at).saturating_sub(now);
        let early = self.margin.as_ref().map_or(Duration::ZERO, Margin::length);
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

/// How long before an instant sleeping ends.
#[derive(Debug)]
struct Margin {
    nearly_always: Lateness,
    hardly_ever: Lateness,
    spin: Duration,
}

impl Margin {
    fn of(sleeper: &Sleeper, pacing: Pacing) -> Option<Self> {
        let Pacing::Early(spin) = pacing else { return None };
        if !matches!(sleeper, Sleeper::Tokio) {
            let nearly_always = Lateness::new([10_000, 200_000, 200, 1_800]); // the 10th percentile
            return Some(Self {
                nearly_always,
                hardly_ever: Lateness::new([80_000, 200_000, 1_900, 100]),
                spin,
            });
        }
        // Its milliseconds are spun where that is asked for, whatever it costs, and nowhere else.
        let hardly_ever = Lateness::new([2_000_000, 4_000_000, 19_000, 1_000]);
        (pacing == Pacing::SPIN).then(|| Self { nearly_always: Lateness::default(), hardly_ever, spin })
    }

    fn length(&self) -> Duration {
        self.hardly_ever.quantile.min(self.nearly_always.quantile.saturating_add(self.spin))
    }

    fn learn(&mut self, lateness: Duration) {
        self.nearly_always.learn(lateness);
        self.hardly_ever.learn(lateness);
    }
}

/// A quantile of how late the timer wakes, learnt as it goes: steps up and down in the ratio q : 1 − q settle at the
/// q-quantile (Robbins and Monro 1951).
#[derive(Debug, Default)]
struct Lateness {
    quantile: Duration,
    longest: Duration,
    grow: Duration, // on a wake-up later than `quantile`
    shrink: Duration,
}

impl Lateness {
    fn new(nanos: [u64; 4]) -> Self {
        let [quantile, longest, grow, shrink] = nanos.map(Duration::from_nanos);
        Self { quantile, longest, grow, shrink }
    }

    fn learn(&mut self, lateness: Duration) {
        self.quantile = if lateness > self.quantile {
            (self.quantile + self.grow).min(self.longest)
        } else {
            self.quantile.saturating_sub(self.shrink)
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
        margin.length()
    }

    fn even(index: u64) -> u64 {
        20_000 + OpRng::new(1, index).below(50_000) // 20 to 70 µs
    }

    #[test]
    fn the_margin_settles_at_its_quantile_of_how_late_the_timer_wakes() {
        let (early, late) = (settled(Pacing::Early(Duration::ZERO), even), settled(Pacing::SPIN, even));
        assert!((20..32).contains(&early.as_micros()), "the 10th percentile is 25 µs: {early:?}");
        assert!((62..75).contains(&late.as_micros()), "the 95th is 67.5 µs: {late:?}");
        assert_eq!(settled(Pacing::SPIN, |_| 5_000_000_000), Duration::from_micros(200), "bounded");
        assert_eq!(settled(Pacing::SPIN, |_| 0), Duration::ZERO);
    }

    #[test]
    fn what_falls_due_within_the_slack_shares_a_wake() {
        let (slack, us) = (Pacing::Slack(Duration::from_millis(1)), Duration::from_micros);
        for (at, wake) in [(0, 0), (1, 1_000), (999, 1_000), (1_000, 1_000), (1_001, 2_000)] {
            assert_eq!(slack.wake(us(at)), us(wake));
            assert_eq!((slack.exact().wake(us(at)), Pacing::SPIN.wake(us(at))), (us(at), us(at)));
        }
    }

    #[test]
    fn spinning_takes_no_more_than_its_share_of_a_core() {
        let left = |rate: f64| {
            let margin = settled(Pacing::within(0.05, rate), even);
            let spun = (0..20_000).map(|index| margin.saturating_sub(Duration::from_nanos(even(index))));
            (margin, spun.sum::<Duration>().as_secs_f64() / 20_000.0 * rate)
        };
        let (seldom, share) = left(300.0);
        assert_eq!(seldom, settled(Pacing::SPIN, even), "so rare that even the late ones are waited for");
        assert!(share < 0.05, "{share}");
        let (often, share) = left(3_000.0);
        assert!((35..50).contains(&often.as_micros()) && share < 0.05, "{often:?} {share}");
        assert!(left(100_000.0).1 < 0.25, "what the 10th percentile costs at any rate");
        assert_eq!(Pacing::within(0.05, 0.0), Pacing::Early(Duration::ZERO), "no rate, nothing spun");
    }
}
