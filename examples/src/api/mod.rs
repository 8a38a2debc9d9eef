//! The HTTP interface: routes, who may ask, and what is measured of every request.

mod activities;
mod auth;
mod emissions;
mod error;
mod factors;
mod faults;
mod health;
mod insight;
mod metrics;
mod performance;
mod pprof;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use offgridflow_query::QueryScopeLayer;

pub use auth::{Keys, Tenant};
pub use error::ApiError;
pub use metrics::{count as count_requests, install as install_metrics, show_process as show_metrics};
#[cfg(feature = "otlp")]
pub(crate) use metrics::{metrics_of, metrics_of_process};
pub(crate) use pprof::access as profile_access;

use crate::app::App;

/// Every route of the `api` role.
pub fn router(app: Arc<App>) -> Router {
    let limit = DefaultBodyLimit::max(app.config().max_body_bytes);
    Router::new()
        .route("/api/v1/activities", get(activities::list).post(activities::ingest))
        .route("/api/v1/emissions", get(emissions::totals))
        .route("/api/v1/factors/{category}", get(factors::show).put(factors::change))
        .route("/api/v1/performance", get(performance::show))
        .route("/api/v1/insight", get(insight::show))
        .merge(service_router(&app))
        .layer(QueryScopeLayer::new(app.store().observer().clone()))
        .layer(limit)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), metrics::measure))
        .with_state(app)
}

/// The routes of a role that serves no data of its own: health, metrics, profiles.
pub fn side_router(app: Arc<App>) -> Router {
    service_router(&app)
        .route("/api/v1/performance", get(performance::show))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), metrics::measure))
        .with_state(app)
}

fn service_router(app: &App) -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/debug/faults/{fault}", post(faults::inject))
        .nest_service("/debug/pprof", app.profiles())
}
