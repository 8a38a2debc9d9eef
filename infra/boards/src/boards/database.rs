//! PostgreSQL and Redis by their exporters, and the pools in front of PostgreSQL.

use crate::board::Board;
use crate::panel::Panel;

pub(super) fn board() -> Board {
    Board::new(
        "database-dashboard",
        "OffGridFlow: database",
        "PostgreSQL and Redis as their exporters show them, statements, and the pools of the servers.",
    )
    .row("PostgreSQL", postgres())
    .row("Tables and statements", statements())
    .row("Pools and statements as the servers see them", pools())
    .row("Redis", redis())
}

fn postgres() -> Vec<Panel> {
    vec![
        Panel::lines("Transactions", "ops", "Commits and rollbacks a second.")
            .query("sum(rate(pg_stat_database_xact_commit{$sel}[$__rate_interval]))", "commits")
            .query("sum(rate(pg_stat_database_xact_rollback{$sel}[$__rate_interval]))", "rollbacks"),
        Panel::lines("Connections taken", "percentunit", "Share of the connections that the server allows.").query(
            "sum by (instance, server) (pg_stat_database_numbackends{$sel}) / on (instance, server) pg_settings_max_connections{$sel}",
            "{{server}}",
        ),
        Panel::lines("Buffer hits", "percentunit", "Share of blocks found in shared buffers, of those read meanwhile.").query(
            "sum by (instance) (rate(pg_stat_database_blks_hit{$sel}[$__rate_interval])) / (sum by (instance) (rate(pg_stat_database_blks_hit{$sel}[$__rate_interval])) + sum by (instance) (rate(pg_stat_database_blks_read{$sel}[$__rate_interval])))",
            "{{instance}}",
        ),
        Panel::lines("Locks", "short", "Locks held or waited for, by mode.")
            .query("sum by (mode) (pg_locks_count{$sel})", "{{mode}}"),
        Panel::lines("Deadlocks", "cps", "Deadlocks a second, by database.")
            .query("sum by (datname) (rate(pg_stat_database_deadlocks{$sel}[$__rate_interval]))", "{{datname}}"),
        Panel::lines("Temporary files", "Bps", "Bytes a second that queries spill to disk: work_mem is too small for them.")
            .query("sum by (datname) (rate(pg_stat_database_temp_bytes{$sel}[$__rate_interval]))", "{{datname}}"),
        Panel::lines("Rows changed", "ops", "Rows a second, by what was done.")
            .query("sum(rate(pg_stat_database_tup_inserted{$sel}[$__rate_interval]))", "inserted")
            .query("sum(rate(pg_stat_database_tup_updated{$sel}[$__rate_interval]))", "updated")
            .query("sum(rate(pg_stat_database_tup_deleted{$sel}[$__rate_interval]))", "deleted"),
        Panel::lines("Size", "bytes", "Size on disk, by database.")
            .query("sum by (datname) (pg_database_size_bytes{$sel})", "{{datname}}"),
        Panel::stat("Up", "bool_yes_no", "Whether the exporter reaches PostgreSQL.").query("min(pg_up{$sel})", ""),
        Panel::stat("Exporter blind", "bool_yes_no", "Whether the exporter could not read some of its figures.")
            .query("max(pg_exporter_last_scrape_error{$sel})", ""),
    ]
}

fn statements() -> Vec<Panel> {
    vec![
        Panel::lines("Time in statements", "percentunit", "Seconds a second spent in the ten kinds of statement that take most: 1 is a connection that does nothing else.").query(
            "topk(10, sum by (queryid) (rate(pg_statements_seconds_total{$sel}[$__rate_interval])))",
            "{{queryid}}",
        ),
        Panel::lines("Calls of statements", "ops", "Calls a second of the ten kinds of statement called most.").query(
            "topk(10, sum by (queryid) (rate(pg_statements_calls_total{$sel}[$__rate_interval])))",
            "{{queryid}}",
        ),
        Panel::lines("Sequential scans", "ops", "Whole tables read a second, by table: an index may be missing.").query(
            "sum by (relname) (rate(pg_tables_seq_scan_total{$sel}[$__rate_interval]))",
            "{{relname}}",
        ),
        Panel::lines("Dead rows", "percentunit", "Share of rows that await vacuum, by table.").query(
            "sum by (relname) (pg_tables_dead_rows{$sel}) / clamp_min(sum by (relname) (pg_tables_dead_rows{$sel} + pg_tables_live_rows{$sel}), 1)",
            "{{relname}}",
        ),
        Panel::lines("Oldest transaction", "s", "How long the oldest transaction has been open.")
            .query("max by (instance) (pg_transactions_oldest_seconds{$sel})", "{{instance}}"),
    ]
}

