//! PostgreSQL: arrays of columns through UNNEST for few rows, COPY in binary format for many.

mod catalog;
mod copy;
mod ends;
mod errors;
mod insert;
mod literal;
mod nodelay;
mod numeric;
mod pieces;
mod reach;
mod settle;
mod statement;
mod transaction;
mod wire;

use crate::chunk::Slice;
use crate::delivery::{TxOutcome, TxToken};
use crate::error::{Cause, Class, ConfigError, Scope};
use crate::executor::{BatchConnection, Limits};
use crate::gate::{Gate, GateConfig};
use crate::shape::{Kind, Shape};
use crate::strategy::{Prepared, Strategy};
use crate::write::{Ending, WriteError, WritePlan, Wrote};
use errors::unbuildable;
use insert::Insert;
use pieces::Pieces;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Postgres};
use statement::Subject;
use std::str::FromStr;
use transaction::Clean;

/// Columns that a table can have.
const MAX_COLUMNS: usize = 1_600;

/// Parts of a write for which temporary tables are made.
const MOST_STAGED: usize = 8;
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// A [`Gate`] over PostgreSQL.
pub type PgGate = Gate<Postgres>;

impl Gate<Postgres> {
    /// A gate from a `postgres:` address.
    ///
    /// # Errors
    /// [`ConfigError::Address`] for an address sqlx cannot read, [`ConfigError::Setting`] for sizes that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_url(url: &str, config: GateConfig) -> Result<Self, ConfigError> {
        let refused = |why: String| ConfigError::Address { why };
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refused("not a postgres:// address".into())); // which sqlx does not look at
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| refused(error.to_string()))?;
        Self::open(options, config)
    }
}

impl BatchConnection for PgConnection {
    const DATABASE: &'static str = "postgresql";

    fn limits(shape: &Shape) -> Limits {
        let arrays = shape.columns().iter().any(|column| matches!(column.kind(), Kind::Array(_)));
        Limits {
            max_columns: MAX_COLUMNS,
            max_name_bytes: 63,
            // Half of the 1 GiB that one value may have: arrays of columns add four bytes a value. Arrays within a
            // column may be longer as text than they are counted.
            max_bytes: if arrays { (1 << 29) / literal::MAX_GROWTH } else { 1 << 29 },
            statement_rows: usize::MAX,
            arrays: true,
            ignores_case: false,
        }
    }

    async fn prepare(&mut self, shape: &Shape, plan: &WritePlan) -> Result<Prepared, WriteError> {
        catalog::prepare(self, shape, plan).await
    }

    async fn outcome(&mut self, token: &TxToken) -> Result<TxOutcome, Cause> {
        settle::outcome(self, token).await
    }

    async fn write(&mut self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let result = match write(self, parts, plan).await {
            Err(error) if errors::lacks_statement(&error) => again_unprepared(self, parts, plan).await,
            result => result,
        };
        match result {
            Err(error) if errors::is_read_only(&error) => {
                Err(settle::unless_standby(self, error, plan.answer_timeout).await)
            }
            Err(error) if blames_rows(&error, plan) => Err(unless_changed(self, plan, error).await),
            result => result,
        }
    }
}

