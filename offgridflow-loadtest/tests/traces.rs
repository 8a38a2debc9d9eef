//! The slowest operations can be looked up: each has a trace of its own, which the target was sent.
#![cfg(feature = "http")]

mod common;

use std::time::Duration;

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{HttpRoute, HttpTarget, LoadTest, Rate, workload_fn};

const SECOND: Duration = Duration::from_secs(1);

/// What `traceparent` said, by request line.
fn traces(seen: &[Seen]) -> Vec<(String, String)> {
    let header = |seen: &Seen| {
        let said = seen.headers.iter().find_map(|line| line.strip_prefix("traceparent: "))?;
        Some((seen.line.clone(), said.to_owned()))
    };
    seen.iter().filter_map(header).collect()
}

#[tokio::test]
async fn the_slowest_are_reported_with_the_traces_that_were_sent() {
    let slow = Behaviour { slow: Some(("/slow", Duration::from_millis(150))), ..Behaviour::default() };
    let server = Server::behaving(slow);
    let target = HttpTarget::new(&server.url()).expect("a url").traceparent();
    let target = target.route(HttpRoute::get("/fast").weight(99)).route(HttpRoute::get("/slow"));
    let test = LoadTest::new(target).rate(Rate::constant(300.0, SECOND * 2)).seed(3);
    let report = test.run().await.expect("runs");
    let sent = traces(&server.first());
    assert!(sent.len() >= 590, "{}", sent.len());
    assert_eq!(report.slowest.len(), 10);
    assert!(report.slowest.windows(2).all(|pair| pair[0].response >= pair[1].response));
    let slowest = &report.slowest[0];
    assert_eq!((&*slowest.route, slowest.answered), ("GET /slow", true), "{report}");
    for slow in &report.slowest {
        let trace = slow.trace.as_ref().expect("traced");
        let of: Vec<_> = sent.iter().filter(|(_, header)| header.contains(trace.as_str())).collect();
        assert_eq!(of.len(), 1, "{trace} was sent once");
        assert!(of[0].0.contains(slow.route.trim_start_matches("GET ")), "{of:?} {slow:?}");
    }
    let said = report.to_string();
    assert!(
        said.contains(&format!("trace {}  GET /slow", slowest.trace.as_ref().expect("traced"))),
        "{said}"
    );
}

#[tokio::test]
async fn a_header_that_was_set_goes_in_its_place_and_without_it_nothing_is_sent() {
    let server = Server::start();
    let fixed = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let target = HttpTarget::new(&server.url()).expect("a url").traceparent();
    let target = target.header("traceparent", fixed).expect("a header");
    LoadTest::new(target).rate(Rate::constant(300.0, SECOND)).run().await.expect("runs");
    assert!(traces(&server.first()).iter().all(|(_, header)| header == fixed));
    let server = Server::start();
    let report = LoadTest::new(HttpTarget::new(&server.url()).expect("a url"))
        .rate(Rate::constant(300.0, SECOND))
        .run()
        .await
        .expect("runs");
    assert!(traces(&server.first()).is_empty() && !report.to_string().contains("trace "), "{report}");
    assert!(report.slowest.iter().all(|slow| slow.trace.is_none()) && report.slowest.len() == 10);
}

/// What was never answered is among the slowest, as long as it was waited for.
#[tokio::test(start_paused = true)]
async fn unanswered_operations_are_among_the_slowest() {
    let work = workload_fn(|op| async move {
        op.route("only");
        let ms = if op.index() == 250 { 60_000 } else { 5 };
        tokio::time::sleep(Duration::from_millis(ms)).await;
    });
    let test = LoadTest::new(work).rate(Rate::constant(100.0, SECOND * 4)).timeout(SECOND);
    let report = test.run_here().await.expect("runs");
    let first = &report.slowest[0];
    assert_eq!((first.operation, &*first.route, first.answered), (250, "only", false), "{report}");
    assert!(first.response >= SECOND && first.intended == Duration::from_millis(2_500));
}
