//! The statements of one request, and those that were asked again and again from one place: N+1.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::entry::is_lookup;
use crate::observe::fingerprint::Fingerprint;
use crate::observe::observer::Observer;

/// So many executions of one statement from one place in one scope are a finding, unless told otherwise.
const REPEATED: u64 = 5;
/// Statements and places that a scope tells apart; further ones are only counted.
const PLACES: usize = 1_024;

tokio::task_local! {
    static SCOPE: Arc<Tally>;
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    around: Option<Arc<Tally>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    statements: u64,
    places: HashMap<(Fingerprint, Place), (String, u64)>,
}

/// Where a statement was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Code(&'static Location<'static>),
    /// The span around it: as much as a layer knows.
    #[cfg(feature = "layer")]
    Span(&'static str, Option<(&'static str, u32)>),
    #[cfg(feature = "layer")]
    Nowhere,
}

impl From<&'static Location<'static>> for Place {
    fn from(at: &'static Location<'static>) -> Self {
        Self::Code(at)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(at) => at.fmt(f),
            #[cfg(feature = "layer")]
            Self::Span(name, Some((file, line))) => write!(f, "the span `{name}` ({file}:{line})"),
            #[cfg(feature = "layer")]
            Self::Span(name, None) => write!(f, "the span `{name}`"),
            #[cfg(feature = "layer")]
            Self::Nowhere => f.write_str("outside any span"),
        }
    }
}

/// The scope that the current task is in.
pub(super) fn current() -> Option<Arc<Tally>> {
    SCOPE.try_with(Arc::clone).ok()
}

/// Notes one statement in the scopes that the current task is in.
pub(super) fn note(fingerprint: Option<Fingerprint>, text: &str, at: Place) {
    let _ = SCOPE.try_with(|tally| tally.note_all(fingerprint, text, at)); // no scope, nothing to note
}

impl Tally {
    /// Notes one statement here and in the scopes around.
    pub(super) fn note_all(&self, fingerprint: Option<Fingerprint>, text: &str, at: Place) {
        let mut inner = Some(self);
        while let Some(tally) = inner {
            tally.note(fingerprint, text, at);
            inner = tally.around.as_deref();
        }
    }

    fn note(&self, fingerprint: Option<Fingerprint>, text: &str, at: Place) {
        let mut seen = self.seen();
        seen.statements += 1;
        let Some(fingerprint) = fingerprint else { return };
        let room = seen.places.len() < PLACES;
        if let Some((_, times)) = seen.places.get_mut(&(fingerprint, at)) {
            *times += 1;
        } else if room {
            seen.places.insert((fingerprint, at), (text.to_owned(), 1));
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches what one request, job or test asks of the database.
///
/// Only statements are seen that an [`Observer`](crate::Observer) times, in the task that runs the scope; tasks that it spawns are not part of
/// it. Scopes within scopes count for both.
///
/// ```
/// use offgridflow_query::{Observer, QueryScope};
/// # use std::convert::Infallible;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let observer = Observer::new("sqlite");
/// let (_, asked) = QueryScope::new().run(async {
///     for id in 0..20 {
///         observer.time("SELECT name FROM sites WHERE id = ?", async { Ok::<_, Infallible>(id) }).await.unwrap();
///     }
/// }).await;
/// let [found] = &asked.repeated[..] else { panic!("one finding") };
/// assert_eq!((asked.statements, found.times), (20, 20));
/// assert!(found.to_string().contains("where id in (...)"), "{found}");
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct QueryScope {
    repeated: u64,
}

impl Default for QueryScope {
    fn default() -> Self {
        Self { repeated: REPEATED }
    }
}

impl QueryScope {
    /// A scope that finds statements which are executed five times from one place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds statements which are executed so many times from one place, twice at least.
    #[must_use]
    pub fn repeated(self, times: u64) -> Self {
        Self { repeated: times.max(2) }
    }

    /// Runs `work`, and keeps what it found with `observer`, for [`findings`](crate::Observer::findings): also where it panics or is dropped half-way, as the
    /// requests are that took their callers too long.
    ///
    /// # Cancel safety
    /// As `work`.
    pub async fn run_for<T>(self, observer: &Observer, work: impl Future<Output = T>) -> T {
        self.begin(observer).run(work).await
    }

    /// The scope before there is a future to run in it.
    pub(super) fn begin(self, observer: &Observer) -> Begun {
        let tally = Arc::new(Tally { around: current(), seen: Mutex::default() });
        Begun { tally, repeated: self.repeated, observer: observer.clone() }
    }

    /// Runs `work`, and says what it asked.
    ///
    /// # Cancel safety
    /// As `work`; what was seen is gone then.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> (T, ScopeReport) {
        let tally = Arc::new(Tally { around: current(), seen: Mutex::default() });
        let result = SCOPE.scope(Arc::clone(&tally), work).await;
        let seen = std::mem::take(&mut *tally.seen());
        (result, ScopeReport::new(seen, self.repeated))
    }
}

/// A scope whose findings go to an observer, however it ends.
pub(super) struct Begun {
    tally: Arc<Tally>,
    repeated: u64,
    observer: Observer,
}

impl Begun {
    /// Runs what makes the future.
    #[cfg(feature = "tower")]
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(Arc::clone(&self.tally), work)
    }

    pub(super) async fn run<T>(self, work: impl Future<Output = T>) -> T {
        SCOPE.scope(Arc::clone(&self.tally), work).await
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let seen = std::mem::take(&mut *self.tally.seen());
        self.observer.found(&ScopeReport::new(seen, self.repeated));
    }
}

/// What a scope asked of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ScopeReport {
    /// Executions.
    pub statements: u64,
    /// Reads that were executed again and again from one place, the most frequent first.
    pub repeated: Vec<RepeatedQuery>,
}