/// Once more for a session whose prepared statements somebody dropped (DISCARD ALL, DEALLOCATE ALL), of which sqlx hears nothing.
async fn again_unprepared(
    conn: &mut PgConnection,
    parts: &[Slice<'_>],
    plan: &WritePlan,
) -> Result<Wrote, WriteError> {
    if let Some(part) = parts.first() {
        let what = "prepared statements of a session are gone: it was reset, or a pooler stands between: Pooling::Transaction";
        crate::telemetry::warn(part.shape().table(), what);
    }
    let forgotten = transaction::answered(plan.answer_timeout, conn.clear_cached_statements()).await;
    forgotten.map_err(|error| errors::failed(&error))?;
    write(conn, parts, plan).await
}

/// Whether a refusal of rows may be one of values that were written for a table that is no longer so.
fn blames_rows(error: &WriteError, plan: &WritePlan) -> bool {
    let class = error.cause().class();
    let rows = class.scope() == Scope::Row || class == Class::Other;
    rows && plan.strategy.is_some_and(Insert::is_blind) && matches!(error, WriteError::Failed { .. })
}

/// A refusal, as it is; or that the table has changed, which explains it.
async fn unless_changed(conn: &mut PgConnection, plan: &WritePlan, refusal: WriteError) -> WriteError {
    let Some(check) = plan.prepared.unchanged.clone() else { return refusal };
    match transaction::check(conn, &check, plan).await {
        Ok(()) => refusal,
        Err(changed) => changed,
    }
}

async fn write(conn: &mut PgConnection, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
    let Some(first) = parts.first() else { return Ok(Wrote::default()) };
    let strategy = match strategy_of(plan)? {
        Strategy::Staging if parts.len() > MOST_STAGED => Strategy::Unnest, // a table and its locks for each of them
        strategy => strategy,
    };
    let subject = Subject::new(first.shape(), plan);
    let insert = Insert::new(strategy, &subject).map_err(unbuildable)?;
    if let Attempt::Done(wrote) = attempt(conn, &insert, parts, plan, Naming::Counted).await? {
        return Ok(wrote.by(strategy));
    }
    // The count says that rows were skipped, and the statement cannot say which: once more, row by row.
    let insert = Insert::new(Strategy::Unnest, &subject).map_err(unbuildable)?;
    match attempt(conn, &insert, parts, plan, Naming::RowByRow).await {
        Ok(Attempt::Done(wrote)) => Ok(wrote.by(Strategy::Unnest)),
        Ok(Attempt::Unnamed) => unreachable!("single rows name themselves"),
        Err(lonely) if lonely.cause().class() == Class::ForeignKey => {
            by_pieces(conn, &subject, parts, plan, lonely).await
        }
        Err(error) => Err(error),
    }
}

/// Once more for rows that cannot go one by one, since one needs another that comes later.
async fn by_pieces(
    conn: &mut PgConnection,
    subject: &Subject<'_>,
    parts: &[Slice<'_>],
    plan: &WritePlan,
    lonely: WriteError,
) -> Result<Wrote, WriteError> {
    let insert = Insert::Pieces(Pieces::new(subject).map_err(unbuildable)?);
    while let Insert::Pieces(pieces) = &insert
        && !pieces.are_too_many()
    {
        if let Attempt::Done(wrote) = attempt(conn, &insert, parts, plan, Naming::Counted).await? {
            return Ok(wrote.by(Strategy::Unnest));
        }
    }
    Err(lonely)
}

/// The plan's strategy, if the table was looked up and allows it; without a plan UNNEST, which needs no look-up.
fn strategy_of(plan: &WritePlan) -> Result<Strategy, WriteError> {
    let strategy = plan.strategy.unwrap_or(Strategy::Unnest);
    if strategy == Strategy::Unnest || plan.prepared.allows(strategy) {
        return Ok(strategy);
    }
    let what = format!("the strategy {} is not allowed for this table", strategy.as_str());
    Err(WriteError::failed(Cause::new(Class::Schema, what)))
}

#[derive(Clone, Copy, PartialEq)]
enum Naming {
    Counted,
    RowByRow,
}

enum Attempt {
    Done(Wrote),
    Unnamed, // rolled back
}

async fn attempt(
    conn: &mut PgConnection,
    insert: &Insert,
    parts: &[Slice<'_>],
    plan: &WritePlan,
    naming: Naming,
) -> Result<Attempt, WriteError> {
    let mut tx = Clean::begin(conn, plan).await?;
    if let Some(entry) = &plan.ledger {
        let (after, entered) = tx.enter(entry).await?;
        if !entered {
            return after.rollback().await.map(|()| Attempt::Done(Wrote::replay()));
        }
        tx = after;
    }
    let (mut wrote, mut offset) = (Wrote::default(), 0);
    for part in parts {
        let step = if naming == Naming::RowByRow { 1 } else { part.len().max(1) };
        for start in (0..part.len()).step_by(step) {
            let number = usize::try_from(wrote.statements).unwrap_or(usize::MAX);
            let inserted = tx.insert(insert, &part.narrow(start..start + step), plan, number).await;
            let (after, skipped) = inserted.map_err(|error| shifted(error, offset + start))?;
            tx = after;
            wrote.statements += 1;
            match skipped {
                Some(rows) => wrote.skipped.extend(rows.into_iter().map(|row| offset + start + row)),
                None => return tx.rollback().await.map(|()| Attempt::Unnamed),
            }
        }
        offset += part.len();
    }
    match plan.ending {
        Ending::Commit => tx.commit(wrote).await.map(Attempt::Done),
        Ending::RollBack => tx.rehearse().await.map(|()| Attempt::Done(wrote)),
    }
}

/// A row that a part named, counted through all parts.
fn shifted(error: WriteError, offset: usize) -> WriteError {
    match error {
        WriteError::Failed { row: Some(row), cause } => WriteError::Failed { row: Some(offset + row), cause },
        other => other,
    }
}
