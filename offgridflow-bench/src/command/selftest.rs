use std::process::ExitCode;

use clap::{Args, Subcommand};
use offgridflow_bench::selftest::{ALPHA, BENCHES, Cell, HistoryRates, Mutant, ROUNDS, Rate, history_rates};

/// How often this tool errs, measured here.
#[derive(Debug, Subcommand)]
pub(crate) enum Selftest {
    /// Simulated suites without a slow-down, in bad weather: how many are red. And the same with five deliberate faults.
    Adversary(Size),
    /// Synthetic histories whose steps are known: how many are found in time and place, and how many findings are wrong.
    History(Size),
    /// Rounds of identical programs that a gate recorded here, judged again with other coins: how often the suite is red, with the gate's rule,
    /// with four deliberate faults, and by the rules of criterion and critcmp. Record with `gate --force --all-rounds` on one revision.
    Aa(super::replay::Recorded),
    /// A slow-down put into such rounds: how often it is found, how soon, and how near its size is told.
    Power(super::replay::Recorded),
    /// Such rounds by the gate's rule, criterion's own and critcmp at 5 %: wrong alarms, and slow-downs of 5 % seen.
    Rivals(super::replay::Recorded),
    /// All three in small, on rounds of your own benchmarks that are recorded now: how often it errs on this machine.
    Here(super::replay::Here),
}

/// How much, and from which seed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Size {
    /// Until the bounds are tight, rather than in a minute or two.
    #[arg(long)]
    pub(super) full: bool,
    /// Seed; by default one nobody has seen.
    #[arg(long)]
    seed: Option<u64>,
}

impl Size {
    pub(super) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(fresh_seed)
    }
}

/// A seed from the system's own randomness.
pub(crate) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) >> 16 // short enough to type, and exact in JSON
}

pub(crate) fn run(which: &Selftest) -> ExitCode {
    let passed = match which {
        Selftest::Adversary(size) => adversary(size),
        Selftest::History(size) => history(size),
        Selftest::Aa(recorded) => return super::replay::run(recorded, super::replay::aa),
        Selftest::Power(recorded) => return super::replay::run(recorded, super::replay::power),
        Selftest::Rivals(recorded) => return super::replay::run(recorded, super::replay::rivals),
        Selftest::Here(here) => return super::replay::here(here),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

pub(super) fn word(passed: bool) -> &'static str {
    if passed { "PASS" } else { "FAIL" }
}

/// One job of the simulation: at most `cap` suites of it, in portions.
struct Job<'a> {
    name: String,
    red: Box<dyn Fn(u64, u64) -> Rate + Sync + Send + 'a>,
    done: Box<dyn Fn(Rate) -> bool + Sync + Send>,
}

fn adversary(size: &Size) -> bool {
    let (seed, cap) = (size.seed(), if size.full { 20_000 } else { 3_000 });
    let first = if size.full { 2_000 } else { 500 };
    let cells = Cell::all();
    let jobs = cells.iter().map(|cell| {
        let limit = cell.limit();
        let decided =
            move |rate: Rate| rate.trials >= first && (rate.at_most() <= limit || rate.at_least() > limit);
        Job {
            name: cell.name(),
            red: Box::new(move |suites, seed| cell.red_suites(suites, seed)),
            done: Box::new(decided),
        }
    });
    let mutants = Mutant::ALL.iter().map(|mutant| Job {
        name: format!("mutant: {}", mutant.name()),
        red: Box::new(move |suites, seed| mutant.red_suites(suites, seed)),
        done: Box::new(move |rate: Rate| rate.at_least() > ALPHA || rate.trials >= 1_000),
    });
    let jobs: Vec<Job<'_>> = jobs.chain(mutants).collect();
    let rates = in_parallel(&jobs, cap, seed);
    for (job, rate) in jobs.iter().zip(&rates) {
        eprintln!(
            "{:55} {:5} red of {:6}  {:6.2} % (at most {:.2} %)",
            job.name,
            rate.events,
            rate.trials,
            100.0 * rate.share(),
            100.0 * rate.at_most()
        );
    }
    judge(&cells, &rates, seed)
}

