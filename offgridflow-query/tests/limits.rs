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

/// A clock that stands: only a flush that is due without lingering ends in time.
#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_a_flush_due() {
    let pool = MemoryPool::new(2);
    let hour = Duration::from_secs(3_600);
    let writer = writer(&pool).queue_rows(10).linger(hour).start().unwrap();
    let started = tokio::time::Instant::now();
    let tickets = writer.push_many(pairs(0..95)).await.unwrap();
    assert!(started.elapsed() < hour, "nine queues full took {:?}", started.elapsed());
    drop(tickets);
    let group = writer.push_group(pairs(100..108)).await.unwrap(); // five wait, eight do not fit beside them
    assert!(started.elapsed() < hour, "a group waited {:?}", started.elapsed());
    drop(group);
    for id in 200..260 {
        drop(writer.reserve().await.unwrap().push((id, String::new())));
    }
    assert!(started.elapsed() < hour, "single rows waited {:?}", started.elapsed());
    assert_eq!(writer.close().await.unwrap().stats.committed, 95 + 8 + 60);
}

#[tokio::test]
async fn the_longest_duration_means_for_ever() {
    let pool = MemoryPool::new(2);
    pool.fail_next(WriteError::failed(offgridflow_query::Cause::new(Class::Contention, "once")));
    let longest = Duration::MAX;
    let retry = Retry { base: Duration::from_millis(1), cap: longest, budget: longest, ..Retry::default() };
    let builder = writer(&pool).linger(longest).answer_timeout(longest).lock_timeout(longest).retry(retry);
    let writer = builder.start().unwrap();
    let tickets = writer.push_many(pairs(0..3)).await.unwrap();
    while writer.stats().queued < 3 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await; // the writer lingers now
    writer.flush().await.unwrap();
    assert!(tickets.outcomes().await.iter().all(Outcome::is_settled));
    assert_eq!(writer.close().await.unwrap().stats.committed, 3);
}

