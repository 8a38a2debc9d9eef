use std::hint::black_box;
use std::time::Duration;

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};

fn mix(c: &mut Criterion) {
    c.bench_function("mix", |b| b.iter(|| real::mix(black_box(real::TURNS))));
}

fn fill(c: &mut Criterion) {
    let mut group = c.benchmark_group("fill / 100 %");
    group.sample_size(20).measurement_time(Duration::from_millis(80));
    group.bench_with_input(BenchmarkId::new("\"list\"", 300), &300, |b, length| b.iter(|| real::fill(*length)));
    group.finish();
}

criterion_group!(benches, mix, fill);
criterion_main!(benches);
