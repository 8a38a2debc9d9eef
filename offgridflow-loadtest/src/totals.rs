//! A run so far, as the sum of its windows, for whoever passes it on.

use std::time::Duration;

use crate::{
    histogram::{Distribution, as_f64},
    outlook::Light,
    window::Window,
};

/// The ends of the buckets that response times are passed on in, in seconds as they are written, and in microseconds.
pub(crate) const BOUNDS: [(&str, u64); 14] = [
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
    ("30", 30_000_000),
];

/// What ended so far, warm-up included, in memory that does not grow with it.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) offered: Option<u64>,
    pub(crate) responses: Distribution,
    pub(crate) paused: Duration,
    /// Of the newest window, like the next two.
    pub(crate) in_flight: u64,
    pub(crate) lag_p99: Duration,
    pub(crate) light: Option<Light>,
}

impl Totals {
    pub(crate) fn take(&mut self, window: &Window) {
        self.ok += window.ok;
        self.failed += window.failed;
        if let Some(offered) = window.offered {
            self.offered = Some(self.offered.unwrap_or(0) + offered);
        }
        self.responses.merge(window.responses());
        self.paused += window.paused;
        self.in_flight = window.in_flight;
        self.lag_p99 = window.lag_p99.unwrap_or_default();
        self.light = window.outlook.as_ref().map(|outlook| outlook.light).or(self.light);
    }

    /// How many were answered within each of [`BOUNDS`]. What was never answered is within none.
    pub(crate) fn within(&self) -> [u64; BOUNDS.len()] {
        BOUNDS.map(|(_, micros)| self.responses.answered().count_up_to(Duration::from_micros(micros)))
    }

    /// All response times together, in seconds; of what was never answered, how long was waited.
    pub(crate) fn seconds(&self) -> f64 {
        let both = [Some(self.responses.answered()), self.responses.given_up()];
        let sum = |one: &crate::histogram::Latencies| {
            one.mean().unwrap_or_default().as_secs_f64() * as_f64(one.count())
        };
        both.into_iter().flatten().map(sum).sum()
    }
}