#[tokio::test]
async fn tuples_that_do_not_fit_their_shape_are_refused_at_the_start() {
    let pool = MemoryPool::new(1);
    let refusal = |result: Result<(), ConfigError>| match result {
        Err(ConfigError::Shape { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let three = BatchWriter::<(i64, String, i64)>::for_shape(pool.clone(), shape()).start().map(drop);
    assert_eq!(refusal(three), "it has 2 columns, the rows have 3 values");
    let narrow = BatchWriter::<(i32, String)>::for_shape(pool.clone(), shape()).start().map(drop);
    assert_eq!(refusal(narrow), "column \"id\" is Int8, the rows have Int4 there");
}

#[tokio::test]
async fn refused_statements_say_what_is_missing() {
    let refusal = async |sql: &str| {
        let done = BatchedQuery::new(sql, 10).execute(MemoryPool::new(1), pairs(0..1)).await;
        done.map(drop).unwrap_err().to_string()
    };
    let keyless = refusal("INSERT INTO t (id, v) VALUES (?, ?) ON CONFLICT DO NOTHING").await;
    assert!(keyless.contains("the key's columns in parentheses after ON CONFLICT"), "{keyless}");
    for sql in ["INSERT INTO t (id, v) /* c */ VALUES (?, ?)", "INSERT INTO t (id, v) VALUES (?, ?) -- c"] {
        let comment = refusal(sql).await;
        assert!(comment.contains("with comments cannot be batched"), "{comment}");
    }
}

/// The rule of updates holds beyond one flush: what a full queue hurries out stays in order.
#[tokio::test]
async fn hurried_flushes_keep_the_last_write() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let pool = MemoryPool::new(2);
    let builder = writer(&pool).conflict(Conflict::Update).queue_rows(7).linger(Duration::from_secs(60));
    let writer = builder.start().unwrap();
    for n in 0..100 {
        drop(writer.reserve().await.unwrap().push((1, n.to_string())));
        LAST.store(n, Relaxed);
    }
    let _ = writer.close().await.unwrap();
    let last = offgridflow_query::Stored::Text(LAST.load(Relaxed).to_string());
    assert_eq!(pool.rows("t")[0][1], last);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let pool = MemoryPool::new(2);
    let twice = Conflict::UpdateOnly(vec!["v".into(), "v".into()]);
    for (builder, said) in [
        (writer(&pool).conflict(twice), "\"v\" is to be updated twice"),
        (writer(&pool).lock_timeout(Duration::ZERO), "lock_timeout cannot be 0ns"),
        (writer(&pool).ledger("audit.batches"), "ledger_in(schema, table)"),
        (writer(&pool).ledger_in("", "batches"), "it is empty"),
    ] {
        let error = builder.start().expect_err("a setting that cannot work");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_value_out_of_range_is_said_with_its_column() {
    use offgridflow_query::{Date, Numeric, TimestampTz};
    let columns = [("n", Kind::Numeric), ("at", Kind::TimestampTz), ("day", Kind::Date)];
    let shape = Shape::new("t", columns.map(|(name, kind)| Column::new(name, kind)));
    let writer = BatchWriter::for_shape(MemoryPool::new(2), shape).start().unwrap();
    let good = || (Numeric("1".into()), TimestampTz(0), Date(0));
    let bad = [
        (Numeric("1,5".into()), good().1, good().2),
        (good().0, TimestampTz(i64::MAX), good().2),
        (good().0, good().1, Date(i32::MAX)),
    ];
    let outcomes = writer.push_many(bad).await.unwrap().outcomes().await;
    for (outcome, (name, _)) in outcomes.iter().zip(columns) {
        let Outcome::Rejected(rejected) = outcome else { panic!("{outcome:?}") };
        assert!(rejected.cause.message().contains(&format!("{name:?}")), "{}", rejected.cause);
    }
    let _ = writer.close().await.unwrap();
}

/// What lingers beside a flush that is under way is flushed in its time, and waiting costs no work.
#[tokio::test(start_paused = true)]
async fn rows_beside_a_slow_flush_linger_no_longer_than_set() {
    let pool = MemoryPool::new(2);
    let writer = writer(&pool).in_flight(2).linger(Duration::from_millis(50)).start().unwrap();
    let began = tokio::time::Instant::now();
    pool.stall();
    let first = writer.push_many(pairs(0..1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await; // under way
    let second = writer.push_many(pairs(1..2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(writer.stats().flushes, 2, "the second one does not wait for the first");
    pool.resume();
    assert!(first.outcomes().await.iter().chain(&second.outcomes().await).all(Outcome::is_settled));
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    let _ = writer.close().await.unwrap();
}

/// On paused time a task that does not sleep keeps the clock from moving.
#[tokio::test(start_paused = true)]
async fn a_row_that_waits_for_a_group_to_land_keeps_nothing_busy() {
    let pool = MemoryPool::new(2);
    let writer = writer(&pool).conflict(Conflict::Update).in_flight(2).start().unwrap();
    let _ = writer.push_many(pairs(9..10)).await.unwrap().outcomes().await;
    pool.stall();
    let group = writer.push_group(pairs(0..3)).await.unwrap();
    tokio::task::yield_now().await;
    let row = writer.push_many(pairs(3..4)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    pool.resume();
    assert!(group.outcomes().await.iter().all(Outcome::is_settled));
    assert!(row.outcomes().await.iter().all(Outcome::is_settled));
    let _ = writer.close().await.unwrap();
}

/// Who waits for room is not kept waiting by rows that came after, and linger.
#[tokio::test(start_paused = true)]
async fn nobody_lingers_while_somebody_waits_for_room() {
    let pool = MemoryPool::new(2);
    let writer = writer(&pool).queue_rows(2).linger(Duration::from_secs(8)).start().unwrap();
    let began = tokio::time::Instant::now();
    let permit = writer.reserve().await.unwrap();
    let many = writer.push_many(pairs(0..2));
    let one = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        permit.push(pairs(2..3).remove(0))
    };
    let (many, ticket) = tokio::join!(many, one);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop((many, ticket));
    let _ = writer.close().await.unwrap();
}

/// Whoever waits for room is not forgotten with those who get some.
#[tokio::test(start_paused = true)]
async fn nobody_lingers_while_any_of_many_waits_for_room() {
    let pool = MemoryPool::new(2);
    let writer = writer(&pool).queue_rows(100).linger(Duration::from_secs(3_600)).start().unwrap();
    let began = tokio::time::Instant::now();
    let writer = std::sync::Arc::new(writer);
    let pushing: Vec<_> = (0..20)
        .map(|task| {
            let writer = std::sync::Arc::clone(&writer);
            tokio::spawn(async move { writer.push_many(pairs(task * 60..task * 60 + 60)).await.map(drop) })
        })
        .collect();
    for pushed in pushing {
        pushed.await.unwrap().unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let _ = writer.close().await.unwrap();
}
