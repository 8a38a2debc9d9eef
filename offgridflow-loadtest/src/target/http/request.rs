//! What an operation sends.

use std::time::SystemTime;

use http::{HeaderValue, Method, Uri, header};

use super::{HttpRoute, HttpTarget, bad_request, connection, jar::Jar};
use crate::{
    op::Op,
    outcome::{FailKind, TargetError},
};

impl HttpTarget {
    pub(super) fn request(
        &self,
        route: &HttpRoute,
        op: &Op,
        jar: Option<&Jar>,
    ) -> Result<connection::Request, TargetError> {
        if (self.needs_row || route.needs_row) && op.row().is_none() {
            return Err(TargetError::unanswered(
                FailKind::Local("rows"),
                "the feed hands each of its rows out once",
            ));
        }
        let replayed = self.replayed.as_ref().and_then(|log| log.request(&self.prefix, op.index()));
        let (method, path) =
            replayed.unwrap_or_else(|| (route.method.clone(), route.make_path(&self.prefix, op)));
        // Which path that is may be somebody's secret.
        let invalid = || bad_request(format!("the path made for `{}` is not a valid path", route.name()));
        let uri = self.uri(&path).ok_or_else(invalid)?;
        let body = route.make_body(op);
        let says_nothing = body.is_empty() && matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let mut request = http::Request::new(http_body_util::Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.reserve(1 + self.headers.len() + route.headers.len());
        if says_nothing {
            // RFC 9110, section 8.6: a method that usually comes with content says that there is none.
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        }
        let says_host = self.says(&header::HOST) || route.says(&header::HOST);
        if !says_host && self.shared.is_none() {
            headers.insert(header::HOST, self.host.clone());
        }
        let targets = self.headers.iter().filter(|(name, _)| !route.says(name));
        for (name, value) in targets.chain(&route.headers) {
            headers.append(name, value.clone());
        }
        let made = self.made_headers.iter().filter(|made| !route.says(&made.name));
        for made in made.chain(&route.made_headers) {
            headers.append(&made.name, made.value(op)?);
        }
        if let Some(jar) = jar.filter(|_| !headers.contains_key(header::COOKIE)) {
            let path = path.split('?').next().unwrap_or_default();
            let cookies = jar.header(&self.origin, path, SystemTime::now());
            cookies.into_iter().for_each(|cookies| drop(headers.insert(header::COOKIE, cookies)));
        }
        Ok(request)
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
