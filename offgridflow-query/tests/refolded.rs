//! Keys that begin to be folded under a live writer of updates, while a flush of it is half stored or several are under way.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    BatchExecutor, BatchWriter, Cause, Column, Conflict, Fate, GateConfig, Kind, Limits, Outcome, PgGate,
    Prepared, Shape, Slice, TxOutcome, TxToken, WriteError, WritePlan, Wrote,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Keys are lower-case from here on, and it takes a while where they were not.
const FOLD: &str = "CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF NEW.k <> lower(NEW.k) THEN PERFORM pg_sleep(0.05); END IF; NEW.k := lower(NEW.k); RETURN NEW; END $$; \
    CREATE TRIGGER low BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION low()";

/// Writes through a gate, and alters the table before one of its writes.
struct Altering {
    gate: PgGate,
    database: Arc<testkit::Database>,
    writes: AtomicUsize,
    before: usize,
}

impl BatchExecutor for Altering {
    fn database(&self) -> &'static str {
        self.gate.database()
    }

    fn limits(&self, shape: &Shape) -> Limits {
        self.gate.limits(shape)
    }

    async fn prepare(&self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError> {
        self.gate.prepare(shape, plan).await
    }

    async fn outcome(&self, token: &TxToken) -> Result<TxOutcome, Cause> {
        self.gate.outcome(token).await
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        if self.writes.fetch_add(1, Relaxed) == self.before {
            self.database.psql(FOLD).unwrap();
        }
        self.gate.write(parts, plan).await
    }
}

fn shape() -> Shape {
    Shape::new("t", [Column::new("k", Kind::Text), Column::new("v", Kind::Int8)]).key(["k"])
}

fn rows<const N: usize>(rows: [(&str, i64); N]) -> [(String, i64); N] {
    rows.map(|(k, v)| (k.to_owned(), v))
}

fn database(name: &str) -> testkit::Database {
    let database = testkit::postgres().create_database(name).unwrap();
    database.psql("CREATE TABLE t (k TEXT COLLATE \"C\" PRIMARY KEY, v INT8 CHECK (v >= 0))").unwrap();
    database
}

/// The whole flush fails for its bad row, what is before it is stored, and then keys are folded.
#[tokio::test]
async fn a_superseded_row_is_not_sent_after_its_successor_was_stored() {
    for before in 1..5 {
        let database = Arc::new(database("halfway"));
        let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
        let executor =
            Altering { gate, database: Arc::clone(&database), writes: AtomicUsize::new(0), before };
        let writer = BatchWriter::<(String, i64)>::for_shape(executor, shape()).conflict(Conflict::Update);
        let writer = writer.start().unwrap();
        let sent = rows([("a", 1), ("b", 1), ("m", -1), ("y", 1), ("z", 1), ("a", 2)]);
        let outcomes = writer.push_many(sent).await.unwrap().outcomes().await;
        let _ = writer.close().await.unwrap();
        let fates: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| outcome.committed().ok().map(|receipt| receipt.fate))
            .collect();
        let stored = Some(Fate::Committed);
        assert_eq!(fates, [Some(Fate::Superseded), stored, None, stored, stored, stored], "before {before}");
        assert_eq!(
            database.psql("SELECT string_agg(k || v, ' ' ORDER BY k) FROM t").unwrap().trim(),
            "a2 b1 y1 z1"
        );
    }
}

/// Two spellings of a key belong to two partitions until the writer knows better.
#[tokio::test]
async fn the_last_write_wins_side_by_side_once_keys_are_known_to_fold() {
    let database = database("side");
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 4, ..GateConfig::default() }).unwrap();
    let writer = BatchWriter::<(String, i64)>::for_shape(gate, shape()).conflict(Conflict::Update);
    let writer = writer.in_flight(4).flush_rows(1).start().unwrap();
    let _ = writer.push_many(rows([("x", 0)])).await.unwrap().outcomes().await;
    database.psql(FOLD).unwrap();
    let _ = writer.push_many(rows([("x", 1)])).await.unwrap().outcomes().await;
    let spellings = ('a'..='h').flat_map(|k| [(k.to_ascii_uppercase().to_string(), 1), (k.to_string(), 2)]);
    let outcomes = writer.push_many(spellings).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled));
    let _ = writer.close().await.unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM t WHERE k <> 'x' AND v = 2").unwrap().trim(), "8");
}
