//! What a writer promises, against a database in memory that fails on demand.

use offgridflow_query::{
    BatchWriter, BatchedQuery, Cause, Class, ConfigError, Conflict, Error, Fate, MemoryPool, Outcome, Retry,
    Stored, Why, WriteError, dropped_without_close, row,
};
use std::task::Poll;
use std::time::Duration;

struct Reading {
    id: i64,
    watts: f64,
}
row!(Reading in "readings" { id, watts } key { id });

fn reading(id: i64) -> Reading {
    Reading { id, watts: 1.0 }
}

/// Refuses rows whose watts are negative.
fn poisoned(pool: MemoryPool) -> MemoryPool {
    pool.set_poison(|row| match row[1] {
        Stored::Float(watts) if watts < 0.0 => Some(Cause::new(Class::Check, "watts").with_code("23514")),
        _ => None,
    });
    pool
}

fn transient() -> WriteError {
    WriteError::failed(Cause::new(Class::Contention, "busy"))
}

async fn pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test]
async fn acknowledged_means_committed() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    pool.stall();
    let mut ticket = Box::pin(writer.reserve().await.unwrap().push(reading(1)).committed());
    for _ in 0..20 {
        assert!(pending(&mut ticket).await, "nothing is stored yet");
        tokio::task::yield_now().await;
    }
    pool.resume();
    let receipt = ticket.await.unwrap();
    assert_eq!((receipt.flush, receipt.fate), (1, Fate::Committed));
    assert_eq!(pool.rows("readings").len(), 1);
    assert!(writer.close().await.unwrap().is_clean());
}

#[tokio::test]
async fn rows_that_come_during_a_flush_share_the_next_one() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    pool.stall();
    let first = writer.reserve().await.unwrap().push(reading(0));
    tokio::task::yield_now().await;
    while pool.rows("readings").is_empty() && writer.stats().flushes == 0 {
        tokio::task::yield_now().await;
    }
    let mut tickets = Vec::new();
    for id in 1..=100 {
        tickets.push(writer.reserve().await.unwrap().push(reading(id)));
    }
    pool.resume();
    first.committed().await.unwrap();
    for ticket in tickets {
        ticket.committed().await.unwrap();
    }
    assert_eq!(pool.transactions(), [1, 100]);
    let _ = writer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lingering_writer_waits_for_company_but_not_longer() {
    let pool = MemoryPool::new(2);
    let linger = Duration::from_millis(50);
    let writer = BatchWriter::builder(pool.clone()).linger(linger).flush_rows(3).start().unwrap();
    let started = tokio::time::Instant::now();
    writer.reserve().await.unwrap().push(reading(1)).committed().await.unwrap();
    assert_eq!(started.elapsed(), linger);
    let tickets = writer.push_many((2..5).map(reading)).await.unwrap();
    assert!(tickets.outcomes().await.iter().all(Outcome::is_settled));
    assert_eq!(started.elapsed(), linger, "three rows are a full flush");
    let _ticket = writer.reserve().await.unwrap().push(reading(5));
    writer.flush().await.unwrap();
    assert_eq!(started.elapsed(), linger, "flush() does not linger");
    assert_eq!(pool.transactions(), [1, 3, 1]);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_holds_callers_back() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).queue_rows(4).start().unwrap();
    pool.stall();
    let tickets = writer.push_many((0..4).map(reading)).await.unwrap();
    let mut fifth = Box::pin(writer.reserve());
    assert!(pending(&mut fifth).await, "the queue is full");
    drop(fifth);
    let mut many = Box::pin(writer.push_many((4..20).map(reading)));
    assert!(pending(&mut many).await);
    assert_eq!(writer.stats().queued, 4);
    pool.resume();
    let more = many.await.unwrap();
    assert_eq!(more.len(), 16);
    for outcome in tickets.outcomes().await.into_iter().chain(more.outcomes().await) {
        outcome.committed().unwrap();
    }
    assert_eq!((writer.stats().committed, writer.stats().queued), (20, 0));
    let _ = writer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_within_the_budget() {
    let pool = MemoryPool::new(2);
    let retry = Retry { attempts: 3, ..Retry::default() };
    let writer = BatchWriter::builder(pool.clone()).retry(retry).start().unwrap();
    pool.fail_next(transient());
    pool.fail_next(transient());
    writer.reserve().await.unwrap().push(reading(1)).committed().await.unwrap();
    assert_eq!(writer.stats().retries, 2);
    (0..3).for_each(|_| pool.fail_next(transient()));
    let outcome = writer.reserve().await.unwrap().push(reading(2)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(returned.why, Why::Unavailable(_)));
    assert_eq!(returned.row.id, 2, "the row itself comes back");
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.returned), (1, 1));
}

