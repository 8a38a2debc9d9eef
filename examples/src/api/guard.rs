//! What every request passes before its handler, and every answer behind it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::app::App;
use crate::limiter::Standing;

/// What an answer that is no page may do in a browser: nothing. Profiles and insight bring their styles with them.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A flame graph brings a script to look closer: it may run, as a stranger that reaches nothing of this server's.
const PICTURES: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox allow-scripts";

/// Whose data a request speaks of, as its door let it through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant(pub String);

impl FromRequestParts<Arc<App>> for Tenant {
    type Rejection = ApiError;

    /// Asks the door itself where none stands before the handler, so that a route that was put among the others by mistake lets nobody through.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match parts.extensions.get::<Self>() {
            Some(tenant) => Ok(tenant.clone()),
            None => app.doors().tenant(parts).map(Self),
        }
    }
}

/// Lets tenants pass, as often as their rate allows.
pub(super) async fn tenants(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let tenant = match app.doors().tenant(&parts) {
        Ok(tenant) => tenant,
        Err(refused) => return refused.into_response(),
    };
    let standing = app.doors().count(&tenant);
    let mut response = match standing {
        Some(Standing { admitted: false, .. }) => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "more requests than this tenant's rate; see Retry-After",
        )
        .into_response(),
        _ => {
            parts.extensions.insert(Tenant(tenant));
            if let Some(delay) = app.faults().and_then(crate::faults::Faults::delay) {
                tokio::time::sleep(delay).await;
            }
            next.run(Request::from_parts(parts, body)).await
        }
    };
    if let (Some(rate), Some(standing)) = (app.doors().rate(), standing) {
        say(response.headers_mut(), rate, standing);
    }
    response
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), and `Retry-After` (RFC 9110) on a refusal.
fn say(headers: &mut HeaderMap, rate: u32, standing: Standing) {
    let seconds = standing.wait.as_secs() + u64::from(standing.wait.subsec_nanos() > 0);
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("ratelimit-policy", format!("\"tenant\";q={rate};w=1"));
    put("ratelimit", format!("\"tenant\";r={};t={seconds}", standing.left));
    if !standing.admitted {
        put("retry-after", seconds.max(1).to_string());
    }
}

/// Lets administrators pass.
pub(super) async fn admins(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match app.doors().admin(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => refused.into_response(),
    }
}

/// Answers in time, or says that it did not. What was begun to be stored is stored all the same.
pub(super) async fn in_time(State(longest): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            ApiError::unavailable(format!("not answered within {longest:?}; try again")).into_response()
        }
    }
}

/// Says on every answer what a browser must not do with it; a page that says more says it itself.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let is_picture =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"image/svg"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, if is_picture { PICTURES } else { POLICY }),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
