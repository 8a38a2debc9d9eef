//! When to stop asking, and when to ask again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::BreakerSettings;

/// Calls of a window before their share of failures says anything.
const ENOUGH: u32 = 20;

/// A circuit that opens on failures and lets one call through from time to time.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: BreakerSettings,
    origin: Instant,
    /// Nanoseconds since `origin` until which nothing passes; 0 is closed. Taking the probe moves it on by a pause, so a
    /// probe that is never heard of again is followed by another.
    shut_until: AtomicU64,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
struct Tally {
    in_a_row: u32,
    window: Instant,
    calls: u32,
    failures: u32,
    pause: Duration,
    opened: u64,
}

impl Tally {
    fn new(settings: &BreakerSettings, opened: u64) -> Self {
        let (window, pause) = (Instant::now(), settings.first_pause);
        Self { in_a_row: 0, window, calls: 0, failures: 0, pause, opened }
    }
}

/// Which kind of call was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Regular,
    Probe,
}

impl Circuit {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let tally = Mutex::new(Tally::new(&settings, 0));
        Self { settings, origin: Instant::now(), shut_until: AtomicU64::new(0), tally }
    }

    /// One atomic load while it is closed, a clock reading more while it is open.
    ///
    /// # Errors
    /// How long until it may be tried again.
    pub(super) fn enter(&self) -> Result<Pass, Duration> {
        let until = self.shut_until.load(Ordering::Acquire);
        if until == 0 {
            return Ok(Pass::Regular);
        }
        let now = self.now();
        if now < until {
            return Err(Duration::from_nanos(until - now));
        }
        let next = now.saturating_add(nanos(self.tally().pause)).max(1);
        match self.shut_until.compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Pass::Probe),
            Err(0) => Ok(Pass::Regular),
            Err(other) => Err(Duration::from_nanos(other.saturating_sub(now))),
        }
    }

    pub(super) fn succeeded(&self, pass: Pass) {
        let mut tally = self.tally();
        match pass {
            Pass::Probe => {
                *tally = Tally::new(&self.settings, tally.opened);
                self.shut_until.store(0, Ordering::Release);
            }
            Pass::Regular => {
                tally.in_a_row = 0;
                self.count(&mut tally, false);
            }
        }
    }

    pub(super) fn failed(&self, pass: Pass) {
        let mut tally = self.tally();
        match pass {
            Pass::Probe => {
                tally.pause = tally.pause.saturating_mul(2).min(self.settings.longest_pause);
                self.shut(&tally);
            }
            Pass::Regular => {
                tally.in_a_row += 1;
                self.count(&mut tally, true);
                let mostly = tally.calls >= ENOUGH
                    && f64::from(tally.failures) > f64::from(tally.calls) * self.settings.failure_share;
                if (tally.in_a_row >= self.settings.failures_in_a_row || mostly) && !self.is_open() {
                    tally.opened += 1;
                    self.shut(&tally);
                }
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.shut_until.load(Ordering::Acquire) != 0
    }

    pub(super) fn opened(&self) -> u64 {
        self.tally().opened
    }

    fn shut(&self, tally: &Tally) {
        self.shut_until.store(self.now().saturating_add(nanos(tally.pause)).max(1), Ordering::Release);
    }

    fn count(&self, tally: &mut Tally, failure: bool) {
        if tally.window.elapsed() > self.settings.window {
            (tally.window, tally.calls, tally.failures) = (Instant::now(), 0, 0);
        }
        tally.calls += 1;
        tally.failures += u32::from(failure);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn circuit() -> Circuit {
        Circuit::new(BreakerSettings { first_pause: SECOND, longest_pause: 4 * SECOND, ..Default::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let circuit = circuit();
        circuit.failed(Pass::Regular);
        circuit.succeeded(Pass::Regular);
        circuit.failed(Pass::Regular);
        assert_eq!(circuit.enter(), Ok(Pass::Regular), "not in a row");
        circuit.failed(Pass::Regular);
        assert_eq!(circuit.enter(), Err(SECOND));
        tokio::time::advance(SECOND).await;
        assert_eq!(circuit.enter(), Ok(Pass::Probe));
        assert_eq!(circuit.enter(), Err(SECOND), "one at a time");
        circuit.succeeded(Pass::Probe);
        assert_eq!((circuit.enter(), circuit.opened()), (Ok(Pass::Regular), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_start_over_after_success() {
        let circuit = circuit();
        (0..2).for_each(|_| circuit.failed(Pass::Regular));
        for pause in [1, 2, 4, 4] {
            assert_eq!(circuit.enter(), Err(pause * SECOND));
            tokio::time::advance(pause * SECOND).await;
            assert_eq!(circuit.enter(), Ok(Pass::Probe));
            circuit.failed(Pass::Probe);
        }
        tokio::time::advance(4 * SECOND).await;
        circuit.enter().map(|pass| circuit.succeeded(pass)).unwrap();
        (0..2).for_each(|_| circuit.failed(Pass::Regular));
        assert_eq!(circuit.enter(), Err(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_vanishes_is_followed_by_another() {
        let circuit = circuit();
        (0..2).for_each(|_| circuit.failed(Pass::Regular));
        tokio::time::advance(SECOND).await;
        assert_eq!(circuit.enter(), Ok(Pass::Probe));
        tokio::time::advance(SECOND).await;
        assert_eq!(circuit.enter(), Ok(Pass::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn most_of_a_window_failing_opens_it_and_an_old_window_is_forgotten() {
        let mostly = |circuit: &Circuit| {
            for n in 0..30 {
                if n % 3 == 0 { circuit.succeeded(Pass::Regular) } else { circuit.failed(Pass::Regular) }
            }
        };
        let patient = || Circuit::new(BreakerSettings { failures_in_a_row: 3, ..Default::default() });
        let circuit = patient();
        mostly(&circuit);
        assert!(circuit.is_open(), "two in three failed, never three in a row");
        let circuit = patient();
        (0..100).for_each(|_| circuit.succeeded(Pass::Regular));
        mostly(&circuit);
        assert!(!circuit.is_open(), "20 of 130");
        tokio::time::advance(BreakerSettings::default().window * 2).await;
        mostly(&circuit);
        assert!(circuit.is_open(), "the hundred are forgotten");
    }
}
