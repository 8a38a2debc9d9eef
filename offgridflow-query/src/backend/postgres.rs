//! PostgreSQL: arrays of columns through UNNEST, one constant statement text a shape.

use crate::backend::{built, driver_cause};
use crate::chunk::{Slice, Value};
use crate::error::{Cause, Class, ConfigError};
use crate::executor::{BatchConnection, Ending, Limits, WriteError, WritePlan, Wrote};
use crate::gate::{Gate, GateConfig, GateDatabase};
use crate::ident::Ident;
use crate::shape::{Conflict, Kind, Shape};
use crate::transaction::Transact;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnectOptions, PgDatabaseError, PgTypeInfo};
use sqlx::{Arguments, Executor, PgConnection, Postgres, Row as _, Type};
use std::str::FromStr;

/// 2000-01-01 in microseconds and days since 1970-01-01: PostgreSQL's epoch.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

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
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| ConfigError::Address { why: "not a postgres:// address".into() })?;
        Self::open(options, config)
    }
}

impl GateDatabase for Postgres {
    fn cause(error: &sqlx::Error) -> Cause {
        let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
        else {
            return driver_cause(error);
        };
        let class = class_of(error.code());
        let message =
            if class == Class::Data { redacted(error.message()) } else { error.message().to_owned() };
        let cause = Cause::new(class, message).with_code(error.code());
        match error.constraint() {
            Some(name) => cause.with_constraint(name),
            None => cause,
        }
    }
}

/// SQLSTATE to class (PostgreSQL documentation, appendix A).
fn class_of(code: &str) -> Class {
    match code {
        "23505" | "23P01" => Class::Unique,
        "23503" | "23001" => Class::ForeignKey,
        "23502" => Class::NotNull,
        "P0001" => Class::Raised,
        "40001" | "40P01" | "55P03" => Class::Contention,
        "57014" | "25P03" => Class::Cancelled,
        "25006" => Class::ReadOnly,
        "42501" => Class::Permission,
        "54000" => Class::TooLarge, // an index row that does not fit a page
        "57P01" | "57P02" | "57P03" | "57P05" => Class::Connection,
        _ => match code.get(..2).unwrap_or_default() {
            "08" => Class::Connection,
            "22" => Class::Data,
            "23" | "44" => Class::Check,
            "28" => Class::Permission,
            "42" | "3F" | "0A" => Class::Schema,
            "40" => Class::Contention,
            "53" => Class::Resource,
            _ => Class::Other,
        },
    }
}

/// Messages of class 22 quote the value at fault: what stands between double quotes goes.
fn redacted(message: &str) -> String {
    let parts: Vec<&str> = message.split('"').collect();
    let hide = |(i, part): (usize, &&str)| if i % 2 == 1 { "…".to_owned() } else { (*part).to_owned() };
    parts.iter().enumerate().map(hide).collect::<Vec<_>>().join("\"")
}

fn failed(error: &sqlx::Error) -> WriteError {
    WriteError::failed(Postgres::cause(error))
}

fn unbuildable(error: ConfigError) -> WriteError {
    WriteError::failed(Cause::new(Class::Schema, error.to_string()))
}

impl Transact for PgConnection {
    async fn begin(&mut self) -> Result<(), Cause> {
        self.execute(sqlx::raw_sql("BEGIN")).await.map(drop).map_err(|e| Postgres::cause(&e))
    }

