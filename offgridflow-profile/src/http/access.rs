use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::answer::Refusal;

type Rule = Arc<dyn Fn(&Parts) -> Result<(), Refusal> + Send + Sync>;

/// Who may ask. Profiles show how a program works and what it is doing, and taking them costs time: nobody from elsewhere should.
#[derive(Clone)]
#[must_use = "give it to the service"]
pub struct Access {
    rule: Rule,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Only this machine, asked directly: the peer is a loopback address, the host that is asked for is one too (or `localhost`), which a
    /// page in a browser cannot pretend, no proxy has passed the request on, and no page of another site made the browser ask.
    ///
    /// `peer` tells who asks, from what the server left in the request's extensions; a request without a peer is refused. With axum:
    ///
    /// ```ignore
    /// Access::loopback(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()))
    /// ```
    pub fn loopback(peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        let rule = move |parts: &Parts| {
            let here = peer(parts).is_some_and(|ip| ip.to_canonical().is_loopback());
            if here
                && asks_for_loopback(parts)
                && !is_forwarded(&parts.headers)
                && !is_another_site_s(&parts.headers)
            {
                return Ok(());
            }
            Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "profiles are served to this machine only, asked directly",
            ))
        };
        Self { rule: Arc::new(rule) }
    }

    /// Who this lets through: keys, a header of the gateway's. `Err` is the status that others get: 401, 403 or 404.
    pub fn by(rule: impl Fn(&Parts) -> Result<(), StatusCode> + Send + Sync + 'static) -> Self {
        let rule = move |parts: &Parts| {
            rule(parts).map_err(|status| Refusal::new(status, "profiles are not served to you"))
        };
        Self { rule: Arc::new(rule) }
    }

    /// Everybody who can reach the service. For a port of its own behind a firewall, and for nothing else.
    pub fn open() -> Self {
        Self { rule: Arc::new(|_| Ok(())) }
    }

    /// Both must let a request through.
    pub fn and(self, other: Self) -> Self {
        let rule = move |parts: &Parts| (self.rule)(parts).and_then(|()| (other.rule)(parts));
        Self { rule: Arc::new(rule) }
    }

    /// The status that a request is refused with, `None` where it is let through: for the rest of a server that keeps the same rule.
    ///
    /// ```
    /// # use offgridflow_profile::Access;
    /// let access = Access::loopback(|_| Some([127, 0, 0, 1].into()));
    /// let (parts, ()) = http::Request::get("/").header("host", "evil.example").body(()).unwrap().into_parts();
    /// assert_eq!(access.refuses(&parts), Some(http::StatusCode::FORBIDDEN));
    /// ```
    #[must_use]
    pub fn refuses(&self, parts: &Parts) -> Option<StatusCode> {
        self.check(parts).err().map(|refusal| refusal.status)
    }

    pub(super) fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        (self.rule)(parts)
    }
}

/// Whether the request names this machine: a name that resolves to it by an attacker's choice (DNS rebinding) does not.
fn asks_for_loopback(parts: &Parts) -> bool {
    let header = || parts.headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    let asked = parts.uri.authority().map(http::uri::Authority::as_str).or_else(header);
    asked.is_none_or(|asked| {
        let host = asked.strip_prefix('[').and_then(|rest| rest.split(']').next());
        let host = host.unwrap_or_else(|| asked.split(':').next().unwrap_or(asked));
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// A page anywhere can make a browser on this machine ask for a capture, whose answer it cannot read; browsers say so. A link that was followed is the
/// user's own doing.
fn is_another_site_s(headers: &HeaderMap) -> bool {
    let says = |name: &str, what: &str| headers.get(name).is_some_and(|value| value == what);
    says("sec-fetch-site", "cross-site") && !says("sec-fetch-user", "?1")
}

/// Behind a proxy on this machine everybody has a loopback address.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use http::Request;

    use super::*;

    fn refused(access: &Access, uri: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
        let request =
            headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        access.refuses(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_this_machine_asked_directly_is_served() {
        let from = |ip: IpAddr| Access::loopback(move |_| Some(ip));
        let here = from(Ipv4Addr::LOCALHOST.into());
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "[::1]:8080", "127.1.2.3"] {
            assert_eq!(refused(&here, "/", &[("host", host)]), None, "{host}");
        }
        assert_eq!(refused(&from(Ipv6Addr::LOCALHOST.into()), "/", &[]), None);
        assert_eq!(refused(&from("::ffff:127.0.0.1".parse().unwrap()), "/", &[]), None);
        let forbidden = Some(StatusCode::FORBIDDEN);
        assert_eq!(refused(&from([10, 0, 0, 1].into()), "/", &[]), forbidden);
        assert_eq!(refused(&Access::loopback(|_| None), "/", &[]), forbidden, "a peer that is not known");
        for (name, value) in [
            ("host", "evil.example"),
            ("host", "127.0.0.1.evil.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("host", "\u{e9}"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert_eq!(refused(&here, "/", &[(name, value)]), forbidden, "{name}: {value}");
        }
        assert_eq!(refused(&here, "http://evil.example/", &[("host", "localhost")]), forbidden);
        for site in ["same-origin", "none"] {
            assert_eq!(refused(&here, "/", &[("sec-fetch-site", site)]), None, "{site}");
        }
        let followed = [("sec-fetch-site", "cross-site"), ("sec-fetch-user", "?1")];
        assert_eq!(refused(&here, "/", &followed), None, "a link on another page");
    }

    #[test]
    fn a_hook_decides_and_rules_add_up() {
        let keyed = Access::by(|parts| {
            if parts.headers.contains_key("x-key") { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
        });
        assert_eq!(refused(&keyed, "/", &[]), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(refused(&keyed, "/", &[("x-key", "1")]), None);
        let both = keyed.and(Access::loopback(|_| None));
        assert_eq!(refused(&both, "/", &[("x-key", "1")]), Some(StatusCode::FORBIDDEN));
        assert_eq!(refused(&Access::open(), "/", &[]), None);
    }
}
