//! The Common and the Combined Log Format of Apache, nginx and others.

use std::borrow::Cow;

use super::{
    format::Parsed,
    timestamp::{common_log, short},
};

/// `host ident user [time] "METHOD path PROTOCOL" …`; what follows the request does not matter. With a request of
/// `-` nothing was asked before the connection ended, so there is nothing to ask again.
pub(super) fn parse(line: &str) -> Result<Parsed<'_>, String> {
    let (at_ns, rest) = time(line)?;
    let request = rest.strip_prefix(" \"").ok_or("has no request in quotes after its time")?;
    let request = quoted(request).ok_or("has a request whose quotes are not closed")?;
    if request == "-" {
        return Err("has `-` for a request: nothing was asked".into());
    }
    let (method, path) = request_line(&unescaped(request))
        .ok_or_else(|| format!("has `{}` for a request, not `METHOD /path PROTOCOL`", short(request)))?;
    let client = line.split(' ').next().filter(|client| !client.is_empty() && *client != "-");
    let (method, path) = (Some(Cow::Owned(method)), Some(Cow::Owned(path)));
    Ok(Parsed { at_ns, method, path, host: None, client: client.map(Cow::Borrowed) })
}

/// The same behind a virtual host, `name:port`. The ports that everybody means are left out, as clients do.
pub(super) fn parse_with_host(line: &str) -> Result<Parsed<'_>, String> {
    let (host, rest) = line.split_once(' ').ok_or("has no virtual host in front")?;
    let (name, port) = host.rsplit_once(':').ok_or_else(|| {
        format!("begins with `{}`, not with a virtual host such as www.example.com:443", short(host))
    })?;
    if name.is_empty() || port.parse::<u16>().is_err() {
        return Err(format!(
            "begins with `{}`, not with a virtual host such as www.example.com:443",
            short(host)
        ));
    }
    let host = if matches!(port, "80" | "443") { name } else { host };
    Ok(Parsed { host: Some(Cow::Borrowed(host)), ..parse(rest)? })
}

/// The first `[…]` that is a time (user names may hold brackets), and what follows it.
fn time(line: &str) -> Result<(i64, &str), &'static str> {
    for (open, _) in line.match_indices('[') {
        let inner = &line[open + 1..];
        let Some((text, rest)) = inner.split_once(']') else { break };
        if let Some(at_ns) = common_log(text) {
            return Ok((at_ns, rest));
        }
    }
    Err("has no time such as [10/Oct/2000:13:55:36 -0700]")
}

/// Up to the closing quote, escapes left as they are.
fn quoted(text: &str) -> Option<&str> {
    let mut escaped = false;
    let close = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some(&text[..close])
}

/// With `\"` and `\\` resolved, and a byte that servers write as `\xHH` as the percent sign and digits that ask for it; other escapes stay.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut resolved, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        resolved.push_str(before);
        if let Some(byte) = escaped_byte(after) {
            resolved.extend(["%", &byte.to_ascii_uppercase()]);
            rest = &after[3..];
        } else if let Some(kept) = after.strip_prefix(['"', '\\']) {
            resolved.push_str(&after[..after.len() - kept.len()]);
            rest = kept;
        } else {
            resolved.push('\\');
            rest = after;
        }
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}

/// The two digits of `xHH`.
fn escaped_byte(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('x')?.get(..2)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)
}

/// Method and path; a path that holds blanks goes up to the protocol, which HTTP/0.9 does not have.
fn request_line(request: &str) -> Option<(String, String)> {
    let (method, rest) = request.split_once(' ')?;
    let path = match rest.rsplit_once(' ') {
        Some((path, protocol)) if protocol.starts_with("HTTP/") => path,
        _ => rest,
    };
    let token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (token && !path.trim().is_empty()).then(|| (method.to_owned(), path.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> (Option<String>, Option<String>) {
        let parsed = parse(line).expect(line);
        (parsed.method.map(Cow::into_owned), parsed.path.map(Cow::into_owned))
    }

    #[test]
    fn examples_of_the_documentation() {
        let some = |method: &str, path: &str| (Some(method.to_owned()), Some(path.to_owned()));
        let common =
            r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;
        assert_eq!(request(common), some("GET", "/apache_pb.gif"));
        let combined =
            format!(r#"{common} "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#);
        assert_eq!(request(&combined), some("GET", "/apache_pb.gif"));
        let odd = |user: &str, request: &str| {
            format!(r#"::1 - {user} [10/Oct/2000:13:55:36 -0700] "{request}" 400 0"#)
        };
        assert_eq!(request(&odd("[x] y", "GET /")), some("GET", "/"));
        assert_eq!(request(&odd("-", "POST /a b?c=\\\"d\\\" HTTP/2.0")), some("POST", "/a b?c=\"d\""));
        assert_eq!(request(&odd("-", "GET /a b/c")), some("GET", "/a b/c"));
    }

    /// Servers write bytes that are not printable as `\xHH`: what was asked were the bytes, not the backslash.
    #[test]
    fn escaped_bytes_are_asked_again_as_bytes() {
        for (logged, path) in [
            (r"/caf\xC3\xA9?q=\x22a\x22", "/caf%C3%A9?q=%22a%22"),
            (r"/a\xe9", "/a%E9"),
            (r"/a\\xe9", r"/a\xe9"), // a backslash that was asked for
            (r"/a\xg9\x4", r"/a\xg9\x4"),
        ] {
            let line = format!(r#"h - - [10/Oct/2000:13:55:36 -0700] "GET {logged} HTTP/1.1" 200 1"#);
            assert_eq!(request(&line), (Some("GET".into()), Some(path.into())), "{logged}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("", "no time"),
            (r#"h - - [10/Oct/2000:13:55:36] "GET / HTTP/1.0""#, "no time"),
            ("h - - [10/Oct/2000:13:55:36 -0700] 200", "no request in quotes"),
            (r#"h - - [10/Oct/2000:13:55:36 -0700] "GET /"#, "not closed"),
            (r#"h - - [10/Oct/2000:13:55:36 -0700] "-" 408 0"#, "nothing was asked"),
            (r#"h - - [10/Oct/2000:13:55:36 -0700] "\x16\x03\x01" 400"#, r"`\\x16\\x03\\x01` for a request"),
        ] {
            let error = parse(line).err().unwrap_or_default();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