fn pools() -> Vec<Panel> {
    vec![
        Panel::lines("Connections", "short", "Connections of each pool by state, and how many there may be.")
            .query("sum by (pool, state) (db_client_connections{$sel})", "{{pool}} {{state}}")
            .query("sum by (pool) (db_client_connection_max{$sel})", "{{pool}} max"),
        Panel::lines("Waiting for a connection", "s", "95th percentile of the time that callers wait for a connection.").quantile(
            "0.95",
            "db_client_connection_wait_time_seconds_bucket{$sel}",
            "pool",
            "{{pool}}",
        ),
        Panel::lines("Connection in use", "s", "95th percentile of the time that a connection is lent.").quantile(
            "0.95",
            "db_client_connection_use_time_seconds_bucket{$sel}",
            "pool",
            "{{pool}}",
        ),
        Panel::lines("Callers waiting", "short", "Callers that wait for a connection now.")
            .query("sum by (pool) (db_client_connection_pending_requests{$sel})", "{{pool}}"),
        Panel::lines("Refused", "cps", "Callers a second that waited in vain, or were refused because they would have.")
            .query("sum by (pool) (rate(db_client_connection_timeouts_total{$sel}[$__rate_interval]))", "{{pool}} timed out")
            .query("sum by (pool) (rate(offgridflow_query_connection_shed_total{$sel}[$__rate_interval]))", "{{pool}} shed"),
        Panel::lines("Suspected leaks", "short", "Connections that are out for suspiciously long.").query(
            "sum by (pool) (offgridflow_query_connection_leaks_suspected_total{$sel}) - sum by (pool) (offgridflow_query_connection_leaks_returned_total{$sel})",
            "{{pool}}",
        ),
        Panel::lines("Statements", "s", "95th percentile by the statement's summary.").quantile(
            "0.95",
            "db_client_operation_duration_seconds_bucket{$sel}",
            "db_query_summary",
            "{{db_query_summary}}",
        ),
        Panel::lines("Slow statements", "cps", "Executions a second that were noted down as slow, by summary.")
            .query("sum by (summary) (rate(offgridflow_query_slow_total{$sel}[$__rate_interval]))", "{{summary}}"),
        Panel::lines("Plan changes", "cps", "Plans a second that differ from the one before, by summary; slower ones are findings.")
            .query("sum by (summary) (rate(offgridflow_query_plan_changes_total{$sel}[$__rate_interval]))", "{{summary}}"),
        Panel::lines("Findings", "cps", "N+1 and slower plans found, a second.")
            .query("sum by (rule) (rate(offgridflow_query_findings_total{$sel}[$__rate_interval]))", "{{rule}}"),
        Panel::lines("Flushes", "s", "95th percentile of a flush of the batch writer, by table.").quantile(
            "0.95",
            "offgridflow_query_flush_duration_seconds_bucket{$sel}",
            "table",
            "{{table}}",
        ),
    ]
}

fn redis() -> Vec<Panel> {
    vec![
        Panel::lines("Memory", "bytes", "What Redis uses, and what it may use (0: no limit).")
            .query("sum by (instance) (redis_memory_used_bytes{$sel})", "{{instance}} used")
            .query("sum by (instance) (redis_memory_max_bytes{$sel})", "{{instance}} max"),
        Panel::lines("Commands", "ops", "Commands a second.").query(
            "sum by (instance) (rate(redis_commands_processed_total{$sel}[$__rate_interval]))",
            "{{instance}}",
        ),
        Panel::lines("Keys", "short", "Keys, by database.")
            .query("sum by (db) (redis_db_keys{$sel})", "{{db}}"),
        Panel::lines("Evictions", "cps", "Keys a second thrown out for want of memory.").query(
            "sum by (instance) (rate(redis_evicted_keys_total{$sel}[$__rate_interval]))",
            "{{instance}}",
        ),
        Panel::lines("Clients", "short", "Connected clients.")
            .query("sum by (instance) (redis_connected_clients{$sel})", "{{instance}}"),
        Panel::stat("Redis up", "bool_yes_no", "Whether the exporter reaches Redis.")
            .query("min(redis_up{$sel})", ""),
    ]
}