#[tokio::test]
async fn a_lost_commit_returns_its_rows_and_is_not_retried() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    pool.fail_next(WriteError::commit_unknown(Cause::new(Class::Connection, "reset")));
    let outcome = writer.reserve().await.unwrap().push(reading(1)).outcome().await;
    let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(returned.why, Why::CommitUnknown(_)));
    assert_eq!(pool.transactions(), [1], "it was stored, which nobody could know, and not written twice");
    let again = writer.reserve().await.unwrap().push(returned.row).outcome().await;
    assert!(matches!(again, Outcome::Rejected(rejected) if rejected.cause.class() == Class::Unique));
    let _ = writer.close().await.unwrap();
    assert_eq!(pool.rows("readings").len(), 1);
}

#[tokio::test]
async fn bad_rows_come_back_and_good_ones_go_in() {
    let pool = poisoned(MemoryPool::new(2));
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    let rows = (0..100).map(|id| Reading { id, watts: if id % 33 == 7 { -1.0 } else { 1.0 } });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    for (id, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Settled(_) => assert_ne!(id % 33, 7),
            Outcome::Rejected(rejected) => {
                assert_eq!((rejected.row.id, id % 33), (i64::try_from(id).unwrap(), 7));
                assert_eq!((rejected.cause.class(), rejected.cause.code()), (Class::Check, Some("23514")));
            }
            other => panic!("{other:?}"),
        }
    }
    let stats = writer.close().await.unwrap().stats;
    assert_eq!((stats.committed, stats.rejected), (97, 3));
    assert!(stats.transactions <= 2 * 3 * 7 + 1, "{} transactions", stats.transactions);
}

#[tokio::test]
async fn a_group_is_stored_whole_or_every_bad_row_is_named() {
    let pool = poisoned(MemoryPool::new(2));
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    let rows = (0..50).map(|id| Reading { id, watts: if [3, 31].contains(&id) { -1.0 } else { 1.0 } });
    let bad = writer.push_group(rows).await.unwrap();
    let good = writer.push_group((100..110).map(reading)).await.unwrap();
    for (id, outcome) in bad.outcomes().await.into_iter().enumerate() {
        match outcome {
            Outcome::Rejected(_) => assert!([3, 31].contains(&id)),
            Outcome::Returned(returned) => assert_eq!(returned.why, Why::GroupRefused),
            other => panic!("{id}: {other:?}"),
        }
    }
    assert!(good.outcomes().await.iter().all(Outcome::is_settled));
    assert_eq!(pool.rows("readings").len(), 10);
    let stats = writer.close().await.unwrap().stats;
    assert_eq!((stats.committed, stats.rejected, stats.returned), (10, 2, 48));
}

