//! Who is let through to what, how often, and what nobody sees.
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use common::{Server, row};
use hyper::Method;
use hyper::body::Bytes;
use offgridflow::api::{Door, doors};
use offgridflow::http_client;
use serde_json::{Value, json};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const ACME: &str = "acme-0123456789abcdef";
const BETA: &str = "beta-fedcba9876543210";
const ADMIN: &str = "admin-0123456789abcdef";

fn keyed(more: &[&str]) -> Vec<String> {
    let keys = format!("acme={ACME},beta={BETA}");
    let mut all = vec!["--api-keys".to_owned(), keys, "--admin-keys".to_owned(), ADMIN.to_owned()];
    all.extend(more.iter().map(|one| (*one).to_owned()));
    all
}

async fn with_keys(more: &[&str]) -> Server {
    let settings = keyed(more);
    Server::on_sqlite(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// A request that each route understands.
fn requests() -> BTreeMap<&'static str, (Method, &'static str)> {
    BTreeMap::from([
        ("/healthz", (Method::GET, "/healthz")),
        ("/readyz", (Method::GET, "/readyz")),
        ("/metrics", (Method::GET, "/metrics")),
        ("/api/v1/activities", (Method::GET, "/api/v1/activities")),
        ("/api/v1/emissions", (Method::GET, "/api/v1/emissions")),
        ("/api/v1/factors/{category}", (Method::GET, "/api/v1/factors/diesel")),
        ("/api/v1/insight", (Method::GET, "/api/v1/insight")),
        ("/api/v1/keys", (Method::GET, "/api/v1/keys")),
        ("/api/v1/keys/{id}", (Method::DELETE, "/api/v1/keys/000000000000")),
        ("/api/v1/overview", (Method::GET, "/api/v1/overview")),
        ("/api/v1/performance", (Method::GET, "/api/v1/performance")),
        ("/debug/faults/{fault}", (Method::POST, "/debug/faults/end")),
        ("/debug/pprof/", (Method::GET, "/debug/pprof/")),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_through_whom_it_should_and_nobody_else() {
    offgridflow::api::install_metrics();
    let server = with_keys(&["--faults"]).await;
    let (requests, doors) = (requests(), doors());
    let named: BTreeSet<_> = doors.iter().map(|(_, path)| *path).collect();
    assert_eq!(named, requests.keys().copied().collect::<BTreeSet<_>>(), "each route is tried");
    for (door, path) in doors {
        let (method, path) = &requests[path];
        for (key, lets_through) in [
            (None, door == Door::Open),
            (Some("wrong-wrong-wrong-wrong"), door == Door::Open),
            (Some(""), door == Door::Open),
            (Some(ACME), door != Door::Admins),
            (Some(ADMIN), door != Door::Tenants),
        ] {
            let headers: Vec<_> = key.iter().map(|key| ("x-api-key", *key)).collect();
            let (status, _) = server.send(method.clone(), path, &headers, "").await;
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            assert_eq!(refused, !lets_through, "{method} {path} with {key:?}: {status}");
        }
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_issued_changed_without_a_gap_and_revoked_and_hold_on_every_server() {
    let database = testkit::postgres().create_database("keys").unwrap();
    let servers = [
        Server::on(&database.url(), &["--admin-keys", ADMIN]).await,
        Server::on(&database.url(), &["--admin-keys", ADMIN]).await,
    ];
    let [one, other] = &servers;
    let issue = async |whose: Value| {
        one.send(Method::POST, "/api/v1/keys", &[("x-api-key", ADMIN)], whose.to_string()).await
    };
    let asked = async |server: &Server, key: &str| {
        server.send(Method::GET, "/api/v1/emissions", &[("x-api-key", key)], "").await.0
    };
    let key = |answer: &Value| answer["key"].as_str().unwrap().to_owned();

    let (status, first) = issue(json!({ "tenant": "acme" })).await;
    assert_eq!((status, &first["tenant"]), (StatusCode::CREATED, &json!("acme")));
    assert_eq!(asked(one, &key(&first)).await, StatusCode::OK, "at once here");
    other.app.refresh_keys().await;
    assert_eq!(asked(other, &key(&first)).await, StatusCode::OK);

    let (_, second) = issue(json!({ "tenant": "acme" })).await;
    assert_eq!(
        [asked(one, &key(&first)).await, asked(one, &key(&second)).await],
        [StatusCode::OK; 2],
        "both are valid"
    );
    assert_eq!(issue(json!({ "tenant": "acme" })).await.0, StatusCode::CONFLICT, "a third is one too many");
    assert_eq!(
        issue(json!({ "tenant": "beta" })).await.0,
        StatusCode::CREATED,
        "of another tenant it is not"
    );

    let revoke = format!("/api/v1/keys/{}", first["id"].as_str().unwrap());
    let revoked = one.send(Method::DELETE, &revoke, &[("x-api-key", ADMIN)], "").await.0;
    assert_eq!(revoked, StatusCode::NO_CONTENT);
    assert_eq!(
        [asked(one, &key(&first)).await, asked(one, &key(&second)).await],
        [StatusCode::UNAUTHORIZED, StatusCode::OK]
    );
    other.app.refresh_keys().await;
    assert_eq!(
        [asked(other, &key(&first)).await, asked(other, &key(&second)).await],
        [StatusCode::UNAUTHORIZED, StatusCode::OK]
    );
    assert_eq!(
        one.send(Method::DELETE, &revoke, &[("x-api-key", ADMIN)], "").await.0,
        StatusCode::NOT_FOUND,
        "once"
    );
    assert_eq!(issue(json!({ "tenant": "acme" })).await.0, StatusCode::CREATED, "its place is free again");

    for wrong in [
        json!({}),
        json!({ "tenant": "" }),
        json!({ "tenant": "a", "admin": true }),
        json!({ "tenant": "a\nb" }),
        json!([]),
    ] {
        assert_eq!(issue(wrong.clone()).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let (_, admin) = issue(json!({ "admin": true })).await;
    let listed = one.send(Method::GET, "/api/v1/keys", &[("x-api-key", &key(&admin))], "").await;
    assert_eq!((listed.0, listed.1.as_array().unwrap().len()), (StatusCode::OK, 4));
    let stored =
        database.psql("SELECT string_agg(id || tenant || place || digest, '') FROM api_keys").unwrap();
    for secret in [&first, &second, &admin].map(key) {
        let bare = secret.rsplit('_').next().unwrap();
        assert!(
            !listed.1.to_string().contains(bare) && !stored.contains(bare),
            "a key is nowhere but with its owner"
        );
    }
    for server in servers {
        server.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_a_tenant_hold_whoever_asks_at_once() {
    let database = testkit::postgres().create_database("race").unwrap();
    let server = Server::on(&database.url(), &["--admin-keys", ADMIN]).await;
    let wish = json!({ "tenant": "acme" }).to_string();
    let asked = (0..16).map(|_| {
        let (base, wish) = (server.base.clone(), Bytes::from(wish.clone()));
        tokio::spawn(async move {
            http_client::send(&base, Method::POST, "/api/v1/keys", &[("x-api-key", ADMIN)], wish)
                .await
                .unwrap()
                .status
        })
    });
    let mut made = 0;
    for asked in asked.collect::<Vec<_>>() {
        made += usize::from(asked.await.unwrap() == StatusCode::CREATED);
    }
    let valid = database.psql("SELECT count(*) FROM api_keys WHERE NOT revoked").unwrap();
    assert!((1..=2).contains(&made) && valid == made.to_string(), "{made} made, {valid} valid");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_start_ends_with_the_first_key_and_never_comes_back() {
    let server = Server::on_sqlite(&[]).await;
    assert_eq!(server.get("/api/v1/emissions").await.0, StatusCode::OK, "this machine, without a key");
    let rebound = [("host", "attacker.example")];
    assert_eq!(
        raw(&server.base, "GET /api/v1/emissions", &rebound, b"").0,
        401,
        "a name that was bound to this machine"
    );
    let page = [("host", "127.0.0.1"), ("origin", "http://attacker.example")];
    assert_eq!(
        raw(&server.base, "POST /api/v1/keys", &page, b"{\"admin\":true}").0,
        403,
        "another site's page"
    );
    assert_eq!(
        raw(
            &server.base,
            "GET /api/v1/emissions",
            &[("host", "127.0.0.1"), ("x-forwarded-for", "10.0.0.1")],
            b""
        )
        .0,
        401
    );
    let (_, issued) =
        server.send(Method::POST, "/api/v1/keys", &[], json!({ "admin": true }).to_string()).await;
    assert_eq!(
        server.get("/api/v1/emissions").await.0,
        StatusCode::UNAUTHORIZED,
        "keys are needed from now on"
    );
    let key = issued["key"].as_str().unwrap();
    let path = format!("/api/v1/keys/{}", issued["id"].as_str().unwrap());
    assert_eq!(server.send(Method::DELETE, &path, &[("x-api-key", key)], "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        server.get("/api/v1/emissions").await.0,
        StatusCode::UNAUTHORIZED,
        "the last key's end opens nothing"
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_its_rate_and_hears_what_is_left() {
    let server = with_keys(&["--rate-limit", "5"]).await;
    let ask = async |key: &str| {
        http_client::get(&server.base, "/api/v1/emissions", &[("x-api-key", key)]).await.unwrap()
    };
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(ask(ACME).await.status);
    }
    assert_eq!(statuses[..5], [StatusCode::OK; 5]);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    assert_eq!(ask(BETA).await.status, StatusCode::OK, "another tenant's rate is its own");
    let key = [("host", "x"), ("x-api-key", ACME), ("connection", "close")];
    let (status, head) = (0..20)
        .map(|_| raw(&server.base, "GET /api/v1/emissions", &key, b""))
        .find(|(status, _)| *status == 429)
        .unwrap();
    let head = head.to_lowercase();
    assert_eq!(status, 429);
    for header in [
        "retry-after: 1\r\n",
        "ratelimit-policy: \"tenant\";q=5;w=1\r\n",
        "ratelimit: \"tenant\";r=0;t=1\r\n",
    ] {
        assert!(head.contains(header), "no {header:?} in {head}");
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask(ACME).await.status, StatusCode::OK, "after what Retry-After says");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_slowly_is_answered_in_time() {
    let server = with_keys(&["--request-secs", "1"]).await;
    let began = Instant::now();
    let head = format!(
        "POST /api/v1/activities HTTP/1.1\r\nhost: x\r\nx-api-key: {ACME}\r\ncontent-type: text/csv\r\ncontent-length: 1000\r\n\r\n"
    );
    let base = server.base.clone();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    });
    let said = said.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("not answered within 1s"), "{said}");
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&began.elapsed()));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_a_browser_must_not_do_with_it() {
    offgridflow::api::install_metrics();
    let server = with_keys(&[]).await;
    for target in [
        "GET /healthz",
        "GET /metrics",
        "GET /no/such",
        "GET /api/v1/emissions",
        "GET /debug/pprof/",
        "BREW /",
        "POST /healthz",
    ] {
        let (_, head) = raw(&server.base, target, &[("host", "x"), ("connection", "close")], b"");
        let head = head.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none';",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{target}: no `{header}` in {head}");
        }
    }
    server.close().await;
}

/// Sends a request as it is written; the status, and the head of the answer.
fn raw(base: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let mut head = format!("{target} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    let closing = [("connection", "close")];
    let closing =
        if headers.iter().any(|(name, _)| *name == "connection") { &closing[..0] } else { &closing[..] };
    for (name, value) in headers.iter().chain(closing) {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split("\r\n\r\n").next().unwrap_or_default().to_owned() + "\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn control_keys_off_lets_anybody_here_read_another_tenants_data() {
    let server = Server::on_sqlite(&[]).await;
    let sent = [NDJSON, ("x-tenant", "beta")];
    server.send(Method::POST, "/api/v1/activities", &sent, row("canary", "diesel", "1", "2024")).await;
    let (_, seen) = server.get_as("beta", "/api/v1/activities").await;
    assert!(seen.to_string().contains("canary"), "what the keys prevent is there to be prevented");
    server.close().await;
    let server = with_keys(&[]).await;
    let sent = [NDJSON, ("x-api-key", BETA)];
    server.send(Method::POST, "/api/v1/activities", &sent, row("canary", "diesel", "1", "2024")).await;
    let stolen = server
        .send(Method::GET, "/api/v1/activities", &[("x-api-key", ACME), ("x-tenant", "beta")], "")
        .await;
    assert!(stolen.0 == StatusCode::OK && !stolen.1.to_string().contains("canary"), "{stolen:?}");
    server.close().await;
}
