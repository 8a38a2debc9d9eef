//! An HTTP/1.1 service under load: keep-alive connections, weighted routes.

mod addresses;
mod channel;
mod check;
mod connection;
#[cfg(feature = "http2")]
mod http2;
mod made;
#[cfg(not(feature = "http2"))]
mod no_http2;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod rehearsal;
mod replayed;
mod request;
mod route;
mod stream;
#[cfg(feature = "tls")]
mod tls;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

#[cfg(feature = "cli")]
use crate::histogram::as_f64;
use crate::{
    error::ConfigError,
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
    replay::Replay,
    report::text::short,
    workload::{ShardCtx, Workload},
};
use addresses::Addresses;
use channel::Channel;
use connection::{Answer, Connection, Lost, connect};
#[cfg(feature = "http2")]
use http2::{Connections, Line};
use made::MadeHeader;
#[cfg(not(feature = "http2"))]
use no_http2::{Connections, Line};
#[cfg(not(feature = "tls"))]
use no_tls::Tls;
use replayed::Replayed;
pub use route::HttpRoute;
#[cfg(feature = "tls")]
use tls::Tls;

/// An HTTP/1.1 service (with the feature `http2` also HTTP/2), with the feature `tls` also behind TLS (1.2 and 1.3). A session is one keep-alive connection, opened when the first operation
/// needs it and again when the server closes it; the time for that, TLS's handshake included, is admission wait.
///
/// Names are resolved once and the addresses used in turn, of several those that take a connection before the run. Redirects are answers like any other. A status outside 200 to
/// 399 is a failure (an answered one), unless the route expects it.
///
/// ```
/// use offgridflow_loadtest::{HttpRoute, HttpTarget};
/// let target = HttpTarget::new("http://127.0.0.1:8080")?
///     .header("accept", "application/json")?
///     .route(HttpRoute::get("/emissions").weight(8))
///     .route(HttpRoute::get("/emissions/{id}").path_with(|op| format!("/emissions/{}", op.rng().below(1_000))))
///     .route(
///         HttpRoute::post("/activities")
///             .header("content-type", "application/json")?
///             .body_with(|op| format!(r#"{{"litres":{}}}"#, 1 + op.index() % 90).into_bytes()),
///     );
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct HttpTarget {
    addresses: Addresses,
    tls: Option<Tls>,
    shared: Option<Connections>, // HTTP/2
    host: HeaderValue,
    prefix: String, // path of the base, without the closing slash
    headers: HeaderMap,
    made_headers: Vec<MadeHeader>,
    needs_row: bool, // of the run's feed, for a header
    routes: Vec<HttpRoute>,
    weights: u64,
    replayed: Option<Replayed>,
}

/// What it sends on, once there is something.
#[derive(Debug)]
pub struct HttpSession {
    channel: Option<Channel>,
    ctx: ShardCtx,
}

