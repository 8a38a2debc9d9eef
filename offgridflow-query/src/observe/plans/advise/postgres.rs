//! Trials on PostgreSQL: a real index in a transaction that is rolled back, or one of HypoPG's where the table is too large.

use super::candidates::{self, Candidate, Key, Order};
use super::{
    AT_LEAST, AdviceLimits, IdleIndex, IdleReason, IndexAdvice, IndexVerdict, TryIndex, WriteCost,
    quoted_name, refused,
};
use crate::backend::built;
use crate::error::{Cause, Class};
use crate::gate::GateDatabase;
use crate::observe::plans::plan::Plan;
use crate::observe::plans::watch::{Explain, ExplainFor, explain_here, places};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Executor, PgConnection, Postgres, Row as _};
use std::time::Instant;

const TRIAL: &str = "offgridflow_trial";

const TABLE: &str = "SELECT pg_table_size(c.oid) AS bytes, \
     coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0) AS written, \
     (SELECT count(*) FROM pg_index WHERE indrelid = c.oid) AS indices, \
     EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'hypopg') AS hypopg, c.relispartition AS part \
     FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'm')";

/// Whether a valid index without a predicate begins with these columns already.
const COVERED: &str = "SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree' \
     WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts >= cardinality($2::text[]) \
     AND (SELECT array_agg(a.attname::text ORDER BY k.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, at) \
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.at <= cardinality($2::text[])) = $2::text[])";

/// What an index for LIKE is made with, by the column's type and collation: in that of C, all that begins alike is together anyway. NULL for other types.
const PATTERN: &str = "SELECT CASE \
     WHEN a.atttypid NOT IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN NULL \
     WHEN l.collname IN ('C', 'POSIX') THEN '' \
     WHEN l.collname = 'default' AND d.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' THEN '' \
     WHEN a.atttypid = 'bpchar'::regtype AND NOT $3 THEN ' bpchar_pattern_ops' ELSE ' text_pattern_ops' END \
     FROM pg_attribute a JOIN pg_collation l ON l.oid = a.attcollation, pg_database d \
     WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped AND d.datname = current_database()";

/// One index covers another if it begins with the same columns, classes, collations and directions; of two alike the older one stays.
const IDLE: &str = "SELECT s.relname::text AS on_table, s.indexrelname::text AS name, pg_relation_size(s.indexrelid) AS bytes, \
     (SELECT o.indexrelid::regclass::text FROM pg_index o WHERE o.indrelid = i.indrelid AND o.indexrelid <> i.indexrelid AND o.indisvalid \
     AND o.indpred IS NULL AND i.indpred IS NULL AND i.indexprs IS NULL AND o.indexprs IS NULL \
     AND (o.indnkeyatts > i.indnkeyatts OR o.indnkeyatts = i.indnkeyatts AND o.indexrelid < i.indexrelid) AND i.indnatts = i.indnkeyatts \
     AND (SELECT relam FROM pg_class WHERE oid = o.indexrelid) = (SELECT relam FROM pg_class WHERE oid = i.indexrelid) \
     AND (o.indkey::int2[])[0:i.indnkeyatts - 1] = (i.indkey::int2[])[0:i.indnkeyatts - 1] \
     AND (o.indclass::oid[])[0:i.indnkeyatts - 1] = (i.indclass::oid[])[0:i.indnkeyatts - 1] \
     AND (o.indcollation::oid[])[0:i.indnkeyatts - 1] = (i.indcollation::oid[])[0:i.indnkeyatts - 1] \
     AND (o.indoption::int2[])[0:i.indnkeyatts - 1] = (i.indoption::int2[])[0:i.indnkeyatts - 1] LIMIT 1) AS covered, s.idx_scan = 0 AS idle \
     FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid) WHERE NOT i.indisunique AND NOT i.indisexclusion ORDER BY 1, 2";

fn cause(error: sqlx::Error) -> Cause {
    Postgres::cause(&error)
}

fn bytes_of(row: &PgRow) -> Option<u64> {
    u64::try_from(row.try_get::<i64, _>("bytes").ok()?).ok()
}

impl TryIndex for Postgres {
    async fn advise(
        conn: &mut PgConnection,
        sql: &str,
        values: Option<PgArguments>,
        limits: &AdviceLimits,
    ) -> Result<Vec<IndexAdvice>, Cause> {
        let before = Self::explain(conn, sql, values.clone(), ExplainFor::ItsValues).await?;
        let asked = Asked { sql, values, before: &before };
        let mut advice = Vec::new();
        for candidate in candidates::of_plan(&before) {
            advice.extend(consider(conn, &candidate, &asked, limits).await?);
        }
        Ok(advice)
    }

