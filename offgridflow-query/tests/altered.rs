//! A column that changes its type under a live writer: COPY's bytes say no types, so nobody else would notice.
#![cfg(feature = "postgres")]

use offgridflow_query::{BatchWriter, Column, Conflict, GateConfig, Kind, Outcome, PgGate, Shape, Strategy};

/// So many go by COPY or through a staging table.
const ROWS: i64 = 8_192;

/// Writes through `ALTER TABLE`; how many rows are not what was sent, of `2 * ROWS`.
async fn wrong(altered: &str, conflict: Conflict, way: Strategy) -> (i64, i64) {
    let database = testkit::postgres().create_database("altered").unwrap();
    database.psql("CREATE TABLE t (id INT8 PRIMARY KEY, v INT8)").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 3, ..GateConfig::default() }).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"]);
    let rows = |from: i64| (from..from + ROWS).map(|id| (id, 10_000 + id));
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate.clone(), shape.clone());
    let writer = writer.conflict(conflict).flush_rows(8_192).start().unwrap();
    settle(&writer, rows(0)).await;
    database.psql(&format!("ALTER TABLE t ALTER v TYPE {altered} USING v::text::{altered}")).unwrap();
    settle(&writer, rows(ROWS)).await;
    let report = writer.close().await.unwrap();
    assert!(report.is_clean() && report.strategies.iter().any(|used| used.strategy == way), "{report:?}");
    let count = |sql: &str| database.psql(sql).unwrap().trim().parse::<i64>().unwrap();
    let wrong = count("SELECT count(*) FROM t WHERE v::text::numeric <> 10000 + id");
    (count("SELECT count(*) FROM t"), wrong)
}

async fn settle(writer: &BatchWriter<(i64, i64)>, rows: impl Iterator<Item = (i64, i64)>) {
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled), "{:?}", outcomes.iter().find(|one| !one.is_settled()));
}

#[tokio::test]
async fn rows_are_right_after_a_column_changed_to_another_type_of_the_same_width() {
    for (conflict, way) in [(Conflict::Error, Strategy::Copy), (Conflict::Update, Strategy::Staging)] {
        for altered in ["FLOAT8", "NUMERIC", "INT4", "TEXT"] {
            let (stored, wrong) = wrong(altered, conflict.clone(), way).await;
            assert_eq!((stored, wrong), (2 * ROWS, 0), "{way:?} {altered}");
        }
    }
}

#[tokio::test]
async fn text_that_became_jsonb_is_written_without_a_search_for_a_bad_row() {
    let database = testkit::postgres().create_database("jsonb").unwrap();
    database.psql("CREATE TABLE t (id INT8, v JSON)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Json)]);
    let rows = || (0..ROWS).map(|id| (id, offgridflow_query::Json(format!("{{\"n\": {id}}}"))));
    let writer = BatchWriter::<(i64, offgridflow_query::Json)>::for_shape(gate, shape).start().unwrap();
    for _ in 0..2 {
        let outcomes = writer.push_many(rows()).await.unwrap().outcomes().await;
        assert!(outcomes.iter().all(Outcome::is_settled));
        database.psql("ALTER TABLE t ALTER v TYPE JSONB USING v::jsonb").unwrap();
    }
    let report = writer.close().await.unwrap();
    assert!(report.is_clean() && report.stats.transactions < 10, "{:?}", report.stats);
    assert_eq!(
        database.psql("SELECT count(*) FROM t WHERE (v->>'n')::int8 = id").unwrap().trim(),
        (2 * ROWS).to_string()
    );
}

#[tokio::test]
async fn a_table_that_was_replaced_by_another_of_its_name_gets_rows_of_its_own_types() {
    let database = testkit::postgres().create_database("replaced").unwrap();
    database.psql("CREATE TABLE \"t'\\\" (id INT8, v INT8)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = Shape::new("t'\\", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape).start().unwrap();
    settle(&writer, (0..ROWS).map(|id| (id, id))).await;
    let replace = "ALTER TABLE \"t'\\\" RENAME TO old; CREATE TABLE \"t'\\\" (v FLOAT8, id INT8)";
    database.psql(replace).unwrap();
    settle(&writer, (0..ROWS).map(|id| (id, id))).await;
    assert!(writer.close().await.unwrap().is_clean());
    let right = database.psql("SELECT count(*) FROM \"t'\\\" WHERE v = id").unwrap();
    assert_eq!(right.trim(), ROWS.to_string());
}

/// The server keeps a statement that was prepared under such a rule as one that does nothing, also when the rule is gone.
#[tokio::test]
async fn rows_are_stored_again_when_a_rule_against_them_is_gone() {
    let database = testkit::postgres().create_database("ruled").unwrap();
    database.psql("CREATE TABLE t (id INT8, v INT8)").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 1, ..GateConfig::default() }).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
    let writer =
        BatchWriter::<(i64, i64)>::for_shape(gate, shape).strategy(Strategy::Unnest).start().unwrap();
    settle(&writer, (0..4).map(|id| (id, id))).await;
    database.psql("CREATE RULE nothing AS ON INSERT TO t DO INSTEAD NOTHING").unwrap();
    settle(&writer, (4..8).map(|id| (id, id))).await;
    database.psql("DROP RULE nothing ON t").unwrap();
    settle(&writer, (8..12).map(|id| (id, id))).await;
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.skipped), (8, 4));
    assert_eq!(database.psql("SELECT count(*) FROM t").unwrap().trim(), "8");
}

