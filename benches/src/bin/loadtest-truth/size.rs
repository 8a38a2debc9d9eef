//! How long is to be measured, and with which numbers.

pub(crate) use benches::figures::{full, seed};

use std::time::Duration;

use offgridflow_loadtest::OpRng;

/// How long this call may take: `VERIFY_FOR`, such as `8m`.
pub(crate) fn budget() -> Duration {
    let asked =
        std::env::var("VERIFY_FOR").ok().and_then(|text| offgridflow_loadtest::parse_duration(&text).ok());
    asked.unwrap_or(Duration::from_secs(8 * 60))
}

/// A number between two, drawn from a seed and a place.
pub(crate) fn between(rng: &OpRng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.unit()
}
