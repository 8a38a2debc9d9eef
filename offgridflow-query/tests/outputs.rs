//! What leaves through serde and the metrics facade has the promised names, and no data.
#![cfg(all(feature = "serde", feature = "metrics", feature = "observe"))]

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use offgridflow_query::{
    Acquire, BatchWriter, BatchedQuery, Cause, Class, ConnectionPool, Error, MemoryPool, Observer, row,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

struct Reading {
    id: i64,
}
row!(Reading in "readings" { id } key { id });

/// Adds up whatever is reported, by name and labels.
#[derive(Default, Clone)]
struct Recording(Arc<Mutex<BTreeMap<String, f64>>>);

struct Cell(Recording, String);

impl Cell {
    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, value: u64) {
        self.add(value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Recording {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<String> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        Arc::new(Cell(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }
}

impl Recorder for Recording {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.cell(key))
    }
}

async fn work() -> (MemoryPool, BatchWriter<Reading>, Observer) {
    let (pool, observer) = (MemoryPool::new(2), Observer::new("sqlite"));
    pool.set_poison(|row| {
        (row[0] == offgridflow_query::Stored::Int(666)).then(|| Cause::new(Class::Check, "refused"))
    });
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    let rows = [1, 2, 666].map(|id| Reading { id });
    let _ = writer.push_many(rows).await.unwrap().outcomes().await;
    let _: Result<(), ()> = observer.time("SELECT * FROM readings WHERE id = 666", async { Ok(()) }).await;
    drop(pool.acquire(Acquire::default()).await.unwrap());
    let _ = pool.status();
    (pool, writer, observer)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn metrics_have_the_documented_names_and_no_data() {
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, || run(async { drop(work().await.1.close().await.unwrap()) }));
    let seen = recording.0.lock().unwrap();
    assert_eq!(seen["offgridflow_query_rows_total{table=readings,outcome=committed}"], 2.0);
    assert_eq!(seen["offgridflow_query_rows_total{table=readings,outcome=rejected}"], 1.0);
    assert_eq!(seen["offgridflow_query_flush_duration_seconds{table=readings}"], 1.0);
    assert_eq!(seen["db_client_connection_max{pool=memory}"], 2.0);
    let operation = "db_client_operation_duration_seconds{db_system_name=sqlite,db_operation_name=select,\
                     db_query_summary=select readings,error_type=}";
    assert_eq!(seen[operation], 1.0);
    for name in ["db_client_connection_wait_time_seconds", "db_client_connection_use_time_seconds"] {
        assert!(seen.keys().any(|key| key.starts_with(name)), "{name}");
    }
    assert!(!seen.keys().any(|key| key.contains("666")), "{seen:?}");
}

/// What never happened is 0, not absent: a rate has something to begin at.
#[test]
fn counters_begin_at_zero() {
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, || run(async { drop(work().await.1.close().await.unwrap()) }));
    let seen = recording.0.lock().unwrap();
    for series in [
        "db_client_connection_timeouts_total{pool=memory}",
        "offgridflow_query_connection_shed_total{pool=memory}",
        "offgridflow_query_connection_leaks_suspected_total{pool=memory}",
        "offgridflow_query_connection_leaks_returned_total{pool=memory}",
        "offgridflow_query_findings_total{rule=n_plus_one}",
        "offgridflow_query_findings_total{rule=slower_plan}",
        "offgridflow_query_rows_total{table=readings,outcome=returned}",
    ] {
        assert_eq!(seen.get(series), Some(&0.0), "{series}");
    }
}

/// A text that is made up anew for each call must not become a label each.
#[test]
fn ten_thousand_statements_are_at_most_a_hundred_and_one_summaries() {
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, || {
        let observer = Observer::new("sqlite");
        for n in 0..10_000 {
            observer.start_text(&format!("SELECT a FROM t{n} WHERE id = {n}")).succeeded(1);
        }
    });
    let seen = recording.0.lock().unwrap();
    let operations = || seen.keys().filter(|key| key.starts_with("db_client_operation_duration_seconds"));
    assert_eq!(operations().count(), 101, "a hundred, and the others");
    assert!(operations().any(|key| key.contains("db_query_summary=other")));
}

