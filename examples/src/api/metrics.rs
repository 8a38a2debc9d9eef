use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;

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
        builder.install_recorder().expect("no other recorder is installed")
    });
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    app.ledger().record_metrics();
    match HANDLE.get() {
        Some(handle) => {
            handle.run_upkeep();
            let text = handle.render() + &app.probe_metrics();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "metrics are not collected in this process\n").into_response(),
    }
}

/// Counts a request under its route's template: paths and unknown methods never become labels.
pub(super) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let active = Active::new();
    let began = Instant::now();
    let response = next.run(request).await;
    drop(active);
    let took = began.elapsed();
    if !route.starts_with("/debug") {
        app.latency().record(took); // a profile takes as long as it is asked to
    }
    record(route, method, response.status(), took);
    response
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
