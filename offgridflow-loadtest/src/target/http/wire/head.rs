//! The head of an answer: its status, its headers, and how its body ends.

use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use httparse::{ParserConfig, Response, Status};

use super::{Body, Malformed};

/// The most headers of an answer.
const HEADERS: usize = 100;

/// What of a request its answer depends on.
#[derive(Debug, Clone, Copy)]
pub(in crate::target::http) struct Asked {
    is_head: bool,
    closes: bool,
    wants_headers: bool,
}

/// The head of a final answer.
#[derive(Debug)]
pub(in crate::target::http) struct Head {
    pub(in crate::target::http) status: u16,
    /// None, unless somebody reads them.
    pub(in crate::target::http) headers: HeaderMap,
    pub(in crate::target::http) body: Body,
    /// Whether the connection may be used again once the body is over.
    pub(in crate::target::http) keep: bool,
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
pub(super) enum Parsed {
    Unfinished,
    /// An answer that another one follows (RFC 9110, section 15.2), so long.
    Interim(usize),
    Final(Head, usize),
}

impl Asked {
    pub(in crate::target::http) fn by<B>(request: &http::Request<B>, wants_headers: bool) -> Self {
        let closes = request
            .headers()
            .get_all(header::CONNECTION)
            .iter()
            .any(|value| lists(value.as_bytes(), "close"));
        Self { is_head: request.method() == Method::HEAD, closes, wants_headers }
    }
}

impl Parsed {
    pub(super) fn of(bytes: &[u8], asked: Asked) -> Result<Self, Malformed> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS];
        let mut response = Response::new(&mut []);
        let parsed = ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, bytes, &mut fields)
            .map_err(|error| Malformed(format!("the answer is no HTTP/1.1: {error}").into()))?;
        let Status::Complete(length) = parsed else { return Ok(Self::Unfinished) };
        let status = response.code.filter(|code| (100..1_000).contains(code));
        let status = status.ok_or("the answer is no HTTP/1.1: its status is below 100")?;
        if (100..=199).contains(&status) && status != 101 {
            return Ok(Self::Interim(length));
        }
        let says = Says::of(response.headers);
        let is_old = response.version == Some(0);
        let body = says.body(status, is_old, asked)?;
        let may_stay = (says.keeps_alive || !is_old) && status != 101 && !matches!(body, Body::UntilClosed);
        let keep = may_stay && !asked.closes && !says.closes;
        let headers = if asked.wants_headers { map(response.headers)? } else { HeaderMap::new() };
        Ok(Self::Final(Head { status, headers, body, keep }, length))
    }
}

/// What headers say of the connection and the body.
#[derive(Default)]
struct Says {
    length: Option<Option<u64>>, // none where it is no number, or several
    encoded: Option<bool>,       // and whether in chunks, at last
    closes: bool,
    keeps_alive: bool,
}

impl Says {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        let mut says = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                14 if is("content-length") => says.take_length(header.value),
                17 if is("transfer-encoding") => says.encoded = Some(last_is_chunked(header.value)),
                10 if is("connection") => {
                    says.closes |= lists(header.value, "close");
                    says.keeps_alive |= lists(header.value, "keep-alive");
                }
                _ => {}
            }
        }
        says
    }

    /// The same length may be said several times.
    fn take_length(&mut self, value: &[u8]) {
        for text in value.split(|&byte| byte == b',') {
            let digits = text.trim_ascii();
            let is_number = digits.iter().all(u8::is_ascii_digit); // without a sign
            let number =
                std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
            let same = self.length.is_none_or(|said| said == number);
            self.length = Some(number.filter(|_| same));
        }
    }

    fn body(&self, status: u16, is_old: bool, asked: Asked) -> Result<Body, Malformed> {
        match (self.encoded, self.length) {
            _ if asked.is_head || matches!(status, 101 | 204 | 304) => Ok(Body::NONE),
            (Some(_), _) if is_old => Err("HTTP/1.0 has no transfer-encoding".into()),
            (Some(true), _) => Ok(Body::chunked()),
            (None, Some(Some(length))) => Ok(Body::Length(length)),
            (None, Some(None)) => Err("content-length is no number, or several".into()),
            _ => Ok(Body::UntilClosed),
        }
    }
}

/// Whether a list has this word.
fn lists(value: &[u8], word: &str) -> bool {
    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

fn last_is_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| "the answer is no HTTP/1.1: invalid header name")?;
        let value = HeaderValue::from_bytes(header.value);
        map.append(name, value.map_err(|_| "the answer is no HTTP/1.1: invalid header value")?);
    }
    Ok(map)
}
