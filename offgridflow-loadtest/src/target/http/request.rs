//! What an operation sends.

use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Method, Uri, header};

use super::{HttpRoute, HttpSession, HttpTarget, bad_request, connection, replayed::Replayed};
use crate::{
    op::Op,
    outcome::{FailKind, TargetError},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl HttpTarget {
    pub(super) fn request(
        &self,
        route: &HttpRoute,
        op: &Op,
        session: &mut HttpSession,
    ) -> Result<connection::Request, TargetError> {
        if (self.needs_row || route.needs_row) && op.row().is_none() {
            return Err(TargetError::unanswered(
                FailKind::Local("rows"),
                "the feed hands each of its rows out once",
            ));
        }
        let (method, uri) = self.asked(route, session, op)?;
        let body = route.make_body(op);
        let says_nothing = body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        *headers = std::mem::take(&mut session.spare);
        headers.reserve(1 + self.headers.len() + route.headers.len());
        if says_nothing {
            // RFC 9110, section 8.6: a method that usually comes with content says that there is none.
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        }
        let says_host = self.says(&header::HOST) || route.says(&header::HOST);
        if !says_host && self.shared.is_none() {
            let logged = self.logged(session, op).and_then(|(log, entry)| log.host(entry));
            headers.insert(header::HOST, logged.unwrap_or(&self.host).clone());
        }
        let targets = self.headers.iter().filter(|(name, _)| !route.says(name));
        for (name, value) in targets.chain(&route.headers) {
            headers.append(name, value.clone());
        }
        let made = self.made_headers.iter().filter(|made| !route.says(&made.name));
        for made in made.chain(&route.made_headers) {
            headers.append(&made.name, made.value(op)?);
        }
        if let Some(header) = self.traces.and_then(|traces| traces.header(op.index())) {
            headers.entry(TRACEPARENT).or_insert(header);
        }
        if let Some(jar) = session.jar.as_ref().filter(|_| !headers.contains_key(header::COOKIE)) {
            let cookies = jar.header(&self.origin, request.uri().path(), SystemTime::now());
            cookies
                .into_iter()
                .for_each(|cookies| drop(request.headers_mut().insert(header::COOKIE, cookies)));
        }
        Ok(request)
    }

    /// Method and address. A path that is the same for all operations is read once.
    fn asked(&self, route: &HttpRoute, session: &HttpSession, op: &Op) -> Result<(Method, Uri), TargetError> {
        let replayed = self.logged(session, op).and_then(|(log, entry)| log.request(&self.prefix, entry));
        let made = || self.uri(&route.make_path(&self.prefix, op));
        let (method, uri) = match replayed {
            Some((method, path)) => (method, self.uri(&path)),
            None if route.is_fixed() => (route.method.clone(), route.fixed.get_or_init(made).clone()),
            None => (route.method.clone(), made()),
        };
        // Which path it is may be somebody's secret.
        let invalid = || bad_request(format!("the path made for `{}` is not a valid path", route.name()));
        Ok((method, uri.ok_or_else(invalid)?))
    }

    /// The log's entry that is asked now, where one is.
    fn logged(&self, session: &HttpSession, op: &Op) -> Option<(&Replayed, usize)> {
        let log = self.replayed.as_ref()?;
        Some((log, session.entry.or_else(|| log.entry(op.index()))?))
    }

    /// HTTP/1.1 asks for a path and says the host in a header, HTTP/2 asks for all of it.
    fn uri(&self, path: &str) -> Option<Uri> {
        if self.shared.is_none() {
            return Uri::try_from(path).ok();
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(self.host.as_bytes()).path_and_query(path).build().ok()
    }
}