    async fn commit(&mut self) -> Result<(), Cause> {
        // COMMIT alone answers "fine" to a transaction that a failed statement has aborted; SELECT refuses there.
        // Its row is also how an answer out of step (a dropped COPY) is told from ours.
        match self.fetch_all(sqlx::raw_sql("SELECT 1; COMMIT")).await {
            Ok(rows) if rows.len() == 1 => Ok(()),
            Ok(_) => Err(Cause::new(Class::Connection, "the link answers out of step; COMMIT was sent")),
            Err(error) => {
                let cause = Postgres::cause(&error);
                if cause.class() != Class::Connection {
                    self.rollback().await?;
                }
                Err(cause)
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), Cause> {
        self.execute(sqlx::raw_sql("ROLLBACK")).await.map(drop).map_err(|e| Postgres::cause(&e))
    }
}

impl BatchConnection for PgConnection {
    const DATABASE: &'static str = "postgresql";

    fn limits(_: &Shape) -> Limits {
        // Half of the 1 GiB that one value may have: arrays add four bytes a value.
        Limits { max_columns: 1_600, max_name_bytes: 63, max_bytes: 1 << 29, statement_rows: usize::MAX }
    }

    async fn write(&mut self, parts: &[Slice<'_>], plan: &WritePlan) -> Result<Wrote, WriteError> {
        let Some(first) = parts.first() else { return Ok(Wrote::default()) };
        let statement = Statement::new(first.shape(), &plan.conflict).map_err(unbuildable)?;
        let whole = attempt(self, &statement, parts, plan, Naming::Counted).await?;
        match whole {
            Attempt::Done(wrote) => Ok(wrote),
            // The count says that rows were skipped, and the statement cannot say which: once more, row by row.
            Attempt::Unnamed => match attempt(self, &statement, parts, plan, Naming::RowByRow).await? {
                Attempt::Done(wrote) => Ok(wrote),
                Attempt::Unnamed => unreachable!("single rows name themselves"),
            },
        }
    }
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

/// An open transaction in which nothing has failed. A failing statement consumes it, so that what is left can only
/// be rolled back: the type has no way from an error to COMMIT.
struct Clean<'c>(&'c mut PgConnection);

impl<'c> Clean<'c> {
    async fn begin(conn: &'c mut PgConnection, plan: &WritePlan) -> Result<Self, WriteError> {
        let lock = plan.lock_timeout.as_millis().clamp(1, i32::MAX as u128);
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = {lock}; SET LOCAL idle_in_transaction_session_timeout = 60000"
        );
        match conn.execute(sqlx::raw_sql(built(sql))).await {
            Ok(_) => Ok(Self(conn)),
            Err(error) => Err(undo(conn, failed(&error)).await),
        }
    }

    async fn insert(
        self,
        statement: &Statement,
        slice: &Slice<'_>,
    ) -> Result<(Self, Option<Vec<usize>>), WriteError> {
        match statement.run(self.0, slice).await {
            Ok(skipped) => Ok((self, skipped)),
            Err(error) => Err(undo(self.0, failed(&error)).await),
        }
    }

    async fn rollback(self) -> Result<(), WriteError> {
        self.0.rollback().await.map_err(in_doubt)
    }

    /// Checks what COMMIT would check, then rolls back.
    async fn rehearse(self) -> Result<(), WriteError> {
        match self.0.execute(sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK")).await {
            Ok(_) => Ok(()),
            Err(error) => Err(undo(self.0, failed(&error)).await),
        }
    }

    /// An error of class 22, 23 or 40 at COMMIT means that the server aborted; a lost link means that nobody knows.
    async fn commit(self) -> Result<(), WriteError> {
        let Err(error) = self.0.execute(sqlx::raw_sql("COMMIT")).await else { return Ok(()) };
        let cause = Postgres::cause(&error);
        match cause.code().and_then(|code| code.get(..2)) {
            Some("22" | "23" | "40" | "44" | "P0") => Err(WriteError::failed(cause)),
            _ => Err(WriteError::CommitUnknown(cause)),
        }
    }
}

fn in_doubt(cause: Cause) -> WriteError {
    WriteError::failed(Cause::new(Class::Connection, format!("cannot roll back: {}", cause.message())))
}

/// Rolls back after an error, and reports the error, or that the connection is in doubt.
async fn undo(conn: &mut PgConnection, error: WriteError) -> WriteError {
    if error.broke_connection() {
        return error;
    }
    match conn.rollback().await {
        Ok(()) => error,
        Err(cause) => in_doubt(cause),
    }
}

async fn attempt(
    conn: &mut PgConnection,
    statement: &Statement,
    parts: &[Slice<'_>],
    plan: &WritePlan,
    naming: Naming,
) -> Result<Attempt, WriteError> {
    let mut tx = Clean::begin(conn, plan).await?;
    let (mut wrote, mut offset) = (Wrote::default(), 0);
    for part in parts {
        let step = if naming == Naming::RowByRow { 1 } else { part.len().max(1) };
        for start in (0..part.len()).step_by(step) {
            let (after, skipped) = tx.insert(statement, &part.narrow(start..start + step)).await?;
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
        Ending::Commit => tx.commit().await?,
        Ending::RollBack => tx.rehearse().await?,
    }
    Ok(Attempt::Done(wrote))
}

/// One text for a shape and a conflict rule, however many rows.
struct Statement {
    sql: String,
    /// Whether it answers with the ordinals it stored, rather than with a count.
    names_stored: bool,
}

impl Statement {
    fn new(shape: &Shape, conflict: &Conflict) -> Result<Self, ConfigError> {
        let (target, columns) = (shape.target()?, shape.column_list()?);
        let count = shape.columns().len();
        let aliases: Vec<String> = (0..count).map(|i| format!("c{i}")).collect();
        let aliases = aliases.join(", ");
        let arrays: Vec<String> = shape
            .columns()
            .iter()
            .enumerate()
            .map(|(i, c)| format!("${}::{}[]", i + 1, wire(c.kind()).name))
            .collect();
        let arrays = arrays.join(", ");
        let values: Vec<String> =
            shape.columns().iter().enumerate().map(|(i, c)| format!("c{i}{}", wire(c.kind()).cast)).collect();
        let values = values.join(", ");
        let clause = conflict.clause(shape)?;
        if *conflict != Conflict::Ignore {
            let sql = format!(
                "INSERT INTO {target} ({columns}) SELECT {values} FROM UNNEST({arrays}) AS u({aliases}){clause}"
            );
            return Ok(Self { sql, names_stored: false });
        }
        let sql = naming_sql(shape, &target, &columns, &aliases, &arrays, &values, &clause)?;
        Ok(Self { sql, names_stored: true })
    }

    /// Runs it; the positions of the rows it skipped, or `None` if only their number is known.
    async fn run(
        &self,
        conn: &mut PgConnection,
        slice: &Slice<'_>,
    ) -> Result<Option<Vec<usize>>, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for column in 0..slice.shape().columns().len() {
            arguments.add(ColumnArray { slice, column }).map_err(sqlx::Error::Encode)?;
        }
        let query = sqlx::query_with(built(self.sql.clone()), arguments);
        let rows = slice.len();
        let inserted = if self.names_stored {
            let answer = query.fetch_one(conn).await?;
            let (inserted, stored): (i64, Vec<i64>) = (answer.try_get(0)?, answer.try_get(1)?);
            if usize::try_from(inserted) == Ok(stored.len()) {
                return Ok(Some(missing(&stored, rows)));
            }
            inserted.unsigned_abs()
        } else {
            query.execute(conn).await?.rows_affected()
        };
        Ok(match inserted {
            0 => Some((0..rows).collect()),
            n if n >= rows as u64 => Some(Vec::new()),
            _ => None,
        })
    }
}

/// DO NOTHING that names what it stored: the server joins the keys that RETURNING gives with the keys it was sent, by
/// its own idea of equality, and answers with the first ordinal of each.
fn naming_sql(
    shape: &Shape,
    target: &str,
    columns: &str,
    aliases: &str,
    arrays: &str,
    values: &str,
    clause: &str,
) -> Result<String, ConfigError> {
    let (mut returning, mut on, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for (n, position) in shape.key_positions().into_iter().enumerate() {
        let column = &shape.columns()[position];
        let sent = format!("s.c{position}{}", wire(column.kind()).cast);
        returning.push(format!("{} AS k{n}", Ident::new(column.name())?));
        on.push(format!("i.k{n} = {sent}"));
        group.push(format!("i.k{n}"));
    }
    let (returning, on, group) = (returning.join(", "), on.join(" AND "), group.join(", "));
    Ok(format!(
        "WITH s AS MATERIALIZED (SELECT * FROM UNNEST({arrays}) WITH ORDINALITY AS u({aliases}, ord)), \
         i AS (INSERT INTO {target} ({columns}) SELECT {values} FROM s ORDER BY ord{clause} RETURNING {returning}) \
         SELECT (SELECT count(*) FROM i), \
         ARRAY(SELECT min(s.ord) FROM s JOIN i ON {on} GROUP BY {group})"
    ))
}

/// Positions of `0..rows` whose ordinal (counted from 1) is not among `stored`.
fn missing(stored: &[i64], rows: usize) -> Vec<usize> {
    let mut kept = vec![false; rows];
    for position in stored.iter().filter_map(|&ord| usize::try_from(ord - 1).ok()) {
        if let Some(slot) = kept.get_mut(position) {
            *slot = true;
        }
    }
    (0..rows).filter(|&row| !kept[row]).collect()
}

/// How a kind travels: element and array type, the type's name in SQL, and a cast where it travels as text.
struct Wire {
    element: u32,
    array: u32,
    name: &'static str,
    cast: &'static str,
}

fn wire(kind: Kind) -> Wire {
    let plain = |element, array, name| Wire { element, array, name, cast: "" };
    match kind {
        Kind::Bool => plain(16, 1000, "bool"),
        Kind::Int2 => plain(21, 1005, "int2"),
        Kind::Int4 => plain(23, 1007, "int4"),
        Kind::Int8 => plain(20, 1016, "int8"),
        Kind::Float8 => plain(701, 1022, "float8"),
        Kind::Text => plain(25, 1009, "text"),
        Kind::Bytes => plain(17, 1001, "bytea"),
        Kind::Uuid => plain(2950, 2951, "uuid"),
        Kind::Timestamp => plain(1114, 1115, "timestamp"),
        Kind::TimestampTz => plain(1184, 1185, "timestamptz"),
        Kind::Date => plain(1082, 1182, "date"),
        Kind::Numeric => Wire { cast: "::numeric", ..plain(25, 1009, "text") },
        Kind::Json => Wire { cast: "::json", ..plain(25, 1009, "text") },
    }
}

/// One column of a slice in PostgreSQL's binary array format, written straight from the chunk.
struct ColumnArray<'a> {
    slice: &'a Slice<'a>,
    column: usize,
}

impl Type<Postgres> for ColumnArray<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1009)) // never asked: `produces` knows better
    }
}

