//! The control endpoint: who it answers, what it does to a run, and what the run's report says of that.
#![cfg(feature = "cli")]

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use common::Server;
use offgridflow_loadtest::{Event, Report, ThresholdStatus};
use serde_json::Value;

/// A run that can be steered, and where.
struct Steered {
    child: Child,
    at: String,
    said: BufReader<std::process::ChildStderr>,
}

impl Steered {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let command = command.args(arguments).args(["--control", "--json", "-", "--plain"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        let at = line.trim().strip_prefix("control: http://").unwrap_or_else(|| panic!("no address: {line}"));
        Self { at: at.to_owned(), child, said }
    }

    /// Status and body.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.at).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let host = if headers.contains("host:") { String::new() } else { format!("host: {}\r\n", self.at) };
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
    }

    fn get(&self, path: &str) -> String {
        let (status, body) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.ask("POST", path, "", body)
    }

    fn standing(&self) -> Value {
        serde_json::from_str(&self.get("/status")).expect("JSON")
    }

    fn wait_until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let standing = self.standing();
            if is(&standing) {
                return standing;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not {what}: {standing}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Exit code, report and what was said on standard error.
    fn end(mut self) -> (Option<i32>, Report, String) {
        let (mut json, mut said) = (String::new(), String::new());
        self.child.stdout.take().expect("piped").read_to_string(&mut json).expect("text");
        self.said.read_to_string(&mut said).expect("text");
        let code = self.child.wait().expect("ended").code();
        (code, Report::from_json(&json).expect("a report"), said)
    }
}

fn sample(metrics: &str, name: &str) -> f64 {
    let name = format!("offgridflow_loadtest_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}in {metrics}"))
}

