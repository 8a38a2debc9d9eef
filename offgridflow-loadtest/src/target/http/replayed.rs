//! Requests as a log has them.

use std::{borrow::Cow, collections::HashMap, fmt::Write, sync::Arc, time::Duration};

use http::{HeaderValue, Method, uri::Authority};

use super::{HttpTarget, route::HttpRoute};
use crate::{
    error::ConfigError,
    replay::{Entry, Replay},
    report::width::fit,
    route::MAX_ROUTES,
    schedule::ArrivalProcess,
};

/// Names that the run's table holds beside `unnamed` and `other`.
const NAMED: usize = MAX_ROUTES - 2;

/// What reports name an operation that is a visit.
const VISIT: &str = "visit";

/// A log, and under which of the target's routes each of its distinct requests counts.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) replay: Arc<Replay>,
    /// Of visits, whose requests are steps that count under these.
    pub(super) steps: Vec<HttpRoute>,
    routes: Box<[u8]>, // by the entry's number; at most `NAMED`, which stands for all further ones
    hosts: Box<[Option<HeaderValue>]>, // likewise; none where they are not asked
}

impl Replayed {
    /// With the routes it counts under: the most frequent templates, and one for the rest where there is one. Of visits these are their steps, and the visit is the route.
    pub(super) fn new(replay: Arc<Replay>) -> Result<(Self, Vec<HttpRoute>), ConfigError> {
        if replay.distinct().iter().all(|entry| entry.path().is_none()) {
            return Err(no_path(&replay.summary().columns));
        }
        let templates = replay.distinct().iter().map(template).collect::<Result<Vec<_>, _>>()?;
        let mut counts = HashMap::<&str, u64>::new();
        for (_, id) in (0..replay.operations()).flat_map(|k| replay.visit_ids(k)) {
            *counts.entry(&templates[id]).or_default() += 1;
        }
        let mut names: Vec<_> = counts.into_iter().collect();
        names.sort_unstable_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
        let rest = names.len() > NAMED;
        let names: Vec<&str> = names.into_iter().map(|(name, _)| name).take(NAMED).collect();
        let place: HashMap<&str, u8> = names.iter().copied().zip(0..).collect();
        let other = u8::try_from(NAMED).unwrap_or(u8::MAX);
        let routes = templates.iter().map(|name| place.get(&**name).copied().unwrap_or(other)).collect();
        let names = names.iter().copied().chain(rest.then_some("other"));
        let mut named: Vec<_> = names.map(|name| HttpRoute::get("/").named(name)).collect();
        let mut steps = Vec::new();
        if replay.has_visits() {
            steps = std::mem::replace(&mut named, vec![HttpRoute::get("/").named(VISIT)]);
        }
        Ok((Self { replay, steps, routes, hosts: Box::default() }, named))
    }

