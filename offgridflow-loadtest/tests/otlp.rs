//! Metrics of a run as a collector gets them.
#![cfg(feature = "otlp")]

mod common;

use std::time::{Duration, Instant};

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{FailKind, LoadTest, OtlpMetrics, Rate, Report, TargetError, workload_fn};
use serde_json::Value;
use tokio::time::sleep;

/// Runs 600 operations in 3 s, one in ten of which is never answered.
async fn run(reporter: OtlpMetrics) -> Report {
    let work = workload_fn(|op| async move {
        sleep(Duration::from_millis(3)).await;
        if op.index() % 10 == 9 { Err(TargetError::unanswered(FailKind::Reset, "")) } else { Ok(()) }
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, Duration::from_secs(3)));
    test.default_failure_gate(false).reporter(reporter).run().await.expect("runs")
}

fn metric<'a>(request: &'a Value, name: &str) -> &'a Value {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().expect("metrics");
    let name = format!("offgridflow.loadtest.{name}");
    metrics.iter().find(|metric| metric["name"] == *name).unwrap_or(&Value::Null)
}

/// Whole numbers of 64 bits are text in OTLP's JSON.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

fn requests(seen: &[Seen]) -> Vec<Value> {
    seen.iter()
        .map(|seen| {
            assert_eq!(seen.line, "POST /otel/v1/metrics HTTP/1.1");
            assert!(
                seen.headers
                    .iter()
                    .any(|header| header.eq_ignore_ascii_case("content-type: application/json"))
            );
            serde_json::from_slice(&seen.body).expect("JSON")
        })
        .collect()
}

#[tokio::test]
async fn a_collector_gets_what_the_report_has() {
    let collector = Server::start();
    let reporter = OtlpMetrics::new(&format!("{}/otel/", collector.url())).expect("a url");
    let report = run(reporter.attribute("deployment.environment.name", "staging")).await;
    let requests = requests(&collector.first());
    assert!(requests.len() >= 3, "a push a second and one at the end: {}", requests.len());
    let mut before = (0, 0);
    for request in &requests {
        let points = metric(request, "requests")["sum"]["dataPoints"].as_array().expect("points").clone();
        let [ok, failed] = [0, 1].map(|at: usize| number(&points[at]["asInt"]));
        assert_eq!(points[1]["attributes"][0]["value"]["stringValue"], "failed");
        assert!(ok >= before.0 && failed >= before.1, "{request}");
        before = (ok, failed);
        let sum = &metric(request, "requests")["sum"];
        assert_eq!((&sum["aggregationTemporality"], &sum["isMonotonic"]), (&2.into(), &true.into()));
        let point = &metric(request, "request.duration")["histogram"]["dataPoints"][0];
        let counts: Vec<u64> = point["bucketCounts"].as_array().expect("counts").iter().map(number).collect();
        assert_eq!(counts.iter().sum::<u64>(), number(&point["count"]));
        assert_eq!(counts.len(), point["explicitBounds"].as_array().expect("bounds").len() + 1);
        assert!(counts[14] >= failed, "what was never answered is beyond every bound: {counts:?}");
        assert_eq!(number(&point["count"]), ok + failed);
        assert!(number(&point["startTimeUnixNano"]) < number(&point["timeUnixNano"]));
        assert!(number(&metric(request, "offered")["sum"]["dataPoints"][0]["asInt"]) > 0);
    }
    assert_eq!(before, (report.total.ok, report.total.failed), "{report}");
    let (last, first) = (requests.last().expect("some"), &requests[0]);
    let valid = f64::from(u8::from(report.verdict.is_valid()));
    assert_eq!(metric(last, "valid")["gauge"]["dataPoints"][0]["asDouble"], valid);
    assert_eq!(metric(first, "valid"), &Value::Null, "nobody knows before the end");
    let attributes = last["resourceMetrics"][0]["resource"]["attributes"].to_string();
    assert!(attributes.contains("staging") && attributes.contains("offgridflow-loadtest"), "{attributes}");
    assert!(!report.notes.iter().any(|note| note.contains("OTLP")), "{report}");
}

#[tokio::test]
async fn a_collector_that_is_away_refuses_or_stands_still_holds_up_nobody() {
    let refusing = Server::behaving(Behaviour { refuse: Some("/"), ..Behaviour::default() });
    let silent = Server::start();
    silent.freeze(Duration::from_secs(60));
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("an address");
    for (url, why) in [
        (refusing.url(), "it answers 503"),
        (silent.url(), "no answer within 5s"),
        (format!("http://{closed}"), "refused"),
    ] {
        let begun = Instant::now();
        let report = run(OtlpMetrics::new(&url).expect("a url")).await;
        assert!(begun.elapsed() < Duration::from_secs(18), "{why}: {:?}", begun.elapsed());
        assert_eq!(report.offered, 600);
        let said = report.notes.iter().find(|note| note.contains("metrics as OTLP"));
        assert!(said.is_some_and(|note| note.to_lowercase().contains(why)), "{why}: {:?}", report.notes);
    }
}

#[test]
fn what_is_no_collector_is_refused() {
    for url in ["", "127.0.0.1:4318", "https://x", "http://", "grpc://x:4317", "http://a b"] {
        assert_eq!(OtlpMetrics::new(url).expect_err(url).field, "otlp");
    }
    let error = OtlpMetrics::new("http://u:p4ss@127.0.0.1:4318").expect_err("credentials").to_string();
    assert!(error.contains("credentials") && !error.contains("p4ss"), "{error}");
}
