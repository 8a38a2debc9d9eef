//! What goes over the wire, and what comes back into the report.
#![cfg(feature = "http")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{Behaviour, Server};
use offgridflow_loadtest::{
    Executor, Fields, HttpRoute, HttpTarget, LoadTest, LogFormat, Rate, Replay, Report,
};

async fn load(target: HttpTarget, per_sec: f64) -> Report {
    let rate = Rate::constant(per_sec, Duration::from_secs(1));
    LoadTest::new(target).rate(rate).warm_sessions(2).run().await.expect("runs")
}

#[tokio::test]
async fn a_request_carries_method_path_headers_and_body() {
    let server = Server::start();
    let target = HttpTarget::new(&format!("{}/api", server.url())).expect("url");
    let target = target.header("accept", "application/json").expect("header").route(
        HttpRoute::post("/activities")
            .header("content-type", "text/plain")
            .expect("header")
            .body_with(|op| format!("operation {}", op.index())),
    );
    let report = load(target, 20.0).await;
    let seen = server.last();
    assert_eq!(seen.line, "POST /api/activities HTTP/1.1");
    for header in [
        format!("host: {}", server.addr),
        "accept: application/json".into(),
        "content-type: text/plain".into(),
        format!("content-length: {}", seen.body.len()),
    ] {
        assert!(seen.headers.contains(&header), "{header} in {:?}", seen.headers);
    }
    assert!(String::from_utf8(seen.body).expect("text").starts_with("operation "));
    assert_eq!((report.total.ok, report.total.bytes), (20, 100), "{report}");
}

#[tokio::test]
async fn without_routes_the_url_itself_is_asked() {
    let server = Server::start();
    let target = HttpTarget::new(&format!("{}/health?deep=1", server.url())).expect("url");
    let report = load(target, 10.0).await;
    assert_eq!(server.last().line, "GET /health?deep=1 HTTP/1.1");
    assert_eq!(report.routes[0].route, "GET /health");
    let target = HttpTarget::new(&format!("{}?x=1", server.url())).expect("url");
    let report = load(target, 10.0).await;
    assert_eq!(server.last().line, "GET /?x=1 HTTP/1.1");
    assert_eq!(report.routes[0].route, "GET /");
}

#[tokio::test]
async fn routes_share_the_load_by_weight_and_generated_paths_share_a_row() {
    let server = Server::start();
    let target = HttpTarget::new(&server.url()).expect("url");
    let users =
        HttpRoute::get("/users/{id}").path_with(|op| format!("/users/{}", op.rng().below(1_000))).weight(3);
    let report = load(target.route(users).route(HttpRoute::get("/health")), 800.0).await;
    let count = |name: &str| report.route(name).expect(name).ok;
    let (users, health) = (count("GET /users/{id}"), count("GET /health"));
    assert_eq!((users + health, report.routes.len()), (800, 2), "{report}");
    assert!((540..660).contains(&users), "three quarters: {users}");
    assert_eq!(server.requests(), 800);
}

#[tokio::test]
async fn a_log_is_asked_again_as_it_was() {
    let server = Server::start();
    let log: String = (0..30).map(|n| format!("{}.{n:03},PUT,/sites/{n}?q\n", n % 3)).collect();
    let log = format!("time,method,path\n{log}9.001,DELETE,/last one\n");
    let replay =
        Replay::builder(LogFormat::Csv(Fields::default())).speed(10.0).read(log.as_bytes()).expect("a log");
    let replay = Arc::new(replay);
    let target = HttpTarget::new(&format!("{}/api", server.url())).expect("url");
    let target = target.replaying(Arc::clone(&replay)).expect("methods");
    let report = LoadTest::new(target).executor(Executor::replay(replay)).run().await.expect("runs");
    assert_eq!(server.last().line, "DELETE /api/last%20one HTTP/1.1");
    let count = |name: &str| report.route(name).expect(name).ok;
    assert_eq!(
        (count("PUT /sites/{id}"), count("DELETE /last one"), server.requests()),
        (30, 1, 31),
        "{report}"
    );
    assert!(report.to_string().contains("/api, replaying 31 of 31 lines"), "{report}");
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let server = Server::start();
    let target = HttpTarget::new(&server.url()).expect("url");
    let executor = Executor::closed(4, Duration::from_millis(300));
    let report = LoadTest::new(target).executor(executor).run().await.expect("runs");
    assert_eq!(server.connections(), 4, "{report}");
    assert!(report.total.ok > 100 && report.total.failed == 0, "{report}");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_between_operations_is_no_failure() {
    let server = Server::behaving(Behaviour { answers_per_connection: Some(5), ..Behaviour::default() });
    let target = HttpTarget::new(&server.url()).expect("url");
    let report = load(target, 200.0).await;
    assert_eq!((report.total.ok, report.total.failed), (200, 0), "{report}");
    assert!(server.connections() >= 40);
}

#[tokio::test]
async fn an_error_status_is_an_answered_failure_with_its_route() {
    let server = Server::behaving(Behaviour { refuse: Some("/closed"), ..Behaviour::default() });
    let target = || HttpTarget::new(&server.url()).expect("url").route(HttpRoute::get("/open"));
    let report = load(target().route(HttpRoute::get("/closed")), 400.0).await;
    let closed = report.route("GET /closed").expect("a row");
    assert_eq!((closed.ok, closed.answered), (0, closed.failed), "{report}");
    assert_eq!((&*report.errors[0].cause, &*report.errors[0].route), ("status 503", "GET /closed"));
    let report = load(target().route(HttpRoute::get("/closed").expect(503..=503)), 400.0).await;
    assert_eq!(report.total.failed, 0, "{report}");
}

/// Each way an answer can break, the cause it is filed under, and what the cause's first message names.
#[tokio::test]
async fn a_broken_answer_is_filed_under_what_is_wrong_with_it() {
    for (raw, cause, says) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "protocol", "chunk size"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloworld", "protocol", "chunk"),
        ("HTTP/1.1 abc\r\n\r\n", "protocol", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", "reset", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "reset", ""),
        ("", "reset", ""),
    ] {
        let server = Server::behaving(Behaviour { raw: Some(raw), ..Behaviour::default() });
        let report = load(HttpTarget::new(&server.url()).expect("url"), 10.0).await;
        let line = &report.errors[0];
        assert_eq!((&*line.cause, report.total.ok), (cause, 0), "{raw:?}\n{report}");
        assert!(line.message.contains(says), "{raw:?}: {}", line.message);
    }
}

#[tokio::test]
async fn a_method_that_comes_with_content_says_when_there_is_none() {
    let server = Server::start();
    for (method, says) in [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)]
    {
        let route = HttpRoute::new(method, "/a").expect("a method");
        load(HttpTarget::new(&server.url()).expect("url").route(route), 5.0).await;
        let headers = server.last().headers;
        assert_eq!(headers.iter().any(|header| header == "content-length: 0"), says, "{method}: {headers:?}");
    }
}

