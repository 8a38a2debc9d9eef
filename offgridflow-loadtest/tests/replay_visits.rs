//! What one client of a log asked is one operation whose user thinks: who waits for an answer asks later, and nobody else does.
#![cfg(feature = "cli")]

mod common;

use std::{fs, path::Path, time::Duration};

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{
    AnyTarget, ConfigError, Fields, HttpTarget, LoadTest, LogFormat, Replay, ReplayError, Report, Scenario,
    StepRow,
};

/// Two users; the first one's second request is to an answer that takes 400 ms.
const LOG: &str = "time,client,path\n1.00,ann,/slow\n1.20,ann,/cart/17\n1.45,bob,/b\n1.50,bob,/cart/18\n";

fn paths(server: &Server) -> Vec<String> {
    let path = |seen: &Seen| seen.line.split(' ').nth(1).unwrap_or_default().to_owned();
    server.first().iter().map(path).collect()
}

/// What a scenario says beside the log.
#[derive(Clone, Copy, Default)]
struct Said<'a> {
    target: &'a str,
    load: &'a str,
    replay: &'a str,
}

const VISITS: Said<'_> = Said { target: "", load: "", replay: ", visits = \"30m\"" };

fn load_test(
    folder: &Path,
    url: &str,
    log: &str,
    said: Said<'_>,
) -> Result<LoadTest<AnyTarget>, ConfigError> {
    fs::write(folder.join("access.csv"), log).expect("written");
    let file = folder.join("load.toml");
    let Said { target, load, replay } = said;
    let load = format!("[load]\n{load}\nreplay = {{ file = \"access.csv\"{replay} }}\n");
    fs::write(&file, format!("[target]\nurl = \"{url}\"\n{target}\n{load}")).expect("written");
    Scenario::read(&file)?.load_test()
}

async fn run(server: &Server, log: &str, said: Said<'_>) -> Report {
    let folder = tempfile::tempdir().expect("folder");
    let test = load_test(folder.path(), &server.url(), log, said);
    test.unwrap_or_else(|error| panic!("{error}")).run().await.expect("runs")
}

