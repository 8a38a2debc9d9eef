//! Operations share a few HTTP/2 connections, which are reported apart from their streams.
#![cfg(feature = "http2")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use offgridflow_loadtest::{HttpRoute, HttpTarget, LoadTest, Rate, Report};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// What a server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    requests: AtomicU64,
    last: Mutex<String>,
}

/// Answers `hello` after `wait`; with `dies` the connection is gone after so many requests.
async fn server(wait: Duration, dies: Option<u64>) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (at, seen) = (listener.local_addr().expect("an address"), Arc::new(Seen::default()));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.connections.fetch_add(1, SeqCst);
            tokio::spawn(serve(stream, Arc::clone(&shared), wait, dies));
        }
    });
    (at, seen)
}

async fn serve(stream: tokio::net::TcpStream, seen: Arc<Seen>, wait: Duration, dies: Option<u64>) {
    let gone = Arc::new(tokio::sync::Notify::new());
    let own = AtomicU64::new(0);
    let (here, all) = (Arc::clone(&gone), Arc::clone(&seen));
    let service = service_fn(move |request: Request<Incoming>| {
        let (gone, seen) = (Arc::clone(&here), Arc::clone(&all));
        let asked = own.fetch_add(1, SeqCst) + 1;
        async move {
            seen.requests.fetch_add(1, SeqCst);
            let line = format!("{:?} {} {}", request.version(), request.method(), request.uri());
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            *seen.last.lock().expect("lock") = format!("{line} {body}");
            tokio::time::sleep(wait).await;
            if dies == Some(asked) {
                gone.notify_one();
            }
            Ok::<_, Infallible>(Response::new(Full::<hyper::body::Bytes>::from("hello")))
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = gone.notified() => {}
    }
}

async fn load(target: HttpTarget, per_sec: f64, shards: usize) -> Report {
    let rate = Rate::constant(per_sec, Duration::from_secs(2));
    LoadTest::new(target).rate(rate).shards(shards).warm_sessions(2).run().await.expect("runs")
}

fn target(at: SocketAddr, connections: usize) -> HttpTarget {
    HttpTarget::new(&format!("http://{at}/api"))
        .and_then(|target| target.http2(connections))
        .expect("a target")
}

#[tokio::test]
async fn many_operations_share_a_few_connections_which_are_reported_apart() {
    // 200 a second of 100 ms each are twenty at a time.
    let (at, seen) = server(Duration::from_millis(100), None).await;
    for (connections, shards) in [(1, 1), (3, 1), (4, 2)] {
        let before = seen.connections.load(SeqCst);
        let route = HttpRoute::post("/a").body_with(|op| format!("{}", op.index()));
        let report = load(target(at, connections).route(route), 200.0, shards).await;
        assert_eq!((report.total.ok, report.total.bytes), (400, 2_000), "{report}");
        let opened = seen.connections.load(SeqCst) - before;
        assert_eq!(opened, u64::try_from(connections).expect("small"), "{report}");
        let note = report.notes.iter().find(|note| note.starts_with("HTTP/2: ")).expect("a note");
        let plural = if connections == 1 { "" } else { "s" };
        assert!(note.contains(&format!("{connections} connection{plural} opened, at most ")), "{note}");
        let streams: u64 = note.split(' ').filter_map(|word| word.parse().ok()).nth(1).expect("a number");
        assert!(streams >= 4 && streams * u64::from(connections == 1) < 400, "{note}");
    }
    let last = seen.last.lock().expect("lock").clone();
    assert!(last.starts_with(&format!("HTTP/2.0 POST http://{at}/api/a ")), "{last}");
}

/// A session finds the connection gone before it took the request: it is opened again, and nothing failed for that.
#[tokio::test]
async fn a_connection_that_is_gone_is_opened_again() {
    let (at, seen) = server(Duration::ZERO, Some(100)).await;
    let report = load(target(at, 1), 200.0, 1).await;
    assert!(report.total.ok >= 390, "what was on its way is lost with its connection: {report}");
    assert!(seen.connections.load(SeqCst) >= 4, "{report}");
}

/// Speaks HTTP/2 as nginx does: after ten answers on a connection it says that this was the last stream it looked at, and leaves. The eleventh is on its way then.
async fn leaving() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_ten(stream));
        }
    });
    at
}

async fn answer_ten(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACKNOWLEDGED: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(SETTINGS).await?;
    let mut last = [0; 4];
    for _ in 0.. {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        match (head[3], head[4] & 1) {
            (4, 0) => stream.write_all(ACKNOWLEDGED).await?,
            (1, _) if last == [0, 0, 0, 19] => {
                let goodbye = [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &last, &[0; 4]].concat();
                return stream.write_all(&goodbye).await;
            }
            (1, _) => {
                last = [head[5], head[6], head[7], head[8]];
                let answer = [&[0, 0, 1, 1, 4][..], &last, &[0x88], &[0, 0, 2, 0, 1], &last, b"ok"].concat();
                stream.write_all(&answer).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A stream that the server says it never looked at is asked for on another connection, as every client does.
#[tokio::test]
async fn what_a_leaving_server_did_not_look_at_is_asked_again() {
    let report = load(target(leaving().await, 2), 200.0, 1).await;
    assert_eq!((report.total.ok, report.total.failed), (400, 0), "{report}");
    let note = report.notes.iter().find(|note| note.starts_with("HTTP/2: ")).expect("a note");
    assert!(note.starts_with("HTTP/2: 4"), "ten operations are a connection's: {note}");
}

#[tokio::test]
async fn a_server_without_http2_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let report = load(target(at, 1), 200.0, 1).await;
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
    let cause = report.verdict.cause().unwrap_or_default();
    assert!(cause.contains("does the server speak HTTP/2 on this port?"), "{report}");
}

#[test]
fn a_run_needs_a_connection() {
    let error = HttpTarget::new("http://localhost").and_then(|target| target.http2(0)).expect_err("none");
    assert!(error.field == "http2" && error.hint.contains("at least one connection"), "{error}");
}
