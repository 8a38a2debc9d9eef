//! A client for one request at a time: what the page and the demo need, and no more.

use axum::http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// What it is.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Not `http://HOST:PORT`.
    #[error("`{0}` is not http://HOST:PORT")]
    Base(String),
    /// Nobody listens.
    #[error("cannot connect to {0}")]
    Connect(String, #[source] std::io::Error),
    /// The request, or its answer, is not HTTP.
    #[error("the HTTP exchange failed")]
    Http(#[from] hyper::Error),
    /// A header cannot be sent.
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
}

/// `GET base path`.
///
/// # Errors
/// When no answer came; a status that means failure is an answer.
pub async fn get(base: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ClientError> {
    send(base, Method::GET, path, headers, Bytes::new()).await
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// As [`get`].
pub async fn send(
    base: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, ClientError> {
    let host = base.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
    let host = host.ok_or_else(|| ClientError::Base(base.to_owned()))?;
    let stream =
        TcpStream::connect(host).await.map_err(|error| ClientError::Connect(host.to_owned(), error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in headers {
        request = request.header(
            *name,
            hyper::header::HeaderValue::from_bytes(value.as_bytes()).map_err(hyper::http::Error::from)?,
        );
    }
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status();
    let content_type =
        response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok(Answer { status, content_type, body })
}
