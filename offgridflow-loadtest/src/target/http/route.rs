//! One kind of request.

use std::{
    borrow::Cow,
    fmt,
    num::NonZeroU32,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Uri};

use super::{
    check::{Check, first_unmet},
    connection::Wanted,
    header_pair,
    made::MadeHeader,
    subject::Reading,
};
use crate::{
    error::ConfigError,
    op::Op,
    outcome::{FailKind, TargetError},
};

/// Which statuses are success where nothing else is said.
const USUAL: [RangeInclusive<u16>; 1] = [200..=399];

type Make<T> = Arc<dyn Fn(&Op) -> T + Send + Sync>;

/// A request to send, one of a target's weighted routes.
#[derive(Clone)]
pub struct HttpRoute {
    pub(super) method: Method,
    template: String,
    name: String,
    path: Option<Make<String>>,
    pub(super) fixed: OnceLock<Option<Uri>>, // once it was asked for, where the path is
    body: Option<Make<Bytes>>,
    pub(super) headers: HeaderMap,
    pub(super) made_headers: Vec<MadeHeader>,
    pub(super) weight: NonZeroU32,
    expect: Vec<RangeInclusive<u16>>,
    checks: Vec<Check>,
    pub(super) needs_row: bool, // of the run's feed
    whole: bool,                // see `whole_path`
}

