use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::ProfileError;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that is none, with the reason in a sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    text: String,
    retry_in: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_in: None }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn busy(retry_in: Duration) -> Self {
        let error = ProfileError::Busy { retry_in };
        Self { status: StatusCode::TOO_MANY_REQUESTS, text: error.to_string(), retry_in: Some(retry_in) }
    }

    /// In plain text, marked as Go marks it, so that its `pprof` prints the sentence.
    pub(super) fn into_answer(self) -> Answer {
        let mut answer = whole(self.status, "text/plain; charset=utf-8", self.text + "\n");
        answer.headers_mut().insert("x-go-pprof", HeaderValue::from_static("1"));
        if let Some(retry_in) = self.retry_in {
            let seconds = retry_in.as_secs().saturating_add(u64::from(retry_in.subsec_nanos() > 0));
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        answer
    }
}

impl From<ProfileError> for Refusal {
    fn from(error: ProfileError) -> Self {
        let status = match &error {
            ProfileError::Busy { retry_in } => return Self::busy(*retry_in),
            ProfileError::Setting { .. } => StatusCode::BAD_REQUEST,
            ProfileError::Conflict { .. } => StatusCode::CONFLICT,
            ProfileError::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
            ProfileError::Nothing { .. } => StatusCode::NOT_FOUND,
            ProfileError::Ended => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

/// A body of a type.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(super) fn text(body: impl Into<Bytes>) -> Answer {
    whole(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// A page that runs nothing and loads nothing, whatever names are in it.
pub(super) fn html(body: impl Into<Bytes>) -> Answer {
    let mut answer = whole(StatusCode::OK, "text/html; charset=utf-8", body);
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// A flame graph, whose own script runs, and loads nothing.
pub(super) fn svg(body: impl Into<Bytes>) -> Answer {
    let mut answer = whole(StatusCode::OK, "image/svg+xml", body);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    answer
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<Answer, Refusal> {
    let failed =
        |error: serde_json::Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let mut body = serde_json::to_vec(value).map_err(failed)?;
    body.push(b'\n');
    Ok(whole(StatusCode::OK, "application/json", body))
}

/// A profile to be saved.
pub(super) fn pprof(name: &str, body: Vec<u8>) -> Answer {
    let mut answer = whole(StatusCode::OK, "application/octet-stream", body);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.pb.gz\"")) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    answer
}
