//! Pushing, now and then, and once more at the end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Method;
use prost::Message;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::figures::{Times, metrics};
use super::spans::{Seen, nanos};
use super::wire::{
    KeyValue, MetricsRequest, Resource, ResourceMetrics, ResourceSpans, Scope, ScopeMetrics, ScopeSpans,
    TraceRequest,
};
use crate::http_client::{self, ClientError};

/// How long a push may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to, and who is speaking.
pub(super) struct Exporter {
    endpoint: String,
    resource: Resource,
    interval: Duration,
    began: u64,
    failed: bool,
}

/// Why a push did not arrive.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("it answers {0}")]
    Status(u16),
    #[error("it does not answer within {PATIENCE:?}")]
    Slow,
}

impl Exporter {
    pub(super) fn new(endpoint: String, role: &str, interval: Duration) -> Self {
        let attributes = vec![
            KeyValue::text("service.name", format!("offgridflow-{role}")),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::text("service.instance.id", Uuid::now_v7().to_string()),
        ];
        let began = nanos(SystemTime::now());
        Self { endpoint, resource: Resource { attributes }, interval, began, failed: false }
    }

    /// What does not arrive is gone: a collector that is away must not fill this process.
    pub(super) async fn run(
        mut self,
        seen: Arc<Seen>,
        figures: impl Fn() -> Option<String>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let ends = timeout(self.interval, stop.wait_for(|stop| *stop)).await.is_ok();
            let pushed = self.push(&seen, &figures().unwrap_or_default()).await;
            self.tell(pushed, seen.lost());
            if ends {
                return;
            }
        }
    }

    async fn push(&self, seen: &Seen, text: &str) -> Result<(), PushError> {
        let scope = || Some(Scope::of_this_program());
        let resource = || Some(self.resource.clone());
        let spans = seen.take();
        if !spans.is_empty() {
            let scope_spans = vec![ScopeSpans { scope: scope(), spans }];
            let request =
                TraceRequest { resource_spans: vec![ResourceSpans { resource: resource(), scope_spans }] };
            self.send("/v1/traces", request.encode_to_vec()).await?;
        }
        let metrics = metrics(text, Times { began: self.began, now: nanos(SystemTime::now()) });
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics }];
        let request = MetricsRequest {
            resource_metrics: vec![ResourceMetrics { resource: resource(), scope_metrics }],
        };
        self.send("/v1/metrics", request.encode_to_vec()).await
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> Result<(), PushError> {
        let headers = [("content-type", "application/x-protobuf")];
        let sent = http_client::send(&self.endpoint, Method::POST, path, &headers, body.into());
        let answer = timeout(PATIENCE, sent).await.map_err(|_| PushError::Slow)??;
        if answer.status.is_success() { Ok(()) } else { Err(PushError::Status(answer.status.as_u16())) }
    }

    /// Says when it begins to fail, and when it works again; not every time.
    fn tell(&mut self, pushed: Result<(), PushError>, lost: u64) {
        match pushed {
            Err(error) if !self.failed => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    endpoint = self.endpoint,
                    "traces and metrics cannot be pushed, and are dropped"
                );
                self.failed = true;
            }
            Ok(()) if self.failed => {
                tracing::info!(lost, "traces and metrics are pushed again");
                self.failed = false;
            }
            _ => {}
        }
    }
}