    /// From now on asks under the hosts of the log, some of which are called otherwise here.
    pub(super) fn ask_hosts<K: AsRef<str>, V: AsRef<str>>(
        &mut self,
        renamed: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), ConfigError> {
        let mut values = HashMap::<String, HeaderValue>::new();
        for (logged, here) in renamed {
            values.insert(logged.as_ref().to_owned(), host(here.as_ref())?);
        }
        let entries = self.replay.distinct();
        if entries.iter().all(|entry| entry.host().is_none()) {
            let hint = "the log says of no entry which host was asked: name the column or field that does";
            return Err(ConfigError::new("hosts", hint));
        }
        let mut of = |entry: &Entry| -> Result<Option<HeaderValue>, ConfigError> {
            let Some(logged) = entry.host() else { return Ok(None) };
            if !values.contains_key(logged) {
                values.insert(logged.to_owned(), host(logged)?);
            }
            Ok(values.get(logged).cloned())
        };
        self.hosts = entries.iter().map(&mut of).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The entry that operation `k` is, where it is one.
    pub(super) fn entry(&self, k: u64) -> Option<usize> {
        self.visit(k).map(|(_, entry)| entry).next()
    }

    /// The entries that operation `k` is, each with the pause before it.
    pub(super) fn visit(&self, k: u64) -> impl Iterator<Item = (Duration, usize)> {
        self.replay.visit_ids(self.turn(k))
    }

    /// The host that an entry is asked under, where that is the log's affair.
    pub(super) fn host(&self, entry: usize) -> Option<&HeaderValue> {
        self.hosts.get(entry)?.as_ref()
    }

    /// The route that operation `k` counts under.
    pub(super) fn route(&self, k: u64) -> usize {
        if self.replay.has_visits() { 0 } else { self.place(self.entry(k).unwrap_or(0)) }
    }

    /// The route, or the step of a visit, that an entry counts under.
    pub(super) fn place(&self, entry: usize) -> usize {
        self.routes.get(entry).map_or(0, |&route| route.into())
    }

    /// What an entry asks for, the base's path put before the log's.
    pub(super) fn request(&self, prefix: &str, entry: usize) -> Option<(Method, Cow<'_, str>)> {
        let entry = self.replay.distinct().get(entry)?;
        let method = method(entry).ok()?;
        let path = encoded(origin_form(entry.path().unwrap_or("/")));
        if prefix.is_empty() && path.starts_with(['/', '*']) {
            return Some((method, path));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some((method, Cow::Owned(format!("{prefix}{slash}{path}"))))
    }

    /// A run that is longer than the log begins it again.
    fn turn(&self, k: u64) -> u64 {
        k % self.replay.operations().max(1)
    }
}

impl HttpTarget {
    /// Asks what a log asked, in place of routes: operation `k` is the log's entry `k`, and after its end the log
    /// begins again. For the log's times too, use [`Executor::replay`](crate::Executor::replay).
    ///
    /// The log's path follows the base's; an entry without a method is a `GET`. Logs
    /// hold no bodies, so none are sent: think before replaying anything but reads. Reports name routes by method and
    /// path, without query, with `{id}` for numbers, UUIDs and long hexadecimal segments; beyond
    /// [`MAX_ROUTES`](crate::MAX_ROUTES) the rarest are counted as `other`.
    ///
    /// Of a log read by [visits](crate::ReplayBuilder::visits), a visit is an operation `visit` whose requests are its steps, with the pauses of the log between them. It goes on whatever it is
    /// answered, has failed if one answer was no good, and ends where none comes.
    ///
    /// # Errors
    /// A log in which no entry has a path, with the columns it has; a method that HTTP does not allow.
    pub fn replaying(mut self, replay: impl Into<Arc<Replay>>) -> Result<Self, ConfigError> {
        let (replayed, routes) = Replayed::new(replay.into())?;
        (self.routes, self.weights, self.replayed) = (routes, 0, Some(replayed));
        Ok(self)
    }

    /// Gives up on a request of a [visit](crate::ReplayBuilder::visits) after this long; the run's time-out is for all of a visit, with its pauses. Default: that one alone.
    #[must_use]
    pub fn request_timeout(mut self, length: Duration) -> Self {
        self.request_timeout = Some(length);
        self
    }

    /// Asks each entry of the [log](Self::replaying) under the host that it was asked under ([`Fields::host`](crate::Fields::host)), or what that is called here: `www.example.com` in the log may be
    /// `staging.example.com` in the `Host` header. All of them are asked of this target's own address; entries without a host keep the target's.
    ///
    /// # Errors
    /// Without a log, or one that tells no host; HTTP/2, whose connections are a host's; what is no host.
    pub fn hosts<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        renamed: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let refused = |hint: &str| Err(ConfigError::new("hosts", hint));
        if self.shared.is_some() {
            return refused("are for HTTP/1.1: connections of HTTP/2 are one host's");
        }
        let Some(replayed) = &mut self.replayed else { return refused("are a log's: replay one first") };
        replayed.ask_hosts(renamed)?;
        Ok(self)
    }
}

/// A host as it stands in a header: a name or an address, with a port or without.
fn host(text: &str) -> Result<HeaderValue, ConfigError> {
    let wrong = || ConfigError::new("hosts", format!("`{}` is no host", fit(text, 60)));
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

fn no_path(columns: &[String]) -> ConfigError {
    let hint = if columns.is_empty() {
        "the log says of no entry which path it asked for: begin a CSV file with a header such as `time,method,path`".into()
    } else {
        format!(
            "the log says of no entry which path it asked for: its columns are {}; say which one it is \
             (--log-path NAME, or path = \"NAME\" beside the file; likewise for method and time)",
            columns.join(", ")
        )
    };
    ConfigError::new("replay", hint)
}

fn method(entry: &Entry) -> Result<Method, ConfigError> {
    let method = entry.method().unwrap_or("GET");
    let wrong = |_| ConfigError::new("replay", format!("the log asks for `{method}`, not an HTTP method"));
    Method::from_bytes(method.as_bytes()).map_err(wrong)
}

/// Method and path without the query, with `{id}` for segments that look like identifiers.
fn template(entry: &Entry) -> Result<String, ConfigError> {
    let path = origin_form(entry.path().unwrap_or("/"));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut name = format!("{} ", method(entry)?);
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            name.push('/');
        }
        name.push_str(if is_identifier(segment) { "{id}" } else { segment });
    }
    Ok(name)
}

