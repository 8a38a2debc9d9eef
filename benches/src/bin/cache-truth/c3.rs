//! C3: what a hit costs over the map that it is built on.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::allocations;
use benches::{
    figures::{as_f64, full, quantile, seed, spread},
    row,
};

use crate::dice::Dice;
use crate::subjects::{
    GET_OVER_QUICK, KEYS, MOKA, MOKA_FUTURE, OVER_MOKA, OVER_QUICK, QUICK, SHARED_MOKA, SHARED_QUICK,
    Subject, Subjects,
};

/// Reads of one measurement, by each thread.
const READS: usize = 100_000;
const BUMPS_PER_SEC: u64 = 100;
/// Allocations by which one run of moka's housekeeping differs from another.
const HOUSEKEEPING: u64 = 20;

/// What costs, over what, and at most how much of it with one thread and with two.
const LIMITS: [(&str, &str, [f64; 2]); 5] = [
    (OVER_MOKA, MOKA, [1.25, 1.25]),
    (SHARED_MOKA, MOKA, [1.25, 1.25]),
    (OVER_QUICK, QUICK, [1.3, 1.6]),
    (SHARED_QUICK, QUICK, [1.3, 1.6]),
    (GET_OVER_QUICK, MOKA_FUTURE, [0.25, 0.25]),
];

/// Raw moka, held to what is promised over other maps, must fail.
const CONTROLS: [(&str, &str, [f64; 2]); 2] = [(MOKA, QUICK, [1.3, 1.6]), (MOKA, MOKA_FUTURE, [0.25, 0.25])];

pub(crate) fn main() -> Result<(), Failure> {
    let seed = seed();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let subjects = Arc::new(runtime.block_on(Subjects::new())?);
    let decoded = subjects.decodes();
    let keys: Arc<[u64]> = hot_keys(seed).into();
    let rounds = if full() { 201 } else { 41 };
    let mut worst = Worst::default();
    for bumped in [false, true] {
        let bumper = bumped.then(|| Bumper::start(Arc::clone(&subjects)));
        for threads in [1, 2] {
            let nanos = measure(&subjects, &keys, threads, rounds, seed);
            row!(
                "\n{threads} threads{}, ns a hit, median (10th to 90th percentile):",
                if bumped { ", tags bumped" } else { "" }
            );
            subjects.all.iter().for_each(|one| row!("  {:<36} {}", one.name, spread(&nanos[one.name])));
            judge(&nanos, threads, &mut worst);
        }
        drop(bumper);
    }
    let (allocated, copied) = allocated(&subjects, &keys);
    let decodes = subjects.decodes() - decoded;
    let clean = allocated == 0 && decodes == 0;
    let pass = worst.missed == 0 && worst.controls_failed == 2 * 2 * CONTROLS.len() && clean && copied > 0;
    println!(
        "{} measured={},{allocated}-allocations,{decodes}-decodes control={} n={rounds}-rounds-of-{READS} seed {seed}; {} of {} ratios missed",
        if pass { "PASS" } else { "FAIL" },
        worst.lines.join(","),
        worst.controls.join(","),
        worst.missed,
        2 * 2 * LIMITS.len(),
    );
    Ok(())
}

/// All hot keys, in an order that follows from the seed.
fn hot_keys(seed: u64) -> Vec<u64> {
    let mut keys: Vec<u64> = (0..KEYS).collect();
    Dice(seed).shuffle(&mut keys);
    keys
}

/// Nanoseconds a hit of each subject, a figure a round; all take part in each round, in an order of its own.
fn measure(
    subjects: &Arc<Subjects>,
    keys: &Arc<[u64]>,
    threads: usize,
    rounds: usize,
    seed: u64,
) -> HashMap<&'static str, Vec<f64>> {
    let mut dice = Dice(seed ^ threads as u64);
    let mut order: Vec<&Subject> = subjects.all.iter().collect();
    let mut nanos: HashMap<&'static str, Vec<f64>> = HashMap::new();
    for round in 0..=rounds {
        dice.shuffle(&mut order);
        for subject in &order {
            let taken = timed(subject, keys, threads);
            if round > 0 {
                nanos.entry(subject.name).or_default().push(taken); // the first round warms up
            }
        }
    }
    nanos
}

