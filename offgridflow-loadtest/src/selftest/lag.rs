//! How late operations begin, beside a loop that only sleeps.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use super::{Line, Size, no_start};
use crate::{
    LoadTest, Rate, Report,
    clock::{ClockSource, RunClock},
    error::Error,
    histogram::Latencies,
    pacer::{Pacer, Pacing},
    report::text::short,
    run::on_a_thread,
    workload::workload_fn,
};

const PER_SEC: u32 = 1_000;
const ROUND: Duration = Duration::from_secs(2);
const OPERATIONS: u32 = 2_000;
/// As promise L2 has it.
const MAX_RATIO: f64 = 1.25;
/// So much more than a bare timer is nothing that a percentile shows.
const NEGLIGIBLE: Duration = Duration::from_micros(100);

/// The lag of our operations and of a bare timer, medians over rounds; and whether each round's count was exact.
pub(super) struct Lag {
    pub(super) ours: Tail,
    bare: Tail,
    sent: u64,
    wanted: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tail {
    p50: Duration,
    pub(super) p95: Duration,
    p99: Duration,
}

impl Tail {
    fn of(lag: &Latencies) -> Self {
        let at = |q| lag.quantile(q).unwrap_or_default();
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }

    fn reported(report: &Report) -> Self {
        let at = |quantile: crate::Quantile| quantile.least().unwrap_or_default();
        let lag = &report.dispatch_lag;
        Self { p50: at(lag.p50), p95: at(lag.p95), p99: at(lag.p99) }
    }

    fn median(rounds: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> Duration| {
            let mut all: Vec<_> = rounds.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Self { p50: middle(|tail| tail.p50), p95: middle(|tail| tail.p95), p99: middle(|tail| tail.p99) }
    }
}

/// Both in turn, round after round.
pub(super) async fn measure(size: Size) -> Result<Lag, Error> {
    let (mut ours, mut bare, mut sent, mut wanted) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..size.pick(5, 2) {
        bare.push(Tail::of(&bare_timer().await?));
        let rate = Rate::constant(PER_SEC.into(), ROUND);
        let report = LoadTest::new(workload_fn(|_op| async {})).rate(rate).shards(1).run().await?;
        ours.push(Tail::reported(&report));
        sent += report.dispatched;
        wanted += u64::from(OPERATIONS);
    }
    Ok(Lag { ours: Tail::median(&ours), bare: Tail::median(&bare), sent, wanted })
}

/// Sleeps until each of the same instants, on a thread with nothing else to do.
async fn bare_timer() -> Result<Latencies, Error> {
    let (done, is_done) = oneshot::channel();
    let looping = move || async move {
        let clock = RunClock::starting_at(Instant::now());
        let mut pacer = Pacer::new(clock, ClockSource::Monotonic, Pacing::Sleep);
        let mut lag = Latencies::new();
        for k in 1..=OPERATIONS {
            let due = ROUND * k / OPERATIONS;
            let mut woken = clock.now();
            while woken < due {
                woken = pacer.approach(woken, due).await;
            }
            lag.record(woken.saturating_sub(due));
        }
        let _ = done.send(lag);
    };
    on_a_thread("selftest-timer", looping).map_err(no_start)?;
    is_done.await.map_err(|_| Error::Engine("the thread with the bare timer is gone".into()))
}

impl Lag {
    pub(super) fn lines(&self) -> Vec<Line> {
        let Self { ours, bare, sent, wanted } = self;
        let timer = Line {
            name: "timer",
            passed: is_near(ours.p50, bare.p50) && is_near(ours.p99, bare.p99),
            measured: format!(
                "at {PER_SEC}/s operations begin late by p50 {}, p99 {}; a bare timer wakes late by p50 {}, p99 {}",
                short(ours.p50),
                short(ours.p99),
                short(bare.p50),
                short(bare.p99)
            ),
            means: format!(
                "response times are too long by about {}, one in a hundred by more than {}",
                short(ours.p50),
                short(ours.p99)
            ),
        };
        let count = Line {
            name: "count",
            passed: sent == wanted,
            measured: format!("{sent} of {wanted} operations were sent"),
            means: "what the schedule wants is sent once, late or not".into(),
        };
        vec![timer, count]
    }
}

fn is_near(ours: Duration, bare: Duration) -> bool {
    ours <= bare.mul_f64(MAX_RATIO).max(bare + NEGLIGIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ours: [u64; 3], bare: [u64; 3], sent: u64) -> Vec<bool> {
        let tail = |us: [u64; 3]| {
            let [p50, p95, p99] = us.map(Duration::from_micros);
            Tail { p50, p95, p99 }
        };
        let lag = Lag { ours: tail(ours), bare: tail(bare), sent, wanted: 4_000 };
        lag.lines().into_iter().map(|line| line.passed).collect()
    }

    #[test]
    fn a_generator_that_is_later_than_its_timer_or_loses_count_fails() {
        assert_eq!(lines([20, 60, 90], [25, 80, 110], 4_000), [true, true]);
        assert_eq!(lines([20, 900, 2_000], [25, 80, 110], 4_000), [false, true], "a late tail");
        assert_eq!(lines([800, 900, 1_000], [500, 900, 1_200], 4_000), [false, true], "a late median");
        assert_eq!(lines([20, 60, 90], [25, 80, 110], 3_999), [true, false]);
    }
}
