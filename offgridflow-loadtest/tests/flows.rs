//! Several requests in order are one operation, whose steps are seen apart.
#![cfg(feature = "http")]

mod common;

use std::time::Duration;

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{
    Executor, HttpFlow, HttpRoute, HttpStep, HttpTarget, LoadTest, Op, Quantile, Rate, Report, StepRow,
};

const MS: Duration = Duration::from_millis(1);

fn answer(status: &str, headers: &[u8], body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    all.extend(headers);
    all.extend(b"\r\n");
    all.extend(body);
    all
}

/// A shop that gives out a token, a list, and takes an order with both.
fn shop(seen: &Seen) -> Vec<u8> {
    let says = |line: &str| seen.headers.iter().any(|header| header == line);
    match &*seen.line {
        "POST /login HTTP/1.1" => answer("200 OK", b"", br#"{"token":"s3cret/1"}"#),
        "GET /items HTTP/1.1" if says("authorization: Bearer s3cret/1") => {
            answer("200 OK", b"x-order: /orders/17?new\r\n", b"[]")
        }
        "PUT /orders/17?by=s3cret%2F1 HTTP/1.1" => answer("201 Created", b"", b""),
        _ => answer("400 Bad Request", b"", b""),
    }
}

fn kept(op: &Op, name: &str) -> String {
    op.kept(name).unwrap_or_default().to_owned()
}

fn flow() -> HttpFlow {
    let login =
        HttpStep::new(HttpRoute::post("/login").body("a")).extract("token", "json.token").expect("it");
    let items = HttpRoute::get("/items");
    let items = items.header_with("authorization", |op| format!("Bearer {}", kept(op, "token"))).expect("it");
    let items =
        HttpStep::new(items).extract("id", "header.x-order after \"/orders/\" before \"?\"").expect("it");
    let order = HttpRoute::new("PUT", "/orders/{id}").expect("a method");
    let order = order
        .path_with(|op| format!("/orders/{}?by={}", kept(op, "id"), kept(op, "token").replace('/', "%2F")));
    HttpFlow::new("shop").step(login).step(items).step(order.expect(201..=201))
}

fn target(server: &Server, flow: HttpFlow) -> HttpTarget {
    HttpTarget::new(&server.url())
        .and_then(|target| target.flow(flow))
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn load(target: HttpTarget, count: u32) -> Report {
    let rate = Rate::constant(f64::from(count), Duration::from_secs(1));
    LoadTest::new(target).rate(rate).warm_sessions(2).timeout(800 * MS).run().await.expect("runs")
}

fn step<'a>(report: &'a Report, name: &str) -> &'a StepRow {
    report.step(name).unwrap_or_else(|| panic!("{name}: {report}"))
}

fn scripted(script: fn(&Seen) -> Vec<u8>) -> Server {
    Server::behaving(Behaviour { script: Some(script), ..Behaviour::default() })
}

#[tokio::test]
async fn what_one_step_extracts_the_next_ones_send() {
    let server = scripted(shop);
    let report = load(target(&server, flow()), 100).await;
    assert_eq!((report.total.ok, report.total.failed, report.offered), (100, 0, 100), "{report}");
    assert_eq!(server.requests(), 300, "three requests are one operation");
    assert_eq!(report.routes.iter().map(|row| &*row.route).collect::<Vec<_>>(), ["shop"], "{report}");
    let names = ["shop: POST /login", "shop: GET /items", "shop: PUT /orders/{id}"];
    for (row, name) in report.steps.iter().zip(names) {
        assert_eq!((&*row.step, row.ok, row.failed, row.service.count), (name, 100, 0, 100), "{report}");
    }
    assert_eq!((report.total.bytes, report.steps[0].bytes, report.steps[1].bytes), (2_200, 2_000, 200));
    let said = report.to_string();
    assert!(said.contains("service by step") && !said.contains("s3cret"), "{said}");
    assert!(!format!("{report:?}").contains("s3cret"));
    #[cfg(feature = "html")]
    for (at, name) in names.into_iter().enumerate() {
        let page = report.to_html();
        assert!(
            page.contains(name) && page.contains(&format!("data-at=\"/steps/{at}/service/count\"")),
            "{name}"
        );
    }
}

