//! Keys that begin to be folded under a live writer of updates, while a flush of it is half stored or several are under way.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    BatchExecutor, BatchWriter, Cause, Class, Column, Conflict, Fate, GateConfig, Kind, Limits, Outcome,
    PgGate, Prepared, Retry, Shape, Slice, TxOutcome, TxToken, Value, WriteError, WritePlan, Wrote,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

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

/// What the server of the last test goes through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Exact,
    Folded,
    Broken, // the link of a flush that is under way is lost, and the server away
    Landed, // another flush lands
    Back,
}

/// Keys that begin to be folded while the flushes `slow` and `break` are under way.
#[derive(Clone)]
struct Folding {
    stage: Arc<watch::Sender<Stage>>,
    table: Arc<Mutex<HashMap<String, i64>>>,
}

impl Folding {
    async fn until(&self, stage: Stage) {
        self.stage.subscribe().wait_for(|now| *now >= stage).await.unwrap();
    }

    fn exact() -> Prepared {
        Prepared::new([]).with_exact_key()
    }
}

impl BatchExecutor for Folding {
    fn database(&self) -> &'static str {
        "folding"
    }

    fn limits(&self, _: &Shape) -> Limits {
        Limits {
            max_columns: 9,
            max_name_bytes: 63,
            max_bytes: 1 << 30,
            statement_rows: 9,
            arrays: false,
            ignores_case: false,
        }
    }

    async fn prepare(&self, _: &Shape, _: &WritePlan) -> Result<Prepared, WriteError> {
        let stage = *self.stage.borrow();
        if stage >= Stage::Broken {
            self.until(Stage::Back).await;
        }
        Ok(if stage == Stage::Exact { Self::exact() } else { Prepared::new([]) })
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let (Value::Text(key), Value::Int8(value)) = (parts[0].value(0, 0), parts[0].value(0, 1)) else {
            panic!("a text and a number")
        };
        let stale = *plan.prepared == Self::exact() && *self.stage.borrow() > Stage::Exact;
        match key {
            "slow" => self.until(Stage::Landed).await,
            "break" if stale || *self.stage.borrow() == Stage::Exact => {
                self.until(Stage::Broken).await;
                return Err(WriteError::failed(Cause::new(Class::Connection, "gone")));
            }
            _ if stale => return Err(WriteError::failed(Cause::new(Class::Schema, "the table changed"))),
            _ if key == key.to_ascii_uppercase() => sleep(Duration::from_millis(50)).await,
            _ => {}
        }
        self.table.lock().unwrap().insert(key.to_ascii_lowercase(), value);
        Ok(Wrote::new(vec![], 1))
    }
}

/// A flush that lands while the table is looked up again does not bring the partitions back.
#[tokio::test(start_paused = true)]
async fn the_last_write_wins_though_a_link_breaks_while_partitions_are_left() {
    let patient = Retry { attempts: 50, base: Duration::from_millis(1), ..Retry::default() };
    let mut tried = 0;
    while tried < 3 {
        let folding = Folding { stage: Arc::new(watch::Sender::new(Stage::Exact)), table: Arc::default() };
        let writer =
            BatchWriter::<(String, i64)>::for_shape(folding.clone(), shape()).conflict(Conflict::Update);
        let writer = writer.in_flight(16).flush_rows(1).retry(patient).start().unwrap();
        let _ = writer.push_many(rows([("x", 0)])).await.unwrap().outcomes().await;
        let held = writer.push_many(rows([("slow", 0), ("break", 0)])).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let side_by_side = writer.stats().flushes == 3; // by chance they are of one partition
        folding.stage.send_replace(Stage::Folded);
        if side_by_side {
            tried += 1;
            let y = writer.push_many(rows([("yy", 0)])).await.unwrap();
            sleep(Duration::from_millis(20)).await;
            folding.stage.send_replace(Stage::Broken);
            sleep(Duration::from_millis(20)).await;
            folding.stage.send_replace(Stage::Landed);
            sleep(Duration::from_millis(20)).await;
            let spellings =
                ('a'..='h').flat_map(|k| [(k.to_ascii_uppercase().to_string(), 1), (k.to_string(), 2)]);
            let later = writer.push_many(spellings).await.unwrap();
            sleep(Duration::from_millis(20)).await;
            folding.stage.send_replace(Stage::Back);
            assert!(later.outcomes().await.iter().all(Outcome::is_settled));
            drop(y);
        }
        folding.stage.send_replace(Stage::Back);
        drop(held);
        let _ = writer.close().await.unwrap();
        let table = folding.table.lock().unwrap();
        assert!(!side_by_side || ('a'..='h').all(|k| table[&k.to_string()] == 2), "{table:?}");
    }
}
