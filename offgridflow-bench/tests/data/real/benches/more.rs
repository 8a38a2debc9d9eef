use std::collections::HashMap;
use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion};

fn arithmetic(c: &mut Criterion) {
    c.bench_function("in cache/mix 300", |b| b.iter(|| real::mix(black_box(300))));
    c.bench_function("in cache/mix 20 000", |b| b.iter(|| real::mix(black_box(20_000))));
    c.bench_function("in cache/floats", |b| {
        b.iter(|| (1..500).map(|n| f64::from(black_box(n)).sqrt().ln()).sum::<f64>());
    });
}

fn memory(c: &mut Criterion) {
    c.bench_function("in memory/fill", |b| b.iter(|| real::fill(black_box(1_000))));
    let from = vec![7_u8; 1 << 16];
    c.bench_function("in memory/copy", |b| b.iter(|| black_box(from.clone())));
    let map: HashMap<u64, u64> = (0..2_000).map(|n| (n, n)).collect();
    c.bench_function("in memory/map", |b| b.iter(|| (0..200).filter_map(|n| map.get(&black_box(n * 7))).sum::<u64>()));
}

fn text(c: &mut Criterion) {
    let words = "the quick brown fox jumps over the lazy dog ".repeat(40);
    c.bench_function("in cache/words", |b| b.iter(|| black_box(&words).split(' ').filter(|word| word.len() > 3).count()));
    let mut state = 1_u64;
    let numbers: Vec<u64> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state
    })
    .take(500)
    .collect();
    c.bench_function("in cache/sort", |b| {
        b.iter(|| {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted
        });
    });
}

criterion_group!(benches, arithmetic, memory, text);
criterion_main!(benches);
