//! ANALYZE by explicit choice only, of SELECT only, with the values of one execution.
#![cfg(all(feature = "postgres", feature = "plans"))]

use offgridflow_query::{
    Acquire, Class, ConnectionPool, Explain, ExplainFor, GateConfig, Observer, PgGate, Plan, PlanBudget,
};
use sqlx::{Arguments as _, Postgres};

const READINGS: &str = "CREATE TABLE readings (id INTEGER PRIMARY KEY, site INTEGER NOT NULL); \
     INSERT INTO readings SELECT n, n % 10 FROM generate_series(1, 1000) n";
const BY_SITE: &str = "SELECT id FROM readings WHERE site = $1";

fn readings(name: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    database.psql(READINGS).unwrap();
    (
        PgGate::from_url(&database.url(), GateConfig { max_open: 3, ..GateConfig::default() }).unwrap(),
        database,
    )
}

fn values() -> sqlx::postgres::PgArguments {
    let mut values = sqlx::postgres::PgArguments::default();
    values.add(3).unwrap();
    values
}

#[tokio::test]
async fn a_select_is_run_once_more_and_each_step_measured() {
    let (gate, _database) = readings("measured");
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let plan = Postgres::explain(&mut conn, BY_SITE, Some(values()), ExplainFor::ItsRun).await.unwrap();
    let measured = plan.root.measured.expect("it was run");
    assert_eq!((measured.rows, measured.loops), (100.0, 1.0), "{plan}");
    assert!(measured.ms > 0.0 && measured.pages_hit + measured.pages_read > 0, "{plan}");
    let planned = Postgres::explain(&mut conn, BY_SITE, Some(values()), ExplainFor::ItsValues).await.unwrap();
    assert_eq!((planned.root.measured, planned.shape), (None, plan.shape));
}

#[tokio::test]
async fn nothing_but_a_select_with_its_values_is_run() {
    let (gate, database) = readings("unmeasured");
    database
        .psql("CREATE FUNCTION gone() RETURNS INT LANGUAGE sql AS 'DELETE FROM readings; SELECT 1'")
        .unwrap();
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let class = |told: Result<Plan, offgridflow_query::Cause>| told.unwrap_err().class();
    for sql in [
        "DELETE FROM readings",
        "WITH gone AS (DELETE FROM readings RETURNING id) SELECT * FROM gone",
        "SELECT id INTO copied FROM readings",
        BY_SITE,
    ] {
        let told = Postgres::explain(&mut conn, sql, None, ExplainFor::ItsRun).await;
        assert_eq!(class(told), Class::Schema, "{sql}");
    }
    for sql in ["SELECT gone()", "SELECT id FROM readings FOR UPDATE"] {
        let told = Postgres::explain(&mut conn, sql, None, ExplainFor::ItsRun).await;
        assert_eq!(class(told), Class::ReadOnly, "{sql}");
    }
    let told = Postgres::explain(&mut conn, "SELECT pg_sleep(60)", None, ExplainFor::ItsRun).await;
    assert_eq!(class(told), Class::Cancelled);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM readings").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(left, 1_000);
}

/// What a watcher keeps of a statement that ran twenty times.
async fn watched(sql: &'static str, budget: PlanBudget) -> Plan {
    let (gate, _database) = readings("watched");
    let observer = Observer::new("postgresql");
    let _watcher = observer.watch_plans(gate.clone(), budget);
    for _ in 0..20 {
        let mut conn = observer.acquire(&gate, Acquire::default()).await.unwrap();
        sqlx::query(sql).bind(3).fetch_all(conn.on()).await.unwrap();
        drop(conn);
        tokio::task::yield_now().await;
    }
    while observer.plan_stats().captured == 0 {
        tokio::task::yield_now().await;
    }
    observer.plan(observer.top(1)[0].fingerprint.unwrap()).unwrap()
}

#[tokio::test]
async fn a_watcher_measures_only_where_it_is_told_to_and_plans_what_cannot_be_measured() {
    let analyze = PlanBudget { analyze: true, ..PlanBudget::default() };
    assert_eq!(watched(BY_SITE, PlanBudget::default()).await.root.measured, None);
    assert!(watched(BY_SITE, analyze).await.root.measured.is_some());
    let write = watched("UPDATE readings SET site = site WHERE id = $1", analyze).await;
    assert!(write.root.measured.is_none() && write.to_string().contains("readings"), "{write}");
}
