//! A service behind TLS is loaded as any other, by whose certificates are believed.
#![cfg(feature = "tls")]

mod certified;

use std::{net::SocketAddr, time::Duration};

use certified::{AUTHORITY, acceptor};
use offgridflow_loadtest::{HttpTarget, LoadTest, Rate, Report};
use testkit::certificates::KEY;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers `hello` to each request on a thread of its own, for as long as the test runs.
fn server(at: &str) -> SocketAddr {
    let acceptor = acceptor(&[]);
    let listener = std::net::TcpListener::bind(at).expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 4_096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    });
    address
}

async fn load(target: HttpTarget) -> Report {
    let rate = Rate::constant(200.0, Duration::from_secs(2));
    LoadTest::new(target).rate(rate).warm_sessions(2).run().await.expect("runs")
}

fn target(url: &str) -> HttpTarget {
    HttpTarget::new(url).unwrap_or_else(|error| panic!("{error}"))
}

fn unreachable(report: &Report) -> &str {
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
    report.verdict.cause().unwrap_or_default()
}

#[tokio::test]
async fn a_service_is_loaded_whose_authority_is_believed() {
    let at = server("127.0.0.1:0");
    for url in [format!("https://{at}/a"), format!("https://localhost:{}", at.port())] {
        let report = load(target(&url).trust(AUTHORITY).expect("PEM")).await;
        assert_eq!((report.total.ok, report.total.bytes), (400, 2_000), "{report}");
        assert!(report.target.starts_with("https://") && !report.target.contains("not checked"), "{report}");
    }
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_refused_with_a_remedy_or_believed_on_demand() {
    let at = server("127.0.0.1:0");
    let url = format!("https://{at}");
    let report = load(target(&url)).await;
    let cause = unreachable(&report);
    assert!(cause.contains("invalid peer certificate") && cause.contains("--ca-file"), "{cause}");
    let report = load(target(&url).insecure().expect("TLS")).await;
    assert_eq!(report.total.ok, 400, "{report}");
    assert_eq!(report.target, format!("{url} (certificates not checked)"));
}

/// The certificate is for another address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let at = server("127.0.0.2:0");
    let report = load(target(&format!("https://{at}")).trust(AUTHORITY).expect("PEM")).await;
    let cause = unreachable(&report);
    assert!(cause.contains("certificate") && cause.contains("127.0.0.2"), "{cause}");
}

#[tokio::test]
async fn a_port_without_tls_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let report = load(target(&format!("https://{at}")).trust(AUTHORITY).expect("PEM")).await;
    assert!(unreachable(&report).contains("does the server speak TLS on this port?"), "{report}");
}

#[test]
fn what_is_no_authority_is_refused() {
    for pem in [&b"nonsense"[..], b"", KEY] {
        let error = target("https://localhost").trust(pem).expect_err("no certificate");
        assert!(error.field == "ca_file" && error.hint.contains("-----BEGIN CERTIFICATE-----"), "{error}");
    }
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(target("https://localhost").trust(broken).expect_err("no certificate").field, "ca_file");
    assert!(target("http://localhost").trust(AUTHORITY).expect_err("plain").hint.contains("https://"));
    assert!(target("http://localhost").insecure().expect_err("plain").hint.contains("https://"));
}

#[cfg(feature = "cli")]
#[test]
fn the_command_and_scenarios_name_an_authority() {
    let at = server("127.0.0.1:0");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("authority.pem"), AUTHORITY).expect("written");
    let file = folder.path().join("load.toml");
    let text = format!(
        "[target]\nurl = \"https://{at}\"\nca_file = \"authority.pem\"\n[load]\nrequests_per_second = 9\n"
    );
    std::fs::write(&file, text).expect("written");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let output = command.args(arguments).output().expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("a code"), text(output.stdout) + &text(output.stderr))
    };
    let (url, pem) = (format!("https://{at}"), folder.path().join("authority.pem"));
    let [file, pem] = [&file, &pem].map(|path| path.to_str().expect("text"));
    let (code, said) = run(&["preflight", file]);
    assert!(code == 0 && said.contains("accepts a connection after"), "{code} {said}");
    let (code, said) = run(&["preflight", &url, "-r", "9", "--ca-file", pem]);
    assert!(code == 0 && said.contains("what the workload itself takes not counted"), "{code} {said}");
    let (code, said) = run(&["preflight", &url, "-r", "9", "--insecure"]);
    assert!(code == 0 && said.contains("(certificates not checked)"), "{code} {said}");
    let (code, said) = run(&["preflight", &url, "-r", "9"]);
    assert!(code == 4 && said.contains("name the authority that signed it"), "{code} {said}");
    let (code, said) = run(&["preflight", &url, "--ca-file", "none.pem"]);
    assert!(code == 2 && said.contains("--ca-file: none.pem: cannot be read"), "{code} {said}");
}
