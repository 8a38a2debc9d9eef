//! What a workload may do to the engine, and what the engine owes the workload.

use std::time::Duration;

use offgridflow_loadtest::Rate;

mod endings;
mod figures;
mod operations;
mod panics;
mod plans;
mod sessions;
mod workers;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(per_sec: f64, seconds: u64) -> Rate {
    Rate::constant(per_sec, Duration::from_secs(seconds))
}
