//! What the sampling allocator adds to an allocation and its end: the system's alone is the baseline, then with the hook while nothing is
//! sampled, and with a sample in 512 KiB.
#![expect(unsafe_code, reason = "allocators are called directly, side by side")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use offgridflow_profile::{SampledHeap, Tracked};

#[global_allocator]
static ALLOCATOR: Tracked<System> = Tracked::system();

fn pair(allocator: &impl GlobalAlloc, size: usize) {
    let layout = Layout::from_size_align(black_box(size), 8).expect("a layout");
    // SAFETY: the size is not zero, and the object goes back as it came.
    unsafe {
        let pointer = black_box(allocator.alloc(layout));
        allocator.dealloc(pointer, layout);
    }
}

fn pairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allocate and free");
    for state in ["off", "on"] {
        if state == "on" {
            SampledHeap::start(SampledHeap::DEFAULT_RATE).expect("the allocator is tracked");
        }
        for size in [64_usize, 1_024] {
            group.bench_function(BenchmarkId::new(format!("system, {state}"), size), |b| {
                b.iter(|| pair(&System, size));
            });
            group.bench_function(BenchmarkId::new(format!("tracked, {state}"), size), |b| {
                b.iter(|| pair(&ALLOCATOR, size));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pairs);
criterion_main!(benches);
