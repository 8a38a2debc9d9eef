//! The five crates at work: cache, profiler, probes, load test. The gate is on the board of the database.

use super::CACHE_HITS;
use crate::board::Board;
use crate::panel::Panel;

pub(super) fn board() -> Board {
    Board::new(
        "stack-dashboard",
        "OffGridFlow: stack",
        "Caches, profiler, probes and load test; the gate and statements are on the board of the database.",
    )
    .row("Caches", caches())
    .row("Profiler", profiler())
    .row("Probes", probes())
    .row("Load test", load_test())
}

fn caches() -> Vec<Panel> {
    vec![
        Panel::lines("Reads", "ops", "Reads a second by the tier that answered, or did not.").query(
            "sum by (tier, outcome) (rate(offgridflow_cache_requests_total{$sel}[$__rate_interval]))",
            "{{tier}} {{outcome}}",
        ),
        Panel::lines("Hits", "percentunit", "Share of reads that needed no load, by cache.").query(
            CACHE_HITS,
            "{{cache}}",
        ),
        Panel::lines("Loads", "s", "95th percentile of a load, by cache.").quantile(
            "0.95",
            "offgridflow_cache_load_duration_seconds_bucket{$sel}",
            "cache",
            "{{cache}}",
        ),
        Panel::lines("Loads under way", "short", "Keys that are being loaded, by cache.")
            .query("sum by (cache) (offgridflow_cache_loads_in_flight{$sel})", "{{cache}}"),
        Panel::lines("Near tier full", "percentunit", "Weight of what is kept, as a share of what may be, by cache.").query(
            "sum by (instance, cache) (offgridflow_cache_size_bytes{$sel}) / sum by (instance, cache) (offgridflow_cache_capacity_bytes{$sel})",
            "{{cache}} {{instance}}",
        ),
        Panel::lines("Entries", "short", "Entries in the near tier, by cache.")
            .query("sum by (cache) (offgridflow_cache_entries{$sel})", "{{cache}}"),
        Panel::lines("Evictions", "cps", "Entries a second that were thrown out, by why.").query(
            "sum by (cache, reason) (rate(offgridflow_cache_evictions_total{$sel}[$__rate_interval]))",
            "{{cache}} {{reason}}",
        ),
        Panel::lines("Calls of the shared tier", "s", "95th percentile of a call of Redis, by what it asks.").quantile(
            "0.95",
            "offgridflow_cache_operation_duration_seconds_bucket{$sel}",
            "call",
            "{{call}}",
        ),
        Panel::lines("Circuit", "bool_yes_no", "Whether the breaker in front of Redis is open: the caches do without it.").query(
            r#"max by (job, instance) (offgridflow_cache_circuit_state{$sel, state="open"})"#,
            "{{job}} {{instance}}",
        ),
        Panel::lines("Deferred invalidations", "short", "Invalidations that wait for Redis to answer.")
            .query("sum by (cache) (offgridflow_cache_deferred_invalidations{$sel})", "{{cache}}"),
        Panel::lines("What else happened", "cps", "Events of the caches a second.")
            .query("sum by (event) (rate(offgridflow_cache_events_total{$sel}[$__rate_interval]))", "{{event}}"),
        Panel::lines("Stale answers", "cps", "Reads a second answered with a value that may be out of date, by why.")
            .query("sum by (why) (rate(offgridflow_cache_stale_total{$sel}[$__rate_interval]))", "{{why}}"),
    ]
}