    async fn idle(conn: &mut PgConnection) -> Result<Vec<IdleIndex>, Cause> {
        let rows = conn.fetch_all(sqlx::query(IDLE).persistent(false)).await.map_err(cause)?;
        let idle = |row: &PgRow| -> Result<Option<IdleIndex>, sqlx::Error> {
            let covered: Option<String> = row.try_get("covered")?;
            let never = row.try_get::<bool, _>("idle")?.then_some(IdleReason::NeverScanned);
            let Some(why) = covered.map(IdleReason::CoveredBy).or(never) else { return Ok(None) };
            let (table, index) = (row.try_get("on_table")?, row.try_get("name")?);
            Ok(Some(IdleIndex { table, index, why, bytes: bytes_of(row) }))
        };
        rows.iter().filter_map(|row| idle(row).transpose()).collect::<Result<_, _>>().map_err(cause)
    }
}

/// A statement, and what is known of it before anything is tried.
struct Asked<'a> {
    sql: &'a str,
    values: Option<PgArguments>,
    before: &'a Plan,
}

impl Asked<'_> {
    /// Whether its values are known, or it needs none.
    fn has_values(&self) -> bool {
        self.values.is_some() || places(self.sql) == 0
    }
}

/// `None` where the table is none of these rows', or has such an index: the planner has its reasons.
async fn consider(
    conn: &mut PgConnection,
    candidate: &Candidate,
    asked: &Asked<'_>,
    limits: &AdviceLimits,
) -> Result<Option<IndexAdvice>, Cause> {
    let (schema, table) = (candidate.schema.as_deref(), candidate.table.as_str());
    let name = quoted_name(schema, table)?;
    let facts = sqlx::query(TABLE)
        .bind(name.clone())
        .persistent(false)
        .fetch_optional(&mut *conn)
        .await
        .map_err(cause)?;
    let Some(facts) = facts else { return Ok(None) };
    if is_covered(conn, candidate, &name).await? {
        return Ok(None);
    }
    let Some(keys) = keys(conn, candidate, &name).await? else { return Ok(None) };
    let on = format!("{name} ({keys})");
    let number = |name: &str| {
        facts.try_get::<i64, _>(name).map(|value| u64::try_from(value).unwrap_or(0)).map_err(cause)
    };
    let (bytes, writes) =
        (number("bytes")?, WriteCost { rows_written: number("written")?, indices: number("indices")? });
    let verdict = if facts.try_get("part").map_err(cause)? {
        IndexVerdict::Inconclusive(
            "it is part of a partitioned table; try the index on the table that it is part of".into(),
        )
    } else if bytes <= limits.table_bytes {
        build(conn, candidate, &on, asked, limits).await?
    } else if candidate.has_function() {
        IndexVerdict::Inconclusive(
            "how many rows an expression finds is not known before an index on it is built, and the table is too large for a trial; use a copy".into(),
        )
    } else if facts.try_get("hypopg").map_err(cause)? {
        or_inconclusive(suppose(conn, &on, asked).await)?
    } else {
        let (size, most) = (bytes >> 20, limits.table_bytes >> 20);
        IndexVerdict::Inconclusive(format!(
            "the table has {size} MiB, more than the {most} MiB that may be indexed for a trial; HypoPG is not installed"
        ))
    };
    let for_like = candidate.keys.iter().any(|key| key.order == Order::Like);
    let verdict = match verdict {
        IndexVerdict::NoHelp if for_like && !asked.has_values() => IndexVerdict::Inconclusive(
            "whether an index serves LIKE depends on the pattern; give the values of an execution".into(),
        ),
        verdict => verdict,
    };
    let statement = format!("CREATE INDEX CONCURRENTLY ON {on}");
    let columns = candidate.keys.iter().map(Key::shown).collect();
    Ok(Some(IndexAdvice {
        table: candidate.table.clone(),
        columns,
        verdict,
        statement,
        writes: Some(writes),
    }))
}

/// Asked of columns alone: an index over an expression or for LIKE that could serve would be in the plan.
async fn is_covered(conn: &mut PgConnection, candidate: &Candidate, name: &str) -> Result<bool, Cause> {
    if !candidate.keys.iter().all(Key::is_plain) {
        return Ok(false);
    }
    let columns: Vec<String> = candidate.keys.iter().map(|key| key.column.clone()).collect();
    let covered = sqlx::query_scalar(COVERED).bind(name).bind(columns).persistent(false);
    covered.fetch_one(conn).await.map_err(cause)
}

