//! Promise B8 as `scripts/verify.sh bench` measures it: real time, real work, simulated deploys.
#![cfg(feature = "service")]
use std::hint::black_box;
use std::time::{Duration, Instant};

use offgridflow_bench::selftest::{Dice, Rate};
use offgridflow_bench::service::{BenchService, DeployVerdict, Objective, Reference, SloVerdict, probe_fn};

/// Processor time of this process so far, from the kernel.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10) // USER_HZ is 100
}

/// The share of a core that five probes of some milliseconds of arithmetic take when they would run all the time.
async fn busy_share(seconds: u64) -> f64 {
    let spin = || async {
        black_box((0..2_000_000_u64).map(black_box).sum::<u64>());
        Ok(())
    };
    let names = ["a", "b", "c", "d", "e"];
    let builder = BenchService::builder().interval(Duration::from_millis(1));
    let limit = Objective::p95(Duration::from_secs(1));
    let service = names.into_iter().fold(builder, |builder, name| builder.probe(probe_fn(name, spin), limit));
    let service = service.start().unwrap();
    let (before, began) = (processor_time(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(service.snapshot()[0].runs > 0);
    service.shutdown().await;
    share
}

/// Verdict after `runs` runs whose durations are log-normal about a second times `factor`, in simulated time.
async fn deployed(
    factor: f64,
    runs: usize,
    quantile: f64,
    reference: Option<Reference>,
    seed: u64,
) -> (DeployVerdict, SloVerdict) {
    let mut dice = Dice::new(seed);
    let mut times: Vec<Duration> =
        (0..runs).map(|_| Duration::from_secs_f64(factor * (0.3 * dice.normal()).exp())).collect();
    let times = std::sync::Arc::new(std::sync::Mutex::new({
        times.reverse();
        times
    }));
    let probe = probe_fn("p", move || {
        let next = times.lock().unwrap().pop();
        async move {
            match next {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
            Ok(())
        }
    });
    let objective = Objective { quantile, limit: Duration::from_secs(4) };
    let builder = BenchService::builder()
        .interval(Duration::from_millis(10))
        .busy_share(1.0)
        .timeout(Duration::from_secs(60))
        .window(Duration::from_secs(100_000))
        .seed(seed)
        .probe(probe, objective);
    let service =
        reference.into_iter().fold(builder, |builder, one| builder.reference("p", one)).start().unwrap();
    let mut reports = service.watch();
    let report = reports.wait_for(|reports| reports[0].samples == runs).await.unwrap()[0].clone();
    (report.deploy, report.verdict)
}

/// Prints the line of B8. The control: a percentile without a minimum count, which claims too much of 58 runs.
#[test]
#[ignore = "scripts/verify.sh bench runs it"]
fn the_promise() {
    let full = std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full");
    let seed: u64 = std::env::var("VERIFY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(std::process::id().into());
    let live = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let share = live.block_on(busy_share(if full { 120 } else { 30 }));
    let paused =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (mut slower, mut same, mut soon) = (Rate::default(), Rate::default(), Rate::default());
    for nth in 0..if full { 2_000 } else { 400 } {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(nth);
        let mut dice = Dice::new(seed ^ 0xabcd);
        let reference: Reference =
            (0..1_000).map(|_| Duration::from_secs_f64((0.3 * dice.normal()).exp())).collect();
        let is_slower = |verdict| matches!(verdict, DeployVerdict::Slower { .. });
        let (twenty, _) = paused.block_on(deployed(1.2, 100, 0.95, Some(reference.clone()), seed));
        slower.count(is_slower(twenty));
        let (none, _) = paused.block_on(deployed(1.0, 400, 0.95, Some(reference), seed));
        same.count(is_slower(none));
        for (quantile, need) in [(0.95, 59), (0.99, 299)] {
            let (_, before) = paused.block_on(deployed(1.0, need - 1, quantile, None, seed));
            soon.count(!matches!(before, SloVerdict::NotEnoughData { .. }));
        }
    }
    // A p95 of 58 runs is their largest but two; the true one lies above it this often although "p95 ≤ that" is claimed.
    let claimed = (0..1_000).filter(|nth| {
        let mut dice = Dice::new(seed.wrapping_add(*nth));
        let mut runs: Vec<f64> = (0..58).map(|_| dice.unit()).collect();
        runs.sort_by(f64::total_cmp);
        runs[55] < 0.95
    });
    let control = claimed.count() as f64 / 10.0;
    let passed = share <= 0.01
        && slower.at_most() >= 0.95
        && same.at_least() <= 0.01
        && soon.events == 0
        && control > 5.0;
    println!(
        "{} measured=cpu-{:.2}%,+20%-told-within-100-runs-{:.1}%,same-build-called-slower-{:.2}%,verdicts-below-59-and-299-runs-{} control=a-percentile-without-a-minimum-claims-too-much-{control:.0}%-of-the-time n={}-deploys seed {seed}",
        if passed { "PASS" } else { "FAIL" },
        100.0 * share,
        100.0 * slower.share(),
        100.0 * same.share(),
        soon.events,
        slower.trials
    );
}
