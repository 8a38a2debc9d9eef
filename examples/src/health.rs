//! `offgridflow health URL`: asks a server that is up, for images without a shell.

use std::time::Duration;

use axum::http::StatusCode;
use clap::Args;

use crate::http_client::{self, ClientError};

/// Whom to ask, and how long to wait.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What is asked: `http://HOST:PORT/PATH`; `/readyz` also asks the database.
    #[arg(default_value = "http://127.0.0.1:8080/healthz")]
    url: String,
    /// How long the answer may take, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// Nobody answered in HTTP.
    #[error("{0} does not answer")]
    Ask(String, #[source] ClientError),
    /// It answered that it is not.
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    /// No answer in time.
    #[error("{0} did not answer within {1:?}")]
    Slow(String, Duration),
}

/// Succeeds where the server answers 200 in time.
///
/// # Errors
/// What it answered instead, or that it did not.
pub async fn run(options: Options) -> Result<(), HealthError> {
    let Options { url, seconds } = options;
    let (base, path) = split(&url);
    let patience = Duration::from_secs(seconds);
    match tokio::time::timeout(patience, http_client::get(base, path, &[])).await {
        Err(_) => Err(HealthError::Slow(url, patience)),
        Ok(Err(error)) => Err(HealthError::Ask(url, error)),
        Ok(Ok(answer)) if answer.status == StatusCode::OK => Ok(()),
        Ok(Ok(answer)) => Err(HealthError::Status(url, answer.status)),
    }
}

/// `http://HOST:PORT` and the path, which is `/` where there is none.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    url[host..].find('/').map_or((url, "/"), |path| url.split_at(host + path))
}