#[test]
fn a_run_is_paused_changed_annotated_and_resumed_by_http() {
    let server = Server::start();
    let run = Steered::start(&["run", &server.url(), "-r", "200", "--for", "4s", "-t", "p95(response) < 9s"]);
    run.wait_until("running", |now| now["state"] == "running" && now["at_ns"].as_u64() > Some(600_000_000));
    let (status, taken) = run.post("/pause", r#"{"by": "anna", "text": "failover"}"#);
    assert!(status == 200 && taken.contains("at_ns"), "{taken}");
    assert_eq!(run.post("/pause", "").0, 409, "once is enough");
    sleep(Duration::from_millis(700));
    let asked = server.requests();
    sleep(Duration::from_millis(500));
    assert_eq!(server.requests(), asked, "nothing is offered");
    let paused = run.standing();
    assert_eq!((&paused["state"], &paused["ends_ns"]), (&"paused".into(), &Value::Null), "{paused}");
    sleep(Duration::from_millis(1_000));
    let metrics = run.get("/metrics");
    assert!(sample(&metrics, "paused") == 1.0 && sample(&metrics, "paused_seconds_total") > 0.0, "{metrics}");
    assert_eq!(run.post("/resume", r#"{"by": "anna"}"#).0, 200);
    assert_eq!(run.post("/rate", r#"{"per_sec": 400}"#).0, 200);
    assert_eq!(run.post("/note", r#"{"by": "deploys", "text": "1.4.2 is out"}"#).0, 200);
    let (code, report, said) = run.end();
    assert_eq!(report.offered, 800, "{report}");
    let by: Vec<_> = report.annotations.iter().map(|one| (one.by.as_str(), one.text.as_str())).collect();
    let endpoint = "the control endpoint";
    assert_eq!(by, [("anna", "failover"), ("anna", ""), (endpoint, ""), ("deploys", "1.4.2 is out")]);
    assert!(matches!(report.annotations[2].what, Event::Rate { to_per_sec: 400.0, .. }), "{report}");
    assert!((2..5).contains(&report.paused.as_secs()), "{report}");
    assert_eq!(code, Some(3), "{report}");
    assert!(report.thresholds.iter().all(|one| one.status == ThresholdStatus::NotJudged), "{report}");
    assert!(said.contains("  paused"), "{said}");
}

/// The counters of `/metrics` only grow, its histogram holds what its counters do, and it is the format that it says it is.
#[test]
fn a_prometheus_reads_the_run_while_it_goes_on() {
    let server = Server::start();
    let run = Steered::start(&["run", &server.url(), "-r", "200", "--for", "6s"]);
    let mut last = 0.0;
    let ok_of = |metrics: &str| sample(metrics, "requests_total{outcome=\"ok\"}");
    for _ in 0..3 {
        let begun = Instant::now();
        let mut metrics = run.get("/metrics");
        while ok_of(&metrics) <= last {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing new: {metrics}");
            sleep(Duration::from_millis(100));
            metrics = run.get("/metrics");
        }
        let [ok, failed] =
            ["ok", "failed"].map(|is| sample(&metrics, &format!("requests_total{{outcome=\"{is}\"}}")));
        assert!(ok > last, "{metrics}");
        last = ok;
        assert_eq!(sample(&metrics, "request_duration_seconds_count"), ok + failed, "{metrics}");
        assert_eq!(
            sample(&metrics, "request_duration_seconds_bucket{le=\"+Inf\"}"),
            ok + failed,
            "{metrics}"
        );
        assert_eq!(sample(&metrics, "schedule_rate"), 200.0, "{metrics}");
        let bounds = metrics.lines().filter(|line| line.contains("_bucket{"));
        let counts: Vec<f64> = bounds.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        assert!(counts.len() == 15 && counts.is_sorted(), "{metrics}");
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = line.split_once(['{', ' ']).expect("a name");
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(metrics.contains(&format!("# TYPE {family} ")), "{line}");
        }
    }
    let (code, report, _) = run.end();
    assert!(code == Some(0) || report.verdict.name() == "GeneratorBound", "{report}");
    assert!(report.verdict.altered.is_none() && report.annotations.is_empty(), "{report}");
}

#[test]
fn pages_strangers_and_nonsense_are_refused() {
    let server = Server::start();
    let run = Steered::start(&["run", &server.url(), "-r", "50", "--for", "60s"]);
    run.wait_until("running", |now| now["state"] == "running");
    let refused =
        |method: &str, path: &str, headers: &str, body: &str| run.ask(method, path, headers, body).0;
    assert_eq!(refused("POST", "/pause", "origin: http://127.0.0.1\r\n", ""), 403, "a page");
    assert_eq!(refused("POST", "/pause", "host: rebound.example\r\n", ""), 403, "a name of somebody else's");
    assert_eq!(refused("GET", "/status", "host: 192.0.2.1\r\n", ""), 403);
    assert_eq!(refused("GET", "/status", "host: localhost:1\r\n", ""), 200);
    assert_eq!(refused("GET", "/status", "host: [::1]:9\r\n", ""), 200);
    assert_eq!(refused("GET", "/pause", "", ""), 405);
    assert_eq!(refused("POST", "/metrics", "", ""), 405);
    assert_eq!(refused("GET", "/nothing", "", ""), 404);
    assert_eq!(refused("POST", "/pause", "", "{"), 400);
    assert_eq!(refused("POST", "/pause", "", r#"{"bye": 1}"#), 400);
    assert_eq!(refused("POST", "/pause", "", &"x".repeat(5_000)), 400);
    assert_eq!(refused("POST", "/pause", "", r#"{"per_sec": 5}"#), 400);
    assert_eq!(refused("POST", "/rate", "", "{}"), 400);
    assert_eq!(refused("POST", "/rate", "", r#"{"per_sec": 0}"#), 400);
    assert_eq!(refused("POST", "/note", "", "{}"), 400);
    assert!(run.get("/").contains("POST /rate"));
    assert_eq!(run.standing()["annotations"], Value::Array(Vec::new()), "nothing was done");
    assert_eq!(run.post("/stop", r#"{"by": "anna", "text": "that will do"}"#).0, 200);
    let (code, report, _) = run.end();
    assert_eq!((code, report.annotations.len()), (Some(130), 1), "{report}");
}

#[test]
fn only_loopback_addresses_are_listened_at() {
    for (at, why) in
        [("0.0.0.0:0", "loopback"), ("192.0.2.1:80", "loopback"), ("9464", "an address and a port")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let control = format!("--control={at}");
        let ran = command.args(["run", "http://127.0.0.1:1", "-r", "10", "--for", "1s", &control]).output();
        let ran = ran.expect("the command runs");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(2) && said.contains(why), "{said}");
    }
}