#[tokio::test]
async fn rows_of_a_group_that_clash_with_each_other_are_named() {
    let writer = BatchWriter::builder(MemoryPool::new(2)).start().unwrap();
    let outcomes = writer.push_group([1, 2, 3, 2].map(reading)).await.unwrap().outcomes().await;
    assert!(matches!(&outcomes[3], Outcome::Rejected(rejected) if rejected.cause.class() == Class::Unique));
    assert!(outcomes[..3].iter().all(|o| matches!(o, Outcome::Returned(r) if r.why == Why::GroupRefused)));
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn too_many_rejects_stop_a_flush() {
    let pool = poisoned(MemoryPool::new(2));
    let writer = BatchWriter::builder(pool.clone()).max_rejects(5).start().unwrap();
    let rows = (0..1_000).map(|id| Reading { id, watts: -1.0 });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let untried = |o: &&Outcome<Reading>| matches!(o, Outcome::Returned(r) if r.why == Why::TooManyRejects);
    assert_eq!(outcomes.iter().filter(untried).count(), 994);
    assert!(writer.stats().transactions < 40);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn of_several_updates_of_one_key_the_last_wins() {
    let pool = poisoned(MemoryPool::new(2));
    let writer = BatchWriter::builder(pool.clone()).conflict(Conflict::Update).start().unwrap();
    let rows = [(1, 1.0), (2, 1.0), (1, 2.0), (2, -1.0), (1, 3.0)];
    let tickets = writer.push_many(rows.map(|(id, watts)| Reading { id, watts })).await.unwrap();
    let fates: Vec<_> =
        tickets.outcomes().await.into_iter().map(|o| o.committed().ok().map(|r| r.fate)).collect();
    let (committed, superseded) = (Some(Fate::Committed), Some(Fate::Superseded));
    // The last row for key 2 was refused, so the one before it, which it had superseded, is stored after all.
    assert_eq!(fates, [superseded, committed, superseded, None, committed]);
    let mut stored = pool.rows("readings");
    stored.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
    assert_eq!(stored, [vec![Stored::Int(1), Stored::Float(3.0)], vec![Stored::Int(2), Stored::Float(1.0)]]);
    let stats = writer.close().await.unwrap().stats;
    assert_eq!((stats.rows_in, stats.committed, stats.superseded, stats.rejected), (5, 2, 2, 1));
}

#[tokio::test]
async fn keys_that_exist_are_skipped_by_name() {
    let writer = BatchWriter::builder(MemoryPool::new(2)).conflict(Conflict::Ignore).start().unwrap();
    let tickets = writer.push_many([1, 2, 1, 3].map(reading)).await.unwrap();
    let fates: Vec<_> = tickets.outcomes().await.into_iter().map(|o| o.committed().unwrap().fate).collect();
    assert_eq!(fates, [Fate::Committed, Fate::Committed, Fate::Skipped, Fate::Committed]);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn closing_settles_what_is_inside_and_refuses_the_rest() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    pool.stall();
    let permit = writer.reserve().await.unwrap();
    let tickets = writer.push_many((0..10).map(reading)).await.unwrap();
    let mut closing = Box::pin(writer.close());
    assert!(pending(&mut closing).await);
    assert_eq!(writer.reserve().await.err(), Some(Error::Closed));
    let refused = writer.push_many([reading(99)]).await.err().unwrap();
    assert_eq!((refused.rows.len(), refused.error), (1, Error::Closed));
    pool.resume();
    let report = closing.await.unwrap();
    assert!(tickets.outcomes().await.iter().all(Outcome::is_settled));
    assert_eq!((report.stats.committed, report.stats.queued), (10, 0));
    let late = permit.push(reading(98)).outcome().await;
    assert!(
        matches!(late, Outcome::Returned(returned) if returned.why == Why::Closed && returned.row.id == 98)
    );
    assert_eq!(writer.close().await.err(), Some(Error::Closed));
}

#[tokio::test]
async fn rows_nobody_waits_for_are_in_the_report_up_to_a_limit() {
    let pool = poisoned(MemoryPool::new(2));
    let writer = BatchWriter::builder(pool).keep_unheard(2).start().unwrap();
    drop(writer.push_many((0..5).map(|id| Reading { id, watts: -1.0 })).await.unwrap());
    let report = writer.close().await.unwrap();
    assert!(!report.is_clean());
    assert_eq!((report.stats.rejected, report.rejected.len(), report.unheard_dropped), (5, 2, 3));
    assert!(!format!("{report:?}").contains("-1"), "no data in Debug");
}

#[tokio::test]
async fn a_bad_row_is_in_the_report_whenever_its_ticket_was_dropped() {
    let writer = BatchWriter::builder(poisoned(MemoryPool::new(2))).start().unwrap();
    let bad = |id| Reading { id, watts: -1.0 };
    drop(writer.reserve().await.unwrap().push(bad(1))); // before it is told
    let told = writer.reserve().await.unwrap().push(bad(2));
    let several = writer.push_many([bad(3), reading(4), bad(5)]).await.unwrap();
    writer.flush().await.unwrap();
    drop((told, several)); // after
    let heard = writer.reserve().await.unwrap().push(bad(6)).outcome().await;
    assert!(matches!(heard, Outcome::Rejected(rejected) if rejected.row.id == 6));
    let report = writer.close().await.unwrap();
    let mut rejected: Vec<i64> = report.rejected.iter().map(|rejected| rejected.row.id).collect();
    rejected.sort_unstable();
    assert_eq!((rejected, report.stats.rejected), (vec![1, 2, 3, 5], 5));
}

#[tokio::test]
async fn a_dropped_writer_is_counted_and_still_writes() {
    let pool = MemoryPool::new(2);
    let before = dropped_without_close();
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    let ticket = writer.reserve().await.unwrap().push(reading(1));
    drop(writer);
    assert_eq!(dropped_without_close(), before + 1);
    ticket.committed().await.unwrap();
    assert_eq!(pool.rows("readings").len(), 1);
}

#[test]
fn a_runtime_that_ends_returns_the_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ticket = runtime.block_on(async {
        let pool = MemoryPool::new(2);
        pool.stall();
        let writer = BatchWriter::builder(pool).start().unwrap();
        let ticket = writer.reserve().await.unwrap().push(reading(7));
        tokio::task::yield_now().await;
        ticket
    });
    drop(runtime);
    let again = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = again.block_on(ticket.outcome());
    assert!(
        matches!(outcome, Outcome::Returned(returned) if returned.row.id == 7 && returned.why == Why::Closed)
    );
}

struct Panics(bool);
impl offgridflow_query::Row for Panics {
    fn shape() -> offgridflow_query::Shape {
        offgridflow_query::Shape::new(
            "t",
            [offgridflow_query::Column::new("a", offgridflow_query::Kind::Bool)],
        )
    }
    fn put(&self, to: &mut offgridflow_query::ChunkWriter<'_>) {
        to.bool(self.0);
        assert!(self.0, "a bug in an encoder");
    }
}

#[tokio::test]
async fn a_row_whose_encoding_panics_is_rejected_alone() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).start().unwrap();
    let outcomes = writer.push_many([true, false, true].map(Panics)).await.unwrap().outcomes().await;
    assert!(matches!(&outcomes[1], Outcome::Rejected(rejected) if rejected.cause.class() == Class::Encoding));
    assert_eq!(pool.rows("t").len(), 2);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn rows_above_the_size_limit_are_rejected_unsent() {
    let writer = BatchWriter::builder(MemoryPool::new(2)).max_row_bytes(4).start().unwrap();
    let outcome = writer.reserve().await.unwrap().push(reading(1)).outcome().await;
    assert!(matches!(outcome, Outcome::Rejected(rejected) if rejected.cause.class() == Class::TooLarge));
    assert_eq!(writer.stats().transactions, 0);
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let build = || BatchWriter::<Reading>::builder(MemoryPool::new(1));
    assert!(matches!(build().queue_rows(0).start(), Err(ConfigError::Setting { setting: "queue_rows", .. })));
    assert!(matches!(build().flush_rows(0).start(), Err(ConfigError::Setting { setting: "flush_rows", .. })));
    let unknown = Conflict::UpdateOnly(vec!["volts".into()]);
    assert!(matches!(build().conflict(unknown).start(), Err(ConfigError::Shape { .. })));
    let small = build().queue_rows(3).start().unwrap();
    let refused = small.push_group((0..4).map(reading)).await.err().unwrap();
    assert_eq!((refused.error, refused.rows.len()), (Error::GroupTooLarge { rows: 4, queue_rows: 3 }, 4));
    let _ = small.close().await.unwrap();
}

