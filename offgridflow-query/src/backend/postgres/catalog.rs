//! What the catalog says about a table, and which strategies that leaves.

use super::ends::{ENDS, Ends};
use super::errors::failed;
use super::wire::copies_into;
use super::{nodelay, settle};
use crate::backend::built;
use crate::delivery::LedgerEntry;
use crate::error::{Cause, Class};
use crate::ident::{Ident, target};
use crate::shape::{Column, Conflict, Kind, Shape};
use crate::strategy::{Prepared, Strategy};
use crate::transaction::Transact;
use crate::write::{WriteError, WritePlan};
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row as _};
use std::collections::HashMap;

/// What the error says, in the place of a number, where a table is not what it was.
pub(super) const CHANGED: &str = "the table changed while rows were written, session";

/// Columns whose types the parser is asked for.
const MOST_PARSED: usize = 64;
/// From how many rows on COPY is expected to win; the writer measures on from there. See `docs/design/query-writes.md`.
const COPY_ROWS: usize = 512;
/// The same for COPY into a staging table, which has to be made first.
const STAGING_ROWS: usize = 4_096;
/// The same where Nagle's algorithm stalls every COPY for 40 ms.
const STALLED_ROWS: usize = 32_768;

fn table_sql() -> String {
    format!(
        "SELECT c.relkind::text AS kind, row_security_active(c.oid) AS guarded, \
     EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '3') AS ruled, \
     EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '3' AND r.is_instead \
     AND pg_get_ruledef(r.oid) !~ 'DO INSTEAD NOTHING;$') AS diverted, \
     EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgtype & 7 = 7) AS rewritten, \
     EXISTS (SELECT 1 FROM pg_partition_tree(c.oid) p JOIN pg_trigger g ON g.tgrelid = p.relid WHERE g.tgtype & 7 = 7) AS rewritten_below, \
     EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgtype & 3 = 3 AND (g.tgrelid = c.oid \
     OR g.tgrelid IN (SELECT p.relid FROM pg_partition_tree(c.oid) p))) AS sifted, \
     EXISTS (SELECT 1 FROM pg_index i JOIN pg_collation l ON l.oid = ANY (i.indcollation) \
     WHERE i.indrelid = c.oid AND i.indisunique AND NOT l.collisdeterministic) AS collated, \
     EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique \
     AND to_jsonb(i) @> '{{\"indnullsnotdistinct\": true}}') AS nulls_equal, \
     has_database_privilege(current_database(), 'TEMP') AS temp, \
     EXISTS (SELECT 1 FROM pg_event_trigger e WHERE e.evtevent LIKE 'ddl_command_%' AND e.evtenabled IN ('O', 'A') \
     AND (e.evttags IS NULL OR 'CREATE TABLE AS' = ANY (e.evttags))) AS watched, {ENDS} AS ends, c.oid::int8 AS oid, \
     (CASE c.relpersistence WHEN 't' THEN 'pg_temp' ELSE n.nspname END)::text AS schema, c.relname::text AS name \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.oid = coalesce(to_regclass($2), to_regclass($1))"
    )
}

const COLUMNS: &str = "SELECT a.attname::text AS name, \
     (CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END)::int8 AS type, \
     (CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END)::int8 AS modifier, \
     a.attidentity::text AS identity, a.attgenerated::text AS generated, a.atttypid::int8 AS declared, \
     a.atttypmod::int8 AS own_modifier, a.attcollation::int8 AS collation \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped";

/// The facts about one table.
struct Table {
    name: String, // quoted, with its schema
    oid: i64,
    kind: String, // pg_class.relkind
    guarded: bool,
    ruled: bool,
    diverted: bool,        // a rule stores rows elsewhere
    rewritten: bool,       // a trigger sees each row before it is stored, and may change its key
    rewritten_below: bool, // the same of a partition's
    sifted: bool,          // a trigger sees each row before it is stored or updated, and may drop it
    collated: bool,        // a unique index calls texts equal whose bytes differ
    nulls_equal: bool,     // a unique index calls NULLs equal (PostgreSQL 15)
    temp: bool,
    watched: bool, // an event trigger sees tables made, and may refuse them
    ends: Option<Ends>,
    columns: HashMap<String, Attribute>,
}

struct Attribute {
    declared: i64,      // the type's OID
    compared: [i64; 2], // its modifier and the collation, as declared
    kind: u32,          // the same; of a domain, what it is made of
    modified: bool,     // its declaration cuts or rounds values: varchar(3), numeric(4, 1)
    generated: bool,
    always_identity: bool,
}

