//! What the schema says about a table.

use super::failed;
use crate::backend::built;
use crate::error::{Cause, Class};
use crate::ident::Ident;
use crate::shape::{Kind, Shape};
use crate::strategy::{Prepared, Strategy};
use crate::write::WriteError;
use sqlx::{Executor, Row as _, SqliteConnection};

/// The kind of relation that a name means: temporary ones come before those of `main`, and these before attached ones.
const KIND: &str = "SELECT type, schema FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE \
     AND (?2 IS NULL OR schema = ?2 COLLATE NOCASE) \
     ORDER BY CASE schema WHEN 'temp' THEN 0 WHEN 'main' THEN 1 ELSE 2 END LIMIT 1";

/// Whether a unique index compares other than byte by byte.
const COLLATED: &str = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1, ?2) AS l, pragma_index_xinfo(l.name, ?2) AS i \
     WHERE l.\"unique\" AND i.key AND upper(i.coll) <> 'BINARY')";

/// Whether triggers may change what is stored, its key among it.
const TRIGGERED: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_temp_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE) \
     OR EXISTS (SELECT 1 FROM {schema}.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE)";

const TYPES: &str = "SELECT name, type FROM pragma_table_xinfo(?1, ?2)";

/// Looks up the table of `shape`. One that is missing is left to the first INSERT, which says so, but does not know what a
/// dot in the name was meant for.
pub(super) async fn prepare(conn: &mut SqliteConnection, shape: &Shape) -> Result<Prepared, WriteError> {
    let found: Option<(String, String)> = sqlx::query_as(KIND)
        .bind(shape.table().to_owned())
        .bind(shape.schema().map(str::to_owned))
        .fetch_optional(&mut *conn)
        .await
        .map_err(|error| failed(&error))?;
    let (kind, home) = found.unzip();
    if kind.as_deref() == Some("view") {
        let what = format!("{:?} is a view; write to the table behind it", shape.table());
        return Err(WriteError::failed(Cause::new(Class::Schema, what)));
    }
    if kind.is_none() && shape.table().contains('.') {
        return Err(WriteError::failed(Cause::new(Class::Schema, shape.missing())));
    }
    let mut prepared = Prepared::new([Strategy::Blocks]);
    // The version first: what changes in between is then found changed.
    let version = version(conn, shape).await.map_err(|error| failed(&error))?;
    // What an attached database does to a table that does not name it is not looked for.
    let elsewhere = shape.schema().is_none() && home.is_some_and(|home| home != "main" && home != "temp");
    let exact = !elsewhere && has_exact_key(conn, shape).await.map_err(|error| failed(&error))?;
    prepared.version = Some(version);
    Ok(if exact { prepared.with_exact_key() } else { prepared })
}

/// The quoted name of the schema that the table is looked for in.
fn schema_of(shape: &Shape) -> String {
    shape
        .schema()
        .and_then(|name| Ident::new(name).ok())
        .map_or_else(|| "main".to_owned(), |name| name.to_string())
}

/// Counts changes of the schema.
async fn version(conn: &mut SqliteConnection, shape: &Shape) -> Result<i64, sqlx::Error> {
    let sql = format!("PRAGMA {}.schema_version", schema_of(shape));
    conn.fetch_one(sqlx::raw_sql(built(sql))).await?.try_get(0)
}

/// What rows mean to each other under a conflict rule depends on the key, which may be another one than was looked up.
pub(super) async fn unchanged(
    conn: &mut SqliteConnection,
    shape: &Shape,
    prepared: &Prepared,
) -> Result<(), WriteError> {
    let Some(known) = prepared.version else { return Ok(()) };
    if version(conn, shape).await.map_err(|error| failed(&error))? == known {
        return Ok(());
    }
    Err(WriteError::failed(Cause::new(Class::Schema, "the schema changed since the table was looked up")))
}

/// Whether two keys are equal to SQLite exactly when their values are: what the columns make of values, and how unique
/// indices compare them.
async fn has_exact_key(conn: &mut SqliteConnection, shape: &Shape) -> Result<bool, sqlx::Error> {
    let name = || shape.table().to_owned();
    let schema = || shape.schema().map(str::to_owned);
    let collated: bool =
        sqlx::query_scalar(COLLATED).bind(name()).bind(schema()).fetch_one(&mut *conn).await?;
    let triggered = TRIGGERED.replace("{schema}", &schema_of(shape));
    let triggered: bool = sqlx::query_scalar(built(triggered)).bind(name()).fetch_one(&mut *conn).await?;
    let types: Vec<(String, String)> =
        sqlx::query_as(TYPES).bind(name()).bind(schema()).fetch_all(&mut *conn).await?;
    let exact = |&at: &usize| {
        let column = &shape.columns()[at];
        let declared = types.iter().find(|(name, _)| name.eq_ignore_ascii_case(column.name()));
        declared.is_some_and(|(_, declared)| keeps(column.kind(), Affinity::of(declared)))
    };
    Ok(!collated && !triggered && shape.key_positions().iter().all(exact))
}

/// What a column does to the values it is given (<https://www.sqlite.org/datatype3.html>).
#[derive(Clone, Copy, PartialEq)]
enum Affinity {
    Whole, // INTEGER and NUMERIC: texts that look like numbers become numbers
    Real,
    Text,
    None,
}

impl Affinity {
    fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        match () {
            () if has(&["INT"]) => Self::Whole,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Self::Text,
            () if declared.is_empty() || has(&["BLOB"]) => Self::None,
            () if has(&["REAL", "FLOA", "DOUB"]) => Self::Real,
            () => Self::Whole,
        }
    }
}

/// Whether a column stores every two values of `kind` that differ as two that differ.
fn keeps(kind: Kind, affinity: Affinity) -> bool {
    match kind {
        Kind::Bool | Kind::Int2 | Kind::Int4 => true,
        Kind::Int8 => affinity != Affinity::Real, // a double has 53 bits
        Kind::Float4 | Kind::Float8 => affinity != Affinity::Text, // fifteen digits
        Kind::Text => matches!(affinity, Affinity::Text | Affinity::None),
        Kind::Bytes | Kind::Uuid | Kind::Timestamp | Kind::TimestampTz | Kind::Date => true,
        _ => false,
    }
}
