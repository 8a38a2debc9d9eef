//! Blocks of VALUES: the values of the next block are bound while the database works on the one before.

use super::failed;
use crate::backend::built;
use crate::calendar::{date_text, timestamp_text};
use crate::chunk::{Slice, Value};
use crate::decimal::WITHOUT_DIGITS;
use crate::error::{Cause, Class, ConfigError};
use crate::shape::{Conflict, Kind, Shape};
use crate::strategy::Strategy;
use crate::write::{WriteError, Wrote};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Executor, SqlStr, SqliteConnection};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

const MAX_BLOCK_ROWS: usize = 1_024;
/// Preparing gets slower than linear above this, long before SQLite's limit of 32 766.
const MAX_BLOCK_PARAMETERS: usize = 8_192;

/// The largest power of two that respects both limits.
pub(super) fn rows(columns: usize) -> usize {
    let fit = (MAX_BLOCK_PARAMETERS / columns.max(1)).clamp(1, MAX_BLOCK_ROWS);
    1 << fit.ilog2()
}

/// The statements of one shape and one conflict rule. The rest of a part goes as ever smaller powers of two, so that there
/// are at most eleven texts.
pub(super) struct Blocks {
    head: String,
    tuple: String,
    tail: String,
    rows: usize,
    guarded: bool, // each block under a savepoint, so that it can be taken back and repeated row by row
    texts: HashMap<usize, SqlStr>,
}

/// A block with its values bound.
struct Bound<'a> {
    block: Slice<'a>,
    offset: usize, // of its first row, counted through all parts
    arguments: SqliteArguments,
}

impl Blocks {
    pub(super) fn new(shape: &Shape, conflict: &Conflict) -> Result<Self, WriteError> {
        let refuse = |error: ConfigError| WriteError::failed(Cause::new(Class::Schema, error.to_string()));
        let columns = shape.column_list().map_err(refuse)?;
        let marks = vec!["?"; shape.columns().len()].join(", ");
        Ok(Self {
            head: format!(
                "INSERT INTO {}{} ({columns}) VALUES ",
                shape.target().map_err(refuse)?,
                shape.alias()
            ),
            tuple: format!("({marks})"),
            tail: conflict.clause(shape).map_err(refuse)?,
            rows: rows(shape.columns().len()),
            guarded: *conflict == Conflict::Ignore,
            texts: HashMap::new(),
        })
    }

    /// From now on every block names the rows it skips.
    pub(super) fn guard(&mut self) {
        self.guarded = true;
    }

