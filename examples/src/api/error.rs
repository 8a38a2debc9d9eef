use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::StoreError;

/// An answer that is not what was asked for: a status and one sentence, as `{"error": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    sentence: String,
}

impl ApiError {
    /// A status with its sentence.
    #[must_use]
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The request makes no sense.
    #[must_use]
    pub fn bad_request(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// Something behind the server does not answer; asking again may help.
    #[must_use]
    pub fn unavailable(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.sentence }))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    /// The cause goes to the log; the caller learns that it is not its fault.
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::TwoKeys) {
            return Self::new(StatusCode::CONFLICT, error.to_string());
        }
        if matches!(error, StoreError::Unit { .. } | StoreError::TooLarge { .. }) {
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "the database failed a request");
        Self::unavailable("the database does not answer; try again")
    }
}

impl From<crate::ledger::LedgerError> for ApiError {
    fn from(error: crate::ledger::LedgerError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "a request failed");
        Self::unavailable("the database does not answer; try again")
    }
}
