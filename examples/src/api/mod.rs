//! The HTTP interface: routes, who may ask, and what is measured of every request.

mod activities;
mod doors;
mod emissions;
mod error;
mod factors;
mod faults;
mod guard;
mod health;
mod insight;
mod keys;
mod metrics;
mod performance;
mod pprof;
mod routes;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use offgridflow_query::QueryScopeLayer;

pub use doors::Doors;
pub use error::ApiError;
pub use guard::{Tenant, headers as security_headers};
pub use metrics::{count as count_requests, install as install_metrics, show_process as show_metrics};
#[cfg(feature = "otlp")]
pub(crate) use metrics::{metrics_of, metrics_of_process};
pub(crate) use pprof::access as profile_access;
pub use routes::Door;

use crate::app::App;
use routes::Routes;

/// Every route of the `api` role.
pub fn router(app: Arc<App>) -> Router {
    let limit = DefaultBodyLimit::max(app.config().max_body_bytes);
    data_routes()
        .and(service_routes())
        .router(&app)
        .layer(QueryScopeLayer::new(app.store().observer().clone()))
        .layer(limit)
        .nest_service("/debug/pprof", app.profiles())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), metrics::measure))
        .layer(middleware::from_fn(security_headers))
        .with_state(app)
}

/// The routes of a role that serves no data of its own: health, metrics, profiles.
pub fn side_router(app: Arc<App>) -> Router {
    service_routes()
        .router(&app)
        .nest_service("/debug/pprof", app.profiles())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), metrics::measure))
        .layer(middleware::from_fn(security_headers))
        .with_state(app)
}

/// Every route of the `api` role and who is let through to it.
#[must_use]
pub fn doors() -> Vec<(Door, &'static str)> {
    let mut doors = data_routes().and(service_routes()).doors();
    doors.push((Door::Admins, "/debug/pprof/"));
    doors
}

fn data_routes() -> Routes {
    Routes::default()
        .add(Door::Tenants, "/api/v1/activities", get(activities::list).post(activities::ingest))
        .add(Door::Tenants, "/api/v1/emissions", get(emissions::totals))
        .add(Door::Tenants, "/api/v1/factors/{category}", get(factors::show).put(factors::change))
        .add(Door::Admins, "/api/v1/insight", get(insight::show))
        .add(Door::Admins, "/api/v1/keys", get(keys::list).post(keys::issue))
        .add(Door::Admins, "/api/v1/keys/{id}", delete(keys::revoke))
}

fn service_routes() -> Routes {
    Routes::default()
        .add(Door::Open, "/healthz", get(health::alive))
        .add(Door::Open, "/readyz", get(health::ready))
        .add(Door::Open, "/metrics", get(metrics::show))
        .add(Door::Admins, "/api/v1/overview", get(performance::overview))
        .add(Door::Admins, "/api/v1/performance", get(performance::show))
        .add(Door::Admins, "/debug/faults/{fault}", post(faults::inject))
}