impl Encode<'_, Postgres> for ColumnArray<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(wire(self.slice.shape().columns()[self.column].kind()).array)))
    }

    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let kind = self.slice.shape().columns()[self.column].kind();
        let rows = i32::try_from(self.slice.len())?;
        out.extend(1i32.to_be_bytes()); // dimensions
        out.extend(1i32.to_be_bytes()); // NULLs may occur
        out.extend(wire(kind).element.to_be_bytes());
        out.extend(rows.to_be_bytes());
        out.extend(1i32.to_be_bytes()); // the first subscript
        for row in 0..self.slice.len() {
            put(out, self.slice.value(row, self.column))?;
        }
        Ok(IsNull::No)
    }
}

fn put(out: &mut Vec<u8>, value: Value<'_>) -> Result<(), BoxDynError> {
    let mut sized = |bytes: &[u8]| -> Result<(), BoxDynError> {
        out.extend(i32::try_from(bytes.len())?.to_be_bytes());
        out.extend(bytes);
        Ok(())
    };
    match value {
        Value::Null => out.extend((-1i32).to_be_bytes()),
        Value::Bool(v) => sized(&[u8::from(v)])?,
        Value::Int2(v) => sized(&v.to_be_bytes())?,
        Value::Int4(v) => sized(&v.to_be_bytes())?,
        Value::Int8(v) => sized(&v.to_be_bytes())?,
        Value::Float8(v) => sized(&v.to_be_bytes())?,
        Value::Text(v) => sized(v.as_bytes())?,
        Value::Bytes(v) => sized(v)?,
        Value::Uuid(v) => sized(v)?,
        Value::Micros(v) => sized(&(v - EPOCH_MICROS).to_be_bytes())?, // years 1 to 9999: cannot overflow
        Value::Days(v) => sized(&(v - EPOCH_DAYS).to_be_bytes())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_leave_messages() {
        let text = r#"invalid input syntax for type numeric: "4111-1111""#;
        assert_eq!(redacted(text), r#"invalid input syntax for type numeric: "…""#);
        assert_eq!(redacted("division by zero"), "division by zero");
        assert_eq!(redacted(r#"value "1 "" 2" is out of range"#), r#"value "…""…" is out of range"#);
    }

    #[test]
    fn ordinals_that_are_missing_were_skipped() {
        assert_eq!(missing(&[1, 3], 4), [1, 3]);
        assert_eq!(missing(&[], 2), [0, 1]);
    }
}