/// A number, a UUID, or at least eight hexadecimal digits with a decimal one among them.
fn is_identifier(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let hexadecimal = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let dashes = segment.bytes().filter(|&byte| byte == b'-').count();
    let number = digits > 0 && digits == segment.len();
    let hash = hexadecimal && digits > 0 && dashes == 0 && segment.len() >= 8;
    number || hash || hexadecimal && dashes == 4 && segment.len() == 36
}

/// The path of what may be a whole URL (proxies log those).
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find('/').map_or("/", |path| &rest[path..])
        }
        _ => target,
    }
}

/// With percent signs for what a request line cannot hold.
fn encoded(path: &str) -> Cow<'_, str> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    if path.bytes().all(allowed) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if allowed(byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // a string takes everything
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::LogFormat;

    fn replayed(log: &str) -> (Replayed, Vec<HttpRoute>) {
        let replay = Replay::builder(LogFormat::Csv(Default::default())).read(log.as_bytes()).expect("a log");
        Replayed::new(Arc::new(replay)).expect("requests")
    }

    #[test]
    fn identifiers_share_a_name() {
        for (path, expected) in [
            ("/sites/17?page=2", "GET /sites/{id}"),
            ("/a/0d9f3c1e/b", "GET /a/{id}/b"),
            ("/a/6fa459ea-ee8a-3ca4-894e-db77e160355e", "GET /a/{id}"),
            ("/facade/decades/v2", "GET /facade/decades/v2"),
            ("/", "GET /"),
            ("http://a.example/b/3/?c", "GET /b/{id}/"),
            ("https://a.example", "GET /"),
        ] {
            let (replayed, routes) = replayed(&format!("time,path\n1,{path}\n"));
            assert_eq!((routes[0].name(), replayed.route(0), routes.len()), (expected, 0, 1));
        }
    }

    #[test]
    fn paths_are_complete_and_encoded() {
        let (replayed, _) = replayed("time,method,path\n1,PUT,/a b/é?q={1}\n2,,/\n3,,x\n");
        let asked = |prefix, k| replayed.request(prefix, replayed.entry(k)?);
        let request = |prefix, k| asked(prefix, k).expect("a request").1.into_owned();
        assert_eq!(request("", 0), "/a%20b/%C3%A9?q=%7B1%7D");
        assert_eq!((request("", 1), request("/api", 1)), ("/".into(), "/api/".into()));
        assert_eq!((request("", 2), request("/api", 2)), ("/x".into(), "/api/x".into()));
        assert_eq!(asked("", 3).expect("begins again").0, Method::PUT);
    }

    #[test]
    fn the_most_frequent_routes_keep_their_names() {
        let rare: String = (0..100).map(|n| format!("{n},/page-{n}\n")).collect();
        let log = format!("time,path\n{rare}100,/often/1\n100,/often/2\n");
        let (replayed, routes) = replayed(&log);
        assert_eq!((routes.len(), routes[0].name(), routes[NAMED].name()), (63, "GET /often/{id}", "other"));
        assert_eq!((replayed.route(100), replayed.route(101)), (0, 0));
        assert_eq!((0..100).filter(|&k| replayed.route(k) == NAMED).count(), 39);
    }
}
