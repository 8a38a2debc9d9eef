//! Use, saturation and errors of the worker, and what it gets done.

use crate::board::Board;
use crate::panel::Panel;

pub(super) fn board() -> Board {
    Board::new("worker-dashboard", "OffGridFlow: worker", "Jobs, what waits, and how long until it is done.")
        .row("Queue", queue())
        .row("Work", work())
}

fn queue() -> Vec<Panel> {
    vec![
        Panel::stat("Waiting", "short", "Jobs that wait or are under way. Each worker sees the whole queue.")
            .query("max(offgridflow_worker_queue_depth{$sel})", ""),
        Panel::stat("Oldest", "s", "How long ago the oldest of them was asked for.")
            .query("max(offgridflow_worker_oldest_job_age_seconds{$sel})", ""),
        Panel::stat("Busy", "percentunit", "Share of the workers that are at a job: each does one at a time.")
            .query("avg(offgridflow_worker_in_flight{$sel})", ""),
        Panel::lines("Depth", "short", "Jobs that wait or are under way, by queue.")
            .query("max by (queue) (offgridflow_worker_queue_depth{$sel})", "{{queue}}"),
        Panel::lines("Age of the oldest job", "s", "By queue; growing while the depth stands still means that one job is stuck.")
            .query("max by (queue) (offgridflow_worker_oldest_job_age_seconds{$sel})", "{{queue}}"),
        Panel::lines("Until it is empty", "s", "Depth by jobs done a second: how long the queue would take without new jobs.").query(
            r#"max by (queue) (offgridflow_worker_queue_depth{$sel}) / clamp_min(sum by (queue) (rate(offgridflow_worker_jobs_total{$sel, outcome="done"}[$__rate_interval])), 0.001)"#,
            "{{queue}}",
        ),
    ]
}

fn work() -> Vec<Panel> {
    vec![
        Panel::lines("Jobs", "ops", "Attempts a second, by how they ended.")
            .query("sum by (outcome) (rate(offgridflow_worker_jobs_total{$sel}[$__rate_interval]))", "{{outcome}}"),
        Panel::lines("Records", "ops", "Activities recalculated a second.")
            .query("sum by (queue) (rate(offgridflow_worker_records_total{$sel}[$__rate_interval]))", "{{queue}}"),
        Panel::lines("Duration", "s", "Median and 95th percentile of a portion of a job.")
            .quantile("0.5", "offgridflow_worker_job_duration_seconds_bucket{$sel}", "queue", "{{queue}} p50")
            .quantile("0.95", "offgridflow_worker_job_duration_seconds_bucket{$sel}", "queue", "{{queue}} p95"),
        Panel::lines("Retries", "ops", "Attempts a second at jobs that had failed before.")
            .query("sum by (queue) (rate(offgridflow_worker_retries_total{$sel}[$__rate_interval]))", "{{queue}}"),
        Panel::lines("At work", "short", "Jobs that each worker is at.")
            .query("sum by (instance) (offgridflow_worker_in_flight{$sel})", "{{instance}}"),
        Panel::lines("Failing", "percentunit", "Share of the attempts that fail.").query(
            r#"sum by (queue) (rate(offgridflow_worker_jobs_total{$sel, outcome="failed"}[$__rate_interval])) / clamp_min(sum by (queue) (rate(offgridflow_worker_jobs_total{$sel}[$__rate_interval])), 0.001)"#,
            "{{queue}}",
        ),
    ]
}
