use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use tokio::time::timeout;

use super::passed_on;
use crate::app::App;
use crate::http_client;
use crate::overview::Overview;

/// How long the server behind the page may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where overviews come from: this process, or a server behind it.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Here(Arc<App>),
    There(Arc<str>),
}

/// Why there is no overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Whoever asks may not have it, or has asked too much.
    Refused(StatusCode),
    /// The server behind the page does not answer, or in words that are not known.
    Silent,
}

impl Source {
    /// The overview, for whoever sent `parts`.
    pub(super) async fn overview(&self, parts: &Parts) -> Result<Arc<Overview>, Failure> {
        match self {
            Self::Here(app) => {
                app.doors().admin(parts).map_err(|refused| Failure::Refused(refused.status()))?;
                Ok(app.overview().await)
            }
            Self::There(upstream) => {
                let headers = passed_on(parts);
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (&**name, &**value)).collect();
                let asked = http_client::get(upstream, "/api/v1/overview", &headers);
                match timeout(PATIENCE, asked).await {
                    Ok(Ok(answer)) if answer.status.is_success() => {
                        serde_json::from_slice(&answer.body).map(Arc::new).map_err(|_| Failure::Silent)
                    }
                    Ok(Ok(answer)) if answer.status.is_client_error() => Err(Failure::Refused(answer.status)),
                    _ => Err(Failure::Silent),
                }
            }
        }
    }
}
