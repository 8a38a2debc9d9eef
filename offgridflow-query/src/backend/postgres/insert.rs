//! One part of a write, by the strategy of its plan.

use super::copy::Copy;
use super::errors::{failed, unbuildable};
use super::pieces::Pieces;
use super::statement::{Parts, Statement, Subject, counted, named};
use crate::backend::built;
use crate::chunk::Slice;
use crate::error::{Cause, Class, ConfigError};
use crate::ident::Ident;
use crate::shape::Shape;
use crate::strategy::Strategy;
use crate::write::{Pooling, WriteError, WritePlan};
use sqlx::{Executor, PgConnection};

/// The statements of one strategy for one shape and one conflict rule.
pub(super) enum Insert {
    Unnest(Statement),
    Copy { statement: String },
    Staging(Staging),
    Pieces(Pieces),
}

/// COPY into a temporary table, then one INSERT that applies the conflict rule.
pub(super) struct Staging {
    parts: Parts,
    columns: String, // the target's, called c0, c1, …, so that their types are the target's
    numbered: bool,  // rows have their place in `ord`
    names_stored: bool,
}

impl Insert {
    pub(super) fn new(strategy: Strategy, subject: &Subject<'_>) -> Result<Self, ConfigError> {
        Ok(match strategy {
            Strategy::Copy => {
                let (target, columns) = (subject.target()?, subject.shape.column_list()?);
                Self::Copy { statement: format!("COPY {target} ({columns}) FROM STDIN (FORMAT binary)") }
            }
            Strategy::Staging => Self::Staging(Staging::new(subject)?),
            Strategy::Unnest | Strategy::Blocks => Self::Unnest(Statement::new(subject)?),
        })
    }

    /// Runs it for the rows of `slice`; the positions of the rows it skipped, or `None` if only their number is known.
    pub(super) async fn run(
        &self,
        conn: &mut PgConnection,
        slice: &Slice<'_>,
        plan: &WritePlan,
        part: usize,
        direct: bool,
    ) -> Result<Option<Vec<usize>>, WriteError> {
        let copy = |ordinals| Copy { slice, types: &plan.prepared.types, ordinals };
        match self {
            Self::Unnest(statement) => {
                let named = direct && plan.pooling == Pooling::Session;
                statement.run(conn, slice, named).await.map_err(|error| failed(&error))
            }
            Self::Copy { statement } => {
                let stored = copy(false).run(conn, statement, slice.shape().table()).await?;
                Ok(counted(stored, slice.len()))
            }
            Self::Staging(staging) => staging.run(conn, &copy(staging.numbered), part).await,
            Self::Pieces(pieces) => pieces.run(conn, slice, part).await.map_err(|error| failed(&error)),
        }
    }

    /// Whether a refusal may come from values that were written for other types.
    pub(super) fn is_blind(strategy: Strategy) -> bool {
        matches!(strategy, Strategy::Copy | Strategy::Staging)
    }
}

impl Staging {
    fn new(subject: &Subject<'_>) -> Result<Self, ConfigError> {
        let (shape, numbered, names_stored) = (subject.shape, subject.is_numbered(), subject.names_stored());
        let mut columns = Vec::with_capacity(shape.columns().len() + 1);
        for (at, column) in shape.columns().iter().enumerate() {
            columns.push(format!("{} AS c{at}", Ident::new(column.name())?));
        }
        if numbered {
            columns.push("0::int8 AS ord".to_owned());
        }
        Ok(Self { parts: Parts::new(subject, false)?, columns: columns.join(", "), numbered, names_stored })
    }

    /// The parts of one transaction have a table each, which goes with the transaction.
    async fn run(
        &self,
        conn: &mut PgConnection,
        copy: &Copy<'_>,
        part: usize,
    ) -> Result<Option<Vec<usize>>, WriteError> {
        let (failed, rows) = (|error: sqlx::Error| failed(&error), copy.slice.len());
        let (name, target) = (name(copy.slice.shape(), part), &self.parts.target);
        let create = format!(
            "CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {} FROM {target} WITH NO DATA",
            self.columns
        );
        conn.execute(sqlx::raw_sql(built(create))).await.map_err(failed)?;
        let statement = format!("COPY pg_temp.{name} FROM STDIN (FORMAT binary)");
        let staged = copy.run(conn, &statement, &name).await?;
        if staged != rows as u64 {
            let what = format!("{rows} rows were sent to the staging table, {staged} arrived");
            return Err(WriteError::failed(Cause::new(Class::Other, what)));
        }
        if self.names_stored {
            let source = format!("SELECT * FROM pg_temp.{name}");
            let insert = self.parts.insert_naming(copy.slice.shape(), &source, false).map_err(unbuildable)?;
            let answer = sqlx::query(built(insert)).persistent(false).fetch_one(conn).await;
            return named(&answer.map_err(failed)?, rows).map_err(failed);
        }
        let insert = sqlx::raw_sql(built(self.parts.insert(&format!("pg_temp.{name}"))));
        Ok(counted(conn.execute(insert).await.map_err(failed)?.rows_affected(), rows))
    }
}

/// The name of a staging table: not that of its target, which a temporary table would hide.
fn name(shape: &Shape, part: usize) -> String {
    const STEM: &str = "offgridflow_staging_";
    let stem = if shape.table().starts_with(STEM) { "offgridflow_staged_" } else { STEM };
    format!("{stem}{part}")
}