/// One statement, executed again and again from one place in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RepeatedQuery {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Its normal form, without values.
    pub text: String,
    /// Executions.
    pub times: u64,
    /// File, line and column.
    pub at: String,
    /// The same question for many keys at once, where the text shows how.
    pub instead: Option<String>,
}

impl ScopeReport {
    /// Writes in a loop are no N+1: they are what a batch is for, or meant to be one by one. Nor is what asks for the next page, a lock or
    /// many keys at once.
    fn new(seen: Seen, least: u64) -> Self {
        let often = seen.places.into_iter().filter(|(_, (text, times))| *times >= least && is_lookup(text));
        let mut repeated: Vec<_> = often
            .map(|((fingerprint, at), (text, times))| RepeatedQuery {
                fingerprint,
                instead: rewritten(&text),
                text,
                times,
                at: at.to_string(),
            })
            .collect();
        repeated.sort_by(|one, other| (other.times, &one.at).cmp(&(one.times, &other.at)));
        Self { statements: seen.statements, repeated }
    }
}

impl fmt::Display for RepeatedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times from {}: {}", self.times, self.at, self.text)?;
        match &self.instead {
            Some(instead) => write!(f, "; ask once: {instead}, or use a `Loader`"),
            None => f.write_str("; ask once for all keys, or use a `Loader`"),
        }
    }
}

/// The statement with its only comparison with a value made a list. `None` where that would ask something else: a total, a limit, a
/// value that is part of a longer expression.
fn rewritten(text: &str) -> Option<String> {
    let (before, after) = text.split_once(" = ?")?;
    let (list, _) = before.split_once(" from ")?;
    let goes_on = after.is_empty() || after.starts_with(" order by ") || after.starts_with(" and ");
    let same = goes_on && !list.contains('(') && !after.contains('?') && !after.contains(" limit ");
    (same && before.contains(" where ")).then(|| format!("{before} in (...){after}"))
}

/// How many statements a piece of code may execute: for tests.
///
/// ```
/// use offgridflow_query::{Observer, QueryBudget};
/// # use std::convert::Infallible;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let observer = Observer::new("sqlite");
/// let once = || observer.time("SELECT 1", async { Ok::<_, Infallible>(1) });
/// assert_eq!(QueryBudget::at_most(1).run(once()).await.unwrap(), Ok(1));
/// let over = QueryBudget::at_most(1).run(async { (once().await, once().await) }).await;
/// assert_eq!(over.unwrap_err().report.statements, 2);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct QueryBudget {
    most: u64,
}

/// More statements than the budget allows.
#[derive(Debug, thiserror::Error)]
#[error("{} statements were executed, {most} are allowed{}", report.statements, listed(&report.repeated))]
#[non_exhaustive]
pub struct OverBudget {
    /// Statements that are allowed.
    pub most: u64,
    /// What was executed.
    pub report: ScopeReport,
}

impl QueryBudget {
    /// At most so many statements.
    #[must_use]
    pub fn at_most(statements: u64) -> Self {
        Self { most: statements }
    }

    /// Runs `work`.
    ///
    /// # Errors
    /// [`OverBudget`] if it executed more statements.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, OverBudget> {
        let (result, report) = QueryScope::new().repeated(2).run(work).await;
        if report.statements <= self.most {
            return Ok(result);
        }
        Err(OverBudget { most: self.most, report })
    }
}

fn listed(repeated: &[RepeatedQuery]) -> String {
    repeated.iter().map(|one| format!("; {one}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_comparison_becomes_a_list() {
        let cases = [
            ("select a from t where id = ?", Some("select a from t where id in (...)")),
            ("select a from t where id = ? order by a", Some("select a from t where id in (...) order by a")),
            (
                "select a from t where id = ? and b is null",
                Some("select a from t where id in (...) and b is null"),
            ),
            ("select a from t where id = ? and b = ?", None),
            ("select a from t where id = ? limit ?", None),
            ("select a from t where id = ? + ?", None),
            ("select count(*) from t where id = ?", None),
            ("select a = ? from t", None),
            ("select a from t", None),
        ];
        for (text, instead) in cases {
            assert_eq!(rewritten(text).as_deref(), instead, "{text}");
        }
    }
}
