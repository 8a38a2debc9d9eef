//! What the page of another server leads to: incidents, flame graphs, insight. Read only, with the caller's key.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::passed_on;
use crate::http_client;

/// How long an answer may take: the page's flame graph takes ten seconds to be sampled.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn router(upstream: Arc<str>) -> Router {
    Router::new()
        .route("/api/v1/performance", get(relay))
        .route("/api/v1/overview", get(relay))
        .route("/api/v1/insight", get(relay))
        .route("/debug/pprof/incidents/{id}", get(relay))
        .route("/debug/pprof/flamegraph", get(relay))
        .route("/debug/pprof/diff", get(relay))
        .with_state(upstream)
}

async fn relay(State(upstream): State<Arc<str>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers = passed_on(&parts);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    match timeout(PATIENCE, http_client::get(&upstream, path, &headers)).await {
        Ok(Ok(answer)) => {
            let kind = answer.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
            (answer.status, [(header::CONTENT_TYPE, kind)], Body::from(answer.body)).into_response()
        }
        Ok(Err(_)) | Err(_) => {
            (StatusCode::BAD_GATEWAY, "{\"error\":\"the server behind this page does not answer\"}")
                .into_response()
        }
    }
}
