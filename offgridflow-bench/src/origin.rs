//! Where and when something was measured.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The kind of machine: architecture, processors and their model, nothing that tells one machine from its twin.
#[must_use]
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim());
    format!("{} {processors} × {model}", std::env::consts::ARCH)
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
