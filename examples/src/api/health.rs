use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use tokio::time::timeout;

use super::ApiError;
use crate::app::App;

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the database answers, and the server is not draining.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if app.is_draining() {
        return Err(ApiError::unavailable("the server is draining"));
    }
    match timeout(Duration::from_secs(1), app.store().ping()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(_)) | Err(_) => Err(ApiError::unavailable("the database does not answer")),
    }
}
