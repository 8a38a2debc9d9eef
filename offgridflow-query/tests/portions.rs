//! No write exceeds what the database takes in one transaction, however large a flush or a batch was to be.

use offgridflow_query::{
    Atomicity, BatchExecutor, BatchWriter, BatchedQuery, Class, Column, Conflict, Kind, Limits, MemoryPool,
    Outcome, Shape, Slice, Value, Why, WriteError, WritePlan, Wrote,
};
use std::sync::{Arc, Mutex};

const MAX_BYTES: usize = 1_000;

/// Takes a thousand bytes in one transaction, their lengths included, and remembers how many rows came each time.
#[derive(Debug, Clone)]
struct Small {
    pool: MemoryPool,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl BatchExecutor for Small {
    fn database(&self) -> &'static str {
        "small"
    }

    fn limits(&self, shape: &Shape) -> Limits {
        Limits { max_bytes: MAX_BYTES, ..self.pool.limits(shape) }
    }

    async fn write(&self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let rows = |part: &Slice<'_>| (0..part.len()).map(|row| sent(part, row)).sum::<usize>();
        let bytes: usize = parts.iter().map(rows).sum();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
        self.writes.lock().unwrap().push(parts.iter().map(Slice::len).sum());
        self.pool.write(parts, plan).await
    }
}

/// Bytes of an identifier and a text with their lengths.
fn sent(part: &Slice<'_>, row: usize) -> usize {
    let Value::Text(text) = part.value(row, 1) else { panic!("a text") };
    (4 + 8) + (4 + text.len())
}

fn small() -> Small {
    Small { pool: MemoryPool::new(2), writes: Arc::default() }
}

type Pair = (i64, String);

fn shape() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]).key(["id"])
}

/// Rows of 300 bytes, of which three fit.
fn pairs(ids: std::ops::Range<i64>) -> Vec<Pair> {
    ids.map(|id| (id, "x".repeat(282))).collect()
}

#[tokio::test]
async fn a_batch_ends_where_the_database_takes_no_more() {
    let small = small();
    let query = BatchedQuery::new("INSERT INTO t (id, v) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", 400);
    let mut rows = pairs(0..10);
    rows[4].1 = "y".repeat(MAX_BYTES);
    rows.push((9, String::new()));
    let done = query.execute(small.clone(), rows).await.unwrap();
    assert_eq!((done.processed, done.committed, done.rejected.len(), done.batches), (11, 9, 1, 3));
    assert_eq!(done.skipped_at, [10]);
    assert_eq!((done.rejected[0].row.0, done.rejected[0].cause.class()), (4, Class::TooLarge));
    assert_eq!(*small.writes.lock().unwrap(), [3, 3, 4]);
}

#[tokio::test]
async fn a_flush_is_due_at_what_the_database_takes() {
    let small = small();
    let writer = BatchWriter::<Pair>::for_shape(small.clone(), shape()).max_row_bytes(MAX_BYTES);
    let writer = writer.flush_bytes(4 << 30).conflict(Conflict::Update).start().unwrap();
    let outcomes = writer.push_many(pairs(0..100)).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
    assert!(writer.close().await.unwrap().is_clean());
    assert_eq!(small.pool.rows("t").len(), 100);
}

/// Rows and groups that came together stay in order, and groups stay whole.
#[tokio::test]
async fn a_flush_that_grew_too_large_is_sent_in_portions() {
    for atomicity in [Atomicity::Independent, Atomicity::Together] {
        let small = small();
        let writer = BatchWriter::<Pair>::for_shape(small.clone(), shape()).max_row_bytes(MAX_BYTES);
        let writer = writer.atomicity(atomicity).start().unwrap();
        let (groups, bad) = (pairs(0..9), pairs(2..4));
        let pushed = tokio::join!(
            writer.push_group(groups[0..2].to_vec()),
            writer.push_group(groups[2..5].to_vec()),
            writer.push_group(bad),
            writer.push_group(groups[5..9].to_vec()),
            writer.push_many(groups[5..7].to_vec()),
        );
        assert!(pushed.0.unwrap().outcomes().await.iter().all(Outcome::is_settled));
        assert!(pushed.1.unwrap().outcomes().await.iter().all(Outcome::is_settled));
        let twice = pushed.2.unwrap().outcomes().await;
        assert!(!twice.iter().any(Outcome::is_settled), "both are stored: {twice:?}");
        let large = pushed.3.unwrap().outcomes().await;
        let too_large = |outcome: &Outcome<Pair>| matches!(outcome, Outcome::Returned(row) if matches!(row.why, Why::GroupConflict(_)));
        assert!(large.iter().all(too_large), "{large:?}");
        assert!(pushed.4.unwrap().outcomes().await.iter().all(Outcome::is_settled));
        let report = writer.close().await.unwrap();
        assert_eq!((report.stats.committed, report.violation), (7, None));
        assert_eq!(small.pool.rows("t").len(), 7);
        assert_eq!(small.writes.lock().unwrap()[..2], [2, 3], "one flush");
    }
}
