use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offgridflow_profile::Access;
use tokio::time::Instant;

use super::ApiError;
use crate::keys::{KeyRing, Owner, named};
use crate::limiter::{Limiter, Standing};

/// Whose data a loopback request without a header speaks of, when there are no keys.
const DEFAULT_TENANT: &str = "default";
/// Requests a second and tenant where nothing else is set.
const RATE: u32 = 1_000;

/// Decides who may pass: by key, or, where there never was one, only this machine.
#[derive(Debug)]
pub struct Doors {
    ring: KeyRing,
    local: Access,
    limiter: Limiter,
    limited_when_open: bool,
}

impl Doors {
    /// With the keys of `ring`, and so many requests a second and tenant; without a rate of its own, a development start has no limit.
    pub(crate) fn new(ring: KeyRing, rate: Option<u32>) -> Self {
        let peer = |ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip();
        let local = Access::loopback(move |parts| parts.extensions.get().map(peer));
        Self { ring, local, limiter: Limiter::new(rate.unwrap_or(RATE)), limited_when_open: rate.is_some() }
    }

    /// The keys.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Requests a second and tenant; `None` without limit.
    #[must_use]
    pub fn rate(&self) -> Option<u32> {
        (self.limited_when_open || !self.ring.is_open()).then(|| self.limiter.rate())
    }

    /// What `tenant` has left after a request; `None` without limit.
    pub(super) fn count(&self, tenant: &str) -> Option<Standing> {
        self.rate().map(|_| self.limiter.ask(tenant, Instant::now()))
    }

    /// Whose data a request speaks of. With keys the key decides; without, this machine may say it in `X-Tenant`.
    pub(super) fn tenant(&self, parts: &Parts) -> Result<String, ApiError> {
        if self.ring.is_open() {
            self.this_machine(parts)?;
            return tenant_by_header(&parts.headers);
        }
        match self.owner(parts)? {
            Owner::Tenant(tenant) => Ok(tenant),
            Owner::Admin => Err(forbidden("an administrator's key reads no tenant's data")),
        }
    }

    /// Lets administrators pass; without keys, this machine.
    pub(crate) fn admin(&self, parts: &Parts) -> Result<(), ApiError> {
        if self.ring.is_open() {
            return self.this_machine(parts);
        }
        match self.owner(parts)? {
            Owner::Admin => Ok(()),
            Owner::Tenant(_) => Err(forbidden("only an administrator's key opens this")),
        }
    }

    fn owner(&self, parts: &Parts) -> Result<Owner, ApiError> {
        let unauthorized = |sentence| ApiError::new(StatusCode::UNAUTHORIZED, sentence);
        let given = given_key(parts).ok_or_else(|| {
            unauthorized("an API key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY")
        })?;
        self.ring.owner_of(&given).ok_or_else(|| unauthorized("the API key is not known"))
    }

    fn this_machine(&self, parts: &Parts) -> Result<(), ApiError> {
        if self.local.refuses(parts).is_some() {
            let sentence = "without API keys only this machine is served, asked directly";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, sentence));
        }
        if is_cross_site(&parts.headers) {
            return Err(forbidden("without API keys no page of another site is served"));
        }
        Ok(())
    }
}

fn forbidden(sentence: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, sentence)
}

/// The key that a request carries. As the password of a browser only where nothing is changed: browsers send that along with requests that
/// another site's page made.
fn given_key(parts: &Parts) -> Option<String> {
    let authorization =
        parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    match authorization {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim().to_owned()),
        Some((scheme, credentials)) if scheme.eq_ignore_ascii_case("basic") => {
            let reads = matches!(parts.method, Method::GET | Method::HEAD);
            password(credentials.trim()).filter(|_| reads)
        }
        _ => Some(parts.headers.get("x-api-key")?.to_str().ok()?.to_owned()),
    }
}

fn password(credentials: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn tenant_by_header(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(header) = headers.get("x-tenant") else { return Ok(DEFAULT_TENANT.to_owned()) };
    let name =
        std::str::from_utf8(header.as_bytes()).map_err(|_| ApiError::bad_request("X-Tenant is not UTF-8"))?;
    named(name).map(str::to_owned).map_err(|why| ApiError::bad_request(format!("X-Tenant {why}")))
}

/// Whether a browser says that a page of somebody else's asks.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = |origin: &str| {
        let place = origin.split_once("://").map_or(origin, |(_, place)| place);
        value("host") != Some(place)
    };
    value("origin").is_some_and(foreign) || value("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;
    use crate::keys::KeyList;

    fn doors(keys: &str) -> Doors {
        Doors::new(KeyRing::new(KeyList::of_tenants(keys).checked().unwrap().to_vec()), None)
    }

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4_000))));
        parts
    }

    #[test]
    fn without_keys_only_this_machine_asked_directly_and_by_nobody_elses_page() {
        let doors = doors("");
        let local = ("host", "127.0.0.1:8080");
        for good in [
            &[local][..],
            &[local, ("origin", "http://127.0.0.1:8080")],
            &[local, ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(doors.tenant(&parts(Method::POST, good)).unwrap(), "default", "{good:?}");
            assert!(doors.admin(&parts(Method::POST, good)).is_ok());
        }
        for bad in [
            &[("host", "rebound.example")][..],
            &[local, ("x-forwarded-for", "10.0.0.1")],
            &[local, ("origin", "https://evil.example")],
            &[local, ("origin", "null")],
            &[local, ("sec-fetch-site", "cross-site")],
        ] {
            assert!(doors.tenant(&parts(Method::POST, bad)).is_err(), "{bad:?}");
            assert!(doors.admin(&parts(Method::POST, bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_browsers_password_reads_and_never_writes() {
        let doors = doors("acme=0123456789abcdef");
        let basic = ("authorization", "Basic YW55Ym9keTowMTIzNDU2Nzg5YWJjZGVm"); // anybody:0123456789abcdef
        assert_eq!(doors.tenant(&parts(Method::GET, &[basic])).unwrap(), "acme");
        assert!(doors.tenant(&parts(Method::POST, &[basic])).is_err());
        for (method, key) in [
            (Method::POST, ("authorization", "bearer 0123456789abcdef")),
            (Method::PUT, ("x-api-key", "0123456789abcdef")),
        ] {
            assert_eq!(doors.tenant(&parts(method, &[key])).unwrap(), "acme");
        }
        for wrong in ["Basic", "Basic !", "Basic YQ==", "Basic /w==", "Digest x", "Bearer"] {
            assert!(doors.tenant(&parts(Method::GET, &[("authorization", wrong)])).is_err(), "{wrong}");
        }
        assert!(doors.admin(&parts(Method::GET, &[basic])).is_err(), "a tenant is no administrator");
    }
}
