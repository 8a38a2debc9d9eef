use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::engine::{Engine, Stacks};
use crate::work::{BODIES, Bench, Dice, IN_LIBC, NAMES, cpu_nanos};

const HZ: u32 = 99;
const THREADS: u64 = 2;

/// CPU time each body took on one thread, counted around each call.
fn work(seed: u64, done: &AtomicBool) -> [u64; BODIES] {
    let (mut dice, mut bench, mut took) = (Dice(seed), Bench::new(), [0; BODIES]);
    while !done.load(Ordering::Relaxed) {
        let body = dice.body();
        let began = cpu_nanos(libc::CLOCK_THREAD_CPUTIME_ID);
        black_box(bench.work(body));
        took[body] += cpu_nanos(libc::CLOCK_THREAD_CPUTIME_ID) - began;
    }
    took
}

pub fn run(seconds: u64) {
    let done = AtomicBool::new(false);
    let before = cpu_nanos(libc::CLOCK_PROCESS_CPUTIME_ID);
    let engine = Engine::start(HZ);
    let (truth, cpu) = std::thread::scope(|scope| {
        let done = &done;
        let threads: Vec<_> = (1..=THREADS).map(|seed| scope.spawn(move || work(seed, done))).collect();
        // The same CPU time, whatever else the machine does.
        let wanted = seconds * 1_000_000_000;
        while cpu_nanos(libc::CLOCK_PROCESS_CPUTIME_ID) - before < wanted {
            std::thread::sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
        let took = threads.into_iter().map(|thread| thread.join().expect("it ends"));
        let sum = took.fold([0; BODIES], |sum: [u64; BODIES], took| std::array::from_fn(|body| sum[body] + took[body]));
        (sum, cpu_nanos(libc::CLOCK_PROCESS_CPUTIME_ID) - before)
    });
    judge(&truth, &engine.stop(), cpu);
}

fn judge(truth: &[u64; BODIES], stacks: &Stacks, cpu: u64) {
    let all: u64 = truth.iter().sum();
    let samples: i64 = stacks.iter().map(|(_, count)| count).sum();
    let (mut worst, mut leaves, mut inside) = (0.0_f64, 0, 0);
    for body in 0..BODIES {
        let is = |name: &String| name.contains(NAMES[body]);
        let of = |which: &dyn Fn(&[String]) -> bool| -> i64 {
            stacks.iter().filter(|(frames, _)| which(frames)).map(|(_, count)| count).sum()
        };
        let seen = of(&|frames| frames.iter().any(is));
        let own = of(&|frames| frames.first().is_some_and(is));
        let (true_share, share) = (truth[body] as f64 / all as f64, seen as f64 / samples.max(1) as f64);
        worst = worst.max((share - true_share).abs() * 100.0);
        if !IN_LIBC[body] {
            (leaves, inside) = (leaves + own, inside + seen);
        }
        eprintln!("{:14} true {:5.2} %  seen {:5.2} %  as the leaf {own} of {seen}", NAMES[body], true_share * 100.0, share * 100.0);
    }
    let expected = cpu as f64 / 1e9 * f64::from(HZ);
    println!(
        "worst={worst:.2} samples={samples} of={expected:.0} short={:.1} leaf={:.1}",
        (1.0 - samples as f64 / expected) * 100.0,
        leaves as f64 / inside.max(1) as f64 * 100.0
    );
}