/// Names are what COPY goes by, so a column of the old name and another type is another column.
#[tokio::test]
async fn rows_are_right_after_a_new_column_took_the_name_of_an_old_one() {
    for (conflict, way) in [(Conflict::Error, Strategy::Copy), (Conflict::Update, Strategy::Staging)] {
        let database = testkit::postgres().create_database("renamed").unwrap();
        database.psql("CREATE TABLE t (id INT8 PRIMARY KEY, v INT8)").unwrap();
        let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
        let shape =
            Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]).key(["id"]);
        let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape).conflict(conflict).start().unwrap();
        settle(&writer, (0..ROWS).map(|id| (id, id))).await;
        database.psql("ALTER TABLE t RENAME v TO old; ALTER TABLE t ADD v FLOAT8").unwrap();
        settle(&writer, (ROWS..2 * ROWS).map(|id| (id, id))).await;
        let report = writer.close().await.unwrap();
        assert!(report.strategies.iter().any(|used| used.strategy == way), "{report:?}");
        let right = database.psql("SELECT count(*) FROM t WHERE coalesce(old, v) = id").unwrap();
        assert_eq!(right.trim(), (2 * ROWS).to_string(), "{way:?}");
    }
}

/// A rule that stores a copy elsewhere is INSERT's, and passed by by COPY.
#[tokio::test]
async fn a_rule_that_is_made_under_a_live_writer_is_obeyed() {
    let database = testkit::postgres().create_database("also").unwrap();
    database.psql("CREATE TABLE t (id INT8, v INT8); CREATE TABLE audit (id INT8)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate, shape).start().unwrap();
    settle(&writer, (0..ROWS).map(|id| (id, id))).await;
    database.psql("CREATE RULE also AS ON INSERT TO t DO ALSO INSERT INTO audit VALUES (NEW.id)").unwrap();
    settle(&writer, (0..ROWS).map(|id| (id, id))).await;
    let _ = writer.close().await.unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM audit").unwrap().trim(), ROWS.to_string());
}

/// `char(3)` calls "a" and "a " equal, which text does not.
#[tokio::test]
async fn the_last_write_wins_after_the_key_became_one_that_compares_otherwise() {
    let database = testkit::postgres().create_database("padded").unwrap();
    database.psql("CREATE TABLE t (id TEXT PRIMARY KEY, v INT8)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Text), Column::new("v", Kind::Int8)]).key(["id"]);
    let writer =
        BatchWriter::<(String, i64)>::for_shape(gate, shape).conflict(Conflict::Update).start().unwrap();
    let push = async |rows: &[(&str, i64)]| {
        let rows = rows.iter().map(|(id, v)| ((*id).to_owned(), *v));
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
    };
    push(&[("x", 0)]).await;
    database.psql("ALTER TABLE t ALTER id TYPE CHAR(3)").unwrap();
    push(&[("b", 0), ("a ", 1), ("a", 2)]).await;
    let _ = writer.close().await.unwrap();
    assert_eq!(database.psql("SELECT v FROM t WHERE id = 'a'").unwrap().trim(), "2");
}

/// A modifier rounds, so two numbers are one key.
#[tokio::test]
async fn the_last_write_wins_after_the_key_began_to_round() {
    for (before, after, first, last) in
        [("NUMERIC", "NUMERIC(5, 0)", "1.4", "1.2"), ("NUMERIC(9, 3)", "NUMERIC(9, 0)", "7.4", "7.2")]
    {
        let database = testkit::postgres().create_database("rounded").unwrap();
        database.psql(&format!("CREATE TABLE t (k {before} PRIMARY KEY, v INT8)")).unwrap();
        let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
        let shape =
            Shape::new("t", [Column::new("k", Kind::Numeric), Column::new("v", Kind::Int8)]).key(["k"]);
        let writer = BatchWriter::<(offgridflow_query::Numeric, i64)>::for_shape(gate, shape);
        let writer = writer.conflict(Conflict::Update).start().unwrap();
        let push = async |rows: &[(&str, i64)]| {
            let rows = rows.iter().map(|(k, v)| (offgridflow_query::Numeric((*k).to_owned()), *v));
            let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
            assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
        };
        push(&[("100", 0)]).await;
        database.psql(&format!("ALTER TABLE t ALTER k TYPE {after}")).unwrap();
        push(&[(first, 1), (last, 2)]).await;
        let _ = writer.close().await.unwrap();
        assert_eq!(
            database.psql("SELECT v FROM t WHERE k < 100").unwrap().trim(),
            "2",
            "{before} to {after}"
        );
    }
}

/// What a holder sets on a session stays there, and leads no row into another table.
#[tokio::test]
async fn a_search_path_that_somebody_left_leads_no_row_elsewhere() {
    use offgridflow_query::{Acquire, ConnectionPool};
    for way in [Strategy::Unnest, Strategy::Copy] {
        let database = testkit::postgres().create_database("path").unwrap();
        database.psql("CREATE TABLE t (id INT8, v INT8); CREATE SCHEMA other; CREATE TABLE other.t (id INT8, v INT8)").unwrap();
        let gate =
            PgGate::from_url(&database.url(), GateConfig { max_open: 1, ..GateConfig::default() }).unwrap();
        let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
        let writer = BatchWriter::<(i64, i64)>::for_shape(gate.clone(), shape).strategy(way).start().unwrap();
        settle(&writer, (0..4).map(|id| (id, id))).await;
        let mut conn = gate.acquire(Acquire::default()).await.unwrap();
        sqlx::raw_sql("SET search_path TO other").execute(&mut *conn).await.unwrap();
        drop(conn);
        settle(&writer, (4..8).map(|id| (id, id))).await;
        let trigger = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
            CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()";
        database.psql(trigger).unwrap(); // a change, which is looked up in that very session
        settle(&writer, (8..12).map(|id| (id, id))).await;
        let _ = writer.close().await.unwrap();
        let count =
            |table: &str| database.psql(&format!("SELECT count(*) FROM {table}")).unwrap().trim().to_owned();
        assert_eq!((count("public.t"), count("other.t")), ("12".into(), "0".into()), "{way:?}");
    }
}

/// A rule that sends rows elsewhere is refused when a writer starts, and so it is when it comes later.
#[tokio::test]
async fn a_rule_that_is_made_under_a_live_writer_sends_no_row_elsewhere() {
    let database = testkit::postgres().create_database("instead").unwrap();
    database.psql("CREATE TABLE t (id INT8, v INT8); CREATE TABLE other (id INT8, v INT8)").unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
    let writer =
        BatchWriter::<(i64, i64)>::for_shape(gate, shape).strategy(Strategy::Unnest).start().unwrap();
    settle(&writer, (0..4).map(|id| (id, id))).await;
    database.psql("CREATE RULE r AS ON INSERT TO t DO INSTEAD INSERT INTO other VALUES (NEW.*)").unwrap();
    let outcomes = writer.push_many((4..8).map(|id| (id, id))).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_settled()), "{outcomes:?}");
    let _ = writer.close().await.unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM other").unwrap().trim(), "0");
}

