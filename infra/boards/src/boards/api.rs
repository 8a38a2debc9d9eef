//! Rate, errors, duration, by route.

use super::CACHE_HITS;
use crate::board::Board;
use crate::panel::Panel;

/// Requests of users: health, metrics and profiles are none.
const OF_USERS: &str = r#"http_route!~"/debug.*|/metrics|/healthz|/readyz""#;

fn count(more: &str, range: &str) -> String {
    format!("http_server_request_duration_seconds_count{{$sel, {OF_USERS}{more}}}[{range}]")
}

fn bucket(more: &str) -> String {
    format!("http_server_request_duration_seconds_bucket{{$sel, {OF_USERS}{more}}}")
}

/// What fails of all requests; 0, not nothing, where none ever failed.
fn errors(function: &str, range: &str) -> String {
    let all = format!("sum({function}({}))", count("", range));
    let failed = format!("sum({function}({}))", count(r#", http_response_status_code=~"5..""#, range));
    format!("({failed} or {all} * 0) / {all}")
}

fn within(seconds: &str) -> String {
    format!("sum(rate({}[$__rate_interval]))", bucket(&format!(r#", le="{seconds}""#)))
}

pub(super) fn board() -> Board {
    let all = format!("sum(rate({}))", count("", "$__rate_interval"));
    Board::new(
        "api-dashboard",
        "OffGridFlow: API",
        "Rate, errors and duration of the API's requests, and the budgets of its objectives.",
    )
    .row("Objectives", objectives(&all))
    .row("Rate and errors", rate_and_errors())
    .row("Duration", duration(&all))
}

fn objectives(all: &str) -> Vec<Panel> {
    vec![
        Panel::stat("Requests", "reqps", "Requests of users, a second.").query(all, ""),
        Panel::stat("Errors", "percentunit", "Share of requests that fail (5xx). The objective is 0.1 %.")
            .query(&errors("rate", "$__rate_interval"), ""),
        Panel::stat("Slower than 0.5 s", "percentunit", "Share of requests that take longer. The objective is 1 %.")
            .query(&format!("1 - {} / {all}", within("0.5")), ""),
        Panel::stat(
            "Error budget burns",
            "none",
            "How many times faster than the objective allows; at 14.4 somebody is woken.",
        )
        .query(&format!("({}) / 0.001", errors("rate", "$__rate_interval")), ""),
        Panel::stat(
            "Error budget left",
            "percentunit",
            "Of what may fail in the range that is shown, as if it were the whole month. Below 0 the objective is broken.",
        )
        .query(&format!("1 - ({}) / 0.001", errors("increase", "$__range")), ""),
        Panel::stat(
            "Apdex",
            "none",
            "1 where all are served within 0.1 s; those within 0.5 s count half, slower ones nothing.",
        )
        .query(&format!("({} + {}) / 2 / {all}", within("0.1"), within("0.5")), ""),
    ]
}

fn rate_and_errors() -> Vec<Panel> {
    vec![
        Panel::lines("Requests by route", "reqps", "Requests a second by the route's template.").query(
            &format!("sum by (http_route) (rate({}))", count("", "$__rate_interval")),
            "{{http_route}}",
        ),
        Panel::lines("Requests by status", "reqps", "Requests a second by what was answered.").query(
            &format!("sum by (http_response_status_code) (rate({}))", count("", "$__rate_interval")),
            "{{http_response_status_code}}",
        ),
        Panel::lines("Errors over time", "percentunit", "Share of requests that fail (5xx).")
            .query(&errors("rate", "$__rate_interval"), "failed"),
        Panel::lines("In flight", "short", "Requests under way, by instance.")
            .query("sum by (job, instance) (http_server_active_requests{$sel})", "{{job}} {{instance}}"),
        Panel::lines("Cache hits", "percentunit", "Share of cache reads that needed no load, by cache.")
            .query(CACHE_HITS, "{{cache}}"),
        Panel::lines("Rows settled", "short", "Rows a second that the writer settled, by outcome.").query(
            "sum by (outcome) (rate(offgridflow_query_rows_total{$sel}[$__rate_interval]))",
            "{{outcome}}",
        ),
    ]
}

fn duration(all: &str) -> Vec<Panel> {
    let slowest = format!(
        "topk(5, histogram_quantile(0.95, sum by (le, http_route) (rate({}[$__rate_interval]))))",
        bucket("")
    );
    vec![
        Panel::lines("Duration", "s", "Median, 95th and 99th percentile of all requests, to the bucket's precision.")
            .quantile("0.5", &bucket(""), "", "p50")
            .quantile("0.95", &bucket(""), "", "p95")
            .quantile("0.99", &bucket(""), "", "p99"),
        Panel::lines("Slowest routes", "s", "95th percentile of the five routes where it is highest.")
            .query(&slowest, "{{http_route}}"),
        Panel::lines("Mean duration", "s", "Mean of all requests.").query(
            &format!("sum(rate(http_server_request_duration_seconds_sum{{$sel, {OF_USERS}}}[$__rate_interval])) / {all}"),
            "mean",
        ),
        Panel::heatmap("Duration as a heatmap", "s", "How many requests a second took how long.")
            .query(&format!("sum by (le) (rate({}[$__rate_interval]))", bucket("")), "{{le}}")
            .wide(),
    ]
}