fn profiler() -> Vec<Panel> {
    vec![
        Panel::lines("Memory verdict", "short", "Processes by what the readings say of their memory.")
            .query("sum by (verdict) (offgridflow_profile_memory_verdict{$sel})", "{{verdict}}"),
        Panel::lines("Memory by its limit", "percentunit", "Memory in use as a share of what it must not exceed.").query(
            "sum by (job, instance) (offgridflow_profile_memory_in_use_bytes{$sel}) / sum by (job, instance) (offgridflow_profile_memory_limit_bytes{$sel})",
            "{{job}} {{instance}}",
        ),
        Panel::lines("CPU samples", "cps", "Samples a second in profiles, and those that are missing; nothing is sampled until somebody asks.")
            .query("sum by (kind) (rate(offgridflow_profile_samples_total{$sel}[$__rate_interval]))", "{{kind}} taken")
            .query("sum by (kind) (rate(offgridflow_profile_dropped_total{$sel}[$__rate_interval]))", "{{kind}} dropped"),
        Panel::lines("Overhead", "percentunit", "Share of the sampled CPU time that sampling took.")
            .query("max by (job, instance) (offgridflow_profile_overhead_ratio{$sel})", "{{job}} {{instance}}"),
        Panel::lines("Captures", "cps", "Captures a second that triggers asked for, and windows that were lost.")
            .query("sum by (outcome) (rate(offgridflow_profile_captures_total{$sel}[$__rate_interval]))", "{{outcome}}"),
        Panel::lines("Tasks", "short", "Tasks that are there, by the place that started them.")
            .query("sum by (place) (offgridflow_profile_tasks{$sel})", "{{place}}"),
        Panel::lines("Mean wait", "s", "Mean of the waits that ended, by what was waited for.").query(
            "sum by (place) (rate(offgridflow_profile_wait_seconds_total{$sel}[$__rate_interval])) / clamp_min(sum by (place) (rate(offgridflow_profile_waits_total{$sel}[$__rate_interval])), 0.001)",
            "{{place}}",
        ),
    ]
}

fn probes() -> Vec<Panel> {
    vec![
        Panel::lines("Probe", "s", "Percentiles of each probe, and the limit of its objective.")
            .query("max by (probe, percentile) (offgridflow_bench_probe_seconds{$sel})", "{{probe}} p{{percentile}}")
            .query("max by (probe) (offgridflow_bench_probe_limit_seconds{$sel})", "{{probe}} limit"),
        Panel::lines("Probe's verdict", "short", "Instances by what the window says of the objective.")
            .query("sum by (probe, verdict) (offgridflow_bench_probe_verdict{$sel})", "{{probe}} {{verdict}}"),
        Panel::lines("Runs that fail", "percentunit", "Share of a probe's runs that fail.").query(
            "sum by (probe) (rate(offgridflow_bench_probe_failures_total{$sel}[$__rate_interval])) / sum by (probe) (rate(offgridflow_bench_probe_runs_total{$sel}[$__rate_interval]))",
            "{{probe}}",
        ),
        Panel::lines("Probe as a histogram", "s", "95th percentile of the runs that succeeded, by probe.").quantile(
            "0.95",
            "offgridflow_bench_result_seconds_bucket{$sel}",
            "case",
            "{{case}}",
        ),
    ]
}

fn load_test() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Offered and done",
            "reqps",
            "What the schedule wants a second, and what ended, by outcome.",
        )
        .query("sum(rate(offgridflow_loadtest_offered_total{$sel}[$__rate_interval]))", "offered")
        .query(
            "sum by (outcome) (rate(offgridflow_loadtest_requests_total{$sel}[$__rate_interval]))",
            "{{outcome}}",
        ),
        Panel::lines(
            "Response",
            "s",
            "From the intended start to the end of what was answered: median and 95th percentile.",
        )
        .quantile("0.5", "offgridflow_loadtest_request_duration_seconds_bucket{$sel}", "", "p50")
        .quantile("0.95", "offgridflow_loadtest_request_duration_seconds_bucket{$sel}", "", "p95"),
        Panel::lines(
            "Behind schedule",
            "s",
            "How late the generator itself is, 99th percentile: its own fault, not the server's.",
        )
        .query("max by (instance) (offgridflow_loadtest_behind_schedule_seconds{$sel})", "{{instance}}"),
        Panel::lines("Operations under way", "short", "What the generator waits for.")
            .query("sum by (instance) (offgridflow_loadtest_in_flight{$sel})", "{{instance}}"),
    ]
}
