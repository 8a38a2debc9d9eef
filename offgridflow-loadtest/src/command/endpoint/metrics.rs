//! A run so far, as Prometheus reads it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    Light, Reporter, RunState, Standing, Window,
    histogram::as_f64,
    report::prometheus::Text,
    totals::{BOUNDS, Totals},
};

/// What windows summed up to, for whoever asks.
#[derive(Debug, Default)]
pub(in crate::command) struct RunSoFar(Mutex<Totals>);

/// Adds windows to what the endpoint shows.
pub(in crate::command) struct LiveMetrics(pub(in crate::command) Arc<RunSoFar>);

impl Reporter for LiveMetrics {
    fn on_window(&mut self, window: &Window) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).take(window);
    }
}

impl RunSoFar {
    /// In the text format 0.0.4. What was never answered took longer than every bound but the last.
    pub(super) fn text(&self, standing: &Standing) -> String {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Text::default();
        text.family("requests_total", "counter", "Operations that ended, by outcome, warm-up included.");
        text.sample("requests_total", &[("outcome", "ok")], as_f64(totals.ok));
        text.sample("requests_total", &[("outcome", "failed")], as_f64(totals.failed));
        if let Some(offered) = totals.offered {
            text.family("offered_total", "counter", "Operations that the schedule wanted.");
            text.sample("offered_total", &[], as_f64(offered));
        }
        histogram(&totals, &mut text);
        text.family("in_flight", "gauge", "Operations under way.");
        text.sample("in_flight", &[], as_f64(totals.in_flight));
        text.family(
            "behind_schedule_seconds",
            "gauge",
            "How late the generator itself was, 99th percentile of the newest window.",
        );
        text.sample("behind_schedule_seconds", &[], totals.lag_p99.as_secs_f64());
        if let Some(light) = totals.light {
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
        text.sample("paused_seconds_total", &[], totals.paused.as_secs_f64());
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

fn histogram(totals: &Totals, text: &mut Text) {
    text.family(
        "request_duration_seconds",
        "histogram",
        "From the intended start to the end; what was never answered is in +Inf only.",
    );
    for ((bound, _), within) in BOUNDS.iter().zip(totals.within()) {
        text.sample("request_duration_seconds_bucket", &[("le", bound)], as_f64(within));
    }
    let all = as_f64(totals.responses.count());
    text.sample("request_duration_seconds_bucket", &[("le", "+Inf")], all);
    text.sample("request_duration_seconds_sum", &[], totals.seconds());
    text.sample("request_duration_seconds_count", &[], all);
}
