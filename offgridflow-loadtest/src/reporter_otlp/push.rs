//! Sending, one after the other.

use std::{sync::mpsc::Receiver, time::Duration};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

/// How the last push went; why, if it did not arrive.
pub(super) type Pushed = Result<(), String>;

/// How long a push may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const ANSWER: usize = 64 * 1024;

/// Pushes what comes until there is no more to come.
pub(super) fn push_all(endpoint: &Uri, waiting: &Receiver<String>) -> Pushed {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut last = Ok(());
    while let Ok(body) = waiting.recv() {
        let pushed = async { timeout(PATIENCE, push(endpoint, body)).await };
        last = runtime
            .block_on(pushed)
            .unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
            .map_err(|why| format!("{endpoint}: {why}"));
    }
    last
}

async fn push(endpoint: &Uri, body: String) -> Pushed {
    let said = |error: &dyn std::error::Error| error.to_string();
    let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream =
        TcpStream::connect((host, endpoint.port_u16().unwrap_or(80))).await.map_err(|error| said(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    let place = endpoint.authority().map_or("", http::uri::Authority::as_str);
    let request = Request::post(endpoint.path())
        .header(header::HOST, place.rsplit('@').next().unwrap_or_default())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| said(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| said(&error))?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answers {}", status.as_u16())) }
    };
    tokio::select! {
        exchanged = exchange => exchanged,
        ended = connection => Err(ended.err().map_or_else(|| "the connection was closed".into(), |error| said(&error))),
    }
}
