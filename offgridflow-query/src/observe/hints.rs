//! What is to be done for a statement wherever it is asked: lane, time limit, cache, hint.

use crate::observe::fingerprint::Fingerprint;
use crate::pool::{Acquire, Lane};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How one statement is to be treated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// The lane in which its connection is waited for.
    pub lane: Option<Lane>,
    /// How long its connection may be waited for.
    pub wait: Option<Duration>,
    /// How long its answer may be kept in a cache; `None` for not at all. The tables whose change ends that are [`write_set`](crate::write_set)'s.
    pub keep_for: Option<Duration>,
    /// A comment that begins the text, for databases that heed one, by the database's name: `("postgresql", "IndexScan(t t_at_idx)")`
    /// (pg_hint_plan).
    pub index: Vec<(&'static str, String)>,
}

/// Hints by statement. Shared behind an `Arc`; may be changed while it is used.
///
/// ```
/// use offgridflow_query::{Fingerprint, Hint, Hints, Lane};
/// use std::time::Duration;
/// let hints = Hints::default();
/// let report = Hint { lane: Some(Lane::Background), wait: Some(Duration::from_secs(5)), ..Hint::default() };
/// hints.set("SELECT site, sum(kwh) FROM readings WHERE year = 2024 GROUP BY site", report);
/// let asked = "select site, sum(kwh) from readings where year = $1 group by site";
/// assert_eq!(hints.of(Fingerprint::of(asked)).unwrap().lane, Some(Lane::Background));
/// # let _ = hints.acquire(Fingerprint::of(asked));
/// ```
#[derive(Debug, Default)]
pub struct Hints {
    by_statement: RwLock<HashMap<Fingerprint, Hint>>,
}

impl Hints {
    /// From now on, statements of the same [`Fingerprint`] as `sql` are treated so.
    pub fn set(&self, sql: &str, hint: Hint) {
        let mut hints = self.by_statement.write().unwrap_or_else(PoisonError::into_inner);
        hints.insert(Fingerprint::of(sql), hint);
    }

    /// How a statement is to be treated, if that was said.
    #[must_use]
    pub fn of(&self, statement: Fingerprint) -> Option<Hint> {
        self.by_statement.read().unwrap_or_else(PoisonError::into_inner).get(&statement).cloned()
    }

    /// How the connection of a statement is asked for.
    #[must_use]
    pub fn acquire(&self, statement: Fingerprint) -> Acquire {
        let hint = self.of(statement).unwrap_or_default();
        let ask = hint.lane.map_or_else(Acquire::default, Acquire::lane);
        match hint.wait {
            Some(wait) => ask.within(wait),
            None => ask,
        }
    }

    /// The text with its hint for `database` before it, as a comment; the text alone where there is none, or one that would end the comment.
    #[must_use]
    pub fn text(&self, database: &str, sql: &str) -> String {
        let hint = self.of(Fingerprint::of(sql)).unwrap_or_default();
        match hint.index.iter().find(|(name, text)| *name == database && !text.contains("*/")) {
            Some((_, text)) => format!("/*+ {text} */ {sql}"),
            None => sql.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stands_before_the_text_and_cannot_leave_its_comment() {
        let (hints, sql) = (Hints::default(), "SELECT a FROM t WHERE at > $1");
        let with = |text: &str| Hint { index: vec![("postgresql", text.into())], ..Hint::default() };
        hints.set(sql, with("IndexScan(t t_at)"));
        assert_eq!(hints.text("postgresql", sql), "/*+ IndexScan(t t_at) */ SELECT a FROM t WHERE at > $1");
        assert_eq!(hints.text("sqlite", sql), sql);
        assert_eq!(Fingerprint::of(&hints.text("postgresql", sql)), Fingerprint::of(sql));
        hints.set(sql, with("*/ DROP TABLE t; /*"));
        assert_eq!(hints.text("postgresql", sql), sql);
    }
}
