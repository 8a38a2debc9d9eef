//! How much is to be measured, and with which seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offgridflow_loadtest::OpRng;

/// Whether `VERIFY_SIZE` asks for the full size.
pub(crate) fn full() -> bool {
    std::env::var("VERIFY_SIZE").is_ok_and(|size| size == "full")
}

/// A fresh seed, or the one that `VERIFY_SEED` asks for.
pub(crate) fn seed() -> u64 {
    let asked = std::env::var("VERIFY_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs()))
}

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
