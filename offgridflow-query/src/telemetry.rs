//! Everything that leaves the crate through the `metrics` and `tracing` facades, in one place.
//!
//! Labels are pool and table names, error classes and statement summaries: never binds, keys or literals.
#![cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing to report to"))]

use std::time::Duration;

/// Tells the recorder of the `metrics` facade what each figure of this crate means. Once a process, after the recorder was installed.
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe_metrics() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(
        "db_client_operation_duration_seconds",
        "How long statements took, by their summary."
    );
    describe_gauge!("db_client_connections", "Connections of a pool, by state.");
    describe_gauge!("db_client_connection_max", "Connections that a pool may have.");
    describe_gauge!("db_client_connection_pending_requests", "Callers that wait for a connection.");
    describe_counter!("db_client_connection_timeouts_total", "Callers that waited for a connection in vain.");
    describe_histogram!(
        "db_client_connection_wait_time_seconds",
        "How long callers waited for a connection."
    );
    describe_histogram!("db_client_connection_use_time_seconds", "How long connections were lent.");
    describe_histogram!("db_client_connection_create_time_seconds", "How long connections took to open.");
    describe_counter!(
        "offgridflow_query_connection_shed_total",
        "Callers refused at once, because they would have waited in vain."
    );
    describe_counter!(
        "offgridflow_query_connection_leaks_suspected_total",
        "Connections that were lent for suspiciously long."
    );
    describe_counter!(
        "offgridflow_query_connection_leaks_returned_total",
        "Suspected leaks that came back after all."
    );
    describe_counter!("offgridflow_query_rows_total", "Rows that a writer settled, by outcome.");
    describe_histogram!("offgridflow_query_flush_duration_seconds", "How long flushes of a writer took.");
    describe_counter!(
        "offgridflow_query_slow_total",
        "Executions noted down as slow, by their statement's summary."
    );
    describe_counter!(
        "offgridflow_query_plan_changes_total",
        "Plans captured that differ from the one before, by their statement's summary."
    );
    describe_counter!(
        "offgridflow_query_findings_total",
        "What was found wrong with statements: n_plus_one by scope and place, slower_plan by statement."
    );
}

/// A pool was made: what it counts begins at 0, not with the first event.
pub(crate) fn pool_made(pool: &str) {
    #[cfg(feature = "metrics")]
    for name in [
        "db_client_connection_timeouts_total",
        "offgridflow_query_connection_shed_total",
        "offgridflow_query_connection_leaks_suspected_total",
        "offgridflow_query_connection_leaks_returned_total",
    ] {
        metrics::counter!(name, "pool" => pool.to_owned()).increment(0);
    }
}

pub(crate) fn pool_timeout(pool: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("db_client_connection_timeouts_total", "pool" => pool.to_owned()).increment(1);
}

/// A caller was refused because it would have waited in vain.
pub(crate) fn pool_shed(pool: &str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("offgridflow_query_connection_shed_total", "pool" => pool.to_owned()).increment(1);
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn pool_connected(pool: &str, took: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("db_client_connection_create_time_seconds", "pool" => pool.to_owned()).record(took);
}

/// A connection has been out for suspiciously long.
pub(crate) fn leak_suspected(pool: &str, at: &str, held: Duration) {
    #[cfg(feature = "metrics")]
    metrics::counter!("offgridflow_query_connection_leaks_suspected_total", "pool" => pool.to_owned())
        .increment(1);
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "offgridflow_query", pool, at, held_ms = held.as_millis(), "a connection is held for long: a leak?");
    #[cfg(not(feature = "tracing"))]
    let _ = (at, held);
}

/// It came back after all.
pub(crate) fn leak_returned(pool: &str, at: &str, held: Duration) {
    #[cfg(feature = "metrics")]
    metrics::counter!("offgridflow_query_connection_leaks_returned_total", "pool" => pool.to_owned())
        .increment(1);
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "offgridflow_query", pool, at, held_ms = held.as_millis(), "the suspected leak came back");
    #[cfg(not(feature = "tracing"))]
    let _ = (at, held);
}

pub(crate) fn pool_waited(pool: &str, wait: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("db_client_connection_wait_time_seconds", "pool" => pool.to_owned()).record(wait);
}

pub(crate) fn pool_released(pool: &str, held: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("db_client_connection_use_time_seconds", "pool" => pool.to_owned()).record(held);
}

