//! HTTP/2 behind TLS, where the server agrees to it in the handshake (ALPN), and clear words where it does not.
#![cfg(all(feature = "tls", feature = "http2"))]

mod certified;

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use certified::{AUTHORITY, acceptor};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use offgridflow_loadtest::{HttpTarget, LoadTest, Rate, Report};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Speaks these protocols, in the words of ALPN, on a thread of its own for as long as the test runs.
fn server(protocols: &[&str]) -> SocketAddr {
    let acceptor = acceptor(protocols);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream));
            }
        });
    });
    address
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let answer = |request: Request<Incoming>| async move {
            let body = format!("{:?} {}", request.version(), request.uri().scheme_str().unwrap_or("-"));
            Ok::<_, Infallible>(Response::new(Full::<hyper::body::Bytes>::from(body)))
        };
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        let _ = connection.await;
        return;
    }
    let mut request = [0; 4_096];
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn load(target: HttpTarget) -> Report {
    let rate = Rate::constant(200.0, Duration::from_secs(2));
    LoadTest::new(target).rate(rate).warm_sessions(2).run().await.expect("runs")
}

fn target(at: SocketAddr) -> HttpTarget {
    HttpTarget::new(&format!("https://{at}")).and_then(|target| target.trust(AUTHORITY)).expect("a target")
}

#[tokio::test]
async fn http2_is_spoken_where_the_handshake_agrees_to_it() {
    let at = server(&["h2", "http/1.1"]);
    let shared = target(at).http2(1).expect("HTTP/2");
    let report = load(shared.route(
        offgridflow_loadtest::HttpRoute::get("/").check("body == \"HTTP/2.0 https\"").expect("a check"),
    ))
    .await;
    assert_eq!((report.total.ok, report.total.failed), (400, 0), "{report}");
    assert!(report.notes.iter().any(|note| note.starts_with("HTTP/2: 1 connection opened")), "{report}");
    // Whether HTTP/2 or the authority is said first makes no difference, and without it HTTP/1.1 is agreed to.
    let other = HttpTarget::new(&format!("https://{at}")).and_then(|target| target.http2(1));
    let report = load(other.and_then(|target| target.trust(AUTHORITY)).expect("a target")).await;
    assert_eq!(report.total.ok, 400, "{report}");
    let report = load(target(at)).await;
    assert_eq!((report.total.ok, report.total.bytes), (400, 2_000), "HTTP/1.1's answer: {report}");
}

/// Whether the server says no in the handshake or knows nothing of ALPN.
#[tokio::test]
async fn a_server_that_refuses_http2_says_so() {
    for protocols in [&["http/1.1"][..], &[]] {
        let at = server(protocols);
        let report = load(target(at).http2(1).expect("HTTP/2")).await;
        assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
        let cause = report.verdict.cause().unwrap_or_default();
        assert!(cause.contains("the server does not speak HTTP/2 here: leave it out"), "{cause}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_command_finds_it_out_beforehand() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("authority.pem"), AUTHORITY).expect("written");
    let run = |at: SocketAddr, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        command.current_dir(folder.path()).arg(arguments[0]).arg(format!("https://{at}"));
        command.args(["--ca-file", "authority.pem", "--http2", "1"]).args(&arguments[1..]);
        let output = command.output().expect("the command runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("a code"), String::from_utf8_lossy(&said).into_owned())
    };
    let (refusing, speaking) = (server(&["http/1.1"]), server(&["h2"]));
    let (code, said) = run(refusing, &["preflight", "-r", "9"]);
    assert!(
        code == 4 && said.contains("the server does not speak HTTP/2 here: leave it out"),
        "{code} {said}"
    );
    let (code, said) = run(refusing, &["run", "-r", "400", "-d", "1s"]);
    assert!(code == 1 && said.contains("verdict: ") && said.contains("leave it out"), "{code} {said}");
    let (code, said) = run(speaking, &["preflight", "-r", "9"]);
    assert!(code == 0 && said.contains("accepts a connection after"), "{code} {said}");
}