/// A finding counts once a scope, a slow execution under its summary, which is there before the first slow one.
#[cfg(feature = "full")]
#[test]
fn findings_and_slow_executions_are_counted() {
    use offgridflow_query::{QueryScope, SlowLog};
    use std::time::Duration;
    let recording = Recording::default();
    metrics::with_local_recorder(&recording, || {
        run(async {
            let observer = Observer::new("sqlite").with_slow_log(SlowLog::over(Duration::from_millis(20)));
            let (_, asked) = QueryScope::new()
                .run(async {
                    for _ in 0..9 {
                        observer.start("SELECT name FROM sites WHERE id = ?").succeeded(1);
                    }
                })
                .await;
            observer.found(&asked);
            let slow = async {
                tokio::time::sleep(Duration::from_millis(40)).await;
                Ok::<_, ()>(())
            };
            observer.time("SELECT count(*) FROM readings", slow).await.unwrap();
        });
    });
    let seen = recording.0.lock().unwrap();
    assert_eq!(seen["offgridflow_query_findings_total{rule=n_plus_one}"], 1.0);
    assert_eq!(seen["offgridflow_query_slow_total{summary=select sites}"], 0.0);
    assert_eq!(seen["offgridflow_query_slow_total{summary=select readings}"], 1.0);
}

/// Nobody has to ask a gate for its status.
#[cfg(feature = "sqlite")]
#[test]
fn a_gate_tells_its_gauges_by_itself() {
    use offgridflow_query::{GateConfig, SqliteGate};
    let recording = Recording::default();
    let gauges = async {
        let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default()).unwrap();
        let _held = gate.acquire(Acquire::default()).await.unwrap();
        let seen = || recording.0.lock().unwrap().clone();
        let told = |seen: &BTreeMap<String, f64>| {
            let told = seen.get("db_client_connections{pool=main,state=used}");
            told.is_some_and(|&used| used == 1.0)
        };
        while !told(&seen()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        seen()
    };
    let limit = std::time::Duration::from_secs(60);
    let seen = metrics::with_local_recorder(&recording, || {
        run(async { tokio::time::timeout(limit, gauges).await }).expect("they never came")
    });
    assert_eq!(seen["db_client_connections{pool=main,state=idle}"], 0.0);
    assert_eq!(seen["db_client_connection_max{pool=main}"], 1.0);
    assert_eq!(seen["db_client_connection_pending_requests{pool=main}"], 0.0);
}

#[test]
fn figures_serialize_without_data() {
    let (pool, writer, observer) = run(work());
    let text =
        serde_json::json!({ "pool": pool.status(), "writer": writer.stats(), "top": observer.top(10) })
            .to_string();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (json["writer"]["committed"].as_u64(), json["writer"]["rejected"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(json["pool"]["max_open"], 2);
    assert_eq!(json["top"][0]["text"], "select * from readings where id = ?");
    assert_eq!(json["top"][0]["fingerprint"].as_str().map(str::len), Some(16));
    assert!(!text.contains("666"), "{text}");
}

#[test]
fn reports_serialize_without_data() {
    let (report, batched) = run(async {
        let (pool, writer, _) = work().await;
        drop(writer.push_many([Reading { id: 666 }]).await.unwrap()); // nobody waits for its outcome
        let query = BatchedQuery::new("INSERT INTO readings (id) VALUES (?)", 10);
        let batched = query.execute(pool, [(4i64,), (666,)]).await.unwrap();
        (writer.close().await.unwrap(), batched)
    });
    let text = serde_json::json!({ "writer": report, "batched": batched }).to_string();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["writer"]["stats"]["rejected"], 2);
    assert_eq!(json["writer"]["violation"], serde_json::Value::Null);
    assert_eq!(json["batched"]["committed"], 1);
    for report in ["writer", "batched"] {
        assert_eq!(json[report]["rejected"][0]["cause"]["message"], "refused", "{report}");
    }
    assert!(!text.contains("666"), "{text}");
    let violation = Error::Conservation { flush: 1, taken: 2, settled: 1 };
    let words = serde_json::json!(violation);
    assert_eq!(words, violation.to_string());
}
