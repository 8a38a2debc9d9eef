//! UNNEST: one array a column, and one constant text for a shape and a conflict rule, however many rows.

use super::wire::{ColumnArray, wire};
use crate::backend::built;
use crate::chunk::Slice;
use crate::error::ConfigError;
use crate::ident::Ident;
use crate::shape::{Conflict, Element, Kind, Shape};
use crate::strategy::Prepared;
use crate::write::WritePlan;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Connection as _, PgConnection, Row as _};

pub(super) struct Statement {
    sql: String,
    /// Whether it answers with the ordinals it stored, rather than with a count.
    names_stored: bool,
}

/// The parts that both ways of inserting, from arrays and from a staging table, are made of.
pub(super) struct Parts {
    pub(super) target: String,
    pub(super) columns: String,
    pub(super) values: String, // c0, c1, … with their casts
    pub(super) clause: String,
    /// By the key in the server's own order, where there is a conflict rule; as the rows came where the first of several keys that
    /// only the server calls equal must be the one that is stored; else empty.
    pub(super) order: String,
}

/// What the statements of one write are made for.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) shape: &'a Shape,
    pub(super) conflict: &'a Conflict,
    pub(super) prepared: &'a Prepared,
}

impl<'a> Subject<'a> {
    pub(super) fn new(shape: &'a Shape, plan: &'a WritePlan) -> Self {
        Self { shape, conflict: &plan.conflict, prepared: &plan.prepared }
    }

    /// The table that was looked up, with its schema; one that was not, by its name.
    pub(super) fn target(&self) -> Result<String, ConfigError> {
        self.prepared.target.as_deref().map_or_else(|| self.shape.target(), |target| Ok(target.to_owned()))
    }

    /// Whether the source of a statement numbers its rows as they came: DO NOTHING stores the first of a key.
    pub(super) fn is_numbered(&self) -> bool {
        *self.conflict == Conflict::Ignore
    }

    /// Whether a statement under DO NOTHING can name the rows it stored: where keys come back as they were sent.
    pub(super) fn names_stored(&self) -> bool {
        *self.conflict == Conflict::Ignore && self.prepared.exact_key
    }
}

impl Parts {
    pub(super) fn new(subject: &Subject<'_>, casts: bool) -> Result<Self, ConfigError> {
        let Subject { shape, conflict, .. } = *subject;
        let value = |at: usize| {
            let cast = if casts { wire(shape.columns()[at].kind()).cast } else { "" };
            format!("c{at}{cast}")
        };
        let values: Vec<String> = (0..shape.columns().len()).map(value).collect();
        let sorts = |at: &usize| *conflict != Conflict::Error && has_order(shape.columns()[*at].kind());
        let keys: Vec<String> = shape.key_positions().into_iter().filter(sorts).map(value).collect();
        let order = match keys.as_slice() {
            [] => String::new(),
            _ if subject.is_numbered() => " ORDER BY ord".to_owned(),
            keys => format!(" ORDER BY {}", keys.join(", ")),
        };
        Ok(Self {
            target: subject.target()? + shape.alias(),
            columns: shape.column_list()?,
            values: values.join(", "),
            clause: conflict.clause(shape)?,
            order,
        })
    }

    /// Inserts what `source` holds, and answers with a count.
    pub(super) fn insert(&self, source: &str) -> String {
        let Self { target, columns, values, clause, order } = self;
        format!("INSERT INTO {target} ({columns}) SELECT {values} FROM {source}{order}{clause}")
    }

    /// DO NOTHING that names what it stored: the server joins the keys that RETURNING gives with the keys it was sent,
    /// by its own idea of equality, and answers with the first ordinal of each. `source` is called `s` and has `ord`. In the order of
    /// the keys, so that writers of the same keys wait for each other in one order.
    pub(super) fn insert_naming(
        &self,
        shape: &Shape,
        source: &str,
        casts: bool,
    ) -> Result<String, ConfigError> {
        let (mut returning, mut on, mut group, mut order) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, position) in shape.key_positions().into_iter().enumerate() {
            let column = &shape.columns()[position];
            let cast = if casts { wire(column.kind()).cast } else { "" };
            returning.push(format!("{} AS k{n}", Ident::new(column.name())?));
            on.push(format!("i.k{n} = s.c{position}{cast}"));
            group.push(format!("i.k{n}"));
            order.push(format!("c{position}{cast}"));
        }
        let (returning, on, group) = (returning.join(", "), on.join(" AND "), group.join(", "));
        let order = order.join(", ");
        let Self { target, columns, values, clause, .. } = self;
        Ok(format!(
            "WITH s AS MATERIALIZED ({source}), \
             i AS (INSERT INTO {target} ({columns}) SELECT {values} FROM s ORDER BY {order}, ord{clause} RETURNING {returning}) \
             SELECT (SELECT count(*) FROM i), \
             ARRAY(SELECT min(s.ord) FROM s JOIN i ON {on} GROUP BY {group})"
        ))
    }
}