/// How a pool stands.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nothing to report to"))]
pub(crate) struct PoolGauges {
    pub(crate) max_open: usize,
    pub(crate) waiting: usize,
    pub(crate) idle: usize,
    pub(crate) in_use: usize,
}

#[cfg_attr(feature = "metrics", expect(clippy::cast_precision_loss, reason = "gauges are f64"))]
pub(crate) fn pool_gauges(pool: &str, now: PoolGauges) {
    #[cfg(feature = "metrics")]
    {
        let gauge = |name: &'static str, value: usize| {
            metrics::gauge!(name, "pool" => pool.to_owned()).set(value as f64);
        };
        gauge("db_client_connection_max", now.max_open);
        gauge("db_client_connection_pending_requests", now.waiting);
        let count = |state: &'static str, value: usize| {
            let labels = [("pool", pool.to_owned()), ("state", state.to_owned())];
            metrics::gauge!("db_client_connections", &labels).set(value as f64);
        };
        count("idle", now.idle);
        count("used", now.in_use);
    }
}

pub(crate) fn rows_settled(table: &str, outcome: &'static str, rows: u64) {
    #[cfg(feature = "metrics")]
    {
        let labels = [("table", table.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!("offgridflow_query_rows_total", &labels).increment(rows);
    }
}

pub(crate) fn flushed(table: &str, rows: u64, took: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("offgridflow_query_flush_duration_seconds", "table" => table.to_owned()).record(took);
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "offgridflow_query", table, rows, took_us = took.as_micros(), "flushed");
    #[cfg(not(feature = "tracing"))]
    let _ = rows;
}

/// A writer or a shipment lost sight of something that its owner must hear about.
pub(crate) fn warn(table: &str, what: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "offgridflow_query", table, "{what}");
    #[cfg(not(feature = "tracing"))]
    {
        // To whoever watches the process; nobody is left to whom an error of writing it could be told.
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("offgridflow_query: {table}: {what}\n"),
        );
    }
}

#[cfg(feature = "observe")]
pub(crate) fn operation(database: &'static str, summary: &str, failed: Option<&'static str>, took: Duration) {
    #[cfg(feature = "metrics")]
    {
        let operation = summary.split(' ').next().unwrap_or_default().to_owned();
        let labels = [
            ("db_system_name", database.to_owned()),
            ("db_operation_name", operation),
            ("db_query_summary", summary.to_owned()),
            ("error_type", failed.unwrap_or_default().to_owned()),
        ];
        metrics::histogram!("db_client_operation_duration_seconds", &labels).record(took);
    }
}

/// The rules by which statements are found wanting.
#[cfg(all(feature = "metrics", feature = "observe"))]
const RULES: [&str; 2] = ["n_plus_one", "slower_plan"];

/// An observer was made: what it finds begins at 0.
#[cfg(feature = "observe")]
pub(crate) fn observer_made() {
    #[cfg(feature = "metrics")]
    for rule in RULES {
        finding(rule, 0);
    }
}

#[cfg(feature = "observe")]
pub(crate) fn finding(rule: &'static str, times: u64) {
    #[cfg(feature = "metrics")]
    {
        debug_assert!(RULES.contains(&rule), "{rule} does not begin at 0");
        metrics::counter!("offgridflow_query_findings_total", "rule" => rule).increment(times);
    }
}

/// So many executions of a statement were slow; none when it is new.
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub(crate) fn slow(summary: &str, times: u64) {
    #[cfg(feature = "metrics")]
    metrics::counter!("offgridflow_query_slow_total", "summary" => summary.to_owned()).increment(times);
}

/// The plan of a statement was looked at: the count of changes begins at 0 with the first.
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub(crate) fn plan_captured(summary: &str, changed: bool) {
    #[cfg(feature = "metrics")]
    metrics::counter!("offgridflow_query_plan_changes_total", "summary" => summary.to_owned())
        .increment(changed.into());
}

/// A statement has a new plan and is slower.
#[cfg(all(feature = "plans", any(feature = "sqlite", feature = "postgres")))]
pub(crate) fn plan_regressed(statement: &str, times: f64) {
    finding("slower_plan", 1);
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "offgridflow_query", statement, times, "a new plan is slower");
    #[cfg(not(feature = "tracing"))]
    let _ = (statement, times);
}
