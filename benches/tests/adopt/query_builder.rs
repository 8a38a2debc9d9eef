//! `docs/adopt/from-query-builder.md`

struct Reading {
    id: i64,
    watts: f64,
}

mod before {
    use super::Reading;

    use offgridflow_query::sqlx;

    use sqlx::{PgPool, Postgres, QueryBuilder};

    pub(crate) async fn store(pool: &PgPool, readings: Vec<Reading>) -> sqlx::Result<()> {
        for thousand in readings.chunks(1_000) {
            let mut insert = QueryBuilder::<Postgres>::new("INSERT INTO readings (id, watts) ");
            insert.push_values(thousand, |mut row, reading| {
                row.push_bind(reading.id).push_bind(reading.watts);
            });
            insert.push(" ON CONFLICT (id) DO UPDATE SET watts = excluded.watts");
            insert.build().execute(pool).await?;
        }
        Ok(())
    }
}

mod after {
    use super::Reading;

    use offgridflow_query::sqlx::PgPool;

    use offgridflow_query::{BatchWriter, ConfigError, Conflict, GateConfig, Outcome, PgGate, Refused, row};

    row!(Reading in "readings" { id, watts } key { id });

    pub(crate) fn writer(pool: PgPool) -> Result<BatchWriter<Reading>, ConfigError> {
        let gate = PgGate::over(pool, GateConfig { max_open: 4, ..GateConfig::default() })?;
        BatchWriter::builder(gate).conflict(Conflict::Update).start()
    }

    pub(crate) async fn store(
        writer: &BatchWriter<Reading>,
        readings: Vec<Reading>,
    ) -> Result<Vec<Outcome<Reading>>, Refused<Reading>> {
        Ok(writer.push_many(readings).await?.outcomes().await)
    }
}

mod one_statement {
    use super::Reading;

    use offgridflow_query::{BatchedQuery, BatchedReport, Error, PgGate};

    pub(crate) async fn store(
        gate: PgGate,
        readings: Vec<Reading>,
    ) -> Result<BatchedReport<(i64, f64)>, Error> {
        let rows = readings.into_iter().map(|reading| (reading.id, reading.watts));
        let sql = "INSERT INTO readings (id, watts) VALUES ($1, $2)";
        BatchedQuery::new(sql, 10_000).execute(gate, rows).await
    }
}

use offgridflow_query::sqlx::{self, PgPool};
use offgridflow_query::{GateConfig, Outcome, PgGate};

const TABLE: &str =
    "CREATE TABLE readings (id BIGINT PRIMARY KEY, watts DOUBLE PRECISION NOT NULL CHECK (watts >= 0))";

fn readings(ids: std::ops::Range<i64>) -> Vec<Reading> {
    ids.map(|id| Reading { id, watts: 0.5 * id as f64 }).collect()
}

async fn database() -> (testkit::Database, PgPool) {
    let database = testkit::postgres().create_database("adopt").unwrap();
    database.psql(TABLE).unwrap();
    let pool = PgPool::connect(&database.url()).await.unwrap();
    (database, pool)
}

fn stored(database: &testkit::Database) -> String {
    database.psql("SELECT count(*), sum(watts) FROM readings").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_store_the_same() {
    let (database, pool) = database().await;
    before::store(&pool, readings(1..2_501)).await.unwrap();
    let by_hand = stored(&database);
    database.psql("TRUNCATE readings").unwrap();
    let writer = after::writer(pool).unwrap();
    let outcomes = after::store(&writer, readings(1..2_501)).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Settled(_))));
    assert!(writer.close().await.unwrap().is_clean());
    assert_eq!(stored(&database), by_hand);
    assert!(by_hand.starts_with("2500|"), "{by_hand}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_costs_its_thousand_by_hand_and_itself_here() {
    let (database, pool) = database().await;
    let with_a_bad_one = || {
        let mut readings = readings(1..1_001);
        readings[499].watts = -1.0;
        readings
    };
    assert!(before::store(&pool, with_a_bad_one()).await.is_err());
    assert!(stored(&database).starts_with("0|"));

    let writer = after::writer(pool).unwrap();
    let outcomes = after::store(&writer, with_a_bad_one()).await.unwrap();
    let rejected: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Rejected(rejected) => Some((rejected.row.id, rejected.cause.to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].0 == 500 && rejected[0].1.contains("readings_watts_check"), "{rejected:?}");
    assert!(stored(&database).starts_with("999|"));
    assert_eq!(writer.close().await.unwrap().stats.rejected, 1);
}

/// The same key twice in a statement is refused by PostgreSQL; here the last one wins.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_twice_is_an_error_by_hand_alone() {
    let (database, pool) = database().await;
    let twice = || vec![Reading { id: 1, watts: 1.0 }, Reading { id: 1, watts: 2.0 }];
    let refused = before::store(&pool, twice()).await.unwrap_err();
    assert_eq!(
        refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
        Some("21000")
    );
    let writer = after::writer(pool).unwrap();
    after::store(&writer, twice()).await.unwrap();
    assert!(writer.close().await.unwrap().is_clean());
    assert_eq!(stored(&database), "1|2");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_is_enough_for_rows_at_hand() {
    let (database, _) = database().await;
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let report = one_statement::store(gate, readings(1..2_501)).await.unwrap();
    assert_eq!((report.processed, report.batches), (2_500, 1));
    assert!(stored(&database).starts_with("2500|"));
}

/// The pool that the writer's gate stands over goes on serving everybody else: how to come, and how to back out.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_serves_both() {
    let (_database, pool) = database().await;
    let writer = after::writer(pool.clone()).unwrap();
    after::store(&writer, readings(1..11)).await.unwrap();
    let many: i64 = sqlx::query_scalar("SELECT count(*) FROM readings").fetch_one(&pool).await.unwrap();
    assert_eq!(many, 10);
    before::store(&pool, readings(11..21)).await.unwrap();
    assert!(writer.close().await.unwrap().is_clean());
}
