//! A request's span, and what of it goes on to the database. Without the feature `otlp` there is neither.

use axum::extract::Request;
#[cfg(feature = "otlp")]
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

/// Answers a request in a span of its own, below that of its `traceparent`.
#[cfg(feature = "otlp")]
pub(crate) async fn spanned(route: &str, method: &str, request: Request, next: Next) -> Response {
    use tracing::Instrument;
    let given =
        request.headers().get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        traceparent = given,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", status(response.status()));
    response
}

#[cfg(feature = "otlp")]
fn status(status: StatusCode) -> i64 {
    i64::from(status.as_u16())
}

/// Answers a request.
#[cfg(not(feature = "otlp"))]
pub(crate) async fn spanned(_: &str, _: &str, request: Request, next: Next) -> Response {
    next.run(request).await
}

/// What is to stand behind a statement of the current request's; mostly nothing.
pub(crate) fn comment() -> Option<String> {
    #[cfg(feature = "otlp")]
    return crate::otlp::comment();
    #[cfg(not(feature = "otlp"))]
    None
}
