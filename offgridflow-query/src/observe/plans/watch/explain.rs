//! Asking a database how it would answer a statement.

use crate::backend::built;
use crate::error::{Cause, Class};
use crate::gate::GateDatabase;
#[cfg(feature = "postgres")]
use crate::observe::entry::is_read;
use crate::observe::fingerprint::beginning;
#[cfg(feature = "postgres")]
use crate::observe::fingerprint::normalize;
use crate::observe::lexer::Lexer;
use crate::observe::plans::plan::Plan;
use sqlx::Executor;
#[cfg(feature = "sqlite")]
use sqlx::Row as _;
use std::future::Future;

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExplainFor {
    /// The values of one execution, where they are at hand; else as [`AnyValues`](Self::AnyValues).
    #[default]
    ItsValues,
    /// Any values: PostgreSQL's generic plan, SQLite's before it looks at what is bound (which it does for LIKE and GLOB).
    AnyValues,
    /// One run: the statement, a SELECT, is executed once more with its values, and each step is [measured](crate::Measured)
    /// (PostgreSQL's ANALYZE). What a function in it does outside the database is done once more as well. SQLite measures nothing.
    ItsRun,
}

/// A database that can be asked for plans.
pub trait Explain: GateDatabase {
    /// Asks how `sql` would be answered, without running it unless asked to, in a read-only transaction under time limits (100 ms
    /// for locks, 1 s in all).
    ///
    /// # Errors
    /// [`Class::Schema`] for what has no plan (several statements at once, DDL) and for what is not run (all but SELECT, and a SELECT
    /// without the values it needs); else the database's refusal. The connection is then in no transaction, unless the class is
    /// [`Class::Connection`].
    fn explain(
        conn: &mut Self::Connection,
        sql: &str,
        values: Option<Self::Arguments>,
        what: ExplainFor,
    ) -> impl Future<Output = Result<Plan, Cause>> + Send;
}

const WITH_PLANS: [&str; 7] = ["select", "insert", "update", "delete", "with", "values", "merge"];

/// The statement alone, without its final semicolon, if it has a plan.
pub(crate) fn single(sql: &str) -> Result<&str, Cause> {
    let refuse = |why: &str| Err(Cause::new(Class::Schema, why.to_owned()));
    let normal = beginning(sql, 64);
    let first = normal.trim_start_matches('(').split([' ', '(']).next().unwrap_or_default();
    if !WITH_PLANS.contains(&first) {
        return refuse("only SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES have a plan");
    }
    // Where texts and comments end differs from one database to the next, so no semicolon is trusted, not even a quoted one: better no
    // plan than a second statement.
    let alone = sql.trim_end_matches(|last: char| last.is_whitespace() || last == ';');
    if alone.contains(';') {
        return refuse("a text with a semicolon in it may be several statements, which have no plan");
    }
    Ok(alone)
}

#[cfg(feature = "postgres")]
impl Explain for sqlx::Postgres {
    async fn explain(
        conn: &mut sqlx::PgConnection,
        sql: &str,
        values: Option<sqlx::postgres::PgArguments>,
        what: ExplainFor,
    ) -> Result<Plan, Cause> {
        let sql = postgres::single(sql)?;
        if what == ExplainFor::ItsRun {
            runnable(sql, values.is_some())?;
        }
        let begin = "BEGIN READ ONLY; SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '1s'";
        conn.execute(begin).await.map_err(|error| Self::cause(&error))?;
        let answer = match what {
            ExplainFor::ItsValues => postgres::ask(conn, sql, values).await,
            ExplainFor::AnyValues => postgres::ask(conn, sql, None).await,
            ExplainFor::ItsRun => postgres::run(conn, sql, values.unwrap_or_default()).await,
        };
        conn.execute("ROLLBACK").await.map_err(|error| Cause::new(Class::Connection, error.to_string()))?;
        postgres::read(answer)
    }
}

/// What may be executed once more: a SELECT whose values are known.
#[cfg(feature = "postgres")]
fn runnable(sql: &str, has_values: bool) -> Result<(), Cause> {
    let refuse = |why: &str| Err(Cause::new(Class::Schema, why.to_owned()));
    match (is_read(&normalize(sql)), has_values || places(sql) == 0) {
        (false, _) => refuse("only a SELECT is run to measure its plan"),
        (_, false) => refuse("a plan is measured with the values of one execution, which are not at hand"),
        (true, true) => Ok(()),
    }
}

