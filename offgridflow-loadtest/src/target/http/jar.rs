//! The cookies of one session (RFC 6265), which speaks to one host and no other.

use std::{net::IpAddr, time::SystemTime};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, header};

/// How many cookies a session holds; beyond that the oldest is forgotten. What RFC 6265 asks for at least.
const MOST: usize = 50;
/// The longest name and value together, in bytes.
const LONGEST: usize = 4_096;

/// Cookies that a server set, as a browser would send them back. Values are secrets.
#[derive(Default)]
pub(super) struct Jar {
    cookies: Vec<Kept>, // at most MOST, the oldest first
}

struct Kept {
    name: String,
    value: String,
    domain: Option<String>, // as it was said; it covers the host
    path: String,
    secure: bool,
    until: Option<SystemTime>,
}

/// Where a session speaks to.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) host: String, // without port and brackets, in small letters
    pub(super) is_secure: bool,
}

impl Jar {
    /// Keeps, replaces and removes what an answer to `path` says.
    pub(super) fn take(&mut self, answer: &HeaderMap, origin: &Origin, path: &str, now: SystemTime) {
        for value in answer.get_all(header::SET_COOKIE) {
            let text = str::from_utf8(value.as_bytes()).ok();
            if let Some(cookie) = text.and_then(|text| Cookie::parse(text).ok()) {
                self.set(&cookie, origin, path, now);
            }
        }
    }

    fn set(&mut self, cookie: &Cookie<'_>, origin: &Origin, path: &str, now: SystemTime) {
        let domain = cookie.domain().map(str::to_ascii_lowercase).filter(|domain| !domain.is_empty());
        let secure = cookie.secure().unwrap_or(false);
        let is_foreign = domain.as_deref().is_some_and(|domain| !origin.is_within(domain));
        if is_foreign || secure && !origin.is_secure || cookie.name().len() + cookie.value().len() > LONGEST {
            return;
        }
        let path = cookie.path().filter(|path| path.starts_with('/')).unwrap_or(default_path(path));
        let (name, until) = (cookie.name(), until(cookie, now));
        self.cookies.retain(|kept| kept.name != name || kept.path != path || kept.domain != domain);
        if until.is_some_and(|until| until <= now) {
            return; // that was its removal
        }
        if self.cookies.len() == MOST {
            self.cookies.remove(0);
        }
        let (name, value, path) = (name.to_owned(), cookie.value().to_owned(), path.to_owned());
        self.cookies.push(Kept { name, value, domain, path, secure, until });
    }

    /// What is sent with a request for `path`: longer paths first, then older cookies.
    pub(super) fn header(&self, origin: &Origin, path: &str, now: SystemTime) -> Option<HeaderValue> {
        let fits = |kept: &&Kept| {
            covers(&kept.path, path)
                && (origin.is_secure || !kept.secure)
                && kept.until.is_none_or(|until| until > now)
        };
        let mut sent: Vec<_> = self.cookies.iter().filter(fits).collect();
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<_> = sent.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
        let mut value = HeaderValue::try_from(pairs.join("; ")).ok().filter(|_| !pairs.is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Origin {
    /// Whether a cookie of this domain is for this host.
    fn is_within(&self, domain: &str) -> bool {
        let below = self.host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'));
        self.host == domain || below && self.host.parse::<IpAddr>().is_err()
    }
}

/// When it ends; `Max-Age` before `Expires`.
fn until(cookie: &Cookie<'_>, now: SystemTime) -> Option<SystemTime> {
    match cookie.max_age() {
        Some(age) if age.is_positive() => now.checked_add(age.unsigned_abs()),
        Some(_) => Some(now),
        None => cookie.expires_datetime().map(SystemTime::from),
    }
}

/// The folder of a path (RFC 6265, section 5.1.4).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 && path.starts_with('/') => &path[..at],
        _ => "/",
    }
}

/// Whether a cookie of one path goes with a request for another.
fn covers(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// How many there are, and nothing of what they hold.
impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jar").field("cookies", &self.cookies.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn origin(url: &str) -> Origin {
        let (scheme, host) = url.split_once("://").expect("a URL");
        Origin { host: host.into(), is_secure: scheme == "https" }
    }