#[tokio::test]
async fn only_an_answer_that_is_expected_is_a_success() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let server = Server::behaving(Behaviour { raw: Some(switching), ..Behaviour::default() });
    let report = load(HttpTarget::new(&server.url()).expect("url"), 10.0).await;
    assert_eq!((report.total.ok, &*report.errors[0].cause), (0, "status 101"), "{report}");
    let server = Server::behaving(Behaviour { refuse: Some("/closed"), ..Behaviour::default() });
    let target = |route| HttpTarget::new(&server.url()).expect("url").route(route);
    let either = HttpRoute::get("/closed").expect(200..=299).or_expect(503..=503);
    assert_eq!(load(target(either), 10.0).await.total.failed, 0);
    assert_eq!(load(target(HttpRoute::get("/closed").expect(200..=299)), 10.0).await.total.failed, 10);
}

/// What came of an answer counts, whether the connection breaks, the time-out rings, or the status is a failure.
#[tokio::test]
async fn bytes_of_answers_that_fail_are_counted() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
    for stalls in [false, true] {
        let server = Server::behaving(Behaviour { raw: Some(half), stalls, ..Behaviour::default() });
        let target = HttpTarget::new(&server.url()).expect("url");
        let test = LoadTest::new(target).rate(Rate::constant(10.0, Duration::from_secs(1)));
        let report = test.timeout(Duration::from_millis(400)).run().await.expect("runs");
        assert_eq!((report.total.answered, report.total.bytes), (0, 50), "{report}");
        let cause = report.verdict.cause().unwrap_or_default();
        assert!(cause.contains("answered to the end, though 10 answers began"), "{cause}");
    }
    let server = Server::behaving(Behaviour { refuse: Some("/"), ..Behaviour::default() });
    let report = load(HttpTarget::new(&server.url()).expect("url"), 10.0).await;
    assert_eq!((report.total.ok, report.total.bytes), (0, 50), "{report}");
    assert!(!report.to_string().contains("()"), "{report}");
}

#[tokio::test]
async fn an_unreachable_server_is_down_without_delay() {
    let addr = Server::start().addr; // stopped again at once
    let target = HttpTarget::new(&format!("http://{addr}")).expect("url");
    let test = LoadTest::new(target).rate(Rate::constant(10.0, Duration::from_secs(600)));
    let report = test.run().await.expect("runs");
    assert_eq!((report.verdict.name(), report.exit_code()), ("TargetDown", 1), "{report}");
    assert!(report.verdict.cause().is_some_and(|cause| cause.contains(&addr.to_string())), "{report}");
}

