use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use offgridflow_profile::{
    CpuProfiler, CpuSpec, HeapProfiler, Profile, ProfileError, task_profile, wait_profile,
};
use serde::Deserialize;

use super::{ApiError, Tenant};
use crate::app::App;

/// Longest profile that may be asked for.
const LONGEST: u64 = 120;

const INDEX: &str = "profile?seconds=10&hz=99   CPU, pprof protobuf\nflamegraph?seconds=10      CPU, SVG\n\
    heap allocs                what holds memory, and what was allocated, by site\n\
    goroutine                  tasks by the place that started them\n\
    block mutex                waits by the place that waited\n\
    threadcreate trace cmdline symbol: 501 in this build\n";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// How long to sample. Default: 10.
    seconds: Option<u64>,
    /// Samples a second of CPU time. Default: 99.
    hz: Option<u32>,
}

/// `GET /debug/pprof/`.
pub(super) async fn index(_: Tenant) -> &'static str {
    INDEX
}

/// `GET /debug/pprof/profile`: what `go tool pprof http://…/debug/pprof/profile` fetches.
pub(super) async fn profile(
    State(app): State<Arc<App>>,
    _: Tenant,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Response, ApiError> {
    let profile = capture(app, options).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"profile.pb.gz\""),
    ];
    Ok((headers, profile.to_pprof()).into_response())
}

/// `GET /debug/pprof/flamegraph`.
pub(super) async fn flamegraph(
    State(app): State<Arc<App>>,
    _: Tenant,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Response, ApiError> {
    let profile = capture(app, options).await?;
    let title = profile.comments.last().cloned().unwrap_or_default();
    let svg = profile
        .to_svg(1, &title)
        .map_err(|_| ApiError::unavailable("the process was idle: nothing was sampled"))?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

/// What is known without sampling for a while: `heap`, `allocs`, `goroutine`, `block`, `mutex`.
pub(super) async fn named(
    State(app): State<Arc<App>>,
    _: Tenant,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let profile = match name.as_str() {
        "heap" | "allocs" => heap(app).await?,
        "goroutine" => task_profile(),
        "block" | "mutex" => wait_profile(),
        _ => return Err(unknown(&name)),
    };
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], profile.to_pprof()).into_response())
}

/// Reads symbol tables, so on a thread that may block.
async fn heap(app: Arc<App>) -> Result<Profile, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_IMPLEMENTED, "this program's allocator is not `Tracked`");
    let heap = app.heap().ok_or_else(missing)?;
    let snapshot = tokio::task::spawn_blocking(move || heap.snapshot()).await;
    let snapshot = snapshot.map_err(|_| ApiError::unavailable("the snapshot ended"))?.map_err(refused)?;
    Ok(snapshot.to_profile())
}

/// What Go serves at these addresses and this build does not; or nobody.
fn unknown(name: &str) -> ApiError {
    if ["threadcreate", "trace", "cmdline", "symbol"].contains(&name) {
        let hint = format!(
            "this build has no {name}; /debug/pprof/ lists what is there, /debug/pprof/profile among it"
        );
        return ApiError::new(StatusCode::NOT_IMPLEMENTED, hint);
    }
    ApiError::new(StatusCode::NOT_FOUND, "no such profile; /debug/pprof/ lists them")
}

/// Samples on a thread that may block. A client that hangs up ends the capture.
async fn capture(
    app: Arc<App>,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Profile, ApiError> {
    let Query(options) = options.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let seconds = options.seconds.unwrap_or(10);
    if !(1..=LONGEST).contains(&seconds) {
        return Err(ApiError::bad_request(format!("seconds lies between 1 and {LONGEST}")));
    }
    let expected = Duration::from_secs(seconds);
    let spec = CpuSpec { hz: options.hz.unwrap_or(99), expected };
    app.cpu().start(&spec).map_err(refused)?;
    let drained = Drained(Some(Arc::clone(&app)));
    tokio::time::sleep(expected).await;
    drained.drain().await
}

/// Drains the profiler, also when the request's future is dropped.
struct Drained(Option<Arc<App>>);

impl Drained {
    async fn drain(mut self) -> Result<Profile, ApiError> {
        let app = self.0.take().ok_or_else(|| ApiError::unavailable("drained before"))?;
        let drained = tokio::task::spawn_blocking(move || app.cpu().drain()).await;
        drained.map_err(|_| ApiError::unavailable("the profiler's thread ended"))?.map_err(refused)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(app) = self.0.take() {
            drop(tokio::task::spawn_blocking(move || app.cpu().drain()));
        }
    }
}

fn refused(error: ProfileError) -> ApiError {
    let status = match error {
        ProfileError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
        ProfileError::Setting { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    ApiError::new(status, error.to_string())
}
