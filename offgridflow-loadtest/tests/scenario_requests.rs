//! What a scenario asks, as the server sees it.
#![cfg(feature = "cli")]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use common::{Seen, Server};
use offgridflow_loadtest::{ConfigError, Report, Scenario};

const SITES: &str = "site,name\nnorth/1,Nörd\nsouth,\"a \"\"quoted\"\" one\"\nwest,x\n";

/// A folder with the table `sites.csv`, and a scenario of these lines after its target and load.
fn written(server: &str, load: &str, lines: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("sites.csv"), SITES).expect("written");
    let file = folder.path().join("load.toml");
    let text = format!("[target]\nurl = \"{server}\"\n[load]\n{load}\n{lines}");
    fs::write(&file, text).expect("written");
    (folder, file)
}

async fn run(file: &Path) -> Report {
    let test = Scenario::read(file).and_then(|scenario| scenario.load_test());
    test.unwrap_or_else(|error| panic!("{error}")).run().await.expect("runs")
}

fn refused(load: &str, lines: &str) -> ConfigError {
    let (_folder, file) = written("http://127.0.0.1:1", load, lines);
    match Scenario::read(file).and_then(|scenario| scenario.load_test()) {
        Ok(_) => panic!("accepted: {lines}"),
        Err(error) => error,
    }
}

fn header<'a>(seen: &'a Seen, name: &str) -> &'a str {
    let line = seen.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {:?}", seen.headers))
}