/// Looks up the table of `shape`, in a transaction of its own.
pub(super) async fn prepare(
    conn: &mut PgConnection,
    shape: &Shape,
    plan: &WritePlan,
) -> Result<Prepared, WriteError> {
    let table = look_up(conn, shape, plan).await?;
    let table = table.ok_or_else(|| refused("42P01", shape.missing()))?;
    let types = table.types(shape)?;
    if table.kind == "f" && plan.conflict != Conflict::Error {
        let why = "is a foreign table, whose server cannot be told what to do with keys that exist: write to the table there, or without a conflict rule";
        return Err(refused("0A000", format!("{} {why}", table.name)));
    }
    let server = settle::server(conn).await.map_err(|error| failed(&error))?;
    let bulk = if plan.conflict == Conflict::Error { Strategy::Copy } else { Strategy::Staging };
    let mut prepared = match table.objection(bulk, shape, &types) {
        None => Prepared::new([Strategy::Unnest, bulk]),
        Some(why) => Prepared::new([Strategy::Unnest]).refusing(bulk, why),
    };
    prepared.exact_key = table.has_exact_key(shape);
    prepared.sifted = table.sifted;
    prepared.bulk_rows = table.bulk_rows(bulk);
    (prepared.types, prepared.server) = (types, server);
    prepared.unchanged = Some(table.unchanged(shape, &plan.conflict));
    prepared.target = Some(table.name.into());
    prepared.ledger = ledger(conn, plan).await.map_err(|error| failed(&error))?;
    Ok(prepared)
}

/// With values, so inside a transaction and prepared for one use: a transaction pooler may stand in between.
async fn look_up(
    conn: &mut PgConnection,
    shape: &Shape,
    plan: &WritePlan,
) -> Result<Option<Table>, WriteError> {
    let name = shape.target().map_err(super::errors::unbuildable)?;
    conn.begin().await.map_err(WriteError::failed)?;
    let found = read(conn, name, plan.prepared.target.as_deref()).await;
    conn.rollback().await.map_err(WriteError::failed)?;
    found.map_err(|error| failed(&error))
}

/// The table that `before` names, if it was looked up before and is still there, so that a session whose search path leads elsewhere changes
/// nothing; else the one that `name` means.
async fn read(
    conn: &mut PgConnection,
    name: String,
    before: Option<&str>,
) -> Result<Option<Table>, sqlx::Error> {
    let asked = sqlx::query(built(table_sql())).bind(name).bind(before.map(str::to_owned)).persistent(false);
    let Some(facts) = conn.fetch_optional(asked).await? else { return Ok(None) };
    let oid: i64 = facts.try_get("oid")?;
    let (schema, table): (String, String) = (facts.try_get("schema")?, facts.try_get("name")?);
    let columns: Result<_, sqlx::Error> = conn
        .fetch_all(sqlx::query(COLUMNS).bind(oid).persistent(false))
        .await?
        .iter()
        .map(|row| Ok((row.try_get("name")?, attribute(row)?)))
        .collect();
    Ok(Some(Table {
        name: target(Some(&schema), &table).unwrap_or(table), // the server's own names can be quoted
        oid,
        kind: facts.try_get("kind")?,
        guarded: facts.try_get("guarded")?,
        ruled: facts.try_get("ruled")?,
        diverted: facts.try_get("diverted")?,
        rewritten: facts.try_get("rewritten")?,
        rewritten_below: facts.try_get("rewritten_below")?,
        sifted: facts.try_get("sifted")?,
        collated: facts.try_get("collated")?,
        nulls_equal: facts.try_get("nulls_equal")?,
        temp: facts.try_get("temp")?,
        watched: facts.try_get("watched")?,
        ends: Ends::of(&facts),
        columns: columns?,
    }))
}

/// The ledger of the plan with the schema in which it is found, before or now.
async fn ledger(conn: &mut PgConnection, plan: &WritePlan) -> Result<Option<LedgerEntry>, sqlx::Error> {
    let Some(entry) = &plan.ledger else { return Ok(None) };
    if entry.schema.is_some() {
        return Ok(plan.ledger.clone());
    }
    let before = plan.prepared.ledger.as_ref().and_then(|entry| entry.target().ok());
    let name = entry.target().unwrap_or_default();
    let sql = format!(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = coalesce(to_regclass({}), to_regclass({}))",
        literal(before.as_deref().unwrap_or(&name)),
        literal(&name)
    );
    let found = conn.fetch_optional(sqlx::raw_sql(built(sql))).await?;
    let schema = found.map(|row| row.try_get::<String, _>(0)).transpose()?;
    Ok(Some(match schema {
        Some(schema) => entry.clone().in_schema(schema),
        None => entry.clone(),
    }))
}

