use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use super::ApiError;
use crate::app::App;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    advise: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Html,
    Text,
    Json,
}

/// `GET /api/v1/insight`: statements, plans, N+1 and slow executions as a page; `?format=text` or `json`. `?advise=true` also tries what
/// would help the statements that became slower.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let insight = app.store().insight(asked.advise).await;
    Ok(match asked.format {
        Format::Html => Html(insight.html()).into_response(),
        Format::Text => insight.to_string().into_response(),
        Format::Json => Json(insight).into_response(),
    })
}
