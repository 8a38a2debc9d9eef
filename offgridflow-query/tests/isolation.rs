//! Bad rows are named and good ones stored, in one transaction if asked for, whoever else writes meanwhile.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    Acquire, Atomicity, BatchWriter, Cause, Class, Column, Conflict, ConnectionPool, GateConfig, Kind,
    MemoryPool, Numeric, Outcome, PgGate, Rejected, Shape, Stored, Strategy, Why, row,
};
use sqlx::{AssertSqlSafe, Row as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug)]
struct Part {
    id: i64,
    parent: Option<i64>,
    weight: i32,
}
row!(Part in "parts" { id, parent, weight } key { id });

const TABLE: &str =
    "CREATE TABLE parts (id INT8 PRIMARY KEY, parent INT8 REFERENCES parts, weight INT4 CHECK (weight >= 0))";

fn part(id: i64) -> Part {
    Part { id, parent: None, weight: 1 }
}

async fn gate(hint: &str) -> (testkit::Database, PgGate) {
    let database = testkit::postgres().create_database(hint).unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 4, ..GateConfig::default() }).unwrap();
    run(&gate, TABLE).await;
    (database, gate)
}

async fn run(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

async fn numbers(gate: &PgGate, sql: &'static str) -> Vec<i64> {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query(sql).fetch_all(&mut *conn).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn class(outcome: &Outcome<Part>) -> Option<Class> {
    match outcome {
        Outcome::Rejected(rejected) => Some(rejected.cause.class()),
        _ => None,
    }
}

#[tokio::test]
async fn good_rows_of_a_flush_go_together_and_bad_ones_are_named() {
    let (_database, gate) = gate("together").await;
    run(&gate, "INSERT INTO parts VALUES (500, NULL, 1)").await;
    let writer = BatchWriter::builder(gate.clone()).atomicity(Atomicity::Together).start().unwrap();
    let rows = (0..300).map(|id| match id {
        50 => Part { weight: -1, ..part(id) },
        100 => part(500),                                // stored already
        150 => part(3),                                  // clashes with its neighbour
        200 => Part { parent: Some(299), ..part(id) },   // its parent comes later
        250 => Part { parent: Some(9_999), ..part(id) }, // has none
        _ => part(id),
    });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let bad: Vec<_> = outcomes.iter().enumerate().filter_map(|(at, o)| Some((at, class(o)?))).collect();
    let expected = [(50, Class::Check), (100, Class::Unique), (150, Class::Unique), (250, Class::ForeignKey)];
    assert_eq!(bad, expected);
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.committed, report.stats.rejected, report.stats.returned), (296, 4, 0));
    let transactions = numbers(&gate, "SELECT count(DISTINCT xmin::text) FROM parts WHERE id < 500").await;
    assert_eq!(transactions, [1], "in one transaction");
}

#[tokio::test]
async fn all_or_nothing_names_every_bad_row_and_stores_none() {
    let (_database, gate) = gate("nothing").await;
    let writer = BatchWriter::builder(gate.clone()).atomicity(Atomicity::AllOrNothing).start().unwrap();
    let rows = |bad: [i64; 2]| {
        (0..100).map(move |id| if bad.contains(&id) { Part { weight: -1, ..part(id) } } else { part(id) })
    };
    let outcomes = writer.push_many(rows([7, 93])).await.unwrap().outcomes().await;
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Rejected(_) => assert!([7, 93].contains(&at)),
            Outcome::Returned(returned) => assert_eq!(returned.why, Why::GroupRefused),
            Outcome::Settled(_) => panic!("nothing is stored"),
        }
    }
    assert!(numbers(&gate, "SELECT id FROM parts").await.is_empty());
    assert!(writer.push_many(rows([-1, -1])).await.unwrap().outcomes().await.iter().all(Outcome::is_settled));
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn a_conflict_that_comes_back_each_time_ends_as_contended() {
    let pool = MemoryPool::new(2);
    let writer = BatchWriter::builder(pool.clone()).atomicity(Atomicity::Together).start().unwrap();
    let calls = Mutex::new(0);
    pool.set_poison(move |_| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        // A write ends at its first row, a rehearsal sees two: every write is refused, and no rehearsal.
        ((*calls - 1) % 3 == 0).then(|| Cause::new(Class::Unique, "somebody was faster"))
    });
    let rows = [part(1), part(2)];
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    for outcome in outcomes {
        let Outcome::Returned(returned) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(returned.why, Why::Contended(_)), "{}", returned.why);
    }
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.returned, report.stats.transactions), (2, 7), "four writes, three rehearsals");
}