fn attribute(row: &PgRow) -> Result<Attribute, sqlx::Error> {
    Ok(Attribute {
        declared: row.try_get("declared")?,
        compared: [row.try_get("own_modifier")?, row.try_get("collation")?],
        kind: u32::try_from(row.try_get::<i64, _>("type")?).unwrap_or(0),
        modified: row.try_get::<i64, _>("modifier")? != -1,
        generated: !row.try_get::<String, _>("generated")?.is_empty(),
        always_identity: row.try_get::<String, _>("identity")? == "a",
    })
}

fn refused(code: &str, why: String) -> WriteError {
    WriteError::failed(Cause::new(Class::Schema, why).with_code(code))
}

impl Table {
    /// The types of the shape's columns, or why no strategy can fill them.
    fn types(&self, shape: &Shape) -> Result<Vec<u32>, WriteError> {
        let name = &self.name;
        let what = match self.kind.as_str() {
            "r" | "p" | "f" => None,
            "v" => Some("a view; write to the table behind it"),
            "m" => Some("a materialized view; write to the tables behind it and refresh it"),
            "S" => Some("a sequence"),
            _ => Some("not a table"),
        };
        if let Some(what) = what {
            return Err(refused("42809", format!("{name} is {what}")));
        }
        if self.diverted {
            let why = format!(
                "{name} has a DO INSTEAD rule for INSERT: the server does not count what that stores. Write to the \
                 tables behind it, or make the rule a trigger"
            );
            return Err(refused("42809", why));
        }
        shape.columns().iter().map(|column| self.type_of(column)).collect()
    }

    fn type_of(&self, column: &Column) -> Result<u32, WriteError> {
        let (table, name) = (&self.name, column.name());
        let Some(attribute) = self.columns.get(name) else {
            return Err(refused("42703", format!("{table} has no column {name:?}")));
        };
        if attribute.generated {
            return Err(refused(
                "428C9",
                format!("{name:?} of {table} is generated: leave it out of the shape"),
            ));
        }
        if attribute.always_identity {
            let why = format!(
                "{name:?} of {table} is GENERATED ALWAYS AS IDENTITY: leave it out of the shape, or make it BY DEFAULT"
            );
            return Err(refused("428C9", why));
        }
        Ok(attribute.kind)
    }

    /// A query that fails, with [`CHANGED`] in its message, unless the table has the columns, rules and triggers that were looked up. COPY in
    /// binary format says no types: eight bytes of an integer would become a float without a word. Names and types are the parser's
    /// own, so that they are those of now even to a transaction that sees the past.
    fn unchanged(&self, shape: &Shape, conflict: &Conflict) -> Box<str> {
        let Self { oid, name, ruled, rewritten, .. } = self;
        let named = shape.columns().iter().filter_map(|column| {
            Some((column.name(), self.columns.get(column.name())?.declared.to_string()))
        });
        let (names, types): (Vec<_>, Vec<_>) = named.unzip();
        let now = if names.len() <= MOST_PARSED { self.parsed(&names) } else { self.listed(&names) };
        let (types, literal) = (types.join(","), literal(name));
        let keys = if *conflict == Conflict::Error { String::new() } else { self.keys_compare(shape) };
        format!(
            "SELECT CASE WHEN to_regclass({literal})::oid = {oid} AND {now} = '{{{types}}}'::int8[] \
             {keys}AND EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite WHERE ev_class = {oid} AND ev_type = '3') = {ruled} \
             AND EXISTS (SELECT 1 FROM pg_catalog.pg_trigger WHERE tgrelid = {oid} AND tgtype & 7 = 7) = {rewritten} \
             THEN 0 ELSE ('{CHANGED} ' || pg_backend_pid())::int8 END"
        )
        .into()
    }

    /// That the columns of the key round and compare as they did, `AND` behind it included.
    fn keys_compare(&self, shape: &Shape) -> String {
        let positions = shape.key_positions();
        let keys = positions.iter().map(|&at| shape.columns()[at].name());
        let found = keys.filter_map(|name| Some((literal(name), self.columns.get(name)?.compared)));
        let (names, compared): (Vec<_>, Vec<_>) =
            found.map(|(name, [modifier, collation])| (name, format!("{{{modifier},{collation}}}"))).unzip();
        if names.is_empty() {
            return String::new();
        }
        format!(
            "AND (SELECT array_agg(ARRAY[a.atttypmod::int8, a.attcollation::int8] ORDER BY n.at) \
             FROM unnest(ARRAY[{}]) WITH ORDINALITY AS n(name, at) JOIN pg_catalog.pg_attribute a \
             ON a.attname = n.name AND a.attrelid = {} AND a.attnum > 0) = '{{{}}}'::int8[] ",
            names.join(","),
            self.oid,
            compared.join(",")
        )
    }