#[tokio::test]
async fn each_operation_has_a_row_of_its_own_in_path_headers_and_body() {
    let server = Server::start();
    let lines = r#"
[feed]
file = "sites.csv"
[[route]]
method = "POST"
path = "/sites/${row.site}?n=${index}"
headers = { x-site = "at ${row.site}" }
body = '{"n": ${index}, "name": "${row.name|json}"}'
"#;
    let (_folder, file) = written(&server.url(), "requests_per_second = 60\nduration = \"1s\"", lines);
    let report = run(&file).await;
    assert_eq!((report.total.ok, server.requests()), (60, 60), "{report}");
    assert!(report.route("POST /sites/{site}").is_some(), "{report}");
    let rows =
        [("north%2F1", "north/1", "Nörd"), ("south", "south", r#"a \"quoted\" one"#), ("west", "west", "x")];
    let mut numbers = BTreeSet::new();
    for seen in server.first() {
        let number = header_number(&seen);
        let (path, site, name) = rows[number % 3];
        assert_eq!(seen.line, format!("POST /sites/{path}?n={number} HTTP/1.1"));
        assert_eq!(header(&seen, "x-site"), format!("at {site}"));
        let body = String::from_utf8(seen.body).expect("text");
        assert_eq!(body, format!(r#"{{"n": {number}, "name": "{name}"}}"#));
        numbers.insert(number);
    }
    assert!(numbers.into_iter().eq(0..60), "each operation once");
}

/// The number behind `n=`.
fn header_number(seen: &Seen) -> usize {
    let number = seen.line.split("n=").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{}", seen.line))
}

/// On any number of shards each row is asked for once.
#[tokio::test]
async fn unique_rows_are_handed_out_once_over_all_shards() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let rows: String = (0..90).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    fs::write(folder.path().join("ids.ndjson"), rows).expect("written");
    let file = folder.path().join("load.toml");
    let text = format!(
        "[target]\nurl = \"{}\"\n[load]\nrequests_per_second = 90\nduration = \"1s\"\nshards = 3\n[feed]\nfile = \"ids.ndjson\"\nmode = \"unique\"\n\
         [[route]]\npath = \"/ids/${{row.id}}\"\n",
        server.url()
    );
    fs::write(&file, text).expect("written");
    let report = run(&file).await;
    let asked: BTreeSet<_> = server.first().into_iter().map(|seen| seen.line).collect();
    assert_eq!((report.total.ok, asked.len()), (90, 90), "{report}");
}

/// A plan with a count is refused beforehand; workers find out as they go, and it is not the target's fault.
#[tokio::test]
async fn a_table_that_is_too_short_is_refused_or_invalidates_the_run() {
    let lines = "[feed]\nfile = \"sites.csv\"\nmode = \"unique\"\n[[route]]\npath = \"/${row.site}\"\n";
    let error = refused("requests_per_second = 10\nduration = \"1s\"", lines);
    assert!(
        error.field == "feed" && error.hint.contains("only 3 rows can be handed out once each"),
        "{error}"
    );
    assert_eq!(error.line, Some(6), "{error}");

    let server = Server::start();
    let (_folder, file) = written(&server.url(), "concurrent_workers = 2\nduration = \"200ms\"", lines);
    let report = run(&file).await;
    assert_eq!((report.total.ok, server.requests()), (3, 3), "{report}");
    let line = &report.errors[0];
    assert_eq!((&*line.cause, &*line.message), ("out of rows", "the feed hands each of its rows out once"));
    assert!(report.exit_code() == 3 && !report.verdict.is_valid(), "{report}");
}

#[tokio::test]
async fn a_body_may_lie_in_a_file_text_or_not() {
    let server = Server::start();
    let lines = "[[route]]\npath = \"/text\"\nmethod = \"POST\"\nbody_file = \"text.json\"\n\
                 [[route]]\npath = \"/bytes\"\nmethod = \"POST\"\nbody_file = \"bytes.bin\"\n";
    let (folder, file) = written(&server.url(), "requests_per_second = 60\nduration = \"1s\"", lines);
    fs::write(folder.path().join("text.json"), "{\"n\": ${index}}").expect("written");
    fs::write(folder.path().join("bytes.bin"), b"\xff\x00${index}").expect("written");
    let report = run(&file).await;
    assert_eq!(report.total.ok, 60, "{report}");
    let (text, bytes): (Vec<_>, Vec<_>) =
        server.first().into_iter().partition(|seen| seen.line.starts_with("POST /text"));
    assert!(bytes.iter().all(|seen| seen.body == b"\xff\x00${index}"), "bytes stay as they are");
    let numbers: BTreeSet<_> = text.into_iter().map(|seen| seen.body).collect();
    assert!(numbers.len() > 10 && numbers.iter().all(|body| body.starts_with(b"{\"n\": ")), "{numbers:?}");
}

#[tokio::test]
async fn what_an_answer_has_to_hold_is_said_in_the_scenario() {
    let server = Server::start();
    let lines = "[[route]]\npath = \"/\"\ncheck = [\"size == 5\", \"body contains world\"]\n";
    let (_folder, file) = written(&server.url(), "requests_per_second = 400\nduration = \"1s\"", lines);
    let report = run(&file).await;
    assert_eq!(
        (&*report.errors[0].cause, report.total.failed),
        ("check body contains world", 400),
        "{report}"
    );
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_field() {
    let feed = "[feed]\nfile = \"sites.csv\"\n";
    let load = "requests_per_second = 5\nduration = \"1s\"";
    for (lines, field, hint) in [
        (
            format!("{feed}[[route]]\npath = \"/${{row.sit}}\"\n"),
            "route.0.path",
            "no column `sit`: it has site, name (did you mean `site`?)",
        ),
        ("[[route]]\npath = \"/${row.site}\"\n".into(), "route.0.path", "needs a table: add [feed]"),
        ("[[route]]\npath = \"${index}\"\n".into(), "route.0.path", "begin with a slash"),
        ("[[route]]\npath = \"/\"\nbody = \"${indx}\"\n".into(), "route.0.body", "`${indx}` is not known"),
        (
            "[[route]]\npath = \"/\"\nheaders = { a = \"${index\" }\n".into(),
            "route.0.headers.a",
            "not closed by a brace",
        ),
        (
            "[[route]]\npath = \"/\"\nbody = \"a\"\nbody_file = \"b\"\n".into(),
            "route.0.body_file",
            "not both",
        ),
        (
            "[[route]]\npath = \"/\"\nbody_file = \"none.json\"\n".into(),
            "route.0.body_file",
            "none.json: cannot be opened",
        ),
        ("[[route]]\npath = \"/\"\nbody_file = \".\"\n".into(), "route.0.body_file", "it is no file"),
        (
            "[[route]]\npath = \"/\"\ncheck = [\"status == 200\", \"code == 1\"]\n".into(),
            "route.0.check.1",
            "use status, size",
        ),
        ("[feed]\nfile = \"none.csv\"\n".into(), "feed.file", "none.csv: cannot be opened"),
        (
            "[feed]\nfile = \"sites.csv\"\nmode = \"shuffled\"\n".into(),
            "feed.mode",
            "write sequential, random or unique",
        ),
        ("[feed]\nfiel = \"sites.csv\"\n".into(), "feed.fiel", "unknown field `fiel`: did you mean `file`?"),
    ] {
        let error = refused(load, &lines);
        assert!(error.field == field && error.hint.contains(hint), "{lines}: {error}");
        assert!(error.line.is_some(), "{error}");
    }
}

/// A cell with a line break would end the header and begin another.
#[test]
fn a_cell_that_no_header_can_hold_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("names.csv"), "name\nfine\n\"two\nlines\"\n").expect("written");
    let file = folder.path().join("load.toml");
    let text = "[target]\nurl = \"http://127.0.0.1:1\"\nheaders = { x-name = \"${row.name}\" }\n[load]\nrequests_per_second = 5\n[feed]\nfile = \"names.csv\"\n";
    fs::write(&file, text).expect("written");
    let error =
        Scenario::read(file).and_then(|scenario| scenario.load_test().map(drop)).expect_err("refused");
    assert_eq!(error.field, "target.headers.x-name");
    assert!(error.hint.contains("row 2 of the feed has characters in `name`"), "{error}");
    assert!(!error.to_string().contains("lines"), "cells may be secrets: {error}");
}
