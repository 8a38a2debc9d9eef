//! The rates at which a server's p95 is a limit, computed and not simulated.

use super::server::{Scaling, Server};
use crate::{
    histogram::{Observed, as_f64},
    rng::OpRng,
};

const TAIL: f64 = 0.05;

/// The rate in `low..high` at which `tail`, which rises, is 5 %.
fn crossing(mut low: f64, mut high: f64, tail: impl Fn(f64) -> f64) -> f64 {
    while high / low > 1.000_1 {
        let middle = 0.5 * (low + high);
        if tail(middle) < TAIL { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Of M/D/c.
pub(super) fn deterministic(workers: usize, service: f64, limit: f64) -> f64 {
    let capacity = as_f64(workers as u64) / service;
    crossing(0.5 * capacity, 0.999 * capacity, |rate| {
        1.0 - waits_at_most(workers, service, rate, limit - service)
    })
}

/// The share of operations in M/D/c that wait at most `x`: Franx, *A simple solution for the M/D/c waiting time distribution* (2001).
fn waits_at_most(workers: usize, service: f64, rate: f64, x: f64) -> f64 {
    let present = present(workers, rate * service);
    let at_most: Vec<f64> = present
        .iter()
        .scan(0.0, |sum, p| {
            *sum += p;
            Some(*sum)
        })
        .collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
    let turns = (x / service) as usize + 1;
    let mean = rate * (as_f64(turns as u64) * service - x);
    let last = turns * workers - 1;
    let terms = poisson(mean, last + 1);
    // Waiting in the queue are those present beyond the workers.
    terms.iter().enumerate().map(|(j, p)| p * at_most[(workers + last - j).min(at_most.len() - 1)]).sum()
}

/// How many are present in M/D/c at any instant: after each service time all that were served are gone, and others have come.
fn present(workers: usize, mean: f64) -> Vec<f64> {
    const MOST: usize = 400;
    let come = poisson(mean, 64);
    let mut now = vec![0.0; MOST];
    now[0] = 1.0;
    loop {
        let mut next = vec![0.0; MOST];
        for (n, p) in now.iter().enumerate().filter(|(_, p)| **p > 1e-16) {
            let left = n.saturating_sub(workers);
            for (more, q) in come.iter().enumerate() {
                next[(left + more).min(MOST - 1)] += p * q;
            }
        }
        let moved: f64 = now.iter().zip(&next).map(|(a, b)| (a - b).abs()).sum();
        now = next;
        if moved < 1e-9 {
            return now;
        }
    }
}

/// The first `n` probabilities of a Poisson count.
fn poisson(mean: f64, n: usize) -> Vec<f64> {
    let mut p = libm::exp(-mean);
    let terms = (0..n).map(|k| {
        let this = p;
        p *= mean / as_f64(k as u64 + 1);
        this
    });
    terms.collect()
}

/// Of operations that slow each other down.
pub(super) fn scaling(server: &Scaling, limit: f64) -> f64 {
    let peak = (1..Scaling::ROOM).map(|n| server.completions(n)).fold(0.0, f64::max);
    crossing(0.05 * peak, peak, |rate| stays_longer(server, rate, limit))
}

/// The share of operations that stay longer than `x`, those that are not let in included. One of `n` in progress leaves next with a
/// probability of `1/n`; its time is that of a Markov chain to its end (uniformization, Jensen 1953).
fn stays_longer(server: &Scaling, rate: f64, x: f64) -> f64 {
    let room = Scaling::ROOM;
    let mut found = vec![1.0; room + 1]; // present, as an arrival finds them
    for n in 1..=room {
        found[n] = found[n - 1] * rate / server.completions(n);
    }
    let all: f64 = found.iter().sum();
    found.iter_mut().for_each(|p| *p /= all);
    let refused = found[room];
    let mut inside = found; // by how many are present, itself included
    inside.rotate_right(1);
    inside[0] = 0.0;
    let fastest = (1..=room).map(|n| server.completions(n)).fold(0.0, f64::max) + rate;
    let (mut stays, mut weight) = (0.0, libm::exp(-fastest * x));
    for jump in 0..to_steps(fastest * x) {
        stays += weight * inside.iter().sum::<f64>();
        weight *= fastest * x / as_f64(jump + 1);
        inside = jumped(server, &inside, rate, fastest);
    }
    stays + refused
}

/// One jump of the uniformized chain.
fn jumped(server: &Scaling, inside: &[f64], rate: f64, fastest: f64) -> Vec<f64> {
    let room = Scaling::ROOM;
    let mut next = vec![0.0; room + 1];
    for n in 1..=room {
        let completions = server.completions(n);
        let own = completions / as_f64(n as u64);
        let comes = if n < room { rate } else { 0.0 };
        next[n] += inside[n] * (1.0 - (comes + completions) / fastest);
        if n < room {
            next[n + 1] += inside[n] * comes / fastest;
        }
        next[n - 1] += inside[n] * (completions - own) / fastest;
    }
    next
}

/// Enough terms of a Poisson sum: ten standard deviations beyond its mean.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
fn to_steps(mean: f64) -> u64 {
    (mean + 10.0 * libm::sqrt(mean) + 20.0) as u64
}

/// What is computed is what long simulations show.
#[test]
fn computed_limits_are_those_of_long_simulations() {
    for (server, operations) in [
        (Server::Exponential { mu: 40.0 }, 400_000),
        (Server::Deterministic { workers: 4, service: 0.02 }, 400_000),
        (super::SERVERS[6], 400_000),
    ] {
        let mut observed = Observed::default();
        server.run(server.limit(), operations, &OpRng::new(7, 7), |_, sojourn| {
            let sojourn = sojourn.expect("let in");
            observed.record(0, std::time::Duration::from_secs_f64(sojourn));
        });
        let within = observed.seen.answered().count_up_to(super::LIMIT);
        let share = as_f64(within) / as_f64(operations);
        assert!((share - 0.95).abs() < 0.006, "{server}: {share}");
    }
}
