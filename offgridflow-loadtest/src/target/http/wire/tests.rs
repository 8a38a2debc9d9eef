//! Beside hyper, which reads and writes the same.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    runtime::Builder,
    sync::mpsc,
};

use super::super::connection::{Connection, Lost, Wanted};
use crate::{
    clock::RunClock,
    op::{Marks, Op, OpRun},
    outcome::FailKind,
    route::RouteTable,
};

const ALL: Wanted = Wanted { headers: true, body: usize::MAX };

#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn op() -> Op {
    let run = OpRun { seed: 1, clock: RunClock::starting_at(tokio::time::Instant::now()), feed: None };
    Op::new(&run, 0, Duration::ZERO, Duration::ZERO, Marks::new(&Arc::new(RouteTable::new())))
}

fn get() -> Request<Bytes> {
    asking(Method::GET)
}

fn asking(method: Method) -> Request<Bytes> {
    Request::builder().method(method).uri("/").header("host", "h").body(Bytes::new()).expect("a request")
}

/// A server that answers so, piece by piece, and closes.
fn answering(pieces: Vec<Vec<u8>>) -> DuplexStream {
    let (ours, mut theirs) = duplex(1 << 20);
    tokio::spawn(async move {
        let mut request = [0; 1_024];
        let _ = theirs.read(&mut request).await;
        for piece in pieces {
            let _ = theirs.write_all(&piece).await;
            tokio::task::yield_now().await;
        }
    });
    ours
}

async fn ours(method: Method, pieces: Vec<Vec<u8>>) -> Option<Read> {
    let mut connection = Connection::over(answering(pieces));
    let answer = connection.send(&asking(method), &op(), ALL).await.ok()?;
    Some(Read { status: answer.status, headers: answer.headers, body: answer.body })
}

async fn hypers(method: Method, pieces: Vec<Vec<u8>>) -> Option<Read> {
    let (mut sender, driver) =
        client::conn::http1::handshake(TokioIo::new(answering(pieces))).await.expect("shakes hands");
    let driver = tokio::spawn(driver);
    let read = async {
        let answer = sender.send_request(asking(method).map(Full::new)).await.ok()?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        Some(Read { status: head.status.as_u16(), headers: head.headers, body })
    };
    let read = read.await;
    driver.abort();
    read
}

/// Cut at these places.
fn cut(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = at.iter().map(|at| at % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).filter(|piece| !piece.is_empty()).collect()
}

fn chunked(body: &[u8], sizes: &[usize], extension: &str, trailers: &str) -> Vec<u8> {
    let (mut rest, mut out, mut sizes) = (body, Vec::new(), sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
        out.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(&rest[..size]);
        out.extend_from_slice(b"\r\n");
        rest = &rest[size..];
    }
    out.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
    out
}

fn headers() -> impl Strategy<Value = Vec<&'static str>> {
    let usual = select(vec![
        "Server: s\r\n",
        "X-A: b\r\n",
        "x-a:\tc \r\n",
        "Set-Cookie: a=1\r\n",
        "Set-Cookie: b=\u{e4}\r\n",
        "Empty:\r\n",
        "Connection: close\r\n",
        "connection: Keep-Alive, x\r\n",
        "Content-Length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 7\r\n",
        "Content-Length: +5\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length:\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: gzip, Chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Bad header\r\n",
        " folded\r\n",
        "a b: c\r\n",
        "x: \u{1}\r\n",
    ]);
    vec(usual, 0..5)
}