    /// The types of columns as the parser knows them; each costs it the description of the whole row.
    fn parsed(&self, names: &[&str]) -> String {
        let quoted = names.iter().filter_map(|name| Ident::new(name).ok());
        let types = quoted.map(|name| format!("pg_typeof((NULL::{}).{name})::oid::int8", self.name));
        format!("ARRAY[{}]", types.collect::<Vec<_>>().join(","))
    }

    /// The types of columns as the catalog's tables have them.
    fn listed(&self, names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| literal(name)).collect();
        format!(
            "(SELECT array_agg(a.atttypid::int8 ORDER BY n.at) FROM unnest(ARRAY[{}]) WITH ORDINALITY AS n(name, at) \
             JOIN pg_catalog.pg_attribute a ON a.attname = n.name AND a.attrelid = {} AND a.attnum > 0)",
            names.join(","),
            self.oid
        )
    }

    /// Whether two keys are equal to the server exactly when their values are.
    fn has_exact_key(&self, shape: &Shape) -> bool {
        let exact = |column: &Column| {
            let attribute = self.columns.get(column.name());
            let distinct = !(self.nulls_equal && column.is_nullable());
            attribute.is_some_and(|attribute| {
                distinct && !attribute.modified && keeps(column.kind(), attribute.kind)
            })
        };
        let elsewhere = self.kind == "f" || self.rewritten || self.rewritten_below || self.collated;
        !elsewhere && shape.key_positions().iter().all(|&at| exact(&shape.columns()[at]))
    }

    /// Why `bulk`, which goes through COPY, is not allowed: where COPY and INSERT differ, INSERT counts.
    fn objection(&self, bulk: Strategy, shape: &Shape, types: &[u32]) -> Option<String> {
        if let Some((column, _)) =
            shape.columns().iter().zip(types).find(|(column, kind)| !copies_into(column.kind(), **kind))
        {
            let (name, kind) = (column.name(), column.kind());
            return Some(format!(
                "the type of column {name:?} is not the one that {kind:?} has, and COPY converts nothing"
            ));
        }
        if bulk == Strategy::Staging {
            if shape.columns().len() >= super::MAX_COLUMNS {
                return Some("the staging table would have a column more than a table can have".to_owned());
            }
            let why = match self {
                Self { temp: false, .. } => "the role may not make temporary tables in this database",
                Self { watched: true, .. } => {
                    "an event trigger sees CREATE TABLE AS, which makes the staging table, and may refuse it"
                }
                _ => return None,
            };
            return Some(why.to_owned());
        }
        match self {
            Self { guarded: true, .. } => Some("row security is active, which COPY refuses".to_owned()),
            Self { ruled: true, .. } => {
                Some("the table has a rule for INSERT, which COPY passes by".to_owned())
            }
            Self { kind, .. } if kind == "f" => Some("it is a foreign table".to_owned()),
            _ => None,
        }
    }

    /// A connection without a port is a Unix socket, which knows no Nagle.
    fn bulk_rows(&self, bulk: Strategy) -> usize {
        let prompt = self.ends.as_ref().is_none_or(nodelay::ensure);
        match bulk {
            _ if !prompt => STALLED_ROWS,
            Strategy::Staging => STAGING_ROWS,
            _ => COPY_ROWS,
        }
    }
}

/// A text as SQL.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Whether a column of `oid` stores every two values of `kind` that differ as two that differ.
fn keeps(kind: Kind, oid: u32) -> bool {
    const INTEGERS: [u32; 3] = [21, 23, 20]; // int2, int4, int8
    match kind {
        Kind::Bool => oid == 16,
        Kind::Int2 | Kind::Int4 | Kind::Int8 => INTEGERS.contains(&oid) || oid == 1_700,
        Kind::Float4 => oid == 700 || oid == 701,
        Kind::Float8 => oid == 701,
        Kind::Text => oid == 25 || oid == 1_043,
        Kind::Bytes => oid == 17,
        Kind::Uuid => oid == 2_950,
        Kind::Timestamp => oid == 1_114,
        Kind::TimestampTz => oid == 1_184,
        Kind::Date => oid == 1_082,
        Kind::Numeric => oid == 1_700,
        _ => false,
    }
}