#[test]
fn targets_that_cannot_be_are_refused_without_their_secrets() {
    let refused = |url: &str| HttpTarget::new(url).expect_err(url).to_string();
    #[cfg(not(feature = "tls"))]
    assert!(refused("https://localhost").contains("TLS is not built in"));
    assert!(refused("localhost:80").contains("http://"));
    assert!(refused("http://").contains("http://"));
    let secret = refused("http://me:hunter2@localhost:none");
    assert!(secret.contains("@localhost") && !secret.contains("hunter2"), "{secret}");
    let target = HttpTarget::new("http://localhost").expect("url");
    let target = target.header("authorization", "Bearer hunter2").expect("header");
    assert!(!format!("{target:?}").contains("hunter2"));
    let target = |name, value| HttpTarget::new("http://localhost").expect("url").header(name, value);
    assert!(target("x-bad", "line\nbreak").is_err());
    for framing in ["Content-Length", "transfer-encoding"] {
        let error = target(framing, "12").expect_err("refused").to_string();
        assert!(error.contains(framing) && error.contains("follows from the body"), "{error}");
        assert!(HttpRoute::post("/").body("{}").header(framing, "2").is_err());
    }
    assert!(HttpRoute::new("NOT A METHOD", "/").is_err());
}

/// What was never sent is no fast answer.
#[tokio::test]
async fn a_path_that_cannot_be_asked_is_an_operation_without_an_answer() {
    let server = Server::start();
    let target = HttpTarget::new(&server.url()).expect("url");
    let broken = HttpRoute::get("/sites/{id}").path_with(|op| format!("/sites/{}\n", op.index()));
    let report = load(target.route(broken), 20.0).await;
    assert_eq!((report.total.failed, report.total.answered, server.requests()), (20, 0, 0), "{report}");
    assert!(report.errors[0].message.contains("not a valid path"), "{report}");
}

#[tokio::test]
async fn a_header_can_be_made_for_each_operation_in_place_of_the_targets() {
    let server = Server::start();
    let target = HttpTarget::new(&server.url()).expect("url").header("x-n", "fixed").expect("header");
    let target = target.header_with("x-target", |op| format!("t{}", op.index())).expect("header");
    let route = HttpRoute::get("/a").header_with("x-n", |op| op.index().to_string()).expect("header");
    let report = load(target.route(route), 20.0).await;
    assert_eq!(report.total.ok, 20, "{report}");
    let mut made: Vec<_> = server.first().into_iter().map(|seen| seen.headers).collect();
    made.sort();
    for n in 0..20 {
        let [own, targets] = [format!("x-n: {n}"), format!("x-target: t{n}")];
        let both = made.iter().filter(|headers| headers.contains(&own) && headers.contains(&targets));
        assert_eq!(both.count(), 1, "{n} in {made:?}");
    }
    assert!(HttpRoute::get("/").header_with("content-length", |_| String::new()).is_err());

    let broken = HttpRoute::get("/a").header_with("x-n", |_| "a\nb".into()).expect("header");
    let before = server.requests();
    let report = load(HttpTarget::new(&server.url()).expect("url").route(broken), 20.0).await;
    assert_eq!((report.total.failed, report.total.answered, server.requests()), (20, 0, before), "{report}");
    assert!(report.errors[0].message.contains("made for header `x-n`"), "{report}");
}

#[tokio::test]
async fn an_answer_that_does_not_meet_its_checks_is_a_failure_under_their_name() {
    let server = Server::behaving(Behaviour { refuse: Some("/no"), ..Behaviour::default() });
    let target = || HttpTarget::new(&server.url()).expect("url");
    let route = |path: &str, checks: &[&str]| {
        checks.iter().fold(HttpRoute::get(path), |route, check| route.check(check).expect("a check"))
    };
    let met = route("/", &["status == 200", "size == 5", "body == hello", "header.content-length == 5"]);
    let report = load(target().route(met), 20.0).await;
    assert_eq!((report.total.ok, report.total.bytes), (20, 100), "{report}");
    let report = load(target().route(route("/no", &["status == 503", "size > 0"])), 20.0).await;
    assert_eq!(report.total.ok, 20, "a check of the status takes the place of what is usual: {report}");
    let report = load(target().route(route("/no", &["size > 0"])), 20.0).await;
    assert_eq!(report.errors[0].cause, "status 503", "{report}");
    let report = load(target().route(route("/", &["size < 9", "body contains world"])), 20.0).await;
    assert_eq!((report.total.failed, report.total.answered), (20, 20), "{report}");
    let line = &report.errors[0];
    let found = "it was another text, of 5 characters";
    assert_eq!((&*line.cause, &*line.message, line.count), ("check body contains world", found, 20));
    assert!(HttpRoute::get("/").check("code == 1").expect_err("refused").hint.contains("use status, size"));
}

/// However long an answer is, a mebibyte of it is kept, and only where somebody reads it.
#[tokio::test]
async fn a_long_answer_is_counted_and_not_kept() {
    let body = "x".repeat(3 << 20);
    let raw = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let raw: &'static str = Box::leak(raw.into_boxed_str());
    let server = Server::behaving(Behaviour { raw: Some(raw), ..Behaviour::default() });
    let target = HttpTarget::new(&server.url()).expect("url");
    let read = target.route(
        HttpRoute::get("/")
            .check("size == 3145728")
            .and_then(|route| route.check("body contains x"))
            .expect("checks"),
    );
    let report = load(read, 5.0).await;
    assert_eq!((report.total.failed, report.total.bytes), (5, 5 * (3 << 20)), "{report}");
    assert!(report.errors[0].message.contains("longer than 1 MiB"), "{report}");
}
