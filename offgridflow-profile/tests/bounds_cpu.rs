//! What a CPU profile leaves behind in memory (promise P7): a process of its own, since memory is counted over all of it.
#![cfg(all(feature = "cpu-pprof", feature = "memory", target_os = "linux", target_env = "gnu"))]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offgridflow_profile::{CpuProfiler, CpuSpec, MemoryWatch, PprofCpu, Profile};

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
