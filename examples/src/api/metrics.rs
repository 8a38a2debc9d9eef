use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;
use crate::faults::Faults;

const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Makes the recorder that the crates' `metrics` features write to; once a process.
///
/// # Panics
/// When another recorder was installed before.
pub fn install() {
    HANDLE.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS).expect("there are buckets");
        let handle = builder.install_recorder().expect("no other recorder is installed");
        describe();
        handle
    });
}

/// Has every part say what its figures mean: Prometheus shows it beside them.
fn describe() {
    offgridflow_bench::service::describe_metrics();
    offgridflow_cache::describe_metrics();
    offgridflow_loadtest::MetricsReporter::describe();
    offgridflow_profile::describe_metrics();
    offgridflow_query::describe_metrics();
    crate::worker::describe_metrics();
    metrics::describe_histogram!(
        "http_server_request_duration_seconds",
        "How long requests took, by route and status."
    );
    metrics::describe_gauge!("http_server_active_requests", "Requests under way.");
    metrics::gauge!("http_server_active_requests").set(0.0);
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    exposition(metrics_of(&app))
}

/// What a role with a database shows, as text.
pub(crate) fn metrics_of(app: &App) -> Option<String> {
    app.ledger().record_metrics();
    text(&app.findings())
}

/// What a role shows that has neither database nor probes, as text.
pub(crate) fn metrics_of_process() -> Option<String> {
    text("")
}

/// `GET /metrics` of a role that has neither database nor probes.
pub async fn show_process() -> Response {
    exposition(metrics_of_process())
}

/// What was recorded, and `more` in the same format; `None` where nothing is recorded.
fn text(more: &str) -> Option<String> {
    let handle = HANDLE.get()?;
    handle.run_upkeep();
    Some(handle.render() + more + &offgridflow_profile::process_prometheus())
}

fn exposition(text: Option<String>) -> Response {
    match text {
        Some(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "metrics are not collected in this process\n").into_response(),
    }
}

/// Counts a request under its route's template, and tells the profiler's watcher how long it took.
pub(super) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let profile = route_of(&request).starts_with("/debug"); // takes as long as it is asked to
    let route =
        if app.faults().is_some_and(Faults::labels) { request.uri().path() } else { route_of(&request) };
    let route = route.to_owned();
    let (response, took) = timed(route, request, next).await;
    if !profile {
        app.latency().record(took);
    }
    response
}

/// Counts a request under its route's template: paths and unknown methods never become labels.
pub async fn count(request: Request, next: Next) -> Response {
    timed(route_of(&request).to_owned(), request, next).await.0
}

async fn timed(route: String, request: Request, next: Next) -> (Response, Duration) {
    let method = known(request.method());
    let active = Active::new();
    let began = Instant::now();
    let response = crate::trace::spanned(&route, method, request, next).await;
    drop(active);
    let took = began.elapsed();
    record(route, method, response.status(), took);
    (response, took)
}

fn route_of(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str)
}

fn record(route: String, method: &'static str, status: StatusCode, took: Duration) {
    let labels = [
        ("http_request_method", method.to_owned()),
        ("http_route", route),
        ("http_response_status_code", status.as_str().to_owned()),
    ];
    metrics::histogram!("http_server_request_duration_seconds", &labels).record(took.as_secs_f64());
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        _ => "_OTHER",
    }
}

/// A request under way; dropped with it, also when the client goes away.
struct Active;

impl Active {
    fn new() -> Self {
        metrics::gauge!("http_server_active_requests").increment(1.0);
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        metrics::gauge!("http_server_active_requests").decrement(1.0);
    }
}
