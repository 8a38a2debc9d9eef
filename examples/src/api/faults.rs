use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::ApiError;
use crate::app::App;

/// `POST /debug/faults/{fault}`: `leak`, `cpu`, `tasks`, `labels` or `slow` begins, `end` ends them all.
pub(super) async fn inject(
    State(app): State<Arc<App>>,
    Path(fault): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = |sentence| ApiError::new(StatusCode::NOT_FOUND, sentence);
    let faults = app.faults().ok_or_else(|| unknown("start the server with --faults"))?;
    match fault.parse() {
        Ok(fault) => faults.begin(fault),
        Err(()) if fault == "end" => faults.end(),
        Err(()) => return Err(unknown("faults are leak, cpu, tasks, labels and slow; `end` ends them")),
    }
    Ok(StatusCode::NO_CONTENT)
}
