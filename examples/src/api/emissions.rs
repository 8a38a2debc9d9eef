use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::{ApiError, Tenant};
use crate::app::App;
use crate::carbon::Grams;
use crate::store::{Grouping, Total};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    by: Option<Grouping>,
}

#[derive(Debug, Serialize)]
pub(super) struct Totals {
    tenant: String,
    by: Grouping,
    /// What counts in totals, in kilograms of CO₂ equivalent.
    total_co2e_kg: Grams,
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    group: String,
    activities: i64,
    co2e_kg: Grams,
    in_totals: bool,
}

/// `GET /api/v1/emissions?by=scope|category|year|month`.
pub(super) async fn totals(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    options: Result<Query<Options>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Totals>, ApiError> {
    let Query(options) = options.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let by = options.by.unwrap_or(Grouping::Category);
    let totals = app.ledger().totals(&tenant, by).await?;
    let group = |total: &Total| Group {
        group: total.group.clone(),
        activities: total.activities,
        co2e_kg: total.co2e(),
        in_totals: total.in_totals,
    };
    Ok(Json(Totals {
        tenant,
        by,
        total_co2e_kg: Total::sum(&totals),
        groups: totals.iter().map(group).collect(),
    }))
}