impl HttpRoute {
    /// `GET` on `path`, which begins with a slash and may hold a query. Reports name the route by method and
    /// path, so write the template here (`/users/{id}`) and generate with [`path_with`](Self::path_with).
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::with(Method::GET, path)
    }

    /// `POST` on `path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::with(Method::POST, path)
    }

    /// Any method.
    ///
    /// # Errors
    /// A method that HTTP does not allow, and `CONNECT` and `TRACE`.
    pub fn new(method: &str, path: impl Into<String>) -> Result<Self, ConfigError> {
        let method = method
            .parse()
            .map_err(|_| ConfigError::new("method", format!("`{method}` is not an HTTP method")))?;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(ConfigError::new(
                "method",
                format!("{method} is for proxies and not for a load test"),
            ));
        }
        Ok(Self::with(method, path))
    }

    fn with(method: Method, path: impl Into<String>) -> Self {
        let template = path.into();
        let name = format!("{method} {}", template.split('?').next().unwrap_or_default());
        Self {
            method,
            template,
            name,
            path: None,
            fixed: OnceLock::new(),
            body: None,
            headers: HeaderMap::new(),
            made_headers: Vec::new(),
            weight: NonZeroU32::MIN,
            expect: USUAL.to_vec(),
            checks: Vec::new(),
            needs_row: false,
            whole: false,
        }
    }

    /// How often it is taken, against the other routes' weights. Default 1; 0 counts as 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// How reports name it. Default: method and path, without the query.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Generates the path and query of each operation.
    #[must_use]
    pub fn path_with(mut self, path: impl Fn(&Op) -> String + Send + Sync + 'static) -> Self {
        self.path = Some(Arc::new(path));
        self
    }

    /// The body of every request; its length is sent as `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.body = Some(Arc::new(move |_: &Op| body.clone()));
        self
    }

    /// Generates the body of each operation.
    #[must_use]
    pub fn body_with<B: Into<Bytes>>(mut self, body: impl Fn(&Op) -> B + Send + Sync + 'static) -> Self {
        self.body = Some(Arc::new(move |op: &Op| body(op).into()));
        self
    }

    /// A header of this route; said again, it is sent twice. Those of this route go in place of the target's of that name.
    ///
    /// # Errors
    /// A name or value that HTTP does not allow; `content-length` and `transfer-encoding`, which follow from the body.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        let (name, value) = header_pair(name, value)?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// A header whose value is made for each operation; otherwise as [`header`](Self::header).
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

    /// Adds a condition on answers; one that is not met is a failure of the operation, under its own line of the ledger.
    ///
    /// ```text
    /// status == 201                       ==, !=, <, <=, >, >=
    /// size < 10000                        bytes of the body
    /// header.content-type contains json   also: exists
    /// body contains "emissions"
    /// json.items[0].id == 7               a path (feature `serde`); text with or without quotes, numbers, true, false, null
    /// json.items.len > 0                  the length of a list, an object or a text
    /// ```
    ///
    /// With a check of the status, [`expect`](Self::expect) is not asked unless it was said. Checks of the body and of JSON read the first MiB of it; what is longer does
    /// not meet them.
    ///
    /// # Errors
    /// What is no such condition, and what to write.
    pub fn check(mut self, check: &str) -> Result<Self, ConfigError> {
        let check = Check::parse(check)?;
        if check.judges_status() && self.expect == USUAL {
            self.expect = vec![0..=u16::MAX];
        }
        self.checks.push(check);
        Ok(self)
    }

    /// Which statuses are success. Default 200 to 399.
    #[must_use]
    pub fn expect(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expect = vec![statuses];
        self
    }

    /// Which statuses are success as well.
    ///
    /// ```
    /// # use offgridflow_loadtest::HttpRoute;
    /// let route = HttpRoute::get("/sites/{id}").expect(200..=299).or_expect(404..=404);
    /// ```
    #[must_use]
    pub fn or_expect(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expect.push(statuses);
        self
    }

    /// Refuses a path that cannot be requested.
    pub(crate) fn sound(&self) -> Result<(), ConfigError> {
        let valid = self.template.starts_with('/') && (self.path.is_some() || is_path(&self.template));
        if valid { Ok(()) } else { Err(unsound(&self.template)) }
    }

    /// Asks for this path, which may hold a secret: only its template is shown.
    #[cfg(feature = "cli")]
    pub(crate) fn asking(mut self, path: String) -> Result<Self, ConfigError> {
        if !path.starts_with('/') || !is_path(&path) {
            return Err(unsound(&self.template));
        }
        self.template = path;
        Ok(self)
    }

    #[cfg(feature = "cli")]
    pub(super) fn template(&self) -> &str {
        &self.template
    }

    /// The path is complete: the base's is not put before it.
    pub(crate) fn whole_path(mut self) -> Self {
        self.whole = true;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether all operations ask for the same path.
    pub(super) fn is_fixed(&self) -> bool {
        self.path.is_none()
    }

    pub(super) fn make_path(&self, prefix: &str, op: &Op) -> Cow<'_, str> {
        let own = match &self.path {
            Some(make) => Cow::Owned(make(op)),
            None => Cow::Borrowed(&*self.template),
        };
        if self.whole || prefix.is_empty() { own } else { Cow::Owned(format!("{prefix}{own}")) }
    }

    pub(super) fn make_body(&self, op: &Op) -> Bytes {
        self.body.as_ref().map_or_else(Bytes::new, |make| make(op))
    }

    /// Takes its values from a row of the run's feed, without which it cannot be asked.
    #[cfg(feature = "cli")]
    pub(crate) fn needing_row(mut self) -> Self {
        self.needs_row = true;
        self
    }

    /// Whether it has a header of its own of this name.
    pub(super) fn says(&self, name: &HeaderName) -> bool {
        self.headers.contains_key(name) || self.made_headers.iter().any(|made| made.name == *name)
    }

    /// What its checks look at.
    pub(super) fn looks(&self) -> Wanted {
        self.checks.iter().map(Check::looks).fold(Wanted::default(), Wanted::and)
    }

    /// What an answer failed by.
    pub(super) fn unmet(&self, reading: &Reading<'_>) -> Option<TargetError> {
        let status = reading.status();
        if !self.expect.iter().any(|statuses| statuses.contains(&status)) {
            return Some(TargetError::answered(FailKind::Status(status), ""));
        }
        first_unmet(&self.checks, reading)
    }
}

/// As reports name it, with what is expected of its answers where that was said.
impl fmt::Display for HttpRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.expect != USUAL && self.expect != [0..=u16::MAX] {
            let range = |statuses: &RangeInclusive<u16>| match (statuses.start(), statuses.end()) {
                (from, to) if from == to => from.to_string(),
                (from, to) => format!("{from}-{to}"),
            };
            write!(f, ", expects {}", self.expect.iter().map(range).collect::<Vec<_>>().join(", "))?;
        }
        self.checks.iter().try_for_each(|check| write!(f, ", checks {check}"))?;
        Ok(())
    }
}

impl fmt::Debug for HttpRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRoute")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

fn is_path(text: &str) -> bool {
    Uri::try_from(text).is_ok()
}

fn unsound(shown: &str) -> ConfigError {
    ConfigError::new("path", format!("`{shown}` has to begin with a slash and be a valid path"))
}
