//! What is asked of the endpoint, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{IDLE, Served, status_of};
use crate::{Control, ControlError};

/// The longest body that is read.
const LONGEST_BODY: usize = 4_096;

const HELP: &str = "\
GET  /         this
GET  /status   how the run stands, as JSON
GET  /metrics  the run so far, in Prometheus' text format 0.0.4
POST /pause    offers nothing more until it is resumed
POST /resume   goes on where it stood still
POST /rate     goes on at another rate: {\"per_sec\": 500}, or {\"times\": 1.1}
POST /note     writes something down: {\"text\": \"deployed 1.4.2\"}
POST /stop     ends the run with a partial report
Whoever posts may say who and why, as JSON: {\"by\": \"anna\", \"text\": \"failover\"}. A change takes effect 0.2 s later.
Thresholds of a run that was paused or changed are not judged: it exits with 3.
";

/// What is said with a command.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    by: Option<String>,
    #[serde(default)]
    text: String,
    per_sec: Option<f64>,
    times: Option<f64>,
}

/// That a command was taken.
#[derive(Serialize)]
struct Taken {
    /// When it takes effect, from the start of the run.
    #[serde(rename = "at_ns", with = "crate::report::nanos")]
    at: Duration,
}

pub(super) async fn answer(request: Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    if let Some(why) = stranger(request.headers()) {
        return text(StatusCode::FORBIDDEN, why);
    }
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::GET, "/") => text(StatusCode::OK, HELP),
        (&Method::GET, "/status") => json(StatusCode::OK, &served.control.standing()),
        (&Method::GET, "/metrics") => metrics(served),
        (&Method::POST, "/pause" | "/resume" | "/rate" | "/note" | "/stop") => match read(body).await {
            Ok(said) => obey(path, &said, &served.control),
            Err(why) => text(StatusCode::BAD_REQUEST, &why),
        },
        (_, "/" | "/status" | "/metrics") => refused_method("GET"),
        (_, "/pause" | "/resume" | "/rate" | "/note" | "/stop") => refused_method("POST"),
        _ => text(StatusCode::NOT_FOUND, "there is no such thing here: GET / lists what there is\n"),
    }
}

/// Why somebody is not answered: pages in a browser of this machine reach loopback addresses too, by a name of theirs or as another origin.
fn stranger(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(header::ORIGIN) {
        return Some("pages may not steer a run: this is for programs\n");
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.parse::<http::uri::Authority>().map(|host| host.host().to_owned()).unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let ours = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
    (!ours).then_some("ask by a loopback name: localhost, 127.0.0.1 or [::1]\n")
}

async fn read(body: Incoming) -> Result<Said, String> {
    let collected = timeout(IDLE, Limited::new(body, LONGEST_BODY).collect()).await;
    let body = collected.map_err(|_| "the body did not come\n".to_owned())?;
    let body = body.map_err(|_| format!("a body has at most {LONGEST_BODY} bytes\n"))?.to_bytes();
    if body.is_empty() {
        return Ok(Said::default());
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("{error}: write JSON such as {{\"by\": \"anna\"}}\n"))
}

fn obey(path: &str, said: &Said, control: &Control) -> Response<Full<Bytes>> {
    let (by, why) = (said.by.as_deref().unwrap_or("the control endpoint"), &*said.text);
    let rated = said.per_sec.is_some() || said.times.is_some();
    if rated && path != "/rate" {
        return text(StatusCode::BAD_REQUEST, "per_sec and times are for /rate\n");
    }
    let done = match (path, said.per_sec, said.times) {
        ("/pause", ..) => control.pause(by, why),
        ("/resume", ..) => control.resume(by, why),
        ("/rate", Some(per_sec), None) => control.set_rate(per_sec, by, why),
        ("/rate", None, Some(times)) => control.scale_rate(times, by, why),
        ("/note", ..) if why.is_empty() => return text(StatusCode::BAD_REQUEST, "a note has a text\n"),
        ("/note", ..) => control.note(by, why),
        ("/stop", ..) => {
            control.stop(by, why);
            Ok(control.standing().at)
        }
        _ => return text(StatusCode::BAD_REQUEST, "say either per_sec or times\n"),
    };
    match done {
        Ok(at) => json(StatusCode::OK, &Taken { at }),
        Err(error) => refused(&error),
    }
}

fn metrics(served: &Served) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, &served.so_far.text(&served.control.standing()));
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn refused(error: &ControlError) -> Response<Full<Bytes>> {
    text(status_of(error), &format!("{error}\n"))
}

fn refused_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("this is for {allowed}\n"));
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

fn text(status: StatusCode, said: &str) -> Response<Full<Bytes>> {
    of(status, "text/plain; charset=utf-8", said.to_owned())
}

fn json(status: StatusCode, said: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(said) {
        Ok(said) => of(status, "application/json", said + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn of(status: StatusCode, kind: &'static str, said: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(said));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
