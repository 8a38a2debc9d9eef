//! L2: arrivals happen when the schedule says so.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use offgridflow_loadtest::{Executor, LoadTest, OnCap, OpRng, Rate, workload_fn};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

use benches::{
    figures::{as_f64, median, quantile, spread},
    row,
};

use crate::{
    Failure,
    child::Process,
    serve::{Behaviour, Server},
    size,
    tools::{Load, Ours, Rival, ours},
};

const RATES: [u32; 3] = [300, 3_000, 10_000];
const MAX_RATIO: f64 = 1.25;
const MAX_GAP_SHARE: f64 = 0.2;
const MAX_PAUSE_ERROR: f64 = 0.1;
const MAX_DISPERSION_ERROR: f64 = 0.05;

/// What one rate showed.
struct Figures {
    /// Ours over the bare timer's, median over rounds: p50 and p99 of the lag.
    ratio: [f64; 2],
    /// Ours over the better rival's p99 gap error.
    gap: f64,
    counts_exact: bool,
}

pub(crate) fn main() -> Result<(), Failure> {
    let (rounds, seconds) = if size::full() { (15, 3) } else { (7, 2) };
    let seed = size::seed();
    let mut pass = true;
    let (mut ratios, mut gaps) = (Vec::new(), Vec::new());
    for per_sec in RATES {
        let figures = rate(per_sec, rounds, seconds)?;
        pass &= figures.counts_exact
            && figures.ratio.iter().all(|ratio| *ratio <= MAX_RATIO)
            && figures.gap <= MAX_GAP_SHARE;
        ratios.push(format!("{:.2}/{:.2}", figures.ratio[0], figures.ratio[1]));
        gaps.push(format!("{:.3}", figures.gap));
    }
    let pause = pauses(seed, if size::full() { 12 } else { 4 })?;
    let dispersion = dispersion(seed, seconds.into())?;
    row!("pauses reported within {:.1} %, Poisson dispersion {dispersion:.3}", pause * 100.0);
    pass &= pause <= MAX_PAUSE_ERROR && (dispersion - 1.0).abs() <= MAX_DISPERSION_ERROR;
    println!(
        "{} measured=lag-p50/p99-over-floor={},gap-error-over-best-rival={},pause-off-{:.1}%,dispersion={dispersion:.3} control=hey-q,oha-q-gap-errors-{:.0}x-ours n={rounds}x{} seed {seed}",
        if pass { "PASS" } else { "FAIL" },
        ratios.join(","),
        gaps.join(","),
        pause * 100.0,
        1.0 / gaps.iter().filter_map(|gap| gap.parse::<f64>().ok()).fold(f64::MIN_POSITIVE, f64::max),
        RATES.len()
    );
    Ok(())
}

/// All tools in turn, round after round.
fn rate(per_sec: u32, rounds: usize, seconds: u32) -> Result<Figures, Failure> {
    let server = Server::start(Behaviour { awake: true, ..Behaviour::default() })?;
    let load = Load { url: &server.url, per_sec, seconds };
    let json = PathBuf::from("target/verify/l2.json");
    let (mut floor, mut lag) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut gaps = [Vec::new(), Vec::new(), Vec::new()]; // ours, oha, hey
    let mut counts_exact = true;
    for _ in 0..rounds {
        let bare = bare_timer(per_sec, seconds)?;
        let [p50, p99] = [0.5, 0.99].map(|q| quantile(&bare, q));
        floor[0].push(p50);
        floor[1].push(p99);

        server.reset()?;
        let ours = Ours::run(ours(load, 2_000, &json), &json)?;
        let arrivals = server.arrivals()?;
        counts_exact &=
            ours.report["dispatched"] == per_sec * seconds && arrivals.len() == (per_sec * seconds) as usize;
        lag[0].push(ours.seconds("dispatch_lag.p50.value") * 1e6);
        lag[1].push(ours.seconds("dispatch_lag.p99.value") * 1e6);
        gaps[0].push(gap_error(&arrivals, per_sec));

        for (rival, gaps) in [Rival::Oha, Rival::Hey].into_iter().zip(&mut gaps[1..]) {
            server.reset()?;
            rival.start(load)?.end(Duration::from_secs(60))?;
            gaps.push(gap_error(&server.arrivals()?, per_sec));
        }
    }
    let pairs =
        |at: usize| -> Vec<f64> { lag[at].iter().zip(&floor[at]).map(|(ours, bare)| ours / bare).collect() };
    let ratio = [median(&pairs(0)), median(&pairs(1))];
    let [ours, oha, hey] = [0, 1, 2].map(|at| median(&gaps[at]));
    row!(
        "{per_sec}/s: lag p50 {} µs, bare timer {} µs, ratio {}",
        spread(&lag[0]),
        spread(&floor[0]),
        spread(&pairs(0))
    );
    row!(
        "{:>8}  lag p99 {} µs, bare timer {} µs, ratio {}",
        "",
        spread(&lag[1]),
        spread(&floor[1]),
        spread(&pairs(1))
    );
    row!(
        "{:>8}  gap error p99 at the server: ours {} µs, oha {} µs, hey {} µs; counts exact: {counts_exact}",
        "",
        spread(&gaps[0]),
        spread(&gaps[1]),
        spread(&gaps[2])
    );
    Ok(Figures { ratio, gap: ours / oha.min(hey), counts_exact })
}