prop_compose! {
    /// An answer as servers give it, and as they should not.
    fn answers()(
        line in select(vec!["HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 x", "HTTP/1.1 304 y", "HTTP/1.1 500 ",
            "HTTP/1.1 99 x", "HTTP/1.1 999 x", "HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "SSH-2.0-x", "HTTP/1.1 103 Early"]),
        before in select(vec!["", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n", "\r\n"]),
        headers in headers(),
        kind in 0..4_u8,
        body in vec(any::<u8>(), 0..40),
        sizes in vec(1_usize..20, 1..4),
        extension in select(vec!["", "", ";a=b", " ", " ;x"]),
        trailers in select(vec!["", "", "x: y\r\n"]),
    ) -> Vec<u8> {
        let mut bytes = format!("{before}{line}\r\n{}", headers.concat()).into_bytes();
        match kind {
            0 => bytes.extend_from_slice(b"\r\n"),
            1 => bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes()),
            2 => bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
            _ => bytes.extend_from_slice(b"\r\n"),
        }
        match kind {
            2 | 3 => bytes.extend(chunked(&body, &sizes, extension, trailers)),
            _ => bytes.extend(body),
        }
        bytes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 2_000 }))]

    #[test]
    fn what_hyper_reads_is_read_in_any_pieces(
        bytes in answers(),
        cuts in vec(any::<usize>(), 0..6),
        end in any::<Option<prop::sample::Index>>(),
        head in any::<bool>(),
    ) {
        let whole = end.map_or(bytes.len(), |end| end.index(bytes.len() + 1)); // some are cut short
        let method = if head { Method::HEAD } else { Method::GET };
        let pieces = cut(&bytes[..whole], &cuts);
        let (ours, hypers) = on_a_runtime(async {
            (ours(method.clone(), pieces.clone()).await, hypers(method, pieces).await)
        });
        prop_assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(&bytes[..whole]));
    }

    /// One byte is another: both read the same, or one of them nothing.
    #[test]
    fn nothing_else_is_read_where_a_byte_is_wrong(bytes in answers(), at in any::<prop::sample::Index>(), byte in 0..0x80_u8) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (ours, hypers) = on_a_runtime(async {
            (ours(Method::GET, vec![bytes.clone()]).await, hypers(Method::GET, vec![bytes.clone()]).await)
        });
        if let (Some(ours), Some(hypers)) = (ours, hypers) {
            prop_assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn hypers_server_sees_what_was_asked(
        method in select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH]),
        path in "/[a-z0-9/%]{0,20}(\\?[a-z=&]{0,10})?".prop_filter("a path", |path| path.parse::<http::Uri>().is_ok()),
        headers in vec(("[a-z-]{1,8}", "[ -~\u{e4}]{0,12}"), 0..6),
        body in prop_oneof![vec(any::<u8>(), 0..50), vec(any::<u8>(), 16_300..16_500)],
    ) {
        let mut request = Request::builder().method(method).uri(path).header("host", "h");
        for (name, value) in &headers {
            if !["connection", "te", "upgrade", "expect", "host"].contains(&name.as_str()) {
                request = request.header(format!("x{name}"), http::HeaderValue::from_bytes(value.trim().as_bytes()).expect("a value"));
            }
        }
        let request = request.body(Bytes::from(body)).expect("a request");
        let seen = on_a_runtime(seen_by_hyper(&request));
        let mut expected = request.headers().clone();
        if !request.body().is_empty() {
            expected.insert(header::CONTENT_LENGTH, request.body().len().into());
        }
        prop_assert_eq!(seen.method(), request.method());
        prop_assert_eq!(seen.uri(), request.uri());
        prop_assert_eq!(seen.headers(), &expected);
        prop_assert_eq!(seen.body(), request.body());
    }
}

async fn seen_by_hyper(request: &Request<Bytes>) -> Request<Bytes> {
    let (ours, theirs) = duplex(1_000);
    let (saw, mut seen) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let saw = saw.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            saw.send(Request::from_parts(head, body)).expect("somebody looks");
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("fine"))))
        }
    });
    tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
    let mut connection = Connection::over(ours);
    let answer = connection.send(request, &op(), ALL).await.unwrap_or_else(|_| panic!("an answer"));
    assert_eq!((answer.status, &*answer.body, answer.keep), (200, &b"fine"[..], true));
    seen.recv().await.expect("a request")
}

/// Sent so, and not closed: whether the connection may be used again.
fn is_kept(request: &Request<Bytes>, answer: &'static str) -> bool {
    on_a_runtime(async {
        let (ours, mut theirs) = duplex(1_000);
        theirs.write_all(answer.as_bytes()).await.expect("room");
        let mut connection = Connection::over(ours);
        connection.send(request, &op(), ALL).await.unwrap_or_else(|_| panic!("{answer:?} is an answer")).keep
    })
}

#[test]
fn a_connection_is_kept_where_both_sides_mean_to() {
    for (answer, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nconnection: x, CLOSE\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 101 Switching\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore", false),
    ] {
        assert_eq!(is_kept(&get(), answer), kept, "{answer:?}");
    }
    let mut closing = get();
    closing.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    assert!(!is_kept(&closing, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
}

/// The server answers before it has all of the request; and it answers while it reads, in more than fits between the two.
#[test]
fn an_answer_may_come_before_the_request_has_gone() {
    let request =
        Request::post("/").header("host", "h").body(Bytes::from(vec![b'x'; 1 << 20])).expect("a request");
    on_a_runtime(async {
        let (ours, mut theirs) = duplex(64);
        let (mut ours, hold) = (
            Connection::over(ours),
            tokio::spawn(async move {
                theirs
                    .write_all(b"HTTP/1.1 413 Too Long\r\ncontent-length: 2\r\n\r\nno")
                    .await
                    .expect("room");
                theirs
            }),
        );
        let answer = ours.send(&request, &op(), ALL).await.unwrap_or_else(|_| panic!("an answer"));
        assert_eq!((answer.status, answer.keep, &*answer.body), (413, false, &b"no"[..]));
        drop(hold);
        let (ours, theirs) = duplex(64);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(theirs);
            write.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("room");
            let _ = tokio::io::copy(&mut (&mut read).take(1 << 20), &mut write).await;
        });
        let mut ours = Connection::over(ours);
        let answer = ours.send(&request, &op(), Wanted { body: 0, ..ALL }).await;
        assert!(answer.is_ok_and(|answer| answer.bytes == 1 << 20), "it went round");
    });
}