fn judge(cells: &[Cell], rates: &[Rate], seed: u64) -> bool {
    let (of_cells, of_mutants) = rates.split_at(cells.len());
    let missed: Vec<String> = cells
        .iter()
        .zip(of_cells)
        .filter(|(cell, rate)| rate.at_most() > cell.limit())
        .map(|(cell, _)| cell.name().replace(' ', "-"))
        .collect();
    let caught = of_mutants.iter().filter(|rate| rate.at_least() > ALPHA).count();
    let worst = |same: bool| {
        cells
            .iter()
            .zip(of_cells)
            .filter(|(cell, _)| matches!(cell, Cell::Same { .. }) == same)
            .map(|(_, rate)| rate.share())
            .fold(0.0, f64::max)
    };
    let passed = missed.is_empty() && caught == Mutant::ALL.len();
    let suites: u64 = of_cells.iter().map(|rate| rate.trials).sum();
    println!(
        "{} measured=red-suites-at-most-{:.2}%-of-the-same-program,{:.2}%-at-the-boundary,every-99%-bound-within-its-limit:{} control=mutants-caught-{caught}-of-{} n={suites}-suites-of-{BENCHES}-benches-and-{ROUNDS}-rounds,{}-cells seed {seed}{}",
        word(passed),
        100.0 * worst(true),
        100.0 * worst(false),
        if missed.is_empty() { "yes" } else { "no" },
        Mutant::ALL.len(),
        cells.len(),
        if missed.is_empty() { String::new() } else { format!(" failing:{}", missed.join(",")) }
    );
    passed
}

/// Runs each job until it is done or has had `cap` suites, on all cores; what comes out depends on the seed alone.
fn in_parallel(jobs: &[Job<'_>], cap: u64, seed: u64) -> Vec<Rate> {
    const PORTION: u64 = 50;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let rates = std::sync::Mutex::new(vec![Rate::default(); jobs.len()]);
    let work = || {
        while let Some((nth, job)) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            .and_then(|nth| Some((nth, jobs.get(nth)?)))
        {
            let mut rate = Rate::default();
            while rate.trials < cap && !(job.done)(rate) {
                let more =
                    (job.red)(PORTION, seed.wrapping_add((nth as u64) << 32).wrapping_add(rate.trials));
                rate = Rate { events: rate.events + more.events, trials: rate.trials + more.trials };
            }
            rates.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[nth] = rate;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(work);
        }
    });
    rates.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn history(size: &Size) -> bool {
    let (seed, families) = (size.seed(), if size.full { 10 } else { 1 });
    let rates = |spread: f64, tolerance: usize| {
        (0..families).map(|nth| history_rates(1_000, spread, tolerance, seed.wrapping_add(nth))).fold(
            HistoryRates::default(),
            |sum, one| HistoryRates {
                wrong: add(sum.wrong, one.wrong),
                found: add(sum.found, one.found),
                threshold_wrong: add(sum.threshold_wrong, one.threshold_wrong),
            },
        )
    };
    let (quiet, noisy) = (rates(0.015, 1), rates(0.02, 2));
    let wrong = add(quiet.wrong, noisy.wrong);
    let control = add(quiet.threshold_wrong, noisy.threshold_wrong);
    // What falls short by no more than chance can explain (one-sided, 99 %) is not a miss.
    let passed = wrong.at_least() <= 0.05 && quiet.found.at_most() >= 0.95 && noisy.found.at_most() >= 0.95;
    let caught = control.at_least() > 0.05;
    println!(
        "{} measured=wrong-findings-{:.1}%,steps-found-within-5-commits-{:.1}%-at-1.5%-and-{:.1}%-at-2% control=fixed-threshold-wrong-{:.1}% n={}-series,{}-findings seed {seed}",
        word(passed && caught),
        100.0 * wrong.share(),
        100.0 * quiet.found.share(),
        100.0 * noisy.found.share(),
        100.0 * control.share(),
        2_000 * families,
        wrong.trials
    );
    passed && caught
}

fn add(one: Rate, other: Rate) -> Rate {
    Rate { events: one.events + other.events, trials: one.trials + other.trials }
}
