//! Whatever is sent to whichever endpoint: no crash, no 5xx.
mod common;

use common::Server;
use std::io::{Read, Write};
use std::net::TcpStream;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

const CASES: u32 = 3_000;

fn paths() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/api/v1/activities",
        "/api/v1/emissions",
        "/api/v1/factors/diesel",
        "/api/v1/performance",
        "/healthz",
        "/readyz",
        "/metrics",
        "/",
        "/debug/pprof/",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        "\\?[!-~&&[^#]]{0,30}",
        "\\?(after|limit|by|atomic)=[!-~&&[^#]]{0,12}",
        "\\?after=%[0-9a-f]{2}%[0-9a-f]{2}",
    ];
    let free = "/[!-~&&[^#?]]{0,30}".prop_filter("profiles take their time", |path| !path.contains("pprof"));
    prop_oneof![4 => (known, query).prop_map(|(path, query)| path.to_owned() + &query), 1 => free]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let fragments = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\n",
        "null",
        "1e999",
        "-0",
        "\"id\"",
        "\"category\":\"diesel\"",
        "\"quantity\":1",
        "\"period\":\"2024\"",
        "\u{0}",
        "category,quantity,period\n",
        "diesel,1,2024\n",
        "\"a",
        "\\u0000",
    ]);
    let mixed = prop::collection::vec(fragments, 0..30).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..300), mixed]
}

/// Sends bytes as they are, so that nothing a client library would refuse is left out; the status, 0 when there is none.
fn raw(base: &str, head: &[u8], body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(head).unwrap();
    let _ = stream.write_all(body); // the server may have answered and closed
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let line = String::from_utf8_lossy(&answer);
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn arbitrary_requests_never_give_a_5xx() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::on_sqlite(&[]));
    let methods = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"]);
    let types = prop::sample::select(vec!["application/json", "application/x-ndjson", "text/csv", "x", ""]);
    let tenants = "[ -~]{0,40}";
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let requests = (methods, paths(), types, tenants, bodies());
    let sent = runner.run(&requests, |(method, path, content_type, tenant, body)| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {content_type}\r\nx-tenant: {tenant}\r\ncontent-length: {}\r\n\r\n", body.len());
        let status = raw(&server.base, head.as_bytes(), &body);
        prop_assert!((200..500).contains(&status), "{}{:?} gave {}", head, body, status);
        Ok(())
    });
    sent.unwrap();
    assert_eq!(runtime.block_on(server.get("/healthz")).0, 200);
    runtime.block_on(server.close());
}
