use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::{ApiError, Tenant};
use crate::app::App;
use crate::carbon::{Factor, Ratio, Scope};

/// Longest text of a factor, in bytes.
const TEXT_LIMIT: usize = 500;
/// Longest category, in bytes, as for activities.
const NAME_LIMIT: usize = 128;

/// `GET /api/v1/factors/{category}`: a category without a factor is remembered as such.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path(category): Path<String>,
) -> Result<Json<Factor>, ApiError> {
    check("category", &category)?;
    let factor = app.ledger().factor(&tenant, &category).await?;
    let factor = factor.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "the category has no factor"))?;
    Ok(Json(factor.as_ref().clone()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    unit: String,
    kg_co2e_per_unit: Ratio,
    scope: Scope,
    #[serde(default = "yes")]
    in_totals: bool,
    source: String,
}

const fn yes() -> bool {
    true
}

/// `PUT /api/v1/factors/{category}`: the tenant's own factor from now on; what is stored is recalculated by the worker.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path(category): Path<String>,
    body: Bytes,
) -> Result<Json<Factor>, ApiError> {
    let change: Change =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    for (name, text) in [("category", &category), ("unit", &change.unit), ("source", &change.source)] {
        check(name, text)?;
    }
    let factor = Factor {
        category,
        unit: change.unit,
        kg_co2e_per_unit: change.kg_co2e_per_unit,
        scope: change.scope,
        in_totals: change.in_totals,
        source: change.source,
        version: 0,
    };
    Ok(Json(app.ledger().put_factor(&tenant, factor).await?))
}

fn check(name: &str, text: &str) -> Result<(), ApiError> {
    let fault = match text {
        "" => "is empty",
        text if text.len() > TEXT_LIMIT || (name == "category" && text.len() > NAME_LIMIT) => "is too long",
        text if text.chars().any(char::is_control) => "has a control character",
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(format!("{name} {fault}")))
}