/// The same in the transaction that the connection is in, for PostgreSQL.
#[cfg(feature = "postgres")]
pub(crate) async fn explain_here(
    conn: &mut sqlx::PgConnection,
    sql: &str,
    values: Option<sqlx::postgres::PgArguments>,
) -> Result<Plan, Cause> {
    postgres::read(postgres::ask(conn, postgres::single(sql)?, values).await)
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::{Cause, Class, Executor, GateDatabase, Plan, built};
    use sqlx::postgres::{PgArguments, PgConnection, PgRow};
    use sqlx::{Postgres, Row as _};

    const STATEMENT: &str = "offgridflow_explained";
    /// Parameters that a statement has at most.
    const PLACES: usize = 65_535;

    /// The statement alone, with as many parameters as it can have.
    pub(super) fn single(sql: &str) -> Result<&str, Cause> {
        let sql = super::single(sql)?;
        if super::places(sql) > PLACES {
            let why =
                format!("it has a parameter with a number beyond {PLACES}, which PostgreSQL does not take");
            return Err(Cause::new(Class::Schema, why));
        }
        Ok(sql)
    }

    pub(super) async fn ask(
        conn: &mut PgConnection,
        sql: &str,
        values: Option<PgArguments>,
    ) -> Result<String, sqlx::Error> {
        match values {
            Some(values) => with(conn, "FORMAT JSON, VERBOSE", sql, values).await,
            None => generic(conn, sql).await,
        }
    }

    /// Executes the statement, and measures it.
    pub(super) async fn run(
        conn: &mut PgConnection,
        sql: &str,
        values: PgArguments,
    ) -> Result<String, sqlx::Error> {
        with(conn, "FORMAT JSON, VERBOSE, ANALYZE, BUFFERS", sql, values).await
    }

    /// By the extended protocol, which takes one statement and no second.
    async fn with(
        conn: &mut PgConnection,
        options: &str,
        sql: &str,
        values: PgArguments,
    ) -> Result<String, sqlx::Error> {
        let asked = sqlx::query_with(built(format!("EXPLAIN ({options}) {sql}\n")), values);
        text(&conn.fetch_one(asked.persistent(false)).await?)
    }

    pub(super) fn read(answer: Result<String, sqlx::Error>) -> Result<Plan, Cause> {
        let json = answer.map_err(|error| Postgres::cause(&error))?;
        let unread = |error| Cause::new(Class::Other, format!("cannot read the plan: {error}"));
        crate::observe::plans::plan::postgres::parse(&json).map_err(unread)
    }

    /// A plan for any values, of what was prepared for it: as old as PostgreSQL 12. What is prepared is no part of a transaction, and in one
    /// that failed it cannot be let go: a leftover of an earlier question goes first.
    async fn generic(conn: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
        let places = super::places(sql);
        if places == 0 {
            return with(conn, "FORMAT JSON, VERBOSE", sql, PgArguments::default()).await;
        }
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_prepared_statements WHERE name = $1")
            .bind(STATEMENT)
            .persistent(false)
            .fetch_one(&mut *conn)
            .await?;
        if left > 0 {
            conn.execute(sqlx::raw_sql(built(format!("DEALLOCATE {STATEMENT}")))).await?;
        }
        let nulls = vec!["NULL"; places].join(", ");
        conn.execute(sqlx::query(built(format!("PREPARE {STATEMENT} AS {sql}\n"))).persistent(false)).await?;
        let asked = format!(
            "SET LOCAL plan_cache_mode = force_generic_plan; EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE {STATEMENT} ({nulls})"
        );
        let answer = conn.fetch_one(sqlx::raw_sql(built(asked))).await?;
        conn.execute(sqlx::raw_sql(built(format!(
            "SET LOCAL plan_cache_mode = auto; DEALLOCATE {STATEMENT}"
        ))))
        .await?;
        text(&answer)
    }

    /// JSON in the binary format is its text.
    fn text(row: &PgRow) -> Result<String, sqlx::Error> {
        row.try_get_unchecked(0)
    }
}

/// Whether values have to be bound.
#[cfg(feature = "sqlite")]
pub(crate) fn has_places(sql: &str) -> bool {
    let mut lexer = Lexer::new(sql.as_bytes());
    std::iter::from_fn(|| lexer.next_text()).any(|text| {
        let named = text.len() > 1 && matches!(text[0], b'$' | b':' | b'@');
        text.starts_with(b"?") || named
    })
}

/// The highest number of a `$n` outside strings, names and comments.
#[cfg(feature = "postgres")]
pub(crate) fn places(sql: &str) -> usize {
    let mut lexer = Lexer::new(sql.as_bytes());
    let mut most = 0;
    while let Some(text) = lexer.next_text() {
        let digits = text.strip_prefix(b"$").filter(|rest| rest.iter().all(u8::is_ascii_digit));
        let number =
            digits.and_then(|digits| str::from_utf8(digits).ok()).filter(|digits| !digits.is_empty());
        most = most.max(number.map_or(0, |number| number.parse().unwrap_or(usize::MAX)));
    }
    most
}

#[cfg(feature = "sqlite")]
impl Explain for sqlx::Sqlite {
    async fn explain(
        conn: &mut sqlx::SqliteConnection,
        sql: &str,
        values: Option<sqlx::sqlite::SqliteArguments>,
        what: ExplainFor,
    ) -> Result<Plan, Cause> {
        let asked = built(format!("EXPLAIN QUERY PLAN {}\n", single(sql)?));
        // A plan is made of the schema that the connection remembers, and only what is run looks whether it still holds.
        conn.execute("SELECT 1 FROM sqlite_schema LIMIT 1").await.map_err(|error| Self::cause(&error))?;
        let rows = match values.filter(|_| what == ExplainFor::ItsValues) {
            Some(values) => conn.fetch_all(sqlx::query_with(asked, values).persistent(false)).await,
            None => conn.fetch_all(sqlx::raw_sql(asked)).await,
        };
        let rows = rows.map_err(|error| Self::cause(&error))?;
        let line = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(3)?));
        let lines: Result<Vec<_>, sqlx::Error> = rows.iter().map(line).collect();
        Ok(crate::observe::plans::plan::sqlite::parse(&lines.map_err(|error| Self::cause(&error))?))
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_outside_strings_names_and_comments() {
        let cases = [
            ("select $1, $12", 12),
            ("select 'a $9', \"it's $8\", $$ $7 $$, $x$ $6 $x$, $2 /* /* $5 */ $4 */ -- $3", 2),
            ("select E'\\' $9', a$8 from t where b=$1", 1),
            ("select $99999999999999999999999", usize::MAX),
            ("select a", 0),
        ];
        for (sql, most) in cases {
            assert_eq!(places(sql), most, "{sql}");
        }
    }
}
