//! What batched rows gain over a loop, and what looking at statements and lending connections costs.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use offgridflow_query::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use offgridflow_query::sqlx::{self, Connection, SqliteConnection};
use offgridflow_query::{
    Acquire, BatchWriter, ConnectionPool, Fingerprint, GateConfig, Observer, SqliteGate, row,
};
use tokio::runtime::{Builder, Runtime};

const ROWS: i64 = 2_000;
const TABLE: &str =
    "CREATE TABLE readings (id BIGINT PRIMARY KEY, site TEXT NOT NULL, watts DOUBLE PRECISION NOT NULL)";
const INSERT: &str = "INSERT INTO readings (id, site, watts) VALUES ($1, $2, $3)";

struct Reading {
    id: i64,
    site: String,
    watts: f64,
}
row!(Reading in "readings" { id, site, watts } key { id });

fn readings() -> Vec<Reading> {
    (0..ROWS)
        .map(|id| Reading { id, site: format!("site {}", id % 17), watts: 0.5 * (id % 1_000) as f64 })
        .collect()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A gate over a fresh file with an empty table; the folder goes with it.
fn fresh(runtime: &Runtime) -> (tempfile::TempDir, SqliteGate) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let gate = runtime.block_on(async {
        let gate = SqliteGate::from_url(&url, GateConfig::default()).unwrap();
        sqlx::query(TABLE).execute(&mut *gate.acquire(Acquire::default()).await.unwrap()).await.unwrap();
        gate
    });
    (folder, gate)
}

/// Two thousand rows into SQLite. Baseline: a prepared statement a row, in one transaction.
fn ingest(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("ingest into SQLite");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs()));
    group.bench_function("baseline: a statement a row in one transaction", |b| {
        b.iter_batched(
            || (fresh(&runtime), readings()),
            |((folder, gate), rows)| {
                runtime.block_on(loop_over(&gate, &rows));
                (folder, gate)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("BatchWriter", |b| {
        b.iter_batched(
            || (fresh(&runtime), readings()),
            |((folder, gate), rows)| {
                runtime.block_on(batch(&gate, rows));
                (folder, gate)
            },
            BatchSize::PerIteration,
        );
    });
}

async fn loop_over(gate: &SqliteGate, rows: &[Reading]) {
    let mut lent = gate.acquire(Acquire::default()).await.unwrap();
    let connection: &mut SqliteConnection = &mut lent;
    let mut transaction = connection.begin().await.unwrap();
    for row in rows {
        let insert = sqlx::query(INSERT).bind(row.id).bind(&row.site).bind(row.watts);
        insert.execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn batch(gate: &SqliteGate, rows: Vec<Reading>) {
    let writer = BatchWriter::<Reading>::builder(gate.clone()).start().unwrap();
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(offgridflow_query::Outcome::is_settled));
    assert!(writer.close().await.unwrap().is_clean());
}

/// Counting a statement. Baseline: reading the clock twice.
fn observe(c: &mut Criterion) {
    let observer = Observer::new("sqlite");
    let text = "SELECT id, site FROM readings WHERE site = 'north' AND watts > 12.5 AND id IN (1, 2, 3, 4)";
    let mut group = c.benchmark_group("looking at a statement");
    group.bench_function("baseline: two readings of the clock", |b| {
        b.iter(|| {
            let began = std::time::Instant::now();
            black_box(began.elapsed())
        });
    });
    group.bench_function("Observer, a known static text", |b| {
        b.iter(|| observer.start(black_box(INSERT)).succeeded(1));
    });
    group.bench_function("Fingerprint of 88 bytes", |b| b.iter(|| Fingerprint::of(black_box(text))));
}

/// Lending an idle connection. Baseline: sqlx's own pool.
fn checkout(c: &mut Criterion) {
    let runtime = runtime();
    let (folder, gate) = fresh(&runtime);
    let options = SqliteConnectOptions::new().filename(folder.path().join("bench.db"));
    let pool = SqlitePoolOptions::new().test_before_acquire(false);
    let pool = runtime.block_on(async { pool.connect_with(options).await.unwrap() });
    let mut group = c.benchmark_group("checkout");
    group.bench_function("baseline: sqlx pool without ping", |b| {
        b.iter(|| runtime.block_on(async { drop(pool.acquire().await.unwrap()) }));
    });
    group.bench_function("Gate", |b| {
        b.iter(|| runtime.block_on(async { drop(gate.acquire(Acquire::default()).await.unwrap()) }));
    });
}

fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_secs(1))
}

criterion_group! { name = suite; config = brief(); targets = ingest, observe, checkout }
criterion_main!(suite);
