//! Profiles two kinds of work for two seconds; `cargo run -p offgridflow-profile --features cpu-pprof,flamegraph --example cpu`.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu};

#[inline(never)]
fn sort_numbers() -> u32 {
    let mut numbers: Vec<u32> = (0..2_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
    numbers.sort_unstable();
    numbers[1_000]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let done = AtomicBool::new(false);
    let profile = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::hint::black_box(sort_numbers());
            }
        });
        let profile = PprofCpu::new().capture(&CpuSpec::default(), Duration::from_secs(2));
        done.store(true, Ordering::Relaxed);
        profile
    })?;
    let total = profile.total(0);
    for (function, samples) in profile.top(0, 5) {
        println!("{:5.1} %  {function}", 100.0 * samples as f64 / total as f64);
    }
    println!("{}", profile.comments.join("\n"));
    let folder = std::env::temp_dir();
    std::fs::write(folder.join("cpu.pb.gz"), profile.to_pprof())?;
    std::fs::write(folder.join("cpu.svg"), profile.to_svg(1, "two seconds of sorting")?)?;
    println!("wrote cpu.pb.gz and cpu.svg to {}", folder.display());
    Ok(())
}
