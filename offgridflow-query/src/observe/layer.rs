//! Statements as sqlx reports them to `tracing`: nothing to change in the code that asks.

use crate::observe::observer::Observer;
use crate::observe::scope::{self, Place, Tally};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

const TARGET: &str = "sqlx::query";

/// A `tracing` layer that counts and times every statement which sqlx executes, wherever it is asked from.
///
/// sqlx reports a statement when it is over, at `debug` unless its connection options say otherwise, so the filter must let
/// `sqlx::query=debug` through. The place in the code is the span around it. SQLite's statements are reported from a thread of sqlx's own,
/// so the subscriber must be the global one, and count for a [`QueryScope`](crate::QueryScope) where the span around them was opened
/// within it.
///
/// It sees less than [`Observer::on`]: sqlx does not say whether a statement failed or was dropped, nothing tells the time
/// that rows were with their reader, and there is no wait for a connection. Use one of the two for a statement, or it counts twice.
///
/// ```
/// # use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Observer, ObserverLayer, SqliteGate, sqlx};
/// use tracing_subscriber::layer::SubscriberExt;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let observer = Observer::new("sqlite");
/// let subscriber = tracing_subscriber::registry().with(ObserverLayer::new(observer.clone()));
/// tracing::subscriber::set_global_default(subscriber)?;
/// let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
/// # let conn = gate.acquire(Acquire::default()).await?; drop(conn); observer.reset();
/// let mut conn = gate.acquire(Acquire::default()).await?;
/// sqlx::query("SELECT 1 AS one WHERE 2 > ?").bind(1).fetch_all(&mut *conn).await?;
/// let top = observer.top(1);
/// assert_eq!((top[0].text.as_str(), top[0].calls, top[0].rows), ("select ? as one where ? > ?", 1, 1));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ObserverLayer {
    observer: Observer,
}

impl ObserverLayer {
    /// A layer that hands what it sees to `observer`.
    #[must_use]
    pub fn new(observer: Observer) -> Self {
        Self { observer }
    }
}

/// The scope that a span was opened in: SQLite's statements are reported by a thread that is in the span, but in no task.
struct Within(Arc<Tally>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ObserverLayer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Some(scope), Some(span)) = (scope::current(), context.span(id)) {
            span.extensions_mut().replace(Within(scope));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        let Some((sql, took)) = statement.finished() else { return };
        let span = context.event_span(event);
        let scope = scope::current().or_else(|| scope_of(span.as_ref()?));
        let rows = (statement.answered, statement.changed);
        self.observer.record(sql, scope.as_deref(), place(span.as_ref()), rows, took);
    }
}

fn scope_of<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Arc<Tally>> {
    span.scope().find_map(|span| span.extensions().get::<Within>().map(|within| Arc::clone(&within.0)))
}

fn place<'a, S: LookupSpan<'a>>(span: Option<&SpanRef<'a, S>>) -> Place {
    span.map_or(Place::Nowhere, |span| {
        let metadata = span.metadata();
        Place::Span(metadata.name(), metadata.file().zip(metadata.line()))
    })
}

/// What sqlx's event holds. The text is in `summary` where it has four words or fewer, else in `db.statement`.
#[derive(Default)]
struct Statement {
    summary: String,
    text: String,
    answered: u64,
    changed: u64,
    seconds: Option<f64>,
}

impl Statement {
    fn finished(&self) -> Option<(&str, Duration)> {
        let text = self.text.trim();
        let sql = if text.is_empty() { self.summary.as_str() } else { text };
        let took = Duration::try_from_secs_f64(self.seconds?).ok()?;
        (!sql.is_empty()).then_some((sql, took))
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.text = value.to_owned(),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "rows_returned" => self.answered = value,
            "rows_affected" => self.changed = value,
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
