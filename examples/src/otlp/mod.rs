//! Traces and metrics pushed as OTLP (protobuf over HTTP), to a collector or whatever takes what a collector takes.
//!
//! A request's span goes on where its `traceparent` says; with [`Options::trace_sql`] its identity stands in a comment of the statements that are
//! asked in it, with [`Options::trace_redis`] each call of Redis is a span below it. The metrics are those of `GET /metrics`.

mod export;
mod figures;
mod identity;
mod spans;
mod wire;

use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use spans::comment;
pub use spans::layer;

/// Where to, and what goes on with a trace.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Collector that takes OTLP over HTTP: `http://HOST:4318`. Without it nothing is pushed.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Seconds between two pushes.
    #[arg(long, env = "OFFGRIDFLOW_OTLP_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub otlp_secs: u64,
    /// Put a request's trace into a comment of the statements that it asks. Such statements are prepared anew each time.
    #[arg(long, env = "OFFGRIDFLOW_TRACE_SQL")]
    pub trace_sql: bool,
    /// Make a span of each call of Redis.
    #[arg(long, env = "OFFGRIDFLOW_TRACE_REDIS")]
    pub trace_redis: bool,
}

/// What is pushed until it is ended.
#[derive(Debug)]
pub(crate) struct Pushing(Option<(watch::Sender<bool>, JoinHandle<()>)>);

impl Pushing {
    /// Begins to push what `figures` shows, and spans; nothing without an endpoint.
    pub(crate) fn start(
        options: &Options,
        role: &'static str,
        figures: impl Fn() -> Option<String> + Send + 'static,
    ) -> Self {
        let Some(endpoint) = options.otlp_endpoint.clone() else { return Self(None) };
        let ended = spans::collect(options.trace_sql, options.trace_redis);
        let (stop, stopped) = watch::channel(false);
        let exporter = export::Exporter::new(endpoint, role, Duration::from_secs(options.otlp_secs));
        Self(Some((stop, tokio::spawn(exporter.run(ended, figures, stopped)))))
    }

    /// Pushes what is left.
    pub(crate) async fn end(self) {
        if let Some((stop, task)) = self.0 {
            let _ = stop.send(true);
            let _ = task.await;
        }
    }
}