impl HttpTarget {
    /// A service at `base`, such as `http://127.0.0.1:8080/api`. Without routes every operation is `GET` on
    /// `base` itself.
    ///
    /// # Errors
    /// A base that is not `http://host[:port][/path]`, or `https://` with the feature `tls`.
    pub fn new(base: &str) -> Result<Self, ConfigError> {
        let wrong = |hint: &str| ConfigError::new("url", format!("`{}`: {hint}", redacted(base)));
        let uri: Uri = base.parse().map_err(|_| wrong("write it as http://host:port/path"))?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it has to begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("credentials do not belong into a URL: set an authorization header"));
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("the host is not valid"))?;
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None if is_secure => 443,
            None => 80,
            Some(text) => text
                .parse::<u16>()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?,
        };
        let tls = if is_secure {
            Some(Tls::to(authority.host()).map_err(|error| wrong(&error.hint))?)
        } else {
            None
        };
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if target.starts_with('?') { "/" } else { "" }; // `http://host?query`
        let single = HttpRoute::get(format!("{slash}{target}"));
        single.sound()?;
        Ok(Self {
            addresses: Addresses::of(format!("{}:{port}", authority.host())),
            tls,
            shared: None,
            host,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            made_headers: Vec::new(),
            needs_row: false,
            routes: vec![single.whole_path()],
            weights: 0,
            replayed: None,
        })
    }

    /// Believes the authorities of a PEM file, and no others; otherwise the system's are believed.
    ///
    /// # Errors
    /// A base that is not `https://`, and text that holds no certificate.
    pub fn trust(mut self, pem: &[u8]) -> Result<Self, ConfigError> {
        let tls = self.tls.take().ok_or_else(|| ConfigError::new("ca_file", NOT_ENCRYPTED))?;
        self.tls = Some(tls.trusting(pem)?);
        Ok(self)
    }

    /// Believes any certificate; reports say so beside the target.
    ///
    /// # Errors
    /// A base that is not `https://`.
    pub fn insecure(mut self) -> Result<Self, ConfigError> {
        let tls = self.tls.take().ok_or_else(|| ConfigError::new("insecure", NOT_ENCRYPTED))?;
        self.tls = Some(tls.insecure()?);
        Ok(self)
    }

    /// Speaks HTTP/2 (feature `http2`) on at most so many connections, a part of them for each shard and at least one: operations in flight are streams
    /// on them. Without TLS by prior knowledge. How many were opened, and how many streams one had at a time, is a note of the report: streams share a
    /// connection's congestion window, so a hundred on one are not ten on ten.
    ///
    /// # Errors
    /// No connection; a build without the feature.
    pub fn http2(mut self, connections: usize) -> Result<Self, ConfigError> {
        self.shared = Some(Connections::at_most(connections)?);
        self.tls = self.tls.map(Tls::speaking_http2).transpose()?;
        Ok(self)
    }

    /// A header of every request; said again with another value, it is sent twice. Values never appear in reports or logs.
    ///
    /// # Errors
    /// A name or value that HTTP does not allow; `content-length` and `transfer-encoding`, which follow from the body.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let (name, value) = header_pair(name, value)?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// A header of every request whose value is made for each, in place of one of that name.
    ///
    /// # Errors
    /// As [`header`](Self::header). A value made later that HTTP does not allow is a failed operation, which is not sent.
    pub fn header_with(
        mut self,
        name: &str,
        value: impl Fn(&Op) -> String + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        MadeHeader::new(name, value)?.replace(&mut self.headers, &mut self.made_headers);
        Ok(self)
    }

    /// Adds a route; its path is appended to the base's.
    #[must_use]
    pub fn route(mut self, route: HttpRoute) -> Self {
        if self.weights == 0 {
            self.routes.clear();
            self.replayed = None;
        }
        self.weights += u64::from(route.weight.get());
        self.routes.push(route);
        self
    }

    /// Asks what a log asked, in place of routes: operation `k` is the log's entry `k`, and after its end the log
    /// begins again. For the log's times too, use [`Executor::replay`](crate::Executor::replay).
    ///
    /// The log's path follows the base's; an entry without a method is a `GET`. Logs
    /// hold no bodies, so none are sent: think before replaying anything but reads. Reports name routes by method and
    /// path, without query, with `{id}` for numbers, UUIDs and long hexadecimal segments; beyond
    /// [`MAX_ROUTES`](crate::MAX_ROUTES) the rarest are counted as `other`.
    ///
    /// # Errors
    /// A log in which no entry has a path, with the columns it has; a method that HTTP does not allow.
    pub fn replaying(mut self, replay: impl Into<Arc<Replay>>) -> Result<Self, ConfigError> {
        let (replayed, routes) = Replayed::new(replay.into())?;
        (self.routes, self.weights, self.replayed) = (routes, 0, Some(replayed));
        Ok(self)
    }

    /// A header takes its value from a row of the run's feed, without which nothing can be asked.
    #[cfg(feature = "cli")]
    pub(crate) fn needing_row(mut self) -> Self {
        self.needs_row = true;
        self
    }

    /// Path and query of the base.
    #[cfg(feature = "cli")]
    pub(crate) fn path(&self) -> String {
        self.routes[0].template().to_owned()
    }

    /// Each route with its part of the operations, where routes were given.
    #[cfg(feature = "cli")]
    pub(crate) fn outline(&self) -> Vec<String> {
        let part = |route: &HttpRoute| f64::from(route.weight.get()) * 100.0 / as_f64(self.weights);
        let given = self.routes.iter().filter(|_| self.weights > 0);
        given.map(|route| format!("route       {:5.1} %  {route}", part(route))).collect()
    }

    /// Which route an operation takes: the log's, or drawn from its own random numbers by weight.
    fn draw(&self, op: &Op) -> usize {
        if let Some(replayed) = &self.replayed {
            return replayed.route(op.index());
        }
        if self.routes.len() == 1 {
            return 0;
        }
        let mut draw = op.rng().below(self.weights);
        let passed = |route: &HttpRoute| {
            let weight = u64::from(route.weight.get());
            let here = draw < weight;
            draw = draw.saturating_sub(weight);
            here
        };
        self.routes.iter().position(passed).unwrap_or(0)
    }

    async fn channel(&self, ctx: &ShardCtx) -> Result<Channel, TargetError> {
        let stream = || async { connect(self.addresses.next().await?, self.tls.as_ref()).await };
        match &self.shared {
            Some(shared) => shared.line(ctx, stream).await.map(Channel::Shared),
            None => Ok(Channel::Own(Box::new(Connection::over(stream().await?).await?))),
        }
    }

    /// Sends on the session's connection, opening it where needed. A connection that the server closed while
    /// it was idle, before it took the request, is replaced once.
    async fn exchange(
        &self,
        session: &mut HttpSession,
        request: connection::Request,
        op: &Op,
        kept: usize,
    ) -> Result<Answer, TargetError> {
        let mut request = request;
        for last in [false, true] {
            let mut channel = match session.channel.take() {
                Some(channel) => channel,
                None => self.channel(&session.ctx).await?,
            };
            if !channel.is_ready().await {
                channel = self.channel(&session.ctx).await?;
            }
            match channel.send(request, op, kept).await {
                Ok(answer) => {
                    session.channel = answer.keep.then_some(channel);
                    return Ok(answer);
                }
                Err(Lost::Untouched(unsent, _)) if !last => request = *unsent,
                Err(Lost::Untouched(_, error) | Lost::Sent(error)) => return Err(error),
            }
        }
        Err(TargetError::unanswered(
            FailKind::Reset,
            "the connection was closed twice before the request was sent",
        ))
    }
}

