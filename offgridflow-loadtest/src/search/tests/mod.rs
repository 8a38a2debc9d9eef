//! Promise L7: a search finds the highest rate of servers whose limits are known, in virtual time.
//!
//! What a simulated run saw passes through what a real one is judged by: the same histograms, blocks and rule for what is certain.

mod exact;
mod logic;
mod server;

use std::{cmp::Ordering, env, thread, time::Duration};

use super::{Found, Observation, Search, Trial};
use crate::{
    error::ConfigError,
    histogram::{BLOCKS, Observed, Quantile, as_f64, to_count},
    rng::OpRng,
};
use server::{SERVERS, Server};

/// The SLO: p95 of the response time below this.
const LIMIT: Duration = Duration::from_millis(100);
const WITHIN: f64 = 0.05;
const MOST_STEPS: usize = 14;

/// Runs what needs no runtime.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a simulation waits for nothing"),
    }
}

/// A simulated run: random arrivals at the trial's rate for its length, on an empty server.
fn simulate(server: Server, trial: &Trial, rng: &OpRng) -> (Observed, f64) {
    let all = to_count(libm::round(trial.rate * trial.length.as_secs_f64())).max(1);
    let mut observed = Observed::default();
    let block = |index: u64| usize::try_from(index * BLOCKS as u64 / all).expect("small");
    let took = server.run(trial.rate, all, rng, |index, sojourn| match sojourn {
        Some(sojourn) => observed.record(block(index), Duration::from_secs_f64(sojourn)),
        None => observed.record_unanswered(block(index), LIMIT),
    });
    let achieved = as_f64(observed.seen.answered().count()) / took;
    (observed, achieved)
}

/// As the engine judges `p95(response) < 100ms`.
fn judge(observed: &Observed) -> Observation {
    if matches!(observed.seen.quantile(0.95), Quantile::Needs(_)) {
        return Observation::unsure("too few");
    }
    match observed.side(0.95, LIMIT) {
        Some(Ordering::Less) => Observation::meets(),
        Some(_) => Observation::breaks("p95"),
        None => Observation::unsure("p95"),
    }
}

fn seed_of(seed: u64, trial: &Trial) -> OpRng {
    OpRng::new(seed, (trial.step * 100 + trial.attempt) as u64)
}

/// The search as it is, and the highest rate at which it was answered on the way.
fn search(server: Server, seed: u64) -> (Found, f64) {
    let mut highest = 0.0_f64;
    let oracle = async |trial: Trial| {
        let (observed, achieved) = simulate(server, &trial, &seed_of(seed, &trial));
        highest = highest.max(achieved);
        Ok::<_, ConfigError>(judge(&observed))
    };
    let search = Search::default()
        .step(Duration::from_secs(20))
        .longest_step(server.longest())
        .confirm(server.longest());
    let found = at_once(search.over(oracle)).expect("a sound search");
    (found, highest)
}

/// The control: as many steps, each as long as a first one, decided by the percentile as it stands.
fn naive(server: Server, seed: u64) -> f64 {
    let oracle = async |trial: Trial| {
        let (observed, _) = simulate(server, &trial, &seed_of(seed, &trial));
        let p95 = observed.seen.empirical(0.95).and_then(Quantile::value);
        let meets = p95.is_some_and(|p95| p95 < LIMIT);
        Ok::<_, ConfigError>(if meets { Observation::meets() } else { Observation::breaks("p95") })
    };
    let search = Search::default().step(Duration::from_secs(20)).longest_step(Duration::from_secs(20));
    at_once(search.confirm(Duration::ZERO).over(oracle)).expect("a sound search").rate.unwrap_or(0.0)
}

fn is_right(rate: f64, truth: f64) -> bool {
    (rate / truth - 1.0).abs() <= WITHIN
}

#[derive(Debug, Default, Clone, Copy)]
struct Score {
    runs: usize,
    right: usize,
    most_steps: usize,
    naive: usize,
    highest: usize,
    worst: f64, // how far off the worst was
}

fn score(server: Server, seeds: impl Iterator<Item = u64>) -> Score {
    let truth = server.limit();
    let mut score = Score::default();
    for seed in seeds {
        let (found, highest) = search(server, seed);
        let rate = found.rate.unwrap_or(0.0);
        score.runs += 1;
        score.right += usize::from(is_right(rate, truth));
        score.worst = score.worst.max((rate / truth - 1.0).abs());
        score.most_steps = score.most_steps.max(found.steps.len());
        score.naive += usize::from(is_right(naive(server, seed), truth));
        score.highest += usize::from(is_right(highest, truth));
    }
    score
}

#[test]
fn l7_search_finds_the_rate_of_servers_whose_limit_is_known() {
    for server in [SERVERS[1], SERVERS[5]] {
        let score = score(server, 0..2);
        assert_eq!(score.right, score.runs, "{server}: {score:?}");
        assert!(score.most_steps <= MOST_STEPS, "{server}: {score:?}");
    }
}

/// Prints a line for `scripts/verify.sh`.
#[test]
#[ignore = "minutes: scripts/verify.sh loadtest --only L7"]
fn the_promise() {
    let full = env::var("VERIFY_SIZE").is_ok_and(|size| size == "full");
    let seed: u64 = env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let runs = if full { 200 } else { 20 };
    let next = std::sync::atomic::AtomicUsize::new(0);
    let scores = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some(&server) = SERVERS.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
            let score = score(server, (0..runs).map(|run| seed + 1_000 * run));
            println!("{server}: limit {:.2}/s, {score:?}", server.limit());
            scores.lock().expect("lock").push(score);
        }
    };
    thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let scores = scores.into_inner().expect("lock");
    let share = |of: fn(&Score) -> usize| {
        scores.iter().map(|score| of(score) * 1_000 / score.runs).min().unwrap_or(0)
    };
    let (right, naive, highest) = (share(|s| s.right), share(|s| s.naive), share(|s| s.highest));
    let steps = scores.iter().map(|score| score.most_steps).max().unwrap_or(usize::MAX);
    let worst = scores.iter().map(|score| score.worst).fold(0.0, f64::max);
    let n: usize = scores.iter().map(|score| score.runs).sum();
    let passed = right >= 950 && steps <= MOST_STEPS && naive < 950 && highest < 950;
    let percent = |share: usize| format!("{:.1}%", as_f64(share as u64) / 10.0);
    println!(
        "{} measured=right-in-{}-at-the-worst-server,steps-{steps},off-by-{:.1}%-at-most control=point-estimates-{},highest-achieved-{} n={n} seed={seed}",
        if passed { "PASS" } else { "FAIL" },
        percent(right),
        worst * 100.0,
        percent(naive),
        percent(highest),
    );
}
