use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Tenant;
use crate::app::{App, Performance};

/// `GET /api/v1/performance`: cache, statements, pool, memory verdict and probes.
pub(super) async fn show(State(app): State<Arc<App>>, _: Tenant) -> Json<Performance> {
    Json(app.performance())
}