/// The look that tells a row's fault from the table's waits for locks as a write does.
#[tokio::test]
async fn a_refused_row_is_not_waited_for_behind_somebody_s_lock() {
    use offgridflow_query::{Acquire, ConnectionPool, Retry};
    use std::time::Duration;
    let database = testkit::postgres().create_database("waits").unwrap();
    database.psql("CREATE TABLE t (id INT8 CHECK (id <> 3), v INT8)").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 3, ..GateConfig::default() }).unwrap();
    let shape = Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Int8)]);
    let writer = BatchWriter::<(i64, i64)>::for_shape(gate.clone(), shape).strategy(Strategy::Copy);
    let writer = writer.lock_timeout(Duration::from_millis(50)).retry(Retry::never()).start().unwrap();
    settle(&writer, [(0, 0)].into_iter()).await;
    let mut other = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").execute(&mut *other).await.unwrap();
    let writes = writer.push_many((0..6).map(|id| (id, id))).await.unwrap();
    let outcomes = tokio::time::timeout(Duration::from_secs(30), writes.outcomes()).await;
    assert!(outcomes.unwrap().iter().all(|outcome| !outcome.is_settled()));
    sqlx::raw_sql("ROLLBACK").execute(&mut *other).await.unwrap();
    let _ = writer.close().await.unwrap();
}

/// A row as wide as a table can be is looked at in the catalog, not by the parser, which would describe the whole row for each column.
#[tokio::test]
async fn wide_tables_are_looked_at_too() {
    let database = testkit::postgres().create_database("wide").unwrap();
    let columns: Vec<_> = (0..100).map(|n| format!("c{n} INT8")).collect();
    database.psql(&format!("CREATE TABLE t (id INT8, {})", columns.join(", "))).unwrap();
    let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let columns = (0..100).map(|n| Column::new(format!("c{n}"), Kind::Int8));
    let shape = Shape::new("t", [Column::new("id", Kind::Int8)].into_iter().chain(columns));
    let mut chunk = offgridflow_query::Chunk::new(shape.clone());
    chunk.push(|to| (0..101).for_each(|n| to.i64(n))).unwrap();
    let mut plan = offgridflow_query::WritePlan::new(Conflict::Error);
    use offgridflow_query::BatchExecutor;
    plan.prepared = std::sync::Arc::new(gate.prepare(&shape, &plan).await.unwrap());
    plan.strategy = Some(Strategy::Copy);
    gate.write(&[chunk.slice(0..1)], &plan).await.unwrap();
    database.psql("ALTER TABLE t ALTER c50 TYPE FLOAT8").unwrap();
    assert!(gate.write(&[chunk.slice(0..1)], &plan).await.is_err());
    assert_eq!(database.psql("SELECT count(*) FROM t").unwrap().trim(), "1");
}
