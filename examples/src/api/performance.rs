use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::{App, Performance};
use crate::overview::Overview;

/// `GET /api/v1/performance`: cache, statements, pool, memory verdict and probes.
pub(super) async fn show(State(app): State<Arc<App>>) -> Json<Performance> {
    Json(app.performance())
}

/// `GET /api/v1/overview`: what the page shows.
pub(super) async fn overview(State(app): State<Arc<App>>) -> Json<Overview> {
    Json(app.overview().await.as_ref().clone())
}
