//! A run so far, as Prometheus reads it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    Distribution, Light, Reporter, RunState, Standing, Window, histogram::as_f64, report::prometheus::Text,
};

/// The ends of the histogram's buckets, in seconds as they are written, and in microseconds.
const BOUNDS: [(&str, u64); 14] = [
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

/// The sum of a run's windows; memory does not grow with it.
#[derive(Debug, Default)]
pub(in crate::command) struct RunSoFar {
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    ok: u64,
    failed: u64,
    offered: Option<u64>,
    responses: Distribution,
    paused: Duration,
    in_flight: u64,
    lag_p99: Duration,
    light: Option<Light>,
}

/// Adds windows to what the endpoint shows.
pub(in crate::command) struct LiveMetrics(pub(in crate::command) Arc<RunSoFar>);

impl Reporter for LiveMetrics {
    fn on_window(&mut self, window: &Window) {
        let mut sums = self.0.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.ok += window.ok;
        sums.failed += window.failed;
        if let Some(offered) = window.offered {
            sums.offered = Some(sums.offered.unwrap_or(0) + offered);
        }
        sums.responses.merge(window.responses());
        sums.paused += window.paused;
        sums.in_flight = window.in_flight;
        sums.lag_p99 = window.lag_p99.unwrap_or_default();
        sums.light = window.outlook.as_ref().map(|outlook| outlook.light).or(sums.light);
    }
}

impl RunSoFar {
    /// In the text format 0.0.4. What was never answered took longer than every bound but the last.
    pub(super) fn text(&self, standing: &Standing) -> String {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Text::default();
        text.family("requests_total", "counter", "Operations that ended, by outcome, warm-up included.");
        text.sample("requests_total", &[("outcome", "ok")], as_f64(sums.ok));
        text.sample("requests_total", &[("outcome", "failed")], as_f64(sums.failed));
        if let Some(offered) = sums.offered {
            text.family("offered_total", "counter", "Operations that the schedule wanted.");
            text.sample("offered_total", &[], as_f64(offered));
        }
        sums.histogram(&mut text);
        text.family("in_flight", "gauge", "Operations under way.");
        text.sample("in_flight", &[], as_f64(sums.in_flight));
        text.family(
            "behind_schedule_seconds",
            "gauge",
            "How late the generator itself was, 99th percentile of the newest window.",
        );
        text.sample("behind_schedule_seconds", &[], sums.lag_p99.as_secs_f64());
        if let Some(light) = sums.light {
            text.family("outlook", "gauge", "1 for how the run looks so far.");
            let name = match light {
                Light::Green => "green",
                Light::Amber => "amber",
                Light::Red => "red",
            };
            text.sample("outlook", &[("light", name)], 1.0);
        }
        text.family(
            "paused_seconds_total",
            "counter",
            "How long nothing was offered because somebody paused the run.",
        );
        text.sample("paused_seconds_total", &[], sums.paused.as_secs_f64());
        text.family("paused", "gauge", "1 while the run is paused.");
        text.sample("paused", &[], f64::from(u8::from(standing.state == RunState::Paused)));
        if let Some(rate) = standing.rate_per_sec {
            text.family(
                "schedule_rate",
                "gauge",
                "Operations a second that the schedule wants at this moment.",
            );
            text.sample("schedule_rate", &[], rate);
        }
        text.0
    }
}

impl Sums {
    fn histogram(&self, text: &mut Text) {
        const NAME: &str = "request_duration_seconds";
        let answered = self.responses.answered();
        text.family(
            NAME,
            "histogram",
            "From the intended start to the end; what was never answered is in +Inf only.",
        );
        for (bound, micros) in BOUNDS {
            let within = answered.count_up_to(Duration::from_micros(micros));
            text.sample("request_duration_seconds_bucket", &[("le", bound)], as_f64(within));
        }
        let all = as_f64(self.responses.count());
        text.sample("request_duration_seconds_bucket", &[("le", "+Inf")], all);
        let sum = |mean: Option<Duration>, count: u64| mean.unwrap_or_default().as_secs_f64() * as_f64(count);
        let waited = self.responses.given_up().map_or(0.0, |given_up| sum(given_up.mean(), given_up.count()));
        text.sample("request_duration_seconds_sum", &[], sum(answered.mean(), answered.count()) + waited);
        text.sample("request_duration_seconds_count", &[], all);
    }
}
