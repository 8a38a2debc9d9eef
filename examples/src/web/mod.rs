//! The `web` role: one page that shows the stack live.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

use tokio::time::timeout;

use crate::config::Config;
use crate::{api, http_client};

/// How long the server behind the page may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
const PAGE: &str = include_str!("page.html");

/// The page alone, for a process that serves the figures itself.
pub fn page_router() -> Router {
    Router::new().route("/", get(async || Html(PAGE)))
}

/// The page, and the figures of the server named by `api_url`.
pub fn router(config: &Config) -> Router {
    let upstream = config.api_url.clone().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let figures = Router::new().route("/api/v1/performance", get(relay)).with_state(upstream);
    page_router()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(api::show_metrics))
        .merge(figures)
        .layer(middleware::from_fn(api::count_requests))
}

/// Passes the question on, with the key that came with it.
async fn relay(State(upstream): State<String>, headers: HeaderMap) -> Response {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = [("x-api-key", key)];
    let asked = if key.is_empty() { &asked[..0] } else { &asked[..] };
    match timeout(PATIENCE, http_client::get(&upstream, "/api/v1/performance", asked)).await {
        Ok(Ok(answer)) => {
            (answer.status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Ok(Err(_)) | Err(_) => {
            (StatusCode::BAD_GATEWAY, "{\"error\":\"the server behind this page does not answer\"}")
                .into_response()
        }
    }
}
