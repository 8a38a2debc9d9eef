//! What the sampling allocator adds to an allocation and its end: the system's alone is the baseline, then with the hook while nothing is
//! sampled, and with a sample in 512 KiB. With the feature `heap-rivals` beside it: dhat, which looks at every allocation, and jemalloc with its
//! own profiler at the same rate.
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

/// jemalloc reads this before `main`: its profiler is built in, and sampling begins when it is told to.
#[cfg(feature = "heap-rivals")]
#[expect(non_upper_case_globals, reason = "jemalloc's name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static malloc_conf: Option<&'static [u8; 46]> = Some(b"prof:true,prof_active:true,lg_prof_sample:19\0\0");

#[cfg(feature = "heap-rivals")]
fn rivals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allocate and free, rivals");
    for size in [64_usize, 1_024] {
        group.bench_function(BenchmarkId::new("jemalloc, a sample in 512 KiB", size), |b| {
            b.iter(|| pair(&tikv_jemallocator::Jemalloc, size));
        });
        group.bench_function(BenchmarkId::new("dhat, off", size), |b| b.iter(|| pair(&dhat::Alloc, size)));
        let profiler = dhat::Profiler::builder().testing().build();
        group.bench_function(BenchmarkId::new("dhat, on", size), |b| b.iter(|| pair(&dhat::Alloc, size)));
        drop(profiler);
    }
    group.finish();
}

#[cfg(not(feature = "heap-rivals"))]
fn rivals(_: &mut Criterion) {}

criterion_group!(benches, pairs, rivals);
criterion_main!(benches);
