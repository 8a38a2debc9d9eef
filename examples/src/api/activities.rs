use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{ApiError, Tenant};
use crate::app::App;
use crate::carbon::Activity;
use crate::intake::Format;
use crate::ledger::{Receipt, Standing};

/// Activities a page holds unless told otherwise, and at most.
const PAGE: (u32, u32) = (100, 1_000);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IngestOptions {
    /// Store all rows or none.
    #[serde(default)]
    atomic: bool,
}

/// `POST /api/v1/activities`: answers after commit.
pub(super) async fn ingest(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    options: Result<Query<IngestOptions>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Query(options) = options.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let format = Format::of(content_type).ok_or_else(|| {
        let known = "application/json, application/x-ndjson or text/csv";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body is to be {known}"))
    })?;
    let receipt = app.ledger().ingest(&tenant, format, &body, options.atomic).await?;
    Ok(answer(receipt))
}

fn answer(receipt: Receipt) -> Response {
    let status = match receipt.standing() {
        Standing::Stored => StatusCode::OK,
        Standing::Malformed => StatusCode::BAD_REQUEST,
        Standing::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        Standing::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(receipt)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageOptions {
    /// The `next` of the page before.
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct Page {
    activities: Vec<Activity>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /api/v1/activities`: keyset pages in the order of ids.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    options: Result<Query<PageOptions>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Page>, ApiError> {
    let Query(options) = options.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let limit = options.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit lies between 1 and {}", PAGE.1)));
    }
    if options.after.contains('\0') {
        return Err(ApiError::bad_request("after holds a NUL byte, which no id does"));
    }
    let mut activities = app.store().activities(&tenant, &options.after, limit + 1).await?;
    let more = activities.len() > limit as usize;
    activities.truncate(limit as usize);
    let next = activities.last().filter(|_| more).map(|activity| activity.id.clone());
    Ok(Json(Page { activities, next }))
}
