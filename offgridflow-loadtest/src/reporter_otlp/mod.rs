//! A reporter that pushes a run to an OpenTelemetry collector.

mod message;
mod push;

use std::{
    fmt,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::SystemTime,
};

use http::Uri;

use crate::{
    error::{ConfigError, ReportError},
    plan::Plan,
    report::Report,
    reporter::Reporter,
    totals::Totals,
    window::Window,
};
use message::{Moment, request};
use push::{Pushed, push_all};

/// Pushes each window as metrics in OTLP (JSON over HTTP, `POST /v1/metrics`), to an OpenTelemetry collector or whatever else takes it. Labels hold nothing but the outcome.
///
/// | | |
/// |---|---|
/// | `offgridflow.loadtest.request.duration` | cumulative histogram, seconds, from the intended start; what was never answered is beyond the last bound |
/// | `offgridflow.loadtest.requests` | cumulative sum; `outcome`: ok, failed |
/// | `offgridflow.loadtest.offered` | cumulative sum; what the schedule wanted, not in a closed loop |
/// | `offgridflow.loadtest.in_flight` | gauge |
/// | `offgridflow.loadtest.behind_schedule` | gauge, seconds: the 99th percentile of the generator's own lag in the newest window |
/// | `offgridflow.loadtest.valid` | gauge, from the end of a run: 1 or 0 |
///
/// A thread of its own pushes, so a slow collector holds up nobody: a window that finds the one before it still on its way is left out, and its counts are in the next one. A
/// push takes at most 5 s. A run whose last push did not arrive says so in its notes.
pub struct OtlpMetrics {
    endpoint: Uri,
    attributes: Vec<(String, String)>,
    totals: Totals,
    began: SystemTime,
    pushing: Option<(SyncSender<String>, JoinHandle<Pushed>)>,
}

impl OtlpMetrics {
    /// To the collector of a URL such as `http://127.0.0.1:4318`, whose path is put before `/v1/metrics`.
    ///
    /// # Errors
    /// What is no `http://` URL, and one with credentials, which would not be sent.
    pub fn new(endpoint: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::new("otlp", "write it as http://host:port; the usual port is 4318");
        let whole = format!("{}/v1/metrics", endpoint.trim_end_matches('/'));
        let endpoint: Uri = whole.parse().map_err(|_| wrong())?;
        if endpoint.scheme_str() != Some("http") || endpoint.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        if endpoint.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ConfigError::new("otlp", "credentials in it would not be sent: leave them out"));
        }
        let attributes = vec![
            ("service.name".to_owned(), "offgridflow-loadtest".to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Ok(Self { endpoint, attributes, totals: Totals::default(), began: SystemTime::now(), pushing: None })
    }

    /// What else tells this run from others: an attribute of its resource, in place of one of the same name.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.attributes.retain(|(other, _)| *other != name);
        self.attributes.push((name, value.into()));
        self
    }

    fn request(&self, valid: Option<bool>) -> String {
        let moment = Moment { began: self.began, now: SystemTime::now() };
        request(&self.attributes, &self.totals, moment, valid)
    }
}

impl Reporter for OtlpMetrics {
    fn on_start(&mut self, _: &Plan) {
        let (send, waiting) = sync_channel(0);
        let endpoint = self.endpoint.clone();
        let pushing = thread::Builder::new().name("load-otlp".into());
        self.began = SystemTime::now();
        self.pushing =
            pushing.spawn(move || push_all(&endpoint, &waiting)).ok().map(|pushing| (send, pushing));
    }

    fn on_window(&mut self, window: &Window) {
        self.totals.take(window);
        if let Some((send, _)) = &self.pushing {
            let _ = send.try_send(self.request(None));
        }
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        let failed = |source| Err(ReportError { reporter: "metrics as OTLP", source });
        let last = self.request(Some(report.verdict.is_valid()));
        let Some((send, pushing)) = self.pushing.take() else {
            return failed("no thread could be started".into());
        };
        let _ = send.send(last); // waits for the one on its way, which takes no longer than a push may
        drop(send);
        match pushing.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => failed(why.into()),
            Err(_) => failed("the thread that pushes panicked".into()),
        }
    }
}

impl fmt::Debug for OtlpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpMetrics").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