impl Workload for HttpTarget {
    type Session = HttpSession;

    async fn open(&self, ctx: &ShardCtx) -> Result<HttpSession, TargetError> {
        Ok(HttpSession { channel: Some(self.channel(ctx).await?), ctx: ctx.clone() })
    }

    fn routes(&self) -> Vec<String> {
        self.routes.iter().map(|route| route.name().to_owned()).collect()
    }

    fn pick(&self, op: &Op) -> usize {
        self.draw(op)
    }

    async fn call(&self, session: &mut HttpSession, op: &mut Op) -> Outcome {
        let picked = op.picked().and_then(|picked| self.routes.get(picked));
        let route = picked.unwrap_or_else(|| {
            let route = &self.routes[self.draw(op)]; // called by a workload that has routes of its own
            op.route(route.name());
            route
        });
        let request = match self.request(route, op) {
            Ok(request) => request,
            Err(error) => return error.into(),
        };
        match self.exchange(session, request, op, route.kept()).await {
            Ok(answer) => match route.unmet(&answer) {
                None => Outcome::Ok { bytes: answer.bytes },
                Some(error) => error.into(),
            },
            Err(error) => error.into(),
        }
    }

    async fn check(&self) -> Result<String, String> {
        let why = |error: TargetError| error.message.into_owned();
        let address = self.addresses.resolve().await.map_err(why)?;
        let asked = Instant::now();
        connect(address, self.tls.as_ref()).await.map_err(why)?;
        let authority = self.addresses.authority();
        Ok(format!("{authority} is {address}, accepts a connection after {}", short(asked.elapsed())))
    }

    fn cost(&self) -> Option<Duration> {
        // What is encrypted or shared takes more, which nobody has measured.
        let is_plain = self.tls.is_none() && self.shared.is_none();
        if is_plain { rehearsal::cost() } else { None }
    }

    fn open_files(&self) -> u64 {
        u64::from(self.shared.is_none()) // shared connections are few
    }

    fn findings(&self) -> Vec<String> {
        self.shared.as_ref().and_then(Connections::finding).into_iter().collect()
    }

    fn describe(&self) -> String {
        let (scheme, unchecked) = match &self.tls {
            None => ("http", ""),
            Some(tls) if tls.is_insecure() => ("https", " (certificates not checked)"),
            Some(_) => ("https", ""),
        };
        let base = format!("{scheme}://{}{}{unchecked}", self.host.to_str().unwrap_or("?"), self.prefix);
        match &self.replayed {
            Some(log) => format!("{base}, replaying {}", log.replay.summary()),
            None => base,
        }
    }
}

const NOT_ENCRYPTED: &str = "is for a service behind https://";

/// Never sent, so never answered.
fn bad_request(message: String) -> TargetError {
    TargetError::unanswered(FailKind::App, message)
}

fn header_pair(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let field = || format!("headers.{name}");
    let parsed = HeaderName::try_from(name)
        .map_err(|_| ConfigError::new(field(), "this is not a valid header name"))?;
    if parsed == header::CONTENT_LENGTH || parsed == header::TRANSFER_ENCODING {
        return Err(ConfigError::new(field(), "it follows from the body of each request: leave it out"));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| ConfigError::new(field(), "the value holds characters that HTTP does not allow"))?;
    value.set_sensitive(true); // never in Debug output
    Ok((parsed, value))
}

/// A URL without what may be a password.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