/// Whether the server can sort what a value is sent as: JSON it cannot.
fn has_order(kind: Kind) -> bool {
    !matches!(kind, Kind::Json | Kind::Array(Element::Json))
}

impl Statement {
    pub(super) fn new(subject: &Subject<'_>) -> Result<Self, ConfigError> {
        let (parts, shape) = (Parts::new(subject, true)?, subject.shape);
        if !subject.names_stored() {
            let plain = || {
                let (arrays, aliases) = arrays(shape);
                format!("UNNEST({arrays}) AS u({aliases})")
            };
            let sql = parts.insert(&if subject.is_numbered() { numbered(shape) } else { plain() });
            return Ok(Self { sql, names_stored: false });
        }
        let source = format!("SELECT * FROM {}", numbered(shape));
        Ok(Self { sql: parts.insert_naming(shape, &source, true)?, names_stored: true })
    }

    /// Runs it; the positions of the rows it skipped, or `None` if only their number is known.
    pub(super) async fn run(
        &self,
        conn: &mut PgConnection,
        slice: &Slice<'_>,
        by_name: bool,
    ) -> Result<Option<Vec<usize>>, sqlx::Error> {
        let query = sqlx::query_with(built(self.sql.clone()), arguments(slice)?).persistent(by_name);
        if self.names_stored {
            return named(&query.fetch_one(conn).await?, slice.len());
        }
        let stored = query.execute(&mut *conn).await?.rows_affected();
        if stored == 0 && by_name {
            // Prepared under a rule that did nothing instead, it would go on doing nothing when the rule is gone.
            conn.clear_cached_statements().await?;
        }
        Ok(counted(stored, slice.len()))
    }
}

/// The parameters of a shape, one array a column, and the names c0, c1, … of what is in them.
fn arrays(shape: &Shape) -> (String, String) {
    let columns = shape.columns().iter().enumerate();
    let arrays: Vec<String> =
        columns.map(|(i, c)| format!("${}::{}[]", i + 1, wire(c.kind()).name)).collect();
    let aliases: Vec<String> = (0..shape.columns().len()).map(|i| format!("c{i}")).collect();
    (arrays.join(", "), aliases.join(", "))
}

/// Rows with their place in `ord`, counted from 1.
pub(super) fn numbered(shape: &Shape) -> String {
    let (arrays, aliases) = arrays(shape);
    format!("UNNEST({arrays}) WITH ORDINALITY AS u({aliases}, ord)")
}

/// What [`arrays`] are given.
pub(super) fn arguments(slice: &Slice<'_>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for column in 0..slice.shape().columns().len() {
        arguments.add(ColumnArray { slice, column }).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// What a count says about which of `rows` rows were skipped; `None` if it takes more to say which.
pub(super) fn counted(stored: u64, rows: usize) -> Option<Vec<usize>> {
    match stored {
        0 => Some((0..rows).collect()),
        n if n >= rows as u64 => Some(Vec::new()),
        _ => None,
    }
}

/// What a count and the ordinals of the rows stored say.
pub(super) fn named(answer: &sqlx::postgres::PgRow, rows: usize) -> Result<Option<Vec<usize>>, sqlx::Error> {
    let (inserted, stored): (i64, Vec<i64>) = (answer.try_get(0)?, answer.try_get(1)?);
    if usize::try_from(inserted) == Ok(stored.len()) {
        return Ok(Some(missing(&stored, rows)));
    }
    Ok(counted(inserted.unsigned_abs(), rows))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_that_are_missing_were_skipped() {
        assert_eq!(missing(&[1, 3], 4), [1, 3]);
        assert_eq!(missing(&[], 2), [0, 1]);
    }
}
