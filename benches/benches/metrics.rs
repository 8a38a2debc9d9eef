//! The arithmetic behind verdicts, schedules and histograms.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use offgridflow_bench::stats::{quantile_bounds, ratio_of_medians};
use offgridflow_loadtest::{ArrivalProcess, Latencies, Rate, Schedule};
use offgridflow_profile::{Frame, Profile, Sample, Series, Stack, TrendOptions, ValueKind};

/// A multiplicative hash: the same noise in every run.
fn noise(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

/// Half an hour of readings. Baseline: walking over them once.
fn verdict(c: &mut Criterion) {
    let sample = |s| Sample { at: Duration::from_secs(s), bytes: 100_000_000 + 4_096 * s + noise(s) };
    let series: Series = (0..1_800).map(sample).collect();
    let mut group = c.benchmark_group("memory verdict on 1 800 readings");
    group.bench_function("baseline: a mean", |b| {
        b.iter(|| black_box(&series).iter().map(|sample| sample.bytes).sum::<u64>());
    });
    group.bench_function("verdict", |b| b.iter(|| black_box(&series).verdict(&TrendOptions::default())));
}

/// A thousand stacks of sixteen frames. Baseline: folded text.
fn pprof(c: &mut Criterion) {
    let frame = |n: u64| Frame::named(format!("function_{}", n % 300));
    let stack = |n: u64| Stack {
        frames: (0..16).map(|depth| frame(noise(n * 16 + depth))).collect(),
        values: vec![1, 10_101_010],
        labels: Vec::new(),
    };
    let kind = ValueKind::new("cpu", "nanoseconds");
    let profile = Profile {
        kinds: vec![ValueKind::new("samples", "count"), kind.clone()],
        stacks: (0..1_000).map(stack).collect(),
        began: SystemTime::UNIX_EPOCH,
        duration: Duration::from_secs(10),
        period: 10_101_010,
        period_kind: kind,
        comments: Vec::new(),
        mappings: vec![],
    };
    let mut group = c.benchmark_group("writing a profile of 1 000 stacks");
    group.bench_function("baseline: folded text", |b| b.iter(|| black_box(&profile).to_folded(0)));
    group.bench_function("pprof protobuf", |b| b.iter(|| black_box(&profile).to_pprof()));
}

/// One operation's share of the load tester. Baseline: reading the clock.
fn operation(c: &mut Criterion) {
    let rate = Rate::ramp(0.0, 1_000.0, Duration::from_secs(30)).hold(Duration::from_secs(300));
    let schedule = Schedule::steady(rate);
    let mut latencies = Latencies::default();
    let mut k = 0;
    let mut group = c.benchmark_group("one operation");
    group.bench_function("baseline: reading the clock", |b| b.iter(|| black_box(std::time::Instant::now())));
    group.bench_function("its intended time", |b| {
        b.iter(|| {
            k = (k + 7_919) % 300_000;
            black_box(schedule.intended(k))
        });
    });
    group.bench_function("recording its latency", |b| {
        b.iter(|| {
            k += 1;
            latencies.record(Duration::from_nanos(noise(k)));
        });
    });
}

/// What a judgement costs. Baseline: sorting the samples.
fn judgement(c: &mut Criterion) {
    let samples: Vec<f64> = (0..100).map(|n| (1_000.0 + noise(n) as f64 / 1e4).ln()).collect();
    let mut group = c.benchmark_group("judging 100 samples");
    group.bench_function("baseline: sorting them", |b| {
        b.iter(|| {
            let mut sorted = black_box(&samples).clone();
            sorted.sort_by(f64::total_cmp);
            sorted
        });
    });
    group.bench_function("bounds on a p95", |b| b.iter(|| quantile_bounds(black_box(100), 0.95, 0.95)));
    group.bench_function("ratio of medians with its interval", |b| {
        b.iter(|| ratio_of_medians(black_box(&samples), &samples, 0.99, 1));
    });
}

fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_secs(1))
}

criterion_group! { name = suite; config = brief(); targets = verdict, pprof, operation, judgement }
criterion_main!(suite);