/// A row that appears between the rehearsal and the write is found in the next round.
#[tokio::test]
async fn a_conflict_that_appears_meanwhile_is_isolated_again() {
    let pool = MemoryPool::new(2);
    let calls = Mutex::new(0);
    pool.set_poison(move |row| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        let id = &row[0];
        let bad = *id == Stored::Int(1) || (*calls > 6 && *id == Stored::Int(3));
        bad.then(|| Cause::new(Class::Unique, "stored already"))
    });
    let writer = BatchWriter::builder(pool.clone()).atomicity(Atomicity::Together).start().unwrap();
    let outcomes = writer.push_many((0..4).map(part)).await.unwrap().outcomes().await;
    let bad: Vec<usize> = (0..4).filter(|&at| class(&outcomes[at]).is_some()).collect();
    assert_eq!(bad, [1, 3]);
    assert_eq!((pool.transactions(), pool.rows("parts").len()), (vec![2], 2));
    let _ = writer.close().await.unwrap();
}

#[tokio::test]
async fn rejected_rows_that_nobody_waits_for_reach_the_sink() {
    let pool = MemoryPool::new(2);
    pool.set_poison(|row| (row[0] == Stored::Int(3)).then(|| Cause::new(Class::Check, "three")));
    let letters = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let letters = Arc::clone(&letters);
        move |Rejected { row, cause, .. }: Rejected<Part>| {
            letters.lock().unwrap().push((row.id, cause.class()));
        }
    };
    let writer = BatchWriter::builder(pool).dead_letters(sink).start().unwrap();
    drop(writer.push_many((0..6).map(part)).await.unwrap());
    let report = writer.close().await.unwrap();
    assert_eq!(*letters.lock().unwrap(), [(3, Class::Check)]);
    assert_eq!((report.stats.rejected, report.rejected.len(), report.unheard_dropped), (1, 0, 0));
}

/// Two writers with overlapping rows in opposite order: updates are sorted, so there is no deadlock to retry.
#[tokio::test]
async fn overlapping_updates_of_two_writers_do_not_deadlock() {
    let (_database, gate) = gate("overlap").await;
    let tasks = [false, true].map(|reversed| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let writer = BatchWriter::builder(gate).conflict(Conflict::Update).start().unwrap();
            for round in 0..15 {
                let mut ids: Vec<i64> = (0..400).collect();
                if reversed {
                    ids.reverse();
                }
                let rows = ids.into_iter().map(|id| Part { weight: round, ..part(id) });
                assert!(
                    writer.push_many(rows).await.unwrap().outcomes().await.iter().all(Outcome::is_settled)
                );
            }
            writer.close().await.unwrap().stats.retries
        })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap(), 0, "no deadlock was retried");
    }
}

#[tokio::test]
async fn a_key_that_is_not_unique_is_a_matter_of_the_schema() {
    let (_database, gate) = gate("notunique").await;
    let shape = Shape::new("parts", [Column::new("id", Kind::Int8), Column::new("weight", Kind::Int4)])
        .key(["weight"]);
    let writer =
        BatchWriter::<(i64, i32)>::for_shape(gate, shape).conflict(Conflict::Update).start().unwrap();
    let outcome = writer.reserve().await.unwrap().push((1, 1)).outcome().await;
    assert!(
        matches!(&outcome, Outcome::Returned(r) if matches!(&r.why, Why::Batch(c) if c.code() == Some("42P10")))
    );
    let _ = writer.close().await.unwrap();
}

/// Children come before their parents, and one bad row keeps the flush from being one statement.
#[tokio::test]
async fn children_before_their_parents_are_stored_beside_a_bad_row() {
    use offgridflow_query::Strategy;
    let bad = || Part { weight: -1, ..part(-1) };
    let child = |id, parent| Part { parent: Some(parent), ..part(id) };
    let many = || (0..1_500).map(|id| child(id, 5_000)).chain([bad(), part(5_000)]).collect::<Vec<_>>();
    let chain = || {
        let mut rows: Vec<_> = (0..40).map(|id| child(id, id + 1)).chain([part(40)]).collect();
        rows.insert(20, bad());
        rows
    };
    for (name, strategy) in [("orphans_unnested", Strategy::Unnest), ("orphans_copied", Strategy::Copy)] {
        for rows in [many(), chain()] {
            let (_database, gate) = gate(name).await;
            let writer = BatchWriter::builder(gate).strategy(strategy).start().unwrap();
            let sent = rows.len();
            let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
            let stored = outcomes.iter().filter(|outcome| outcome.is_settled()).count();
            let wrong: Vec<_> = outcomes.iter().filter_map(class).collect();
            assert_eq!((stored, wrong), (sent - 1, vec![Class::Check]), "{strategy:?}");
            let _ = writer.close().await.unwrap();
        }
    }
}

/// Where no row has a parent the fuse still blows.
#[tokio::test]
async fn a_table_of_parents_that_is_empty_does_not_become_thousands_of_probes() {
    let (_database, gate) = gate("no_parents").await;
    let writer = BatchWriter::builder(gate).max_rejects(50).start().unwrap();
    let rows = (0..2_000).map(|id| Part { parent: Some(9_999), ..part(id) });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_settled()));
    let report = writer.close().await.unwrap();
    assert!(report.stats.transactions < 500, "{:?}", report.stats);
}