fn step<'a>(report: &'a Report, name: &str) -> &'a StepRow {
    report.step(name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[tokio::test]
async fn who_waits_for_an_answer_asks_later_and_nobody_else_does() {
    let slow = Behaviour { slow: Some(("/slow", Duration::from_millis(400))), ..Behaviour::default() };
    let server = Server::behaving(slow);
    let report = run(&server, LOG, Said::default()).await;
    assert_eq!(paths(&server), ["/slow", "/cart/17", "/b", "/cart/18"], "the log's own times: {report}");

    let server = Server::behaving(slow);
    let report = run(&server, LOG, VISITS).await;
    assert_eq!(
        paths(&server),
        ["/slow", "/b", "/cart/18", "/cart/17"],
        "ann thinks after her answer: {report}"
    );
    assert_eq!((report.offered, report.total.ok, report.total.failed), (2, 2, 0), "{report}");
    assert_eq!(report.routes.iter().map(|row| &*row.route).collect::<Vec<_>>(), ["visit"]);
    assert_eq!((step(&report, "GET /cart/{id}").ok, step(&report, "GET /b").ok), (2, 1), "{report}");
    assert!(report.to_string().contains("in 2 visits"), "{report}");
}

#[tokio::test]
async fn a_visitor_who_is_refused_goes_on_and_has_failed_once() {
    let server = Server::behaving(Behaviour { refuse: Some("/slow"), ..Behaviour::default() });
    let report = run(&server, LOG, VISITS).await;
    assert_eq!(server.requests(), 4, "{report}");
    assert_eq!((report.total.ok, report.total.failed), (1, 1), "{report}");
    assert_eq!((step(&report, "GET /slow").failed, step(&report, "GET /cart/{id}").ok), (1, 2), "{report}");
}

#[tokio::test]
async fn a_request_without_an_answer_ends_its_visit_after_the_time_out_of_one_request() {
    let stuck = Behaviour { slow: Some(("/slow", Duration::from_secs(60))), ..Behaviour::default() };
    let server = Server::behaving(stuck);
    let log = "time,client,path\n1,ann,/slow\n1.2,ann,/never\n1,bob,/b\n3,bob,/c\n";
    let report = run(&server, log, Said { load: "timeout = \"1s\"", ..VISITS }).await;
    let mut asked = paths(&server);
    asked.sort();
    assert_eq!(asked, ["/b", "/c", "/slow"], "bob rests for longer than the time-out: {report}");
    assert_eq!((report.total.ok, report.total.failed), (1, 1), "{report}");
}

/// Sets a cookie for whoever has none.
fn greet(seen: &Seen) -> Vec<u8> {
    let known = seen.headers.iter().any(|header| header.starts_with("cookie: "));
    let cookie = if known { "" } else { "set-cookie: id=1\r\n" };
    format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{cookie}\r\n").into_bytes()
}

#[tokio::test]
async fn each_visitor_has_cookies_of_their_own() {
    let server = Server::behaving(Behaviour { script: Some(greet), ..Behaviour::default() });
    let log = "time,who,path\n1.0,ann,/a1\n1.1,ann,/a2\n1.4,bob,/b1\n1.5,bob,/b2\n";
    let replay = ", visits = \"30m\", client = \"who\"";
    let said = Said { target: "cookies = true", replay, ..VISITS };
    let report = run(&server, log, said).await;
    assert_eq!(report.total.ok, 2, "{report}");
    let with: Vec<bool> = (server.first().iter())
        .map(|seen| seen.headers.iter().any(|header| header.starts_with("cookie: ")))
        .collect();
    assert_eq!(
        (paths(&server), with),
        (["/a1", "/a2", "/b1", "/b2"].map(str::to_owned).to_vec(), vec![false, true, false, true])
    );
}

#[tokio::test]
async fn a_log_with_virtual_hosts_is_asked_under_them() {
    let server = Server::start();
    let line = |host: &str, at: u32, path: &str| {
        format!(
            "{host} 10.0.0.7 - - [10/Oct/2000:13:55:{at} -0700] \"GET {path} HTTP/1.1\" 200 17 \"-\" \"x\"\n"
        )
    };
    let log = [line("www.example.com:443", 36, "/a"), line("api.example.com:8080", 37, "/b")].concat();
    let replay = ", format = \"vclf\", speed = 10.0, visits = \"30m\", hosts = { \"www.example.com\" = \"staging.test\" }";
    let report = run(&server, &log, Said { replay, ..VISITS }).await;
    let hosts: Vec<_> = (server.first().into_iter())
        .flat_map(|seen| seen.headers.into_iter().filter(|header| header.starts_with("host: ")))
        .collect();
    assert_eq!(
        (hosts, report.total.ok),
        (vec!["host: staging.test".to_owned(), "host: api.example.com:8080".into()], 1)
    );
}

#[test]
fn what_tells_no_client_or_cannot_hold_its_visitors_is_refused() {
    let fields = |client: Option<&str>| Fields { client: client.map(str::to_owned), ..Fields::default() };
    let read = |client| {
        Replay::builder(LogFormat::Csv(fields(client))).visits(Duration::from_secs(60)).read(LOG.as_bytes())
    };
    let error = read(None).expect_err("nobody");
    assert!(matches!(&error, ReplayError::Config(error) if error.field == "visits"), "{error}");
    let replay = read(Some("client")).expect("two clients");
    assert_eq!((replay.summary().visits, replay.visits_at_once()), (Some(2), Some(1)));
    let asked: Vec<_> = replay.visit(0).map(|(pause, entry)| (pause.as_millis(), entry.path())).collect();
    assert_eq!(asked, [(0, Some("/slow")), (200, Some("/cart/17"))]);
    assert_eq!(replay.longest_visit(Duration::from_secs(1)), Duration::from_millis(2_200));
    assert!(HttpTarget::new("http://127.0.0.1:1").and_then(|target| target.replaying(replay)).is_ok());

    let folder = tempfile::tempdir().expect("folder");
    let crowd: String =
        [1, 3].iter().flat_map(|at| (0..5).map(move |user| format!("{at},{user},/\n"))).collect();
    let log = format!("time,client,path\n{crowd}");
    let few = Said { load: "concurrent_workers = 2", ..VISITS };
    let refused = load_test(folder.path(), "http://127.0.0.1:1", &log, few).map(|_| ()).expect_err("too few");
    let told =
        (&*refused.field, refused.line, refused.hint.starts_with("5 visits of the log go on at a time"));
    assert_eq!(told, ("load.concurrent_workers", Some(5), true), "{refused}");
}
