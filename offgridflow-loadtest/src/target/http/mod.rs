//! An HTTP/1.1 service under load: keep-alive connections, weighted routes.

mod addresses;
mod asking;
mod channel;
mod check;
mod choice;
mod connection;
pub(crate) mod credentials;
mod extract;
mod flow;
#[cfg(feature = "http2")]
mod http2;
mod jar;
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
mod subject;
#[cfg(feature = "tls")]
mod tls;
mod trace;
mod wire;

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::{
    error::ConfigError,
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
    report::text::short,
    workload::{ShardCtx, Workload},
};
use addresses::Addresses;
use channel::Channel;
use connection::{Connection, connect};
pub use flow::{HttpFlow, HttpStep};
#[cfg(feature = "http2")]
use http2::{Connections, Line};
use jar::{Jar, Origin};
use made::MadeHeader;
#[cfg(not(feature = "http2"))]
use no_http2::{Connections, Line};
#[cfg(not(feature = "tls"))]
use no_tls::Tls;
use replayed::Replayed;
pub use route::HttpRoute;
#[cfg(feature = "tls")]
use tls::Tls;
use trace::Traces;

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
    origin: Origin,
    keeps_cookies: bool,
    traces: Option<Traces>,
    tls: Option<Tls>,
    shared: Option<Connections>, // HTTP/2
    host: HeaderValue,
    prefix: String, // path of the base, without the closing slash
    headers: HeaderMap,
    made_headers: Vec<MadeHeader>,
    needs_row: bool, // of the run's feed, for a header
    routes: Vec<HttpRoute>,
    flows: Vec<HttpFlow>, // their places follow those of routes
    weights: u64,
    replayed: Option<Replayed>,
    request_timeout: Option<Duration>, // of a visit
}

/// What it sends on, once there is something.
#[derive(Debug)]
pub struct HttpSession {
    channel: Option<Channel>,
    jar: Option<Jar>,
    spare: HeaderMap,     // empty, with the memory of the last request's
    entry: Option<usize>, // of the log, within a visit
    ctx: ShardCtx,
}

impl HttpTarget {
    /// A service at `base`, such as `http://127.0.0.1:8080/api`. Without routes every operation is `GET` on
    /// `base` itself. Credentials in it (`http://user:password@host`) are [basic](Self::basic) ones, which nothing shows again.
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
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| wrong("the host is missing"))?;
        let credentials = credentials::of_url(&uri).map_err(wrong)?;
        let place = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(place).map_err(|_| wrong("the host is not valid"))?;
        let port = match place[authority.host().len()..].strip_prefix(':') {
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
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let target = Self {
            addresses: Addresses::of(format!("{}:{port}", authority.host())),
            origin: Origin { host: bare, is_secure },
            keeps_cookies: false,
            traces: None,
            tls,
            shared: None,
            host,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            made_headers: Vec::new(),
            needs_row: false,
            routes: vec![single.whole_path()],
            flows: Vec::new(),
            weights: 0,
            replayed: None,
            request_timeout: None,
        };
        match credentials {
            Some(value) => target.authorized(&value),
            None => Ok(target),
        }
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

    /// A header of every request; said again, it is sent twice. A route's headers go in place of those of that name. Values never appear in reports or logs.
    ///
    /// # Errors
    /// A name or value that HTTP does not allow; `content-length` and `transfer-encoding`, which follow from the body.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let (name, value) = header_pair(name, value)?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// A header of every request whose value is made for each; otherwise as [`header`](Self::header).
    ///
    /// # Errors
    /// As [`header`](Self::header). A value made later that HTTP does not allow is a failed operation, which is not sent.
    pub fn header_with(
        mut self,
        name: &str,
        value: impl Fn(&Op) -> String + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        self.made_headers.push(MadeHeader::new(name, value)?);
        Ok(self)
    }

    /// Adds a route; its path is appended to the base's.
    #[must_use]
    pub fn route(mut self, route: HttpRoute) -> Self {
        self.weigh(route.weight);
        self.routes.push(route);
        self
    }

    /// Adds a flow of several requests, which is one operation; its steps' paths are appended to the base's.
    ///
    /// # Errors
    /// A flow without a name or a step, two steps or two flows of one name, a pause before its first step.
    pub fn flow(mut self, mut flow: HttpFlow) -> Result<Self, ConfigError> {
        flow.sound()?;
        if self.flows.iter().any(|other| other.name == flow.name) {
            let hint = format!("there are two flows `{}`: name them apart", flow.name);
            return Err(ConfigError::new("name", hint));
        }
        self.weigh(flow.weight);
        flow.first = self.flows.iter().map(|flow| flow.steps.len()).sum();
        self.flows.push(flow);
        Ok(self)
    }

    /// Keeps cookies, as a browser would (RFC 6265): each session has its own, at most 50 of 4 KiB. A session lives for many operations, and one after the other of
    /// them on it is the same user; who lost an answer begins anew. A `cookie` header that was set goes in place of them.
    #[must_use]
    pub fn cookies(mut self) -> Self {
        self.keeps_cookies = true;
        self
    }

    /// Sends a `traceparent` header (W3C Trace Context) with every request, sampled, of a trace of the operation's own; the report names the traces of the slowest
    /// operations. The steps of a flow share their operation's. A header of that name that was set goes in its place.
    #[must_use]
    pub fn traceparent(mut self) -> Self {
        self.traces = Some(Traces::new());
        self
    }

    /// A header takes its value from a row of the run's feed, without which nothing can be asked.
    #[cfg(feature = "cli")]
    pub(crate) fn needing_row(mut self) -> Self {
        self.needs_row = true;
        self
    }

    /// Whether it has a header of its own of this name.
    fn says(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name) || self.made_headers.iter().any(|made| made.name == *name)
    }

    /// Path and query of the base.
    #[cfg(feature = "cli")]
    pub(crate) fn path(&self) -> String {
        self.routes[0].template().to_owned()
    }

    async fn channel(&self, ctx: &ShardCtx) -> Result<Channel, TargetError> {
        let stream = || async { connect(self.addresses.next().await?, self.tls.as_ref()).await };
        match &self.shared {
            Some(shared) => shared.line(ctx, stream).await.map(Channel::Shared),
            None => Ok(Channel::Own(Box::new(Connection::over(stream().await?)))),
        }
    }
}

