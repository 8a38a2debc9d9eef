use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use offgridflow_bench::gate::{GateError, GateReport};
use offgridflow_bench::selftest::{ALPHA, Fault, Injection, Power, Replay};
use offgridflow_bench::stats::Interval;

use super::selftest::{Size, word};

/// Reports of gates that compared a revision with itself.
#[derive(Debug, Args)]
pub(crate) struct Recorded {
    /// `report.json`, of `gate --base REV --head REV --force --all-rounds`.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    size: Size,
}

/// Benchmarks whose rounds vary by at most this are quiet.
const QUIET: f64 = 0.03;
/// And by at most this, not wild.
const MODERATE: f64 = 0.05;

pub(crate) fn run(recorded: &Recorded, judge: fn(&Replay, &Size) -> bool) -> ExitCode {
    let passed = replay(&recorded.reports).map(|replay| judge(&replay, &recorded.size));
    super::gate::finish(passed.map(|passed| u8::from(!passed)))
}

fn replay(paths: &[PathBuf]) -> Result<Replay, GateError> {
    let reports = paths.iter().map(|path| super::gate::read(path)).collect::<Result<Vec<GateReport>, _>>()?;
    if let Some(other) = reports.iter().find(|report| report.base != report.head || report.rule.stop_early) {
        return Err(GateError::Usage(format!(
            "{:.12} over {:.12}: only rounds of one revision against itself, all of them, can be replayed",
            other.head, other.base
        )));
    }
    let replay = Replay::of(&reports);
    if replay.benches() == 0 {
        return Err(GateError::Invalid("no benchmark has ten rounds: nothing to replay".to_owned()));
    }
    Ok(replay)
}

pub(crate) fn aa(replay: &Replay, size: &Size) -> bool {
    let (seed, times) = (size.seed(), if size.full { 100_000 } else { 10_000 });
    let [none, usual] = [0.0, 0.02].map(|slowdown| replay.red(times, ALPHA, slowdown, seed));
    let faults = Fault::ALL.map(|fault| (fault, replay.red_with(fault, 1_000, ALPHA, seed)));
    let (criterion, critcmp) = replay.rivals();
    for (fault, rate) in faults {
        eprintln!("{:22} {:6.2} % of suites red", fault.name(), 100.0 * rate.share());
    }
    let needed = |fault: Fault| fault != Fault::FixedOrder; // it shows only where the machine has an order effect
    let caught = faults.iter().filter(|(_, rate)| rate.at_least() > ALPHA).count();
    let all_caught = faults.iter().all(|(fault, rate)| !needed(*fault) || rate.at_least() > ALPHA);
    let (signs, pooled) = (replay.sign_test(), replay.pooled_ln_ratio(QUIET, seed));
    // Not exchangeable is what lies beyond 0.2 % by more than chance explains (one-sided, 99 %).
    let exchangeable =
        signs >= 0.001 && pooled.is_none_or(|pooled| pooled.low <= 0.002 && pooled.high >= -0.002);
    let passed = none.at_most() <= ALPHA && usual.at_most() <= ALPHA && all_caught && exchangeable;
    println!(
        "{} measured=red-suites-{:.2}%-(at-most-{:.2}%)-at-0,{:.2}%-at-2%,sign-test-p-{signs:.3},pooled-ratio-of-quiet-{} control=faults-caught-{caught}-of-{},criterion-sees-changes-in-{:.1}%-of-pairs,critcmp-at-5%-in-{:.1}% n={}-rounds-of-{}-benchmarks,{times}-flips seed {seed}",
        word(passed),
        100.0 * none.share(),
        100.0 * none.at_most(),
        100.0 * usual.share(),
        pooled.map_or("none-is-quiet".to_owned(), |pooled| percents(&pooled)),
        Fault::ALL.len(),
        100.0 * criterion.share(),
        100.0 * critcmp.share(),
        replay.rounds(),
        replay.benches(),
    );
    passed
}

pub(crate) fn power(replay: &Replay, size: &Size) -> bool {
    let (seed, times) = (size.seed(), if size.full { 20_000 } else { 2_000 });
    let injection =
        |spread: f64| Injection { spread, slowdown: 0.05, delta: 0.02, alpha: ALPHA, rounds: 150 };
    let quiet = replay.power(&injection(QUIET), times, seed);
    let moderate = replay.power(&injection(MODERATE), times, seed);
    let spreads: Vec<String> =
        replay.spreads().iter().map(|spread| format!("{:.1}%", 100.0 * spread)).collect();
    eprintln!("robust spreads: {}", spreads.join(" "));
    let Some(quiet) = quiet else {
        println!(
            "SKIP measured=none no benchmark varies by less than {} % on this machine now",
            100.0 * QUIET
        );
        return true;
    };
    let found = |power: &Power, share: f64| power.caught.at_most() >= share;
    let slow = moderate.as_ref().map_or(f64::NAN, |power| share_within(power, 60.0));
    let passed =
        found(&quiet, 0.95) && quiet.median_seconds() <= 15.0 && quiet.near.share() >= 0.9 && slow >= 0.9;
    let (criterion, _) = replay.rivals();
    println!(
        "{} measured=caught-{:.1}%-median-{:.1}s-within-a-point-{:.1}%-at-spreads-to-3%,{:.1}%-within-60s-at-spreads-to-5% control=criterion-sees-changes-in-{:.1}%-of-identical-pairs n={times}-injections-of-5%,{}-rounds-of-{}-benchmarks seed {seed}",
        word(passed),
        100.0 * quiet.caught.share(),
        quiet.median_seconds(),
        100.0 * quiet.near.share(),
        100.0 * slow,
        100.0 * criterion.share(),
        replay.rounds(),
        replay.benches(),
    );
    passed
}

/// Share of all injections that were found within so many seconds.
fn share_within(power: &Power, seconds: f64) -> f64 {
    let soon = power.seconds.iter().filter(|took| **took <= seconds).count();
    soon as f64 / power.caught.trials.max(1) as f64
}

/// A ln ratio with its bounds, as a change in percent.
fn percents(ln: &Interval) -> String {
    let percent = |ln: f64| 100.0 * ln.exp_m1();
    format!("{:+.2}%-({:+.2}-to-{:+.2})", percent(ln.estimate), percent(ln.low), percent(ln.high))
}