/// The second step waits for the first, and so is no arrival of its own: its service time is its own, and all of the wait is the flow's.
#[tokio::test]
async fn a_step_that_begins_late_is_not_slow_itself_and_the_flow_is() {
    let slow = Some(("/login", 120 * MS));
    let server = Server::behaving(Behaviour { script: Some(shop), slow, ..Behaviour::default() });
    let report = load(target(&server, flow()), 50).await;
    let least = |quantile: Quantile| quantile.value().expect("a value");
    assert_eq!(report.total.failed, 0, "{report}");
    assert!(least(report.total.response.p50) >= 120 * MS, "{report}");
    assert!(least(step(&report, "shop: POST /login").service.p50) >= 120 * MS, "{report}");
    assert!(least(step(&report, "shop: GET /items").service.p50) < 100 * MS, "{report}");
    assert_eq!(report.offered, 50, "slots are taken as by any slow operation, and the schedule holds");
}

/// Each is told by the step it was in, and later steps are not asked.
#[tokio::test]
async fn a_flow_ends_with_the_step_that_fails() {
    fn without_token(seen: &Seen) -> Vec<u8> {
        if seen.line.starts_with("POST") { answer("200 OK", b"", br#"{"other":1}"#) } else { shop(seen) }
    }
    fn full(seen: &Seen) -> Vec<u8> {
        if seen.line.starts_with("GET") { answer("503 No", b"", b"") } else { shop(seen) }
    }
    for (script, name, cause, message) in [
        (
            without_token as fn(&Seen) -> Vec<u8>,
            "shop: POST /login",
            "extract token from json.token",
            "there is no such field",
        ),
        (full, "shop: GET /items", "status 503", ""),
    ] {
        let server = scripted(script);
        let report = load(target(&server, flow()), 40).await;
        assert_eq!((report.total.failed, report.total.answered), (40, 40), "{report}");
        let line = &report.errors[0];
        assert_eq!((&*line.cause, &*line.route, line.count), (cause, name, 40), "{report}");
        assert_eq!((&*line.message, report.errors.len()), (message, 1), "{report}");
        assert_eq!((step(&report, name).failed, step(&report, name).answered), (40, 40), "{report}");
        assert!(report.step("shop: PUT /orders/{id}").is_none(), "never asked: {report}");
    }
}

/// The time-out is the flow's, and the step that it found is the one that was not answered.
#[tokio::test]
async fn a_step_without_an_answer_is_the_one_that_timed_out() {
    let slow = Some(("/items", 5_000 * MS));
    let server = Server::behaving(Behaviour { script: Some(shop), slow, ..Behaviour::default() });
    let report = load(target(&server, flow()), 20).await;
    assert_eq!(
        (&*report.errors[0].cause, &*report.errors[0].route),
        ("timeout", "shop: GET /items"),
        "{report}"
    );
    let row = step(&report, "shop: GET /items");
    assert_eq!((row.failed, row.answered, row.service.unanswered), (20, 0, 20), "{report}");
    let waited = matches!(row.service.p50, Quantile::AtLeast(waited) if waited > 300 * MS);
    assert!(waited, "as long as was waited: {report}");
    assert_eq!(step(&report, "shop: POST /login").ok, 20, "{report}");
}

/// Header values of any bytes, JSON without end, a body of a gigabyte: a failed operation each, in bounded memory and time.
#[tokio::test]
async fn hostile_answers_are_failures_with_a_cause() {
    fn hostile(seen: &Seen) -> Vec<u8> {
        match seen.line.split(' ').nth(1) {
            Some("/header") => answer("200 OK", b"x-id: caf\xe9\r\n", b""),
            Some("/deep") => answer("200 OK", b"", "[".repeat(500_000).as_bytes()),
            Some("/split") => answer("200 OK", b"", br#"{"id":"a\r\nx-evil: 1"}"#),
            _ => answer("200 OK", b"", b""),
        }
    }
    for (path, from, cause, message) in [
        ("/header", "header.x-id", "extract id from header.x-id", "it is not UTF-8 text"),
        ("/deep", "json[0]", "extract id from json[0]", "the answer is not JSON"),
        ("/split", "json.id", "error", "characters that HTTP does not allow"),
    ] {
        let server = scripted(hostile);
        let first = HttpStep::new(HttpRoute::get(path)).extract("id", from).expect("it");
        let second = HttpRoute::get("/next").header_with("x-id", |op| kept(op, "id")).expect("it");
        let report = load(target(&server, HttpFlow::new("f").step(first).step(second)), 20).await;
        let line = &report.errors[0];
        assert_eq!((&*line.cause, line.count), (cause, 20), "{report}");
        assert!(line.message.contains(message) && !line.message.contains("evil"), "{report}");
        assert!(server.first().iter().all(|seen| !seen.line.contains("/next")), "nothing is sent after it");
    }
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_counted_and_not_kept() {
    let server = Server::behaving(Behaviour { flood: Some("/flood"), ..Behaviour::default() });
    let first = HttpStep::new(HttpRoute::get("/flood")).extract("id", "body after 'id='").expect("it");
    let flow = HttpFlow::new("f").step(first).step(HttpRoute::get("/next"));
    let test = LoadTest::new(target(&server, flow)).executor(Executor::open(Rate::constant(1.0, 1_000 * MS)));
    let report = test.timeout(Duration::from_secs(120)).run().await.expect("runs");
    let line = &report.errors[0];
    assert_eq!(&*line.cause, "extract id from body after 'id='", "{report}");
    assert!(line.message.contains("longer than 1 MiB"), "{report}");
    assert_eq!(report.total.bytes, 1 << 30, "{report}");
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").expect("readable");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
        assert!(kib < 400 << 10, "{kib} KiB");
    }
}

/// A user who reads makes no operation slow.
#[tokio::test(start_paused = true)]
async fn pauses_between_steps_are_in_no_time() {
    let work = Stepped;
    let test = LoadTest::new(work).rate(Rate::constant(10.0, Duration::from_secs(10)));
    let report = test.timeout(Duration::from_secs(60)).run_here().await.expect("runs");
    assert_eq!((report.total.ok, report.offered), (100, 100), "{report}");
    let p50 = |quantile: Quantile| quantile.value().expect("a value").as_millis();
    assert!((50..=55).contains(&p50(report.total.response.p50)), "20 and 30 ms: {report}");
    assert!((50..=55).contains(&p50(report.total.service.p50)), "{report}");
    for (name, ms) in [("first", 20), ("second", 30)] {
        let row = step(&report, name);
        assert!((ms..=ms + 2).contains(&p50(row.service.p50)) && row.ok == 100, "{report}");
    }
}

/// Two steps of 20 and 30 ms, and a rest of 5 s between them.
struct Stepped;

impl offgridflow_loadtest::Workload for Stepped {
    type Session = ();

    async fn open(
        &self,
        _: &offgridflow_loadtest::ShardCtx,
    ) -> Result<(), offgridflow_loadtest::TargetError> {
        Ok(())
    }

    fn steps(&self) -> Vec<String> {
        vec!["first".into(), "second".into()]
    }

    async fn call(&self, (): &mut (), op: &mut Op) -> offgridflow_loadtest::Outcome {
        for (place, took) in [20, 30].into_iter().enumerate() {
            if place > 0 {
                op.rest(Duration::from_secs(5)).await;
            }
            op.begin_step(place);
            tokio::time::sleep(MS * took).await;
            op.end_step(&offgridflow_loadtest::Outcome::ok());
        }
        offgridflow_loadtest::Outcome::ok()
    }
}

#[tokio::test]
async fn flows_and_routes_share_the_load_by_weight() {
    let server = scripted(shop);
    let target = target(&server, flow().weight(3)).route(HttpRoute::get("/").expect(400..=400));
    let report = load(target, 400).await;
    let count = |name: &str| report.route(name).expect(name).ok;
    assert_eq!(count("shop") + count("GET /"), 400, "{report}");
    assert!((250..350).contains(&count("shop")), "three quarters: {report}");
    assert_eq!(step(&report, "shop: POST /login").ok, count("shop"), "{report}");
}

#[tokio::test]
async fn thresholds_judge_a_step_by_what_it_has() {
    let server = scripted(shop);
    let judged = |threshold: &str| {
        let rate = Rate::constant(400.0, Duration::from_secs(1));
        LoadTest::new(target(&server, flow())).rate(rate).threshold(threshold)
    };
    for threshold in ["p95(service){shop: GET /items} < 1s", "failures{shop: POST /login} <= 0"] {
        let report = judged(threshold).run().await.expect("runs");
        assert!(report.thresholds[0].measured != "no operation on this route", "{report}");
    }
    let refused = |threshold: &str| judged(threshold).validate().map(drop).expect_err(threshold).hint;
    assert!(refused("p95(response){shop: GET /items} < 1s").contains("a step has no response time"));
    assert!(refused("failures{shop: GET /other} < 1").contains("there are `shop`, `shop: POST /login`"));
}

#[test]
fn what_is_no_flow_is_refused() {
    let get = || HttpRoute::get("/a");
    for (flow, field, hint) in [
        (HttpFlow::new("f"), "step", "at least one step"),
        (HttpFlow::new("").step(get()), "name", "needs a name"),
        (HttpFlow::new("f").step(get()).step(get()), "step.1.path", "`f: GET /a` stands there twice"),
        (HttpFlow::new("f").step(HttpStep::new(get()).pause(MS)), "step.0.pause", "between two steps"),
    ] {
        let target = HttpTarget::new("http://127.0.0.1:1").expect("url");
        let error = target.flow(flow).expect_err(hint);
        assert!(error.field == field && error.hint.contains(hint), "{error}");
    }
    let twice =
        HttpTarget::new("http://127.0.0.1:1").and_then(|target| target.flow(HttpFlow::new("f").step(get())));
    let error = twice.and_then(|target| target.flow(HttpFlow::new("f").step(get()))).expect_err("twice");
    assert!(error.hint.contains("two flows `f`"), "{error}");
}

/// A job that is done 120 ms after it was asked for: looked for until it is, once for each operation, without counting the looks.
#[tokio::test]
async fn what_is_done_elsewhere_is_looked_for_until_it_is() {
    use std::{collections::BTreeMap, sync::Mutex, time::Instant};
    static BEGUN: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    fn worker(seen: &Seen) -> Vec<u8> {
        let path = seen.line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut begun = BEGUN.lock().expect("lock");
        if seen.line.starts_with("PUT") {
            begun.insert(path, Instant::now());
            return answer("200 OK", b"", b"{}");
        }
        let done = begun.get(&path).is_some_and(|begun| begun.elapsed() > 120 * MS);
        answer("200 OK", b"", if done { b"{\"done\": true}" } else { b"{\"done\": false}" })
    }
    let server = Server::behaving(Behaviour { script: Some(worker), ..Behaviour::default() });
    let job = |method: &str| {
        let route = HttpRoute::new(method, "/jobs/{id}").expect("a method");
        route.path_with(|op| format!("/jobs/{}", op.index()))
    };
    let look = job("GET").check("json.done == true").expect("a check");
    let flow = |wait: Duration| {
        let look = HttpStep::new(look.clone()).retry_every(wait);
        HttpFlow::new("job").step(job("PUT")).step(look)
    };
    let report = load(target(&server, flow(10 * MS)), 40).await;
    assert_eq!((report.total.ok, report.total.failed), (40, 0), "{report}");
    let complete = report.step("job: GET /jobs/{id}").expect("a step");
    assert_eq!((complete.ok, complete.failed), (40, 0), "looks that found nothing are no failures\n{report}");
    let least = complete.service.min.expect("measured");
    assert!((115 * MS..250 * MS).contains(&least), "{least:?}\n{report}");
    assert!(server.requests() > 40 * 5, "{} requests", server.requests());
    // What is never done ends with the time-out, under its step.
    let never = job("GET").check("json.never == true").expect("a check");
    let flow = HttpFlow::new("job").step(job("PUT")).step(HttpStep::new(never).retry_every(20 * MS));
    let rate = Rate::constant(20.0, Duration::from_secs(1));
    let test = LoadTest::new(target(&server, flow)).rate(rate).timeout(300 * MS);
    let report = test.run().await.expect("runs");
    assert_eq!(report.total.failed, 20, "{report}");
    assert!(report.errors.iter().all(|line| line.cause == "timeout"), "{report}");
    let restless = HttpFlow::new("f").step(HttpStep::new(HttpRoute::get("/")).retry_every(Duration::ZERO));
    let refused =
        HttpTarget::new(&server.url()).and_then(|target| target.flow(restless)).expect_err("refused");
    assert_eq!(refused.field, "step.0.retry_every");
}
