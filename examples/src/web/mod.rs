//! The page: how a server does, rendered here, live by server-sent events, nothing from anywhere else.

mod cards;
mod events;
mod html;
mod page;
mod plot;
mod relay;
mod sections;
mod source;

use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

use crate::api;
use crate::app::App;
use crate::config::Config;
use events::Viewers;
use source::{Failure, Source};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The page runs its own script, takes its own style, and asks nobody but its own server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

#[derive(Debug, Clone)]
struct Web {
    source: Source,
    viewers: Viewers,
}

impl FromRef<Web> for Viewers {
    fn from_ref(web: &Web) -> Self {
        web.viewers.clone()
    }
}

/// The page of this process itself.
pub fn page_router(app: Arc<App>) -> Router {
    pages(Web { source: Source::Here(app), viewers: Viewers::default() })
        .layer(middleware::from_fn(api::count_requests))
        .layer(middleware::from_fn(api::security_headers))
}

/// The page of the server named by `api_url`, and what else of it the page leads to.
pub fn router(config: &Config) -> Router {
    let upstream = config.api_url.clone().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let upstream: Arc<str> = upstream.into();
    pages(Web { source: Source::There(Arc::clone(&upstream)), viewers: Viewers::default() })
        .merge(relay::router(upstream))
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(api::show_metrics))
        .layer(middleware::from_fn(api::count_requests))
        .layer(middleware::from_fn(api::security_headers))
}

fn pages(web: Web) -> Router {
    let asset = |kind: &'static str, text: &'static str| {
        let answer = ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text);
        get(async move || answer)
    };
    Router::new()
        .route("/", get(show))
        .route("/events", get(events::stream))
        .with_state(web)
        .route("/page.css", asset("text/css; charset=utf-8", STYLE))
        .route("/page.js", asset("text/javascript; charset=utf-8", SCRIPT))
}

async fn show(State(web): State<Web>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut response = match web.source.overview(&parts).await {
        Ok(overview) => Html(page::whole(&overview)).into_response(),
        Err(failure) => refuse(&failure),
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A page that says why there is none; a browser is asked for a key.
fn refuse(failure: &Failure) -> Response {
    let status = match failure {
        Failure::Refused(status) => *status,
        Failure::Silent => StatusCode::BAD_GATEWAY,
    };
    let mut response = (status, Html(page::failure(failure))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(
            "Basic realm=\"OffGridFlow: any name, an administrator's key as password\", charset=\"UTF-8\"",
        );
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Who asks, for servers behind this one: a key, and whether it comes from elsewhere.
fn passed_on(parts: &axum::http::request::Parts) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for name in ["authorization", "x-api-key"] {
        if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    // Without keys the server behind serves this machine only: it must hear that somebody else asks.
    let peer = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let here = peer.is_some_and(crate::config::is_loopback);
    let relayed = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| parts.headers.contains_key(*name));
    if !here || relayed {
        headers.push(("x-forwarded-for".to_owned(), peer.map_or("unknown".to_owned(), |ip| ip.to_string())));
    }
    headers
}