/// The 99th percentile of how far gaps between arrivals are from even, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "gaps of a few seconds")]
fn gap_error(arrivals: &[u64], per_sec: u32) -> f64 {
    let even = 1e9 / f64::from(per_sec);
    let errors: Vec<f64> =
        arrivals.windows(2).map(|pair| ((pair[1] - pair[0]) as f64 - even).abs() / 1e3).collect();
    quantile(&errors, 0.99)
}

/// How late a thread with nothing else to do wakes from a timer set to absolute instants, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "lags of a few seconds")]
fn bare_timer(per_sec: u32, seconds: u32) -> Result<Vec<f64>, Failure> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let start = monotonic() + 1_000_000;
    let mut lags = Vec::with_capacity((per_sec * seconds) as usize);
    for k in 0..i64::from(per_sec * seconds) {
        let due = start + k * 1_000_000_000 / i64::from(per_sec);
        if monotonic() < due {
            let value = Timespec { tv_sec: due / 1_000_000_000, tv_nsec: due % 1_000_000_000 };
            timerfd_settime(
                &timer,
                TimerfdTimerFlags::ABSTIME,
                &Itimerspec { it_interval: zero, it_value: value },
            )?;
            rustix::io::read(&timer, &mut [0; 8])?;
        }
        lags.push((monotonic() - due) as f64 / 1e3);
    }
    Ok(lags)
}

fn monotonic() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Stops our generator for a known time, and gives the largest relative error of the lag it reports.
fn pauses(seed: u64, times: u64) -> Result<f64, Failure> {
    let server = Server::start(Behaviour::default())?;
    let json = PathBuf::from("target/verify/l2.json");
    let mut worst = 0.0_f64;
    for run in 0..times {
        let load = Load { url: &server.url, per_sec: 1_000, seconds: 3 };
        let process = Process::start(ours(load, 2_000, &json))?;
        thread::sleep(Duration::from_millis(1_200));
        let length = size::between(&OpRng::new(seed, run), 0.05, 0.3);
        let frozen = process.freeze(Duration::from_secs_f64(length))?.as_secs_f64();
        let said = Ours::read(process, &json)?.seconds("dispatch_lag.max.value");
        row!("paused {:.1} ms, reported {:.1} ms", frozen * 1e3, said * 1e3);
        worst = worst.max((said / frozen - 1.0).abs());
    }
    Ok(worst)
}

/// Runs at a time for the dispersion, so that it is known to about 2 %.
const POISSON_RUNS: u64 = 4;
/// Windows a second.
const WINDOWS: f64 = 100.0;

/// Variance over mean of Poisson arrivals in windows of 10 ms, as they were really begun: the mean of several runs.
fn dispersion(seed: u64, seconds: u64) -> Result<f64, Failure> {
    let runs: Vec<_> = (0..POISSON_RUNS)
        .map(|run| {
            thread::spawn(move || {
                poisson_run(seed.wrapping_mul(31) + run, seconds * 10).map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut sum = 0.0;
    for run in runs {
        sum += run.join().map_err(|_| "a run panicked")??;
    }
    Ok(sum / as_f64(POISSON_RUNS))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn poisson_run(seed: u64, seconds: u64) -> Result<f64, Failure> {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&begun);
    let work = workload_fn(move |_op| {
        shared.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        async {}
    });
    let rate = Rate::constant(1_000.0, Duration::from_secs(seconds));
    let test = LoadTest::new(work)
        .executor(Executor::poisson(rate, seed))
        .max_in_flight(2_000, OnCap::CountAsFailure)
        .shards(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test.run())?;
    let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    let first = begun.first().copied().ok_or("nothing was begun")?;
    let mut counts = vec![0.0_f64; (as_f64(seconds) * WINDOWS) as usize - 1];
    for at in begun.iter() {
        let window = (at.duration_since(first).as_secs_f64() * WINDOWS) as usize;
        if let Some(count) = counts.get_mut(window) {
            *count += 1.0;
        }
    }
    let n = as_f64(counts.len() as u64);
    let mean = counts.iter().sum::<f64>() / n;
    Ok(counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / (n - 1.0) / mean)
}
