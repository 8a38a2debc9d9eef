use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::source::{Failure, Source};
use super::{Web, page, refuse};
use crate::listen::Stopping;

/// How often a viewer is told what changed.
const EVERY: Duration = Duration::from_secs(2);
/// How long a stream lasts before the browser asks anew, with its key: a server that ends is not kept from it for longer.
const LONGEST: Duration = Duration::from_secs(600);
/// Viewers at a time.
const VIEWERS: usize = 64;

/// Places for viewers.
#[derive(Debug, Clone)]
pub(super) struct Viewers(Arc<Semaphore>);

impl Default for Viewers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(VIEWERS)))
    }
}

struct Viewer {
    source: Source,
    parts: Parts,
    shown: BTreeMap<&'static str, String>,
    began: Instant,
    next: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

/// `GET /events`: the parts of the page that changed, as JSON of their names and their HTML.
pub(super) async fn stream(State(web): State<Web>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(failure) = web.source.overview(&parts).await {
        return refuse(&failure);
    }
    let Ok(place) = Arc::clone(&web.viewers.0).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], "too many viewers\n")
            .into_response();
    };
    let now = Instant::now();
    let viewer = Viewer {
        source: web.source,
        parts,
        shown: BTreeMap::new(),
        began: now,
        next: now,
        ended: false,
        _place: place,
    };
    let events = stream::unfold(viewer, async |mut viewer| {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), viewer))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

impl Viewer {
    /// The next event; `None` when this stream is over.
    async fn next(&mut self) -> Option<String> {
        if self.ended || self.began.elapsed() > LONGEST {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.next) => {}
            () = stopping(&self.parts) => return None,
        }
        self.next = Instant::now() + EVERY;
        Some(match self.source.overview(&self.parts).await {
            Ok(overview) => {
                let parts = page::parts(&overview);
                let changed: BTreeMap<_, _> =
                    parts.into_iter().filter(|(name, html)| self.shown.get(name) != Some(html)).collect();
                self.shown.extend(changed.clone());
                event("parts", &serde_json::to_string(&changed).unwrap_or_default())
            }
            Err(Failure::Refused(status)) => {
                self.ended = true;
                event("refused", &status.as_u16().to_string())
            }
            Err(Failure::Silent) => event("silent", "{}"),
        })
    }
}

/// Resolves when the server stops: a viewer must not keep it.
async fn stopping(parts: &Parts) {
    match parts.extensions.get::<Stopping>() {
        Some(stopping) => stopping.begun().await,
        None => std::future::pending().await,
    }
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
