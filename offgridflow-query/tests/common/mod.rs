//! Rows that are written by one strategy and by another, and what each left.

use offgridflow_query::{
    Acquire, BatchExecutor, Chunk, ChunkWriter, Class, Conflict, ConnectionPool, GateConfig, PgGate, Shape,
    Strategy as Way, WriteError, WritePlan,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Row as _};
use std::{cell::Cell, fmt::Debug, sync::Arc};
use tokio::runtime::Runtime;

pub(crate) fn gate(database: &testkit::Database) -> PgGate {
    PgGate::from_url(&database.url(), GateConfig { max_open: 4, ..GateConfig::default() }).unwrap()
}

pub(crate) async fn run(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await.unwrap();
}

pub(crate) async fn texts(gate: &PgGate, sql: &'static str) -> Vec<String> {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    sqlx::query(sql).fetch_all(&mut *conn).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A kind of row, and the table it goes into.
#[derive(Clone, Copy)]
pub(crate) struct Case<R> {
    /// Makes the table.
    pub(crate) table: &'static str,
    /// Empties it and puts a few rows in the way.
    pub(crate) reset: &'static str,
    /// All of it, one text a row, in order.
    pub(crate) read: &'static str,
    pub(crate) shape: fn() -> Shape,
    pub(crate) put: fn(&R, &mut ChunkWriter<'_>),
    pub(crate) key: fn(&R) -> i64,
}

impl<R: Debug + Clone> Case<R> {
    /// What a write leaves: the table and the rows it skipped, or the class of the error.
    pub(crate) async fn outcome(
        &self,
        gate: &PgGate,
        rows: &[R],
        conflict: &Conflict,
        way: Way,
    ) -> Result<Vec<String>, Class> {
        run(gate, self.reset).await;
        let mut chunk = Chunk::new((self.shape)());
        for row in rows {
            chunk.push(|to| (self.put)(row, to)).unwrap();
        }
        let mut plan = WritePlan::new(conflict.clone());
        plan.prepared = Arc::new(gate.prepare(&(self.shape)(), &plan).await.unwrap());
        assert!(plan.prepared.allows(way), "{:?}", plan.prepared.refused());
        plan.strategy = Some(way);
        let wrote = match gate.write(&[chunk.slice(0..chunk.len())], &plan).await {
            Ok(wrote) => wrote,
            Err(WriteError::Failed { cause, .. }) => return Err(cause.class()),
            Err(other) => panic!("{other}"),
        };
        let mut left = texts(gate, self.read).await;
        left.push(format!("{:?}", wrote.skipped));
        Ok(left)
    }

    /// Writes `cases` draws of `rows` by UNNEST and in bulk, under every rule for conflicts: both must leave the same.
    pub(crate) fn agrees_by_every_strategy(&self, rows: impl Strategy<Value = Vec<R>>, cases: u32) {
        let database = testkit::postgres().create_database("agreement").unwrap();
        let runtime = Runtime::new().unwrap();
        let gate = runtime.block_on(async {
            let gate = gate(&database);
            run(&gate, self.table).await;
            gate
        });
        let rules = [Conflict::Error, Conflict::Ignore, Conflict::Update];
        let (stored, refused) = (Cell::new(0), Cell::new(0));
        let mut runner = TestRunner::new(Config { cases, ..Config::default() });
        let result = runner.run(&(rows, 0..rules.len()), |(mut rows, rule)| {
            let bulk = if rule == 0 { Way::Copy } else { Way::Staging };
            if rule == 2 {
                rows.sort_by_key(self.key);
                rows.dedup_by_key(|row| (self.key)(row));
            }
            runtime.block_on(async {
                let few = self.outcome(&gate, &rows, &rules[rule], Way::Unnest).await;
                let many = self.outcome(&gate, &rows, &rules[rule], bulk).await;
                let count = if few.is_ok() { &stored } else { &refused };
                count.set(count.get() + 1);
                // Which of several faults is found first is the server's own affair.
                if few.is_err() && many.is_err() {
                    return Ok(());
                }
                prop_assert_eq!(few, many);
                Ok(())
            })
        });
        result.unwrap();
        let (stored, refused) = (stored.get(), refused.get());
        assert!(stored > 10 && refused > 10, "{stored} and {refused}: the cases must say something");
    }
}