/// Good rows are sent once more when all are known, not once more for each bad one.
#[tokio::test]
async fn rehearsals_grow_with_the_bad_rows_and_not_with_their_square() {
    let (_database, gate) = gate("rehearsals").await;
    let writer = BatchWriter::builder(gate.clone()).atomicity(Atomicity::Together).start().unwrap();
    let rows = (0..1_000).map(|id| Part { weight: if id % 5 == 0 { -1 } else { 1 }, ..part(id) });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!((0..).zip(&outcomes).all(|(id, outcome)| outcome.is_settled() == (id % 5 != 0)));
    let _ = writer.close().await.unwrap();
    let sql = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'parts'"; // rolled back ones too
    gate.close().await; // sessions report what they counted when they end
    let inserted: i64 = _database.psql(sql).unwrap().trim().parse().unwrap();
    assert!(inserted < 40_000, "{inserted} rows were sent for 1 000, of which 200 are bad");
}

/// However many have their parents after them, rows that have none blow the fuse.
#[tokio::test]
async fn max_rejects_counts_rows_without_parents_beside_others_that_have_one() {
    let (_database, gate) = gate("fuse").await;
    run(&gate, "INSERT INTO parts VALUES (5000, NULL, 1)").await;
    let writer = BatchWriter::builder(gate).max_rejects(20).start().unwrap();
    let parent = |id| if id % 10 == 0 { 5_000 } else { 9_999 };
    let rows = (0..2_000).map(|id| Part { parent: Some(parent(id)), ..part(id) });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    let rejected = outcomes.iter().filter_map(class).count();
    let report = writer.close().await.unwrap();
    assert!(rejected < 60 && report.stats.transactions < 400, "{rejected} rejected, {:?}", report.stats);
}

/// Chains of children before their parents, some of which hang on nothing: rounds are few.
#[tokio::test]
async fn chains_that_hang_on_nothing_cost_no_square_of_transactions() {
    let (_database, gate) = gate("chains").await;
    let writer = BatchWriter::builder(gate).start().unwrap();
    let rows =
        (0..220).map(|id| Part { parent: Some(if id % 10 == 9 { 9_999 } else { id + 1 }), ..part(id) });
    let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_settled()));
    let transactions = writer.close().await.unwrap().stats.transactions;
    assert!(transactions < 4_000, "{transactions}");
}

/// Each group lacks its parent once the group before it is out: that is no contention, however long the chain is.
#[tokio::test]
async fn groups_that_hang_on_each_other_go_one_after_the_other() {
    let (_database, gate) = gate("hanging").await;
    let writer = BatchWriter::builder(gate).atomicity(Atomicity::Together).linger(Duration::from_secs(60));
    let writer = writer.start().unwrap();
    let child = |id, parent| Part { parent: Some(parent), ..part(id) };
    let first = [Part { weight: -1, ..part(0) }, part(1)];
    let groups = (1..8).map(|at| [child(10 * at, 10 * (at - 1) + 1), part(10 * at + 1)]);
    let mut tickets = Vec::new();
    for group in std::iter::once(first).chain(groups) {
        tickets.push(writer.push_group(group).await.unwrap());
    }
    let alone = writer.push_many([part(500)]).await.unwrap();
    writer.flush().await.unwrap();
    for (at, group) in tickets.into_iter().enumerate() {
        let classes: Vec<_> = group.outcomes().await.iter().map(class).collect();
        let expected = if at == 0 { Class::Check } else { Class::ForeignKey };
        assert_eq!(classes, [Some(expected), None], "group {at}");
    }
    assert!(alone.outcomes().await.iter().all(Outcome::is_settled));
    let report = writer.close().await.unwrap();
    assert_eq!((report.stats.flushes, report.stats.rejected, report.stats.returned), (1, 8, 8));
}

/// What a staging table refuses is named by COPY's line as well, in each part of a transaction.
#[tokio::test]
async fn a_row_that_a_staging_table_refuses_is_named() {
    const BAD: [usize; 3] = [7, 1_111, 1_999];
    for (atomicity, most) in [(Atomicity::Independent, 10), (Atomicity::Together, 12)] {
        let (_database, gate) = gate("staged").await;
        run(&gate, "CREATE TABLE t (id INT8 PRIMARY KEY, v NUMERIC(4, 1))").await;
        let columns = [Column::new("id", Kind::Int8), Column::new("v", Kind::Numeric)];
        let writer = BatchWriter::for_shape(gate.clone(), Shape::new("t", columns).key(["id"]));
        let writer = writer.conflict(Conflict::Update).strategy(Strategy::Staging).atomicity(atomicity);
        let writer = writer.flush_rows(2_000).linger(Duration::from_secs(5)).start().unwrap();
        let number = |at| Numeric(if BAD.contains(&at) { "1000" } else { "1" }.to_owned());
        let rows = (0..2_000).map(|at| (at as i64, number(at)));
        let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
        let bad: Vec<usize> = (0..2_000).filter(|&at| !outcomes[at].is_settled()).collect();
        assert_eq!(bad, BAD);
        let transactions = writer.close().await.unwrap().stats.transactions;
        assert!(transactions <= most, "{atomicity:?}: {transactions} transactions");
    }
}
