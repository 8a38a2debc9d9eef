//! Writers of the same keys in different orders wait for each other, and nobody waits in a circle.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    BatchWriter, Column, Conflict, ConnectionPool, GateConfig, Kind, Outcome, PgGate, Shape,
};

const KEYS: i64 = 2_000;
const WRITERS: i64 = 6;

/// Every writer sends every key, each in an order of its own, in flushes of a few hundred.
async fn deadlocks(conflict: Conflict) -> i64 {
    let database = testkit::postgres().create_database("contended").unwrap();
    database.psql("CREATE TABLE t (id INT8 PRIMARY KEY, v INT8)").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 8, ..GateConfig::default() }).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (gate, conflict) = (gate.clone(), conflict.clone());
        tokio::spawn(async move {
            let shape =
                Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"]);
            let rows = (0..KEYS).map(|n| ((n * (2 * writer + 7) + writer * 31) % KEYS, writer));
            let to = BatchWriter::<(i64, i64)>::for_shape(gate, shape).conflict(conflict);
            let to = to.flush_rows(500).start().unwrap();
            let outcomes = to.push_many(rows).await.unwrap().outcomes().await;
            assert!(outcomes.iter().all(Outcome::is_settled));
            assert!(to.close().await.unwrap().is_clean());
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    gate.close().await; // sessions report what they counted when they end
    let count = |sql: &str| database.psql(sql).unwrap().trim().parse::<i64>().unwrap();
    assert!(count("SELECT count(*) FROM t") > KEYS / 2);
    count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_keys_in_different_orders_do_not_deadlock() {
    for conflict in [Conflict::Ignore, Conflict::Update] {
        assert_eq!(deadlocks(conflict.clone()).await, 0, "{conflict:?}");
    }
}
