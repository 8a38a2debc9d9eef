//! What a hit costs over the raw map, and what a batch saves over single gets.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use offgridflow_cache::{Cache, InProcess, Json, Loaded, Loader, loader_fn};
use tokio::runtime::{Builder, Runtime};

const KEYS: u64 = 1_000;

fn source() -> impl Loader<u64, u64, Error = Infallible> {
    loader_fn(|key: u64| async move { Ok::<_, Infallible>(Loaded::value(key)) })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A thousand hot keys, read in turn. Baseline: moka itself.
fn hit(c: &mut Criterion) {
    let runtime = runtime();
    let raw = moka::sync::Cache::new(KEYS * 2);
    let cache = Cache::<u64, u64>::builder("hit").ttl(Duration::from_secs(3_600)).build(source()).unwrap();
    for key in 0..KEYS {
        raw.insert(key, std::sync::Arc::new(key));
        runtime.block_on(cache.get(&key)).unwrap();
    }
    let mut group = c.benchmark_group("hit");
    let mut turn = (0..KEYS).cycle();
    group
        .bench_function("baseline: moka::sync get", |b| b.iter(|| black_box(raw.get(&turn.next().unwrap()))));
    group.bench_function("peek", |b| b.iter(|| black_box(cache.peek(&turn.next().unwrap()))));
    group.bench_function("get", |b| b.iter(|| runtime.block_on(cache.get(&turn.next().unwrap())).unwrap()));
}

/// A hundred keys that only the shared tier has. Baseline: one get after the other.
fn batch(c: &mut Criterion) {
    let runtime = runtime();
    let store = InProcess::new();
    let keys: Vec<u64> = (0..100).collect();
    let node = || {
        let builder =
            Cache::<u64, u64>::builder("batch").ttl(Duration::from_secs(3_600)).shared(store.clone(), Json);
        builder.build(source()).unwrap()
    };
    runtime.block_on(async { node().get_many(&keys).await });
    let cold = || runtime.block_on(async { node() }); // a new node has nothing near
    let mut group = c.benchmark_group("batch of 100 from the shared tier");
    group.bench_function("baseline: 100 gets", |b| {
        b.iter_batched(
            cold,
            |cache| {
                runtime.block_on(async {
                    for key in &keys {
                        cache.get(key).await.unwrap();
                    }
                });
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.bench_function("get_many", |b| {
        b.iter_batched(
            cold,
            |cache| runtime.block_on(cache.get_many(&keys)),
            criterion::BatchSize::PerIteration,
        );
    });
}

fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_secs(1))
}

criterion_group! { name = suite; config = brief(); targets = hit, batch }
criterion_main!(suite);