    /// Inserts every part; `None` if rows were skipped and nobody can say which.
    pub(super) async fn insert(
        &mut self,
        conn: &mut SqliteConnection,
        parts: &[Slice<'_>],
    ) -> Result<Option<Wrote>, WriteError> {
        let cut = self.cut(parts);
        if cut.len() > 1 || self.guarded {
            // As if it were one statement: a child may come before its parent, wherever blocks are cut, and rows named one by one. COMMIT looks.
            conn.execute("PRAGMA defer_foreign_keys = ON").await.map_err(|e| failed(&e))?;
        }
        let mut blocks = cut.into_iter();
        let mut next = blocks.next().map(bound).transpose()?;
        let mut wrote = Wrote::default().by(Strategy::Blocks);
        while let Some(Bound { block, offset, arguments }) = next {
            wrote.statements += 1;
            if self.guarded {
                let skipped = self.insert_guarded(conn, &block, offset, arguments).await?;
                wrote.skipped.extend(skipped.into_iter().map(|row| offset + row));
                next = blocks.next().map(bound).transpose()?;
                continue;
            }
            let (stored, after) = {
                let mut running = pin!(self.run(conn, block.len(), arguments));
                // Polled once, so that the database begins; then there is time for the next block.
                let begun = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await;
                let after = blocks.next().map(bound).transpose();
                let stored = match begun {
                    Poll::Ready(stored) => stored,
                    Poll::Pending => running.await,
                };
                (stored?, after)
            };
            match stored {
                0 => wrote.skipped.extend(offset..offset + block.len()),
                stored if stored < block.len() as u64 => return Ok(None),
                _ => {}
            }
            next = after?;
        }
        Ok(Some(wrote))
    }

    fn cut<'a>(&self, parts: &[Slice<'a>]) -> Vec<(usize, Slice<'a>)> {
        let (mut blocks, mut offset) = (Vec::new(), 0);
        for part in parts {
            let mut done = 0;
            while done < part.len() {
                let rows = self.rows.min(1 << (part.len() - done).ilog2());
                blocks.push((offset + done, part.narrow(done..done + rows)));
                done += rows;
            }
            offset += part.len();
        }
        blocks
    }

    /// Inserts one block and returns the rows it skipped. If the count tells that some were, the block is taken back and
    /// inserted row by row, which names them; savepoints are cheap here.
    async fn insert_guarded(
        &mut self,
        conn: &mut SqliteConnection,
        block: &Slice<'_>,
        offset: usize,
        arguments: SqliteArguments,
    ) -> Result<Vec<usize>, WriteError> {
        let rows = block.len();
        if rows == 1 {
            let stored = self.run(conn, 1, arguments).await?;
            return Ok(if stored == 0 { vec![0] } else { Vec::new() });
        }
        conn.execute("SAVEPOINT block").await.map_err(|e| failed(&e))?;
        let stored = self.run(conn, rows, arguments).await?;
        let mut skipped = Vec::new();
        if stored == 0 {
            skipped.extend(0..rows);
        } else if stored < rows as u64 {
            conn.execute("ROLLBACK TO block").await.map_err(|e| failed(&e))?;
            for row in 0..rows {
                let Bound { arguments, .. } = bound((offset + row, block.narrow(row..row + 1)))?;
                if self.run(conn, 1, arguments).await? == 0 {
                    skipped.push(row);
                }
            }
        }
        conn.execute("RELEASE block").await.map_err(|e| failed(&e))?;
        Ok(skipped)
    }

    /// Runs one INSERT and returns how many rows it stored.
    async fn run(
        &mut self,
        conn: &mut SqliteConnection,
        rows: usize,
        arguments: SqliteArguments,
    ) -> Result<u64, WriteError> {
        let sql = self.text(rows);
        let done = sqlx::query_with(sql, arguments).execute(conn).await.map_err(|e| failed(&e))?;
        Ok(done.rows_affected())
    }

    fn text(&mut self, rows: usize) -> SqlStr {
        let Self { head, tuple, tail, texts, .. } = self;
        let text = texts.entry(rows).or_insert_with(|| {
            let tuples = vec![tuple.as_str(); rows].join(", ");
            built(format!("{head}{tuples}{tail}"))
        });
        text.clone()
    }
}

fn bound((offset, block): (usize, Slice<'_>)) -> Result<Bound<'_>, WriteError> {
    let columns = block.shape().columns();
    let mut arguments = SqliteArguments::default();
    arguments.reserve(block.len() * columns.len(), 0);
    for row in 0..block.len() {
        for (column, what) in columns.iter().enumerate() {
            bind(&mut arguments, block.value(row, column), what.kind())
                .map_err(|cause| WriteError::Failed { row: Some(offset + row), cause })?;
        }
    }
    Ok(Bound { block, offset, arguments })
}

fn bind(arguments: &mut SqliteArguments, value: Value<'_>, kind: Kind) -> Result<(), Cause> {
    let bound = match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Bool(v) => arguments.add(v),
        Value::Int2(v) => arguments.add(i32::from(v)),
        Value::Int4(v) => arguments.add(v),
        Value::Int8(v) => arguments.add(v),
        Value::Float4(v) if v.is_nan() => return Err(Cause::new(Class::Data, "SQLite has no NaN")),
        Value::Float4(v) => arguments.add(f64::from(v)),
        Value::Float8(v) if v.is_nan() => return Err(Cause::new(Class::Data, "SQLite has no NaN")),
        Value::Float8(v) => arguments.add(v),
        Value::Text(v) if kind == Kind::Numeric && WITHOUT_DIGITS.contains(&v) => {
            return Err(Cause::new(Class::Data, format!("SQLite has no number {v}")));
        }
        Value::Text(v) => arguments.add(Arc::<str>::from(v)), // one allocation; a `String` is two
        Value::Bytes(v) => arguments.add(v.to_vec()),
        Value::Uuid(v) => arguments.add(v.to_vec()),
        Value::Micros(v) => arguments.add(timestamp_text(v, kind == Kind::TimestampTz)),
        Value::Days(v) => arguments.add(date_text(v)),
        Value::Array(_) => return Err(Cause::new(Class::Encoding, "SQLite has no arrays")),
    };
    bound.map_err(|error| Cause::new(Class::Encoding, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_powers_of_two_within_both_limits() {
        assert_eq!(rows(1), 1_024);
        assert_eq!(rows(8), 1_024);
        assert_eq!(rows(9), 512);
        assert_eq!(rows(2_000), 4);
        for columns in 1..=2_000 {
            assert!(rows(columns) * columns <= MAX_BLOCK_PARAMETERS.max(columns));
        }
    }
}
