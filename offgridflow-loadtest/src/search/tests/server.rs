//! Servers whose limits are known.

use std::{collections::VecDeque, fmt, time::Duration};

use super::exact;
use crate::rng::OpRng;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Server {
    /// One worker, exponential service at `mu` a second, first come first served.
    Exponential { mu: f64 },
    /// `workers`, each taking exactly `service` seconds, first come first served.
    Deterministic { workers: usize, service: f64 },
    /// Operations that slow each other down: with `n` of them in progress, together `n·γ / (1 + α(n−1) + βn(n−1))` a second
    /// (Gunther's Universal Scalability Law).
    Scaling(Scaling),
}

/// The parameters of the Universal Scalability Law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scaling {
    pub(super) gamma: f64, // a second, of one alone
    pub(super) alpha: f64, // contention
    pub(super) beta: f64,  // crosstalk
}

impl Scaling {
    /// How many are let in at a time.
    pub(super) const ROOM: usize = 256;

    /// Completions a second with `n` in progress.
    pub(super) fn completions(&self, n: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most ROOM")]
        let n = n as f64;
        n * self.gamma / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
    }
}

const fn scaling(gamma: f64, alpha: f64, beta: f64) -> Server {
    Server::Scaling(Scaling { gamma, alpha, beta })
}

pub(super) const SERVERS: [Server; 8] = [
    Server::Exponential { mu: 40.0 },
    Server::Exponential { mu: 200.0 },
    Server::Exponential { mu: 1_000.0 },
    Server::Deterministic { workers: 1, service: 0.005 },
    Server::Deterministic { workers: 4, service: 0.02 },
    scaling(40.0, 0.05, 0.0),
    scaling(40.0, 0.02, 0.0005),
    scaling(40.0, 0.01, 0.0002),
];

impl Server {
    /// Calls `see` with the index and the time in the system of each of `n` operations that arrive at random; `None` of one that was not
    /// let in. The answer is how long it took.
    pub(super) fn run(&self, rate: f64, n: u64, rng: &OpRng, mut see: impl FnMut(u64, Option<f64>)) -> f64 {
        match *self {
            Self::Exponential { mu } => in_turn(1, rate, n, rng, || exponential(rng) / mu, &mut see),
            Self::Deterministic { workers, service } => in_turn(workers, rate, n, rng, || service, &mut see),
            Self::Scaling(scaling) => together(scaling, rate, n, rng, &mut see),
        }
    }

    /// The rate at which p95 is the limit.
    pub(super) fn limit(&self) -> f64 {
        let limit = super::LIMIT.as_secs_f64();
        match *self {
            Self::Exponential { mu } => mu + libm::log(0.05) / limit,
            Self::Deterministic { workers, service } => exact::deterministic(workers, service, limit),
            Self::Scaling(scaling) => exact::scaling(&scaling, limit),
        }
    }

    /// How long a step may become: some 300 000 operations at its limit.
    pub(super) fn longest(&self) -> Duration {
        let seconds = match *self {
            Self::Exponential { mu } if mu < 100.0 => 20_480,
            Self::Exponential { mu } if mu > 500.0 => 640,
            _ => 1_280,
        };
        Duration::from_secs(seconds)
    }
}

/// First come, first served, where nobody overtakes (one worker, or equal service). Lindley 1952, Kiefer and Wolfowitz 1955.
fn in_turn(
    workers: usize,
    rate: f64,
    n: u64,
    rng: &OpRng,
    service: impl Fn() -> f64,
    see: &mut impl FnMut(u64, Option<f64>),
) -> f64 {
    let mut free = VecDeque::from(vec![0.0_f64; workers]);
    let mut now = 0.0;
    for index in 0..n {
        now += exponential(rng) / rate;
        let done = free.pop_front().unwrap_or(0.0).max(now) + service();
        free.push_back(done);
        see(index, Some(done - now));
    }
    free.back().copied().unwrap_or(now).max(now)
}

/// All at once, sharing what they slow down.
fn together(scaling: Scaling, rate: f64, n: u64, rng: &OpRng, see: &mut impl FnMut(u64, Option<f64>)) -> f64 {
    let mut inside: Vec<(u64, f64)> = Vec::new();
    let (mut now, mut arrived) = (0.0, 0);
    while arrived < n || !inside.is_empty() {
        let arrivals = if arrived < n { rate } else { 0.0 };
        let completions = if inside.is_empty() { 0.0 } else { scaling.completions(inside.len()) };
        now += exponential(rng) / (arrivals + completions);
        if rng.unit() * (arrivals + completions) >= arrivals {
            let leaver = usize::try_from(rng.below(inside.len() as u64)).unwrap_or(0);
            let (index, since) = inside.swap_remove(leaver);
            see(index, Some(now - since));
            continue;
        }
        if inside.len() < Scaling::ROOM {
            inside.push((arrived, now));
        } else {
            see(arrived, None);
        }
        arrived += 1;
    }
    now
}

fn exponential(rng: &OpRng) -> f64 {
    -libm::log(1.0 - rng.unit())
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponential { mu } => write!(f, "M/M/1 {mu}/s"),
            Self::Deterministic { workers, service } => write!(f, "M/D/{workers} {service} s"),
            Self::Scaling(Scaling { gamma, alpha, beta }) => write!(f, "USL {gamma}/s α {alpha} β {beta}"),
        }
    }
}