/// `"site", lower("name") text_pattern_ops`; `None` where an index for LIKE is unknown for a column's type.
async fn keys(conn: &mut PgConnection, candidate: &Candidate, name: &str) -> Result<Option<String>, Cause> {
    let mut keys = Vec::new();
    for key in &candidate.keys {
        let mut text = key.sql().map_err(refused)?;
        if key.order == Order::Like {
            let asked = sqlx::query_scalar::<_, Option<String>>(PATTERN)
                .bind(name)
                .bind(&key.column)
                .bind(key.function.is_some());
            let class = asked.persistent(false).fetch_optional(&mut *conn).await.map_err(cause)?;
            let Some(class) = class.flatten() else { return Ok(None) };
            text.push_str(&class);
        }
        keys.push(text);
    }
    Ok(Some(keys.join(", ")))
}

/// A refusal is no verdict, but nothing to give the other candidates up for.
fn or_inconclusive(tried: Result<IndexVerdict, Cause>) -> Result<IndexVerdict, Cause> {
    match tried {
        Err(refusal) if refusal.class() != Class::Connection => {
            Ok(IndexVerdict::Inconclusive(refusal.to_string()))
        }
        tried => tried,
    }
}

async fn build(
    conn: &mut PgConnection,
    candidate: &Candidate,
    on: &str,
    asked: &Asked<'_>,
    limits: &AdviceLimits,
) -> Result<IndexVerdict, Cause> {
    let (lock, time) = (limits.lock.as_millis().max(1), limits.build.as_millis().max(1));
    let begin = format!("BEGIN; SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {time}");
    conn.execute(sqlx::raw_sql(built(begin))).await.map_err(cause)?;
    let tried = trial(conn, candidate, on, asked).await;
    conn.execute("ROLLBACK").await.map_err(|error| Cause::new(Class::Connection, error.to_string()))?;
    or_inconclusive(tried)
}

async fn trial(
    conn: &mut PgConnection,
    candidate: &Candidate,
    on: &str,
    asked: &Asked<'_>,
) -> Result<IndexVerdict, Cause> {
    let began = Instant::now();
    conn.execute(sqlx::raw_sql(built(format!("CREATE INDEX {TRIAL} ON {on}")))).await.map_err(cause)?;
    let took = began.elapsed();
    let schema = candidate.schema.as_deref();
    let facts = "SELECT indcheckxmin AS young, pg_relation_size(indexrelid) AS bytes FROM pg_index WHERE indexrelid = to_regclass($1)";
    let facts = sqlx::query(facts).bind(quoted_name(schema, TRIAL)?).persistent(false);
    let facts = facts.fetch_one(&mut *conn).await.map_err(cause)?;
    if facts.try_get::<bool, _>("young").map_err(cause)? {
        let why = "rows were updated lately, so a new index is hidden from the transaction that builds it (indcheckxmin); try again later";
        return Ok(IndexVerdict::Inconclusive(why.into()));
    }
    if candidate.has_function() {
        // Without statistics of its own every comparison is taken to find one row in two hundred.
        let analyze = format!("ANALYZE {}", quoted_name(schema, &candidate.table)?);
        conn.execute(sqlx::raw_sql(built(analyze))).await.map_err(cause)?;
    }
    let after = explain_here(conn, asked.sql, asked.values.clone()).await?;
    Ok(verdict(asked.before, &after, after.uses(TRIAL), Some(took), bytes_of(&facts)))
}

/// HypoPG's indices live in the session and survive a rollback: they are taken back whatever happens.
async fn suppose(conn: &mut PgConnection, on: &str, asked: &Asked<'_>) -> Result<IndexVerdict, Cause> {
    let made = sqlx::query("SELECT indexname::text AS name, hypopg_relation_size(indexrelid) AS bytes FROM hypopg_create_index($1)")
        .bind(format!("CREATE INDEX ON {on}"))
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(cause);
    let after = match &made {
        Ok(_) => Postgres::explain(conn, asked.sql, asked.values.clone(), ExplainFor::ItsValues).await,
        Err(refusal) => Err(refusal.clone()),
    };
    conn.execute("SELECT hypopg_reset()")
        .await
        .map_err(|error| Cause::new(Class::Connection, error.to_string()))?;
    let (made, after) = (made?, after?);
    let name: String = made.try_get("name").map_err(cause)?;
    Ok(verdict(asked.before, &after, after.uses(&name), None, bytes_of(&made)))
}

fn verdict(
    before: &Plan,
    after: &Plan,
    used: bool,
    build: Option<std::time::Duration>,
    bytes: Option<u64>,
) -> IndexVerdict {
    match (before.root.cost, after.root.cost) {
        (Some(before), Some(after)) if used && before >= after * AT_LEAST => {
            IndexVerdict::Helps { before, after, build, bytes }
        }
        _ => IndexVerdict::NoHelp,
    }
}
