//! Promise L5. `scripts/verify/L5.sh` runs the ignored test in release; a small one runs always.

use std::time::Duration;

use crate::{
    clock::OpTimes,
    executor::Executor,
    outcome::{FailKind, Outcome, TargetError},
    rate::Rate,
    recorder::{Begun, Recorder},
    rng::OpRng,
    route::{RouteId, RouteTable},
    span::Span,
};

const ROUTES: u64 = 50;
const MIB: f64 = 1024.0 * 1024.0;

fn rss_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096.0 / MIB
}

struct Load {
    recorder: Recorder,
    routes: Vec<RouteId>,
    samples: u64,
    all: u64,
}

impl Load {
    fn of(all: u64) -> Self {
        let table = RouteTable::new();
        let span = Span::new(
            &Executor::open(Rate::constant(1e6, Duration::from_secs(all / 1_000_000))),
            Duration::ZERO,
        );
        Self {
            recorder: Recorder::new(span, None),
            routes: (0..ROUTES).map(|n| table.id(&format!("GET /{n}"))).collect(),
            samples: 0,
            all,
        }
    }

    /// Counts `n` operations spread over the whole run, as long as `nanos` says.
    fn count(&mut self, n: u64, nanos: impl Fn(&OpRng) -> f64) {
        for k in 0..n {
            let rng = OpRng::new(1, self.samples);
            let intended = Duration::from_nanos(k * 1_000);
            let took = Duration::from_secs_f64(nanos(&rng) / 1e9);
            let lag = Duration::from_secs_f64(nanos(&rng) / 1e11);
            let times = OpTimes {
                intended,
                dispatched: intended + lag,
                admitted: intended + lag * 2,
                first_byte: Some(intended + lag * 2 + took / 2),
                done: intended + lag * 2 + took,
            };
            let route = self.routes[usize::try_from(rng.below(ROUTES)).expect("small")];
            let index = k * (self.all / n.max(1));
            let outcome = if rng.chance(0.01) {
                TargetError::unanswered(FailKind::Timeout, "").into()
            } else {
                Outcome::Ok { bytes: 5 }
            };
            self.recorder.record(
                &Begun {
                    index,
                    route,
                    cause: route,
                    rested: Duration::ZERO,
                    times,
                    began: times.dispatched,
                    admitted: true,
                    within: true,
                    bytes: 0,
                },
                &outcome,
            );
            self.samples += 1;
        }
    }
}

/// What a service does: around a millisecond, from 27 µs to 37 ms.
fn usual(rng: &OpRng) -> f64 {
    1e6 * libm::exp(1.2 * normal(rng).clamp(-3.0, 3.0))
}

/// A tail that touches every bucket from the median up to an hour, on every route and in every block.
fn adversarial(rng: &OpRng) -> f64 {
    1e6 * libm::pow(3.6e6, rng.unit())
}

fn normal(rng: &OpRng) -> f64 {
    libm::sqrt(-2.0 * libm::log(1.0 - rng.unit())) * libm::cos(std::f64::consts::TAU * rng.unit())
}

/// RSS in MiB: growth within the warmed range, growth under adversarial tails, and the whole.
fn measure(samples: u64) -> [f64; 3] {
    let start = rss_mib();
    let mut load = Load::of(samples);
    load.count(samples / 20, usual);
    let warmed = rss_mib();
    load.count(samples, usual);
    let used = rss_mib();
    load.count(samples, adversarial);
    let end = rss_mib();
    assert_eq!(load.recorder.into_tally().dispatched, load.samples);
    [used - warmed, end - used, end - start]
}

/// In a process of its own: where tests share one, it is theirs that would be measured too.
#[test]
fn memory_follows_the_range_and_not_the_count() {
    let mut alone = std::process::Command::new(std::env::current_exe().expect("this program"));
    let output = alone.args(["--ignored", "--exact", "bounded::in_small"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "measures its whole process: run by the test above"]
fn in_small() {
    let [_, tails, whole] = measure(400_000);
    assert!(tails < 16.0 && whole < 48.0, "{tails} {whole}");
}

#[test]
#[ignore = "10⁸ samples: run by scripts/verify/L5.sh"]
fn l5() {
    let samples = 100_000_000;
    let [within, tails, whole] = measure(samples);
    // The control keeps one counter a sample, as tools do that sort at the end.
    let before = rss_mib();
    let one_each: Vec<u64> = std::hint::black_box((0..samples / 10).collect());
    let control = (rss_mib() - before) * 10.0;
    assert_eq!(std::hint::black_box(one_each).len() as u64 * 10, samples);
    println!(
        "L5 within={within:.2} tails={tails:.2} whole={whole:.2} control={control:.0} samples={samples}"
    );
}
