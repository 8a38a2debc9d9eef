//! What users' code, extreme settings and a full queue do to a writer: nothing that a row could be lost by.

use offgridflow_query::{
    BatchExecutor, BatchWriter, BatchedQuery, Class, Column, ConfigError, Conflict, Kind, Limits, MemoryPool,
    Outcome, Retry, Shape, Why, WriteError, WritePlan, Wrote,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

type Pair = (i64, String);

fn shape() -> Shape {
    Shape::new("t", [Column::new("id", Kind::Int8), Column::new("v", Kind::Text)]).key(["id"])
}

fn pairs(ids: std::ops::Range<i64>) -> Vec<Pair> {
    ids.map(|id| (id, format!("v{id}"))).collect()
}

fn writer(pool: &MemoryPool) -> offgridflow_query::BatchWriterBuilder<Pair, MemoryPool> {
    BatchWriter::for_shape(pool.clone(), shape())
}

#[tokio::test]
async fn a_sink_that_panics_costs_no_other_row_its_outcome() {
    let pool = MemoryPool::new(2);
    let writer = writer(&pool).dead_letters(|_| panic!("the sink")).start().unwrap();
    let _ = writer.push_many(pairs(0..1)).await.unwrap().outcomes().await;
    drop(writer.push_many([(0, "again".to_owned())]).await.unwrap()); // rejected, and nobody waits
    let outcomes = writer.push_many(pairs(1..4)).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
    writer.flush().await.unwrap();
    assert_eq!(writer.stats().dead_letter_panics, 1);
    let later = writer.push_many(pairs(4..6)).await.unwrap().outcomes().await;
    assert!(later.iter().all(Outcome::is_settled), "the writer goes on: {later:?}");
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.rejected, report.stats.returned), (6, 1, 0));
    assert_eq!(pool.rows("t").len(), 6);
}

/// Stores everything, then panics.
#[derive(Debug)]
struct Stumbling(MemoryPool);

impl BatchExecutor for Stumbling {
    fn database(&self) -> &'static str {
        "stumbling"
    }

    fn limits(&self, shape: &Shape) -> Limits {
        self.0.limits(shape)
    }

    async fn write(
        &self,
        parts: &[offgridflow_query::Slice<'_>],
        plan: &WritePlan,
    ) -> Result<Wrote, WriteError> {
        self.0.write(parts, plan).await?;
        panic!("after COMMIT");
    }
}

#[tokio::test]
async fn a_row_that_may_be_stored_is_never_called_untried() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::<Pair>::for_shape(Stumbling(pool.clone()), shape()).start().unwrap();
    let outcomes = writer.push_many(pairs(0..3)).await.unwrap().outcomes().await;
    assert_eq!(pool.rows("t").len(), 3);
    for outcome in outcomes {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(returned.why, Why::CommitUnknown(_)), "{:?}", returned.why);
    }
    let _ = writer.close().await.unwrap();
}