#[test]
fn a_kept_connection_that_is_closed_as_a_request_comes_is_told_as_that() {
    on_a_runtime(async {
        let (ours, mut theirs) = duplex(1_000);
        let mut connection = Connection::over(ours);
        tokio::spawn(async move {
            let mut request = [0; 1_024];
            for answer in [&b"HTTP/1.1 204 No Content\r\n\r\n"[..], b""] {
                let _ = theirs.read(&mut request).await;
                let _ = theirs.write_all(answer).await;
            }
        });
        assert!(connection.send(&get(), &op(), ALL).await.is_ok_and(|answer| answer.keep));
        let Err(Lost::Sent(error)) = connection.send(&get(), &op(), ALL).await else { panic!("no answer") };
        let said = "the server closed the connection before it answered: it had been kept alive after an earlier answer";
        assert_eq!(error.message, said);
    });
}

/// Takes so many bytes and then breaks; says so much and then ends.
struct Breaking {
    takes: usize,
    why: io::ErrorKind,
    says: &'static [u8],
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let took = self.takes.min(bytes.len());
        self.takes -= took;
        Poll::Ready(if took == 0 { Err(self.why.into()) } else { Ok(took) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        into.put_slice(std::mem::take(&mut self.says));
        Poll::Ready(Ok(()))
    }
}

/// The server stops reading: what came before is its answer, if it is whole, and otherwise the error says that sending broke. After a reset, nobody knows whether
/// a body without a length was whole; after its end was said, it was.
#[test]
fn a_request_that_could_not_be_sent_is_told_as_that() {
    let request =
        Request::post("/").header("host", "h").body(Bytes::from(vec![b'x'; 1 << 20])).expect("a request");
    let exchanged = |takes, why, says| {
        let mut connection = Connection::over(Breaking { takes, why, says });
        let answer = on_a_runtime(connection.send(&request, &op(), ALL));
        answer.map(|answer| (answer.status, answer.keep)).map_err(|lost| match lost {
            Lost::Untouched(error) => (true, error.message.into_owned()),
            Lost::Sent(error) => (false, error.message.into_owned()),
        })
    };
    let (reset, ended) = (io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe);
    for (takes, why, says) in [
        (0, ended, &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..]),
        (70_000, reset, b""),
        (70_000, ended, b"HTTP/1.1 200 OK\r\nconte"),
        (70_000, ended, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfour"),
        (70_000, reset, b"HTTP/1.1 200 OK\r\n\r\nperhaps a part"),
    ] {
        let (untouched, message) = exchanged(takes, why, says).expect_err("no answer");
        assert_eq!(untouched, takes == 0, "{message}");
        let cause = io::Error::from(why);
        assert_eq!(message, format!("the connection broke while the request was sent: {cause}"));
    }
    for (why, says) in [
        (reset, &b"HTTP/1.1 413 Too Long\r\ncontent-length: 2\r\n\r\nno"[..]),
        (ended, b"HTTP/1.1 413 Too Long\r\n\r\nno"),
    ] {
        assert_eq!(exchanged(70_000, why, says), Ok((413, false)));
    }
}

#[test]
fn a_head_has_a_limit_and_is_not_read_again_for_each_byte() {
    let failed = |pieces: Vec<Vec<u8>>| {
        on_a_runtime(async {
            match Connection::over(answering(pieces)).send(&get(), &op(), ALL).await {
                Err(Lost::Sent(error)) => (error.kind, error.message.into_owned()),
                _ => panic!("it answers nothing"),
            }
        })
    };
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(300 * 1024));
    let (kind, why) = failed(endless.as_bytes().chunks(1_000).map(<[u8]>::to_vec).collect());
    assert!(kind == FailKind::Protocol && why.contains("longer than 256 KiB"), "{why}");
    let interim = |count| {
        ["HTTP/1.1 102 Processing\r\n\r\n".repeat(count).into_bytes(), b"HTTP/1.1 204 x\r\n\r\n".to_vec()]
            .concat()
    };
    assert!(on_a_runtime(ours(Method::GET, vec![interim(1_000)])).is_some());
    let (kind, why) = failed(vec![interim(1_001)]);
    assert!(kind == FailKind::Protocol && why.contains("not final"), "{why}");
    let drop_by_drop = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024));
    let pieces: Vec<_> = drop_by_drop.as_bytes().chunks(1).map(<[u8]>::to_vec).collect();
    assert!(on_a_runtime(ours(Method::GET, pieces)).is_some());
}