/// Nanoseconds a hit, of the slowest thread.
fn timed(subject: &Subject, keys: &[u64], threads: usize) -> f64 {
    let together = Barrier::new(threads);
    let work = || {
        together.wait();
        let began = Instant::now();
        let found: u64 = (0..READS / keys.len()).map(|_| (subject.read_all)(black_box(keys))).sum();
        let taken = began.elapsed();
        assert_eq!(found, READS as u64, "{} lost a key", subject.name);
        taken
    };
    let slowest = if threads == 1 {
        work()
    } else {
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running.into_iter().filter_map(|one| one.join().ok()).max().unwrap_or_default()
        })
    };
    slowest.as_secs_f64() * 1e9 / as_f64(READS as u64)
}

/// What came out, over all conditions.
#[derive(Default)]
struct Worst {
    lines: Vec<String>,
    controls: Vec<String>,
    missed: usize,
    controls_failed: usize,
}

fn judge(nanos: &HashMap<&'static str, Vec<f64>>, threads: usize, worst: &mut Worst) {
    let ratios = |name: &str, over: &str| -> Vec<f64> {
        nanos[name].iter().zip(&nanos[over]).map(|(ours, raw)| ours / raw).collect()
    };
    for (name, over, limits) in LIMITS {
        let (ratios, limit) = (ratios(name, over), limits[threads - 1]);
        let (median, met) = (quantile(&ratios, 0.5), quantile(&ratios, 0.5) <= limit);
        row!(
            "  {} {name} / {over}: {} (limit {limit})",
            if met { "met   " } else { "MISSED" },
            spread(&ratios)
        );
        worst.missed += usize::from(!met);
        worst.lines.push(format!("{}/{}:{threads}t={median:.2}", short(name), short(over)));
    }
    for (name, over, limits) in CONTROLS {
        let median = quantile(&ratios(name, over), 0.5);
        worst.controls_failed += usize::from(median > limits[threads - 1]);
        worst.controls.push(format!("{}/{}:{threads}t={median:.2}", short(name), short(over)));
    }
}

/// A name that fits into a line without spaces.
fn short(name: &str) -> String {
    let name = name.replace(" over ", "-over-").replace(", shared tier", "+shared");
    name.replace("raw ", "").replace(' ', "-")
}

/// Allocations of our hits once everything is warm, beyond those of the raw map: quick_cache makes none, moka some 0.008 a hit for
/// its housekeeping. And those of as many copies of values, which must be seen.
fn allocated(subjects: &Subjects, keys: &[u64]) -> (u64, u64) {
    let reads = |name: &str| {
        let Some(subject) = subjects.named(name) else { return u64::MAX };
        let work = || (0..READS / keys.len()).for_each(|_| assert_eq!((subject.read_all)(keys), KEYS));
        work();
        let count = allocations::during(work);
        row!("{name}: {count} allocations in {READS} hits");
        count
    };
    let (moka, quick) = (reads(MOKA) + HOUSEKEEPING, reads(QUICK));
    let over_moka = [OVER_MOKA, SHARED_MOKA].map(|name| reads(name).saturating_sub(moka));
    let over_quick = [OVER_QUICK, SHARED_QUICK, GET_OVER_QUICK].map(|name| reads(name).saturating_sub(quick));
    let copied = allocations::during(|| keys.iter().for_each(|key| drop(black_box(Box::new(*key)))));
    (over_moka.into_iter().chain(over_quick).sum(), copied)
}

/// A thread that bumps a tag of every cache, a hundred times a second, until it is dropped.
struct Bumper {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bumper {
    fn start(subjects: Arc<Subjects>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let began = Instant::now();
            for bump in 0.. {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                subjects.bump(bump);
                let due = Duration::from_secs(bump + 1) / u32::try_from(BUMPS_PER_SEC).unwrap_or(1);
                thread::sleep(due.saturating_sub(began.elapsed()));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Bumper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
