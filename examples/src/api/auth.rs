use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::ApiError;
use crate::app::App;
use crate::config::is_loopback;

/// Longest name of a tenant, in bytes.
const TENANT_LIMIT: usize = 100;
/// Whose data a loopback request without a header speaks of, when there are no keys.
const DEFAULT_TENANT: &str = "default";

/// API keys and the tenants they belong to, written `TENANT=KEY,TENANT=KEY`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<(String, String)>);

impl fmt::Debug for Keys {
    /// Never shows a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} tenants)", self.0.len())
    }
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let read = |(index, entry): (usize, &str)| match entry.split_once('=') {
            Some((tenant, key)) if key.len() >= 16 => Ok((named(tenant)?.to_owned(), key.to_owned())),
            Some((_, _)) => Err(format!("key {} is shorter than 16 bytes", index + 1)),
            None => Err(format!("entry {} is not TENANT=KEY", index + 1)),
        };
        entries.enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl Keys {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tenant of the key that a request carries.
    pub(super) fn tenant_by_header(&self, headers: &HeaderMap) -> Option<&str> {
        self.tenant_of(given_key(headers)?)
    }

    /// The tenant a key belongs to. Looks at every key and every byte, so that the time tells nothing.
    fn tenant_of(&self, given: &str) -> Option<&str> {
        let mut found = None;
        for (tenant, key) in &self.0 {
            if same(key.as_bytes(), given.as_bytes()) {
                found = Some(tenant.as_str());
            }
        }
        found
    }
}

fn same(key: &[u8], given: &[u8]) -> bool {
    let differ = key.iter().enumerate().fold(key.len() ^ given.len(), |differ, (index, byte)| {
        differ | usize::from(byte ^ given.get(index).unwrap_or(&0))
    });
    differ == 0
}

/// Whose data a request speaks of. With keys the key decides; without, loopback may say it in `X-Tenant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant(pub String);

impl FromRequestParts<Arc<App>> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        if app.config().api_keys.is_empty() {
            return by_header(parts);
        }
        let unauthorized = |sentence| ApiError::new(StatusCode::UNAUTHORIZED, sentence);
        let key = given_key(&parts.headers).ok_or_else(|| {
            unauthorized("an API key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY")
        })?;
        let tenant = app.config().api_keys.tenant_of(key);
        tenant.map(|tenant| Self(tenant.to_owned())).ok_or_else(|| unauthorized("the API key is not known"))
    }
}

fn given_key(headers: &HeaderMap) -> Option<&str> {
    let authorization =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let bearer =
        authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

fn by_header(parts: &Parts) -> Result<Tenant, ApiError> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    if !peer.is_some_and(|ConnectInfo(peer)| is_loopback(peer.ip())) {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "without API keys only loopback is served"));
    }
    let Some(header) = parts.headers.get("x-tenant") else { return Ok(Tenant(DEFAULT_TENANT.to_owned())) };
    let name =
        std::str::from_utf8(header.as_bytes()).map_err(|_| ApiError::bad_request("X-Tenant is not UTF-8"))?;
    named(name).map(|name| Tenant(name.to_owned())).map_err(ApiError::bad_request)
}

fn named(tenant: &str) -> Result<&str, String> {
    match tenant.trim() {
        "" => Err("a tenant's name is empty".to_owned()),
        name if name.len() > TENANT_LIMIT => Err(format!("a tenant's name has at most {TENANT_LIMIT} bytes")),
        name if name.chars().any(char::is_control) => {
            Err("a tenant's name has a control character".to_owned())
        }
        name => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_tenant() {
        let keys: Keys = "acme=0123456789abcdef, beta=fedcba9876543210".parse().unwrap();
        assert_eq!(keys.tenant_of("0123456789abcdef"), Some("acme"));
        assert_eq!(keys.tenant_of("fedcba9876543210"), Some("beta"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "acme"] {
            assert_eq!(keys.tenant_of(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{keys:?}"), "Keys(2 tenants)", "no key is ever shown");
    }

    #[test]
    fn keys_that_protect_nothing_are_refused_without_being_shown() {
        assert!("acme=short".parse::<Keys>().unwrap_err().contains("shorter than 16"));
        assert_eq!("secretsecretsecret".parse::<Keys>().unwrap_err(), "entry 1 is not TENANT=KEY");
        assert!("".parse::<Keys>().unwrap().is_empty());
    }
}
