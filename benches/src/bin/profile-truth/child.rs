use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use benches::figures::median;
use offgridflow_profile::{Cpu, MemoryWatch, Profiler, Ring, SampledHeap, Trigger};

use crate::load::{Done, work};
use crate::{Failure, hook};

const THREADS: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Works for so long with the profiler off, on, or on at ten times the rates, and prints
/// `units=… cpu_ms=… own_ms=… start_ms=… handler_percent=… hook_ns=… hook_1k_ns=…`, the last two for objects of 64 bytes and
/// of 1 024, of which sixteen times as many are sampled.
pub(crate) fn main(how: &str, seconds: &str) -> Result<(), Failure> {
    let seconds: u64 = seconds.parse()?;
    let profiler = match how {
        "off" => None,
        "on" => Some(start(1)?),
        "tenfold" => Some(start(10)?),
        other => return Err(format!("off, on or tenfold, not {other}").into()),
    };
    std::thread::sleep(3 * SECOND); // what is read once, at the start, is told apart
    let start = own_threads();
    let done = load(Duration::from_secs(seconds));
    let own = own_threads().saturating_sub(start);
    let handler = profiler.as_ref().map_or(0.0, handler_percent);
    let hooks = if profiler.is_some() { [64, 1_024].map(hook::nanos_a_pair) } else { [0.0; 2] };
    println!(
        "units={} cpu_ms={} own_ms={} start_ms={} handler_percent={handler:.3} hook_ns={:.2} hook_1k_ns={:.2}",
        done.units,
        done.cpu.as_millis(),
        own.as_millis(),
        start.as_millis(),
        hooks[0],
        hooks[1]
    );
    Ok(())
}

/// Everything on. CPU time is sampled at 250 Hz at most: ten times as often it is by windows ten times as short.
fn start(times: u32) -> Result<Profiler, Failure> {
    let heap = SampledHeap::start(SampledHeap::DEFAULT_RATE / u64::from(times))?;
    let cpu = Cpu::always().hz(if times > 1 { 250 } else { 99 }).window(10 * SECOND / times);
    let profiler = Profiler::builder()
        .memory(MemoryWatch::builder().interval(SECOND / times))
        .observe_every(SECOND / times)
        .window(10 * SECOND / times)
        .heap_every(60 * SECOND / times)
        .ring(Ring::memory(8 << 20, 3_600 * SECOND))
        .cpu(cpu)
        .heap(heap)
        .trigger(Trigger::leak())
        .trigger(Trigger::cpu_above(1_000.0))
        .trigger(Trigger::tasks_above(1_000_000))
        .start()?;
    Ok(profiler)
}

fn load(duration: Duration) -> Done {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| work(&ended))).collect();
        std::thread::sleep(duration);
        ended.store(true, Ordering::Relaxed);
        let done = threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        done.fold(Done::default(), |all, one| Done { units: all.units + one.units, cpu: all.cpu + one.cpu })
    })
}

/// CPU time of the profiler's own threads.
fn own_threads() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let ours = name.starts_with("profiler-") || name.starts_with("memory-watch");
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        ours.then(|| stat.split(' ').next()?.parse::<u64>().ok()).flatten()
    });
    Duration::from_nanos(nanos.sum())
}

/// What the engine says its samples cost, in percent of the CPU time; the median over windows.
fn handler_percent(profiler: &Profiler) -> f64 {
    let windows = profiler.ring().between("cpu", SystemTime::UNIX_EPOCH, SystemTime::now());
    let comments = windows.ok().flatten().map_or_else(Vec::new, |profile| profile.comments);
    let percent = |comment: &String| {
        let (_, after) = comment.strip_prefix("cost: ")?.split_once("sample, ")?;
        after.split(' ').next()?.parse::<f64>().ok()
    };
    let said: Vec<f64> = comments.iter().filter_map(percent).collect();
    if said.is_empty() { 0.0 } else { median(&said) }
}
