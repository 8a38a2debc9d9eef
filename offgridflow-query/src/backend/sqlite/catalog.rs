//! What the schema says about a table.

use super::failed;
use crate::error::{Cause, Class};
use crate::shape::Shape;
use crate::strategy::{Prepared, Strategy};
use crate::write::WriteError;
use sqlx::SqliteConnection;

/// The kind of relation that a name means: temporary ones come before those of `main`, and these before attached ones.
const KIND: &str = "SELECT type FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE \
     AND (?2 IS NULL OR schema = ?2 COLLATE NOCASE) \
     ORDER BY CASE schema WHEN 'temp' THEN 0 WHEN 'main' THEN 1 ELSE 2 END LIMIT 1";

/// Looks up the table of `shape`. One that is missing is left to the first INSERT, which says so.
pub(super) async fn prepare(conn: &mut SqliteConnection, shape: &Shape) -> Result<Prepared, WriteError> {
    let kind: Option<String> = sqlx::query_scalar(KIND)
        .bind(shape.table().to_owned())
        .bind(shape.schema().map(str::to_owned))
        .fetch_optional(&mut *conn)
        .await
        .map_err(|error| failed(&error))?;
    if kind.as_deref() == Some("view") {
        let what = format!("{:?} is a view; write to the table behind it", shape.table());
        return Err(WriteError::failed(Cause::new(Class::Schema, what)));
    }
    Ok(Prepared::new([Strategy::Blocks]))
}
