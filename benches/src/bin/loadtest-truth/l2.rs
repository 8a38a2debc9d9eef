//! L2: arrivals happen when the schedule says so, compared like with like: an operation that does nothing with a bare timer, HTTP with a
//! bare client, and the gaps at the server with those of rivals.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use offgridflow_loadtest::{Executor, LoadTest, OnCap, OpRng, Quantile, Rate, workload_fn};

use benches::{
    figures::{as_f64, median, quantile, spread},
    row,
};

use crate::{
    Failure, bare,
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
    /// Of an operation that does nothing over a bare timer's, and of HTTP over a bare client's: p50 and p99 of the lag,
    /// medians over rounds.
    idle: [f64; 2],
    http: [f64; 2],
    /// Ours over the better rival's p99 gap error.
    gap: f64,
    counts_exact: bool,
}

pub(crate) fn main() -> Result<(), Failure> {
    let (rounds, seconds) = if size::full() { (15, 3) } else { (7, 2) };
    let seed = size::seed();
    let mut pass = true;
    let (mut idle, mut http, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    for per_sec in RATES {
        let figures = rate(per_sec, rounds, seconds)?;
        pass &= figures.counts_exact
            && figures.idle.iter().chain(&figures.http).all(|ratio| *ratio <= MAX_RATIO)
            && figures.gap <= MAX_GAP_SHARE;
        idle.push(format!("{:.2}/{:.2}", figures.idle[0], figures.idle[1]));
        http.push(format!("{:.2}/{:.2}", figures.http[0], figures.http[1]));
        gaps.push(format!("{:.3}", figures.gap));
    }
    let pause = pauses(seed, if size::full() { 12 } else { 4 })?;
    let dispersion = dispersion(seed, seconds.into())?;
    row!("pauses reported within {:.1} %, Poisson dispersion {dispersion:.3}", pause * 100.0);
    pass &= pause <= MAX_PAUSE_ERROR && (dispersion - 1.0).abs() <= MAX_DISPERSION_ERROR;
    println!(
        "{} measured=lag-p50/p99-over-bare-timer={},http-over-bare-client={},gap-error-over-best-rival={},pause-off-{:.1}%,dispersion={dispersion:.3} control=hey-q,oha-q-gap-errors-{:.0}x-ours n={rounds}x{} seed {seed}",
        if pass { "PASS" } else { "FAIL" },
        idle.join(","),
        http.join(","),
        gaps.join(","),
        pause * 100.0,
        1.0 / gaps.iter().filter_map(|gap| gap.parse::<f64>().ok()).fold(f64::MIN_POSITIVE, f64::max),
        RATES.len()
    );
    Ok(())
}

/// Lags of ours beside those of this machine's floor, in microseconds, a round each.
#[derive(Default)]
struct Lags {
    floor: [Vec<f64>; 2], // p50, p99
    ours: [Vec<f64>; 2],
}

impl Lags {
    fn note(&mut self, floor: &[f64], ours: [f64; 2]) {
        for (at, q) in [0.5, 0.99].into_iter().enumerate() {
            self.floor[at].push(quantile(floor, q));
            self.ours[at].push(ours[at]);
        }
    }

    /// Ours over the floor, the median of the rounds.
    fn ratio(&self, what: &str, floor: &str) -> [f64; 2] {
        [0, 1].map(|at| {
            let pairs: Vec<f64> =
                self.ours[at].iter().zip(&self.floor[at]).map(|(ours, bare)| ours / bare).collect();
            row!(
                "{:>8}  {what} lag {} {} µs, {floor} {} µs, ratio {}",
                "",
                ["p50", "p99"][at],
                spread(&self.ours[at]),
                spread(&self.floor[at]),
                spread(&pairs)
            );
            median(&pairs)
        })
    }
}

/// All tools in turn, round after round.
fn rate(per_sec: u32, rounds: usize, seconds: u32) -> Result<Figures, Failure> {
    let server = Server::start(Behaviour { awake: true, ..Behaviour::default() })?;
    let load = Load { url: &server.url, per_sec, seconds };
    let json = PathBuf::from("target/verify/l2.json");
    let (mut idle, mut http) = (Lags::default(), Lags::default());
    let mut gaps = [Vec::new(), Vec::new(), Vec::new()]; // ours, oha, hey
    let mut counts_exact = true;
    for _ in 0..rounds {
        idle.note(&bare::timer(per_sec, seconds)?, nothing(per_sec, seconds)?);
        let bare = bare::client(server.address(), per_sec, seconds)?;

        server.reset()?;
        let ours = Ours::run(ours(load, 2_000, &json), &json)?;
        let arrivals = server.arrivals()?;
        counts_exact &=
            ours.report["dispatched"] == per_sec * seconds && arrivals.len() == (per_sec * seconds) as usize;
        http.note(&bare, ["p50", "p99"].map(|q| ours.seconds(&format!("dispatch_lag.{q}.value")) * 1e6));
        gaps[0].push(gap_error(&arrivals, per_sec));

        for (rival, gaps) in [Rival::Oha, Rival::Hey].into_iter().zip(&mut gaps[1..]) {
            server.reset()?;
            rival.start(load)?.end(Duration::from_secs(60))?;
            gaps.push(gap_error(&server.arrivals()?, per_sec));
        }
    }
    row!("{per_sec}/s: counts exact: {counts_exact}");
    let (idle, http) = (idle.ratio("no-op", "bare timer"), http.ratio("HTTP", "bare client"));
    let [ours, oha, hey] = [0, 1, 2].map(|at| median(&gaps[at]));
    row!(
        "{:>8}  gap error p99 at the server: ours {} µs, oha {} µs, hey {} µs",
        "",
        spread(&gaps[0]),
        spread(&gaps[1]),
        spread(&gaps[2])
    );
    Ok(Figures { idle, http, gap: ours / oha.min(hey), counts_exact })
}

/// The lag of the engine with an operation that does nothing, in microseconds: p50 and p99.
fn nothing(per_sec: u32, seconds: u32) -> Result<[f64; 2], Failure> {
    let rate = Rate::constant(f64::from(per_sec), Duration::from_secs(seconds.into()));
    let test = LoadTest::new(workload_fn(|_op| async {})).executor(Executor::open(rate)).shards(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lag = runtime.block_on(test.run())?.dispatch_lag;
    let micros = |lag: Quantile| lag.value().map_or(f64::NAN, |lag| lag.as_secs_f64() * 1e6);
    Ok([lag.p50, lag.p99].map(micros))
}

/// The 99th percentile of how far gaps between arrivals are from even, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "gaps of a few seconds")]
fn gap_error(arrivals: &[u64], per_sec: u32) -> f64 {
    let even = 1e9 / f64::from(per_sec);
    let errors: Vec<f64> =
        arrivals.windows(2).map(|pair| ((pair[1] - pair[0]) as f64 - even).abs() / 1e3).collect();
    quantile(&errors, 0.99)
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