impl Workload for HttpTarget {
    type Session = HttpSession;

    async fn open(&self, ctx: &ShardCtx) -> Result<HttpSession, TargetError> {
        let jar = self.keeps_cookies.then(Jar::default);
        let channel = Some(self.channel(ctx).await?);
        Ok(HttpSession { channel, jar, spare: HeaderMap::new(), entry: None, ctx: ctx.clone() })
    }

    fn routes(&self) -> Vec<String> {
        (0..self.routes.len() + self.flows.len()).map(|at| self.name(at).to_owned()).collect()
    }

    fn pick(&self, op: &Op) -> usize {
        self.draw(op)
    }

    fn steps(&self) -> Vec<String> {
        let logged = self.replayed.iter().flat_map(|log| &log.steps).map(|step| step.name().to_owned());
        self.flows.iter().flat_map(HttpFlow::step_names).chain(logged).collect()
    }

    async fn call(&self, session: &mut HttpSession, op: &mut Op) -> Outcome {
        let known = self.routes.len() + self.flows.len();
        let picked = op.picked().filter(|&picked| picked < known).unwrap_or_else(|| {
            let drawn = self.draw(op); // called by a workload that has routes of its own
            op.route(self.name(drawn));
            drawn
        });
        if let Some(log) = self.replayed.as_ref().filter(|log| !log.steps.is_empty()) {
            return Box::pin(self.visit(log, session, op)).await;
        }
        match self.routes.get(picked) {
            Some(route) => self.ask(route, route.looks(), &[], session, op).await.into(),
            // Its future would make that of every operation as large.
            None => Box::pin(self.follow(&self.flows[picked - self.routes.len()], session, op)).await,
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

    fn trace_id(&self, index: u64) -> Option<String> {
        Some(self.traces?.id(index))
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
pub(crate) fn redacted(url: &str) -> String {
    let begins = url.find("://").map_or(0, |scheme| scheme + 3);
    match url.rfind('@') {
        Some(at) if at >= begins => format!("{}…{}", &url[..begins], &url[at..]),
        _ => url.to_owned(),
    }
}