    /// What a jar sends for `asked` at `at` after answers to `/shop/cart` that set these.
    fn sent(url: &str, set: &[&str], asked: &str, at: SystemTime) -> String {
        let mut jar = Jar::default();
        for set in set {
            let mut answer = HeaderMap::new();
            answer.append(header::SET_COOKIE, set.parse().expect("a value"));
            jar.take(&answer, &origin(url), "/shop/cart", NOW);
        }
        let header = jar.header(&origin(url), asked, at);
        header.map_or_else(String::new, |value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn a_cookie_goes_back_where_its_path_covers_what_is_asked() {
        let plain = |set: &str, asked| sent("http://a.example", &[set], asked, NOW);
        for (set, asked, expected) in [
            ("a=1; Path=/", "/", "a=1"),
            ("a=1", "/shop", "a=1"),
            ("a=1", "/shop/x", "a=1"),
            ("a=1", "/shopping", ""),
            ("a=1", "/", ""),
            ("a=1; Path=/api/", "/api/x", "a=1"),
            ("a=1; Path=/api/", "/api", ""),
            ("a=1; Path=elsewhere", "/shop", "a=1"),
            ("a=b=c; Path=/", "/", "a=b=c"),
        ] {
            assert_eq!(plain(set, asked), expected, "{set} {asked}");
        }
        let two = ["old=1; Path=/", "new=2; Path=/", "deep=3; Path=/shop"];
        assert_eq!(sent("http://a.example", &two, "/shop/x", NOW), "deep=3; old=1; new=2");
    }

    #[test]
    fn a_cookie_of_another_host_is_never_kept() {
        for (url, domain, kept) in [
            ("http://www.a.example", "a.example", true),
            ("http://www.a.example", ".A.example", true),
            ("http://a.example", "www.a.example", false),
            ("http://a.example", "example.a", false),
            ("http://xa.example", "a.example", false),
            ("http://127.0.0.1", "127.0.0.1", true),
            ("http://127.0.0.1", "0.0.1", false),
        ] {
            let set = format!("a=1; Path=/; Domain={domain}");
            assert_eq!(!sent(url, &[&set], "/", NOW).is_empty(), kept, "{url} {domain}");
        }
    }

    #[test]
    fn a_secure_cookie_is_for_encrypted_connections_only() {
        assert_eq!(sent("http://a.example", &["a=1; Path=/; Secure"], "/", NOW), "");
        assert_eq!(sent("https://a.example", &["a=1; Path=/; Secure"], "/", NOW), "a=1");
    }

    #[test]
    fn a_cookie_lives_as_long_as_it_says_and_is_replaced_and_removed() {
        let later = NOW + Duration::from_secs(60);
        let at = |set: &[&str], now| sent("http://a.example", set, "/", now);
        let day = "Thu, 01 Jan 1970 00:00:30 GMT";
        let past = "Wed, 31 Dec 1969 00:00:00 GMT";
        for (set, now, expected) in [
            (&["a=1; Path=/; Max-Age=60"][..], NOW, "a=1"),
            (&["a=1; Path=/; Max-Age=60"], later, ""),
            (&[&*format!("a=1; Path=/; Expires={day}")], NOW, "a=1"),
            (&[&*format!("a=1; Path=/; Expires={day}")], later, ""),
            (&[&*format!("a=1; Path=/; Expires={past}; Max-Age=90")], later, "a=1"),
            (&["a=1; Path=/", "a=2; Path=/"], NOW, "a=2"),
            (&["a=1; Path=/", "a=; Path=/; Max-Age=0"], NOW, ""),
            (&["a=1; Path=/", &*format!("a=; Path=/; Expires={past}")], NOW, ""),
            (&["a=1; Path=/", "a=; Path=/x; Max-Age=0"], NOW, "a=1"),
        ] {
            assert_eq!(at(set, now), expected, "{set:?}");
        }
    }

    #[test]
    fn a_jar_is_bounded_in_number_and_size() {
        let set: Vec<_> = (0..1_000).map(|n| format!("c{n}=1; Path=/")).collect();
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let header = sent("http://a.example", &set, "/", NOW);
        assert_eq!(header.split("; ").count(), MOST);
        assert!(header.starts_with("c950=1; ") && header.ends_with("c999=1"), "{header}");
        let long = format!("a={}; Path=/", "x".repeat(LONGEST));
        assert_eq!(sent("http://a.example", &[&long], "/", NOW), "");
    }

    #[test]
    fn what_is_no_cookie_is_passed_over() {
        let mut answer = HeaderMap::new();
        for raw in [&b"\xff=1; Path=/"[..], b"novalue", b"=1; Path=/", b""] {
            answer.append(header::SET_COOKIE, HeaderValue::from_bytes(raw).expect("a value"));
        }
        let mut jar = Jar::default();
        jar.take(&answer, &origin("http://a.example"), "/", NOW);
        assert_eq!(jar.header(&origin("http://a.example"), "/", NOW), None);
        assert!(!format!("{jar:?}").contains('1'));
    }
}
