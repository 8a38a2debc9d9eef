//! Tables of another server, which PostgreSQL reaches by postgres_fdw (part of its contrib package; without it this test says so and passes).
#![cfg(feature = "postgres")]

use offgridflow_query::{BatchWriter, Class, Column, Conflict, GateConfig, Kind, Outcome, PgGate, Shape};
use sqlx::postgres::PgConnectOptions;

/// Two databases, of which the first has the second's `t` as a foreign table; `None` without the extension.
fn linked() -> Option<(testkit::Database, testkit::Database)> {
    let [near, far] = ["near", "far"].map(|name| testkit::postgres().create_database(name).unwrap());
    let here = near.psql("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'").unwrap();
    if here.trim() != "1" {
        eprintln!("postgres_fdw is not installed: nothing was tested");
        return None;
    }
    far.psql("CREATE TABLE t (id INT8 PRIMARY KEY, v INT8 CHECK (v >= 0))").unwrap();
    let server: PgConnectOptions = far.url().parse().unwrap();
    near.psql(&format!(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw \
         OPTIONS (host '{}', port '{}', dbname '{}'); CREATE USER MAPPING FOR CURRENT_USER SERVER far; \
         CREATE FOREIGN TABLE t (id INT8, v INT8) SERVER far OPTIONS (table_name 't')",
        server.get_host(),
        server.get_port(),
        far.name()
    ))
    .unwrap();
    Some((near, far))
}

fn shape() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"])
}

#[tokio::test]
async fn bad_rows_of_a_foreign_table_are_named_and_good_ones_stored() {
    let Some((near, far)) = linked() else { return };
    let gate = PgGate::from_url(&near.url(), GateConfig::default()).unwrap();
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape()).start().unwrap();
    let rows = (0..1_000).map(|id| (id, if id == 500 { -1 } else { id }));
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let _ = writer.close().await.unwrap();
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Settled(_) => assert_ne!(at, 500),
            Outcome::Rejected(rejected) => {
                assert_eq!((at, rejected.cause.class()), (500, Class::Check), "{}", rejected.cause);
            }
            Outcome::Returned(returned) => panic!("{at}: {}", returned.why),
        }
    }
    assert_eq!(far.psql("SELECT count(*) FROM t WHERE v = id").unwrap().trim(), "999");
}

/// The wrapper knows no ON CONFLICT with a target.
#[tokio::test]
async fn conflict_rules_on_a_foreign_table_are_refused_with_a_sentence() {
    let Some((near, far)) = linked() else { return };
    let gate = PgGate::from_url(&near.url(), GateConfig::default()).unwrap();
    for conflict in [Conflict::Update, Conflict::Ignore] {
        let writer = BatchWriter::<(i64, i64)>::for_shape(gate.clone(), shape()).conflict(conflict);
        let writer = writer.start().unwrap();
        let outcomes = writer.push_many((0..100).map(|id| (id, id))).await.unwrap().outcomes().await;
        for outcome in &outcomes {
            let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
            assert!(returned.why.to_string().contains("foreign table"), "{}", returned.why);
        }
        assert!(writer.close().await.unwrap().stats.transactions < 10);
    }
    assert_eq!(far.psql("SELECT count(*) FROM t").unwrap().trim(), "0");
}
