//! What a CPU profile leaves behind in memory (promise P7): a process of its own, since memory is counted over all of it.
#![cfg(all(feature = "cpu-pprof", feature = "profiler", target_os = "linux", target_env = "gnu"))]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offgridflow_profile::{
    Cpu, CpuProfiler, CpuSpec, MemorySource, MemoryWatch, PprofCpu, ProcSource, Profile, Profiler,
};

const MIB: u64 = 1 << 20;

/// What the program has allocated now.
fn allocated() -> u64 {
    MemoryWatch::builder().start().unwrap().status().allocator.unwrap().allocated_bytes
}

#[inline(never)]
fn multiply(rounds: u64) -> u64 {
    (0..rounds).fold(1, |product: u64, round| black_box(product.wrapping_mul(round | 1)))
}

fn profile_of_work() -> Profile {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                black_box(multiply(10_000));
            }
        });
        let profile = PprofCpu::new().capture(&CpuSpec::default(), Duration::from_millis(700));
        done.store(true, Ordering::Relaxed);
        profile.unwrap()
    })
}

/// The engine's table of stacks is 18 MiB, and it copies the code and the unwind tables of each file; names add at most 4 MiB.
#[test]
fn p7_a_cpu_profile_leaves_no_more_than_32_mib_and_a_second_one_no_more() {
    let before = allocated();
    drop(profile_of_work());
    let first = allocated().saturating_sub(before);
    (0..3).for_each(|_| drop(profile_of_work()));
    let fourth = allocated().saturating_sub(before);
    println!("P7 cpu first={first} fourth={fourth}");
    assert!(first <= 32 * MIB, "{first}");
    assert!(fourth <= first + MIB, "{first} {fourth}");

    // The control: who looks names up in the debug information keeps an index of it.
    let held = allocated();
    let words = std::backtrace::Backtrace::force_capture().to_string();
    assert!(words.contains("bounds_cpu"), "{words}");
    let index = allocated().saturating_sub(held);
    println!("P7 control: an index of the debug information keeps {index}");
    assert!(index > MIB, "{index}");
}

/// Private memory of this process that is resident.
fn in_use() -> u64 {
    ProcSource::new().read().unwrap().in_use_bytes()
}

/// What reading symbols and unwind tables took is given back to the system, not only to the allocator.
#[test]
fn p7_after_a_cpu_profile_no_more_than_32_mib_stay_with_the_process() {
    let before = in_use();
    drop(profile_of_work());
    let after = in_use().saturating_sub(before);
    println!("P7 cpu footprint after one profile={after}");
    assert!(after <= 32 * MIB, "{after}");
}

#[test]
fn p7_a_profiler_that_always_samples_stays_within_40_mib() {
    let before = in_use();
    let window = Duration::from_millis(200);
    let profiler = Profiler::builder().cpu(Cpu::always().window(window)).start().unwrap();
    let taken = || profiler.ring().windows().iter().filter(|window| window.what == "cpu").count();
    let mut product = 1;
    while taken() < 3 {
        product ^= black_box(multiply(100_000));
    }
    let after = in_use().saturating_sub(before);
    println!("P7 always footprint={after} {product}");
    assert!(after <= 40 * MIB, "{after}");
}
