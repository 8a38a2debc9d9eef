use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tokio::sync::{Semaphore, oneshot};

use super::answer::{Answer, Refusal, whole};
use super::{Access, index, instant, own, symbol};
use crate::profiler::Desk;
use crate::{ProfileError, Profiler};

/// Largest body of a question.
const BODY: usize = 64 << 10;

/// Serves a profiler under the addresses of Go's `net/http/pprof`, and some of our own: a `tower` service over `http`'s types, made by
/// [`Profiler::service`].
///
/// It answers below any prefix: nest it (`axum::Router::nest_service("/debug/pprof", service)`), or give it whole paths that begin with
/// `/debug/pprof/`. It runs in tokio, with its clock; what takes long is done on threads of its own. A request whose future is dropped,
/// as hyper does when a client hangs up, ends its capture.
#[derive(Clone)]
pub struct ProfileService {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) profiler: Profiler,
    pub(super) longest: Duration,
    pub(super) arguments: bool,
    access: Access,
    waiting: Semaphore,
    desk: Desk,
}

/// Settings of a [`ProfileService`]; see each method for its default.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ProfileServiceBuilder {
    profiler: Profiler,
    access: Access,
    longest: Duration,
    captures: usize,
    arguments: bool,
}

impl Profiler {
    /// Serves it over HTTP to whom `access` lets through.
    pub fn service(&self, access: Access) -> ProfileServiceBuilder {
        let (profiler, longest) = (self.clone(), Duration::from_secs(120));
        ProfileServiceBuilder { profiler, access, longest, captures: 4, arguments: false }
    }
}

impl ProfileServiceBuilder {
    /// The longest capture that may be asked for; a longer one is refused. Default: 120 s.
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Captures that may be under way at once; more are told when to come back. Of the CPU there is one. Default: 4.
    pub fn captures(mut self, captures: usize) -> Self {
        self.captures = captures;
        self
    }

    /// Whether `cmdline` shows the program's arguments, which may hold secrets, beside its name. Default: no.
    pub fn show_arguments(mut self, show: bool) -> Self {
        self.arguments = show;
        self
    }

    /// Starts the thread that does what takes long.
    ///
    /// # Errors
    /// When there is no room for a capture, or the system starts no thread.
    pub fn build(self) -> Result<ProfileService, ProfileError> {
        if self.captures == 0 {
            let hint = "must be above 0";
            return Err(ProfileError::Setting { setting: "captures", value: "0".to_owned(), hint });
        }
        let shared = Shared {
            profiler: self.profiler,
            longest: self.longest,
            arguments: self.arguments,
            access: self.access,
            waiting: Semaphore::new(self.captures),
            desk: Desk::start("profiler-desk", self.captures * 2)?,
        };
        Ok(ProfileService { shared: Arc::new(shared) })
    }
}

impl fmt::Debug for ProfileService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileService").field("profiler", &self.shared.profiler).finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for ProfileService
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            Ok(shared.answer(&parts, body).await.unwrap_or_else(Refusal::into_answer))
        })
    }
}

impl Shared {
    async fn answer<B>(&self, parts: &Parts, body: B) -> Result<Answer, Refusal>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        self.access.check(parts)?;
        let (path, query) = (parts.uri.path(), parts.uri.query());
        let name = path.strip_prefix("/debug/pprof").unwrap_or(path).trim_matches('/');
        if name == "symbol" && parts.method == Method::POST {
            let refuse = |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the list of addresses is too long");
            let body = Limited::new(body, BODY).collect().await.map_err(refuse)?.to_bytes();
            return symbol::show(self, &String::from_utf8_lossy(&body)).await;
        }
        match parts.method {
            Method::GET => self.get(name, query).await,
            // What an answer would be, without waiting for it: no capture is taken to be thrown away.
            Method::HEAD if takes_long(name, query) => {
                Ok(whole(StatusCode::OK, "application/octet-stream", ""))
            }
            Method::HEAD => Ok(self.get(name, query).await?.map(|_| Full::default())),
            _ => {
                let words = "profiles are asked for by GET";
                let mut refused = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words).into_answer();
                refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
                Ok(refused)
            }
        }
    }

    async fn get(&self, name: &str, query: Option<&str>) -> Result<Answer, Refusal> {
        match name {
            "" => index::show(self, query),
            "profile" => self.profile(query).await,
            "flamegraph" => self.flamegraph(query).await,
            "symbol" => symbol::show(self, query.unwrap_or_default()).await,
            "trace" => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, TRACE)),
            "cmdline" => instant::cmdline(self, query),
            "heap" | "allocs" | "goroutine" | "block" | "mutex" | "threadcreate" => {
                self.instant(name, query).await
            }
            _ => own::show(self, name, query).await,
        }
    }

    /// Does what takes long on the service's own thread. Nobody waits for it any more: it is not begun.
    pub(super) async fn on_desk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ProfileError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, replies) = oneshot::channel();
        self.desk.put(move || {
            if !reply.is_closed() {
                drop(reply.send(work()));
            }
        })?;
        Ok(replies.await.map_err(|_| ProfileError::Ended)??)
    }

    /// A place among the captures that wait for their time to pass.
    pub(super) fn place(&self, waits: Duration) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        self.waiting.try_acquire().map_err(|_| Refusal::busy(waits))
    }
}

/// Whether an answer waits for time to pass.
fn takes_long(name: &str, query: Option<&str>) -> bool {
    matches!(name, "profile" | "flamegraph")
        || matches!(name, "heap" | "allocs" | "goroutine" | "block" | "mutex" | "threadcreate")
            && query.is_some_and(|query| query.contains("seconds="))
}

const TRACE: &str = "there is no execution trace: no hook sees every poll of a task. `goroutine?debug=2` shows tasks by place with \
    their polls, `block` what they wait for, `windows` what was kept of the past";
