//! The profiler, with this server's settings.

use std::thread;
use std::time::Duration;

use offgridflow_profile::{
    Budget, Cpu, DirSink, MemoryWatch, ProfileError, Profiler, ProfilerBuilder, SampledHeap, TrendOptions,
    Trigger,
};

use crate::config::Config;

/// Tasks of one place that are too many.
const TASKS: u64 = 10_000;
/// Pages of incidents that are kept.
const INCIDENTS: usize = 32;

/// Memory and a ring of profiles; CPU time when it is asked for, or all the time where incidents are kept; the heap where the program's
/// allocator is `Tracked`.
pub(crate) fn start(config: &Config) -> Result<Profiler, ProfileError> {
    let memory = MemoryWatch::builder().trend(trend(config));
    let builder = triggers(Profiler::builder().memory(memory), config);
    let builder = match &config.incidents {
        Some(folder) => builder
            .cpu(Cpu::always())
            .sink(DirSink::new(folder, INCIDENTS)?)
            .budget(Budget::new(12, Duration::from_secs(3_600)))
            .budget_file(folder.join("budget")),
        None => builder.cpu(Cpu::on_demand()),
    };
    let profiler = match SampledHeap::start(SampledHeap::DEFAULT_RATE) {
        Ok(heap) => builder.heap(heap).start()?,
        Err(_) => builder.start()?,
    };
    for row in profiler.caps().to_string().lines() {
        tracing::info!("profiler: {row}");
    }
    Ok(profiler)
}

/// A verdict after ten minutes, or sooner where leaks are to be told sooner.
fn trend(config: &Config) -> TrendOptions {
    let min_window = config.leak_window().min(Duration::from_secs(600));
    TrendOptions { min_window, ..TrendOptions::default() }
}

fn triggers(builder: ProfilerBuilder, config: &Config) -> ProfilerBuilder {
    let (window, options) = (config.leak_window(), trend(config));
    let busy = config.busy_cores.unwrap_or_else(|| {
        0.8 * thread::available_parallelism()
            .map_or(1.0, |cores| u32::try_from(cores.get()).map_or(1.0, f64::from))
    });
    builder
        .trigger(Trigger::leak_within(window, options))
        .trigger(Trigger::time_to_limit(Duration::from_secs(3_600)))
        .trigger(Trigger::cpu_above(busy).lasting(Duration::from_secs(15)))
        .trigger(Trigger::latency_above(Duration::from_secs(1)))
        .trigger(Trigger::pressure_above(0.2))
        .trigger(Trigger::tasks_above(TASKS))
        .trigger(Trigger::wait_above(Duration::from_secs(1)))
}
