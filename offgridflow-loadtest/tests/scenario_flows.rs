//! Flows and cookies as a scenario says them.
#![cfg(feature = "cli")]

mod common;

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{ConfigError, Report, Scenario};

const FLOW: &str = r#"
[[flow]]
name = "order"
weight = 2

[[flow.step]]
method = "POST"
path = "/login"
body = '{"user": "u${index}"}'
extract = { token = "json.token", item = "header.location after '/items/'" }

[[flow.step]]
pause = "20ms"
path = "/items/${item}?t=${token}"
headers = { authorization = "Bearer ${token}" }
check = ["status == 200"]

[[flow.step]]
method = "POST"
path = "/orders"
body = '{"item": "${item|json}"}'
"#;

fn shop(seen: &Seen) -> Vec<u8> {
    let (head, body) = match seen.line.split(' ').nth(1) {
        Some("/login") => ("location: /items/a b\"\r\nset-cookie: sid=one; Path=/\r\n", r#"{"token":"t&1"}"#),
        Some("/items/a%20b%22?t=t%261") => ("set-cookie: seen=1; Path=/items\r\n", "{}"),
        _ => ("", ""),
    };
    format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn server() -> Server {
    Server::behaving(Behaviour { script: Some(shop), ..Behaviour::default() })
}

fn scenario(url: &str, target: &str, lines: &str) -> String {
    format!(
        "[target]\nurl = \"{url}\"\n{target}\n[load]\nrequests_per_second = 60\nduration = \"1s\"\n{lines}"
    )
}

async fn run(text: &str) -> Report {
    let test = Scenario::parse(text).and_then(|scenario| scenario.load_test());
    test.unwrap_or_else(|error| panic!("{error}")).run().await.expect("runs")
}

fn refused(lines: &str) -> ConfigError {
    let text = scenario("http://127.0.0.1:1", "", lines);
    Scenario::parse(&text).and_then(|scenario| scenario.load_test().map(drop)).expect_err(lines)
}

fn line<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn values_go_from_step_to_step_written_as_their_place_needs_them() {
    let server = server();
    let report = run(&scenario(&server.url(), "", FLOW)).await;
    assert_eq!((report.total.ok, server.requests()), (60, 180), "{report}");
    let names: Vec<_> = report.steps.iter().map(|row| &*row.step).collect();
    assert_eq!(names, ["order: POST /login", "order: GET /items/{item}", "order: POST /orders"], "{report}");
    let first = server.first();
    let asked =
        |path: &str| first.iter().find(|seen| seen.line.contains(path)).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(line(asked("/items/a%20b%22?t=t%261"), "authorization"), Some("Bearer t&1"));
    assert_eq!(String::from_utf8_lossy(&asked("/orders").body), r#"{"item": "a b\""}"#);
    assert!(first.iter().all(|seen| line(seen, "cookie").is_none()), "cookies are kept on demand only");
}

#[tokio::test]
async fn cookies_of_a_session_are_sent_back_where_they_belong() {
    let server = server();
    let report = run(&scenario(&server.url(), "cookies = true", FLOW)).await;
    assert_eq!(report.total.ok, 60, "{report}");
    let first = server.first();
    for (path, cookies) in [("/items/", "sid=one"), ("/orders", "sid=one")] {
        let mut asked = first.iter().filter(|seen| seen.line.contains(path));
        assert!(asked.all(|seen| line(seen, "cookie").is_some_and(|line| line.ends_with(cookies))), "{path}");
    }
    let seen = first.iter().filter(|seen| line(seen, "cookie") == Some("seen=1; sid=one"));
    assert!(seen.count() > 0, "the longer path first, once its session has been there");
    assert!(
        first.iter().all(|seen| !seen.line.contains("/orders") || line(seen, "cookie") == Some("sid=one"))
    );
}

/// Ten workers are ten users: who logs in is logged in on one session, and nobody else's.
#[tokio::test]
async fn each_session_has_cookies_of_its_own() {
    fn numbered(seen: &Seen) -> Vec<u8> {
        let set = match line(seen, "cookie") {
            Some(_) => String::new(),
            None => {
                let text = String::from_utf8_lossy(&seen.body).into_owned();
                format!("set-cookie: user={text}\r\n")
            }
        };
        format!("HTTP/1.1 200 OK\r\n{set}content-length: 0\r\n\r\n").into_bytes()
    }
    let server = Server::behaving(Behaviour { script: Some(numbered), ..Behaviour::default() });
    let text = format!(
        "[target]\nurl = \"{}\"\ncookies = true\n[load]\nconcurrent_workers = 10\nthink_time = \"10ms\"\nduration = \"400ms\"\n\
         [[route]]\npath = \"/\"\nmethod = \"POST\"\nbody = \"${{index}}\"\n",
        server.url()
    );
    let report = run(&text).await;
    assert!(report.total.ok > 50 && report.total.failed == 0, "{report}");
    let users: std::collections::BTreeSet<_> =
        server.first().iter().filter_map(|seen| line(seen, "cookie").map(str::to_owned)).collect();
    assert_eq!(users.len(), 10, "{users:?}");
}

#[test]
fn a_step_that_names_what_no_earlier_step_extracts_is_refused_with_its_place() {
    let step = |lines: &str| {
        format!(
            "[[flow]]\nname = \"f\"\n[[flow.step]]\npath = \"/a\"\nextract = {{ token = \"json.t\" }}\n{lines}"
        )
    };
    for (lines, field, hint) in [
        (
            step("[[flow.step]]\npath = \"/${tokn}\"\n"),
            "flow.0.step.1.path",
            "no earlier step extracts it (did you mean `token`?)",
        ),
        (
            step("[[flow.step]]\npath = \"/b\"\nheaders = { a = \"${id}\" }\nextract = { id = \"body\" }\n"),
            "flow.0.step.1.headers.a",
            "by this step or a later one",
        ),
        (
            "[[flow]]\nname = \"f\"\n[[flow.step]]\npath = \"/${token}\"\nextract = { token = \"body\" }\n"
                .into(),
            "flow.0.step.0.path",
            "its value is known only after it",
        ),
        ("[[route]]\npath = \"/${token}\"\n".into(), "route.0.path", "`${token}` is not known"),
        (step("[[flow.step]]\npath = \"/b\"\nextract = 1\n"), "flow.0.step.1.extract", "expected a table"),
        (
            step("[[flow.step]]\npath = \"/b\"\nextract = { id = \"jsn\" }\n"),
            "flow.0.step.1.extract.id",
            "`jsn`",
        ),
        (step("[[flow.step]]\npath = \"/b\"\nweight = 2\n"), "flow.0.step.1.weight", "is the flow's"),
        (step("[[flow.step]]\npath = \"/a\"\n"), "flow.0.step.1.path", "stands there twice"),
        (step("[[flow.step]]\npath = \"/b\"\npause = \"11s\"\n"), "flow.0.step", "raise load.timeout"),
        ("[[flow]]\nname = \"f\"\n".into(), "flow.0", "at least one step"),
        (
            "[[flow]]\nname = \"f\"\n[[flow.step]]\npath = \"/\"\npause = \"1s\"\n".into(),
            "flow.0.step.0.pause",
            "between two steps",
        ),
        (
            "[[route]]\npath = \"/\"\nextract = { a = \"body\" }\n".into(),
            "route.0.extract",
            "is for the steps of a flow",
        ),
        ("[[route]]\npath = \"/\"\npause = \"1s\"\n".into(), "route.0.pause", "is for the steps of a flow"),
        (
            "[[flow]]\nname = \"f\"\nweight = 0\n[[flow.step]]\npath = \"/\"\n".into(),
            "flow.0.weight",
            "at least 1",
        ),
    ] {
        let error = refused(&lines);
        assert!(error.field.starts_with(field) && error.hint.contains(hint), "{lines}: {error}");
        assert!(error.line.is_some(), "{lines}: {error}");
    }
}

#[tokio::test]
async fn a_header_may_have_several_values() {
    let server = Server::start();
    let lines =
        "[[route]]\npath = \"/own\"\nheaders = { x-all = [\"1\", \"2\"] }\n[[route]]\npath = \"/plain\"\n";
    run(&scenario(&server.url(), "headers = { x-all = [\"a\", \"b\"], x-one = \"c\" }", lines)).await;
    let first = server.first();
    let values = |path: &str| {
        let seen = first.iter().find(|seen| seen.line.contains(path)).expect(path);
        seen.headers.iter().filter(|line| line.starts_with("x-")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(values("/plain"), ["x-all: a", "x-all: b", "x-one: c"]);
    assert_eq!(values("/own"), ["x-one: c", "x-all: 1", "x-all: 2"]);
}

#[test]
fn a_plan_shows_flows_with_their_part_and_their_steps() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    let text = scenario("http://127.0.0.1:1", "", &format!("[[route]]\npath = \"/\"\n{FLOW}"));
    std::fs::write(&file, text).expect("written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    let output = command.args(["run", file.to_str().expect("text"), "--dry-run"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("route        33.3 %  GET /\n"), "{said}");
    let flow = "flow         66.7 %  order: POST /login, keeps item, keeps token → GET /items/{item}, checks status == 200 → POST /orders\n";
    assert!(said.contains(flow), "{said}");
}