#[tokio::test]
async fn a_batched_query_takes_exact_batches_and_hands_bad_rows_back() {
    let pool = poisoned(MemoryPool::new(2));
    let rows = (0..1_000i64).map(|id| (id, if id == 500 { -1.0 } else { 1.0 }));
    let done =
        BatchedQuery::new("insert into t (id, watts) values ($1, $2)", 300).execute(pool.clone(), rows).await;
    let done = done.unwrap();
    assert_eq!((done.processed, done.committed, done.batches), (1_000, 999, 4));
    assert_eq!(done.rejected[0].row, (500, -1.0));
    assert_eq!(pool.rows("t").len(), 999);
    let wrong = BatchedQuery::new("insert into t (id) values (?)", 10).execute(pool, [(1i64, 2i64)]).await;
    assert!(matches!(wrong, Err(Error::Config(ConfigError::Shape { .. }))));
}

/// Time is virtual, so that it is known to the nanosecond where it went.
#[tokio::test(start_paused = true)]
async fn a_batched_query_says_where_the_time_went_and_which_rows_were_skipped() {
    let pool = MemoryPool::new(2);
    let query = BatchedQuery::new("insert into t (id, watts) values ($1, $2) on conflict (id) do nothing", 4)
        .retry(Retry { base: Duration::from_secs(2), ..Retry::default() });
    pool.fail_next(WriteError::failed(Cause::new(Class::Contention, "busy")));
    pool.stall();
    let rows = [0, 1, 1, 2, 3, 0].map(|id| (id, 1.0));
    let resume = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        pool.resume();
    };
    let (done, ()) = tokio::join!(query.execute(pool.clone(), rows), resume);
    let done = done.unwrap();
    assert_eq!((done.processed, done.committed, done.skipped), (6, 4, 2));
    assert_eq!((&done.skipped_at[..], done.batches), (&[2, 5][..], 2));
    assert_eq!((done.transactions, done.retries), (3, 1));
    assert_eq!((done.encoding, done.writing.as_secs()), (Duration::ZERO, 7));
    assert!((Duration::from_secs(1)..=Duration::from_secs(3)).contains(&done.pausing), "{done:?}");
    assert_eq!(done.elapsed, done.writing + done.pausing);
    let none = Retry { attempts: 0, ..Retry::default() };
    let wrong = query.retry(none).execute(pool, [(1i64, 1.0)]).await;
    assert!(matches!(wrong, Err(Error::Config(ConfigError::Setting { setting: "retry.attempts", .. }))));
}

#[tokio::test]
async fn a_dropped_batched_query_ends_its_batch_and_takes_no_more() {
    let pool = MemoryPool::new(2);
    pool.stall();
    let query = BatchedQuery::new("insert into t (id) values (?)", 10);
    let mut running = Box::pin(query.execute(pool.clone(), (0..100i64).map(|id| (id,))));
    assert!(pending(&mut running).await);
    drop(running);
    pool.resume();
    while pool.transactions().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.transactions(), [10]);
}
