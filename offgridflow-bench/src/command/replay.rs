use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use offgridflow_bench::gate::{Gate, GateError, GateReport, Rule};
use offgridflow_bench::selftest::{ALPHA, Fault, Injection, Power, Replay, Rival};
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

/// Whose rules stand beside the gate's.
const RIVALS: [(&str, Rival); 2] = [("criterion", Rival::Criterion), ("critcmp at 5 %", Rival::Critcmp)];

pub(crate) fn run(recorded: &Recorded, judge: fn(&Replay, &Size) -> bool) -> ExitCode {
    let passed = replay(&recorded.reports).map(|replay| judge(&replay, &recorded.size));
    super::gate::finish(passed.map(|passed| u8::from(!passed)))
}

/// The project whose benchmarks are recorded here.
#[derive(Debug, Args)]
pub(crate) struct Here {
    /// Rounds of each benchmark.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Seconds for measuring; building is not counted.
    #[arg(long, default_value_t = 120)]
    budget: u64,
    /// Only benchmarks whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    #[command(flatten)]
    size: Size,
    /// Arguments for `cargo bench`, after `--`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// Records HEAD against itself, and judges the rounds by every rule.
pub(crate) fn here(here: &Here) -> ExitCode {
    let judged = here.record().and_then(|report| {
        let replay = Replay::of(&[report]);
        if replay.benches() == 0 {
            let why = "no benchmark got ten rounds: more --budget, or fewer benchmarks by --filter";
            return Err(GateError::Invalid(why.to_owned()));
        }
        let judges = [aa, power, rivals];
        Ok(u8::from(!judges.map(|judge| judge(&replay, &here.size)).into_iter().all(|passed| passed)))
    });
    super::gate::finish(judged)
}

impl Here {
    fn record(&self) -> Result<GateReport, GateError> {
        let seed = super::selftest::fresh_seed();
        super::gate::watched(&Gate {
            cargo: self.cargo.clone(),
            filter: self.filter.clone(),
            rule: Rule { rounds: self.rounds, stop_early: false, seed, ..Rule::default() },
            budget: Duration::from_secs(self.budget),
            force: true,
            ..Gate::new("HEAD")
        })
    }
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
    let [criterion, critcmp] = RIVALS.map(|(_, rival)| replay.rival(rival).wrong);
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
    let criterion = replay.rival(Rival::Criterion).wrong;
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

/// The gate beside the rules of others, on the same rounds: wrong alarms, and slow-downs of 5 % seen. It passes where the gate's suites are wrong at
/// most a tenth as often as anybody else's, and it misses no more.
pub(crate) fn rivals(replay: &Replay, size: &Size) -> bool {
    let (seed, times) = (size.seed(), if size.full { 100_000 } else { 10_000 });
    let red = replay.red(times, ALPHA, 0.02, seed);
    let any = Injection { spread: f64::INFINITY, slowdown: 0.05, delta: 0.02, alpha: ALPHA, rounds: 150 };
    let power = replay.power(&any, times / 5, seed).unwrap_or_default();
    let rates = RIVALS.map(|(name, rival)| (name, replay.rival(rival)));
    println!("{:16} {:>16} {:>16} {:>12}", "rule", "suites wrong", "pairs wrong", "+5 % seen");
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let (wrong, seen) = (percent(red.share()), percent(power.caught.share()));
    println!("{:16} {wrong:>16} {:>16} {seen:>12}", "gate", "–");
    for (name, rates) in rates {
        let [suites, pairs, caught] =
            [rates.suites, rates.wrong, rates.caught].map(|rate| percent(rate.share()));
        println!("{name:16} {suites:>16} {pairs:>16} {caught:>12}");
    }
    let beaten = |(_, rates): &(&str, offgridflow_bench::selftest::RivalRates)| {
        10.0 * red.share() <= rates.suites.share() && power.caught.share() >= rates.caught.share()
    };
    let passed = rates.iter().all(beaten);
    println!(
        "{} measured=suites-wrong-{:.2}%,+5%-seen-{:.1}% control=criterion-wrong-in-{:.1}%-of-suites,critcmp-in-{:.1}% n={}-rounds-of-{}-benchmarks,{times}-flips seed {seed}",
        word(passed),
        100.0 * red.share(),
        100.0 * power.caught.share(),
        100.0 * rates[0].1.suites.share(),
        100.0 * rates[1].1.suites.share(),
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
