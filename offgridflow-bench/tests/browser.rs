//! The gate's page in a browser. Where none is there, nothing is tried, and that is said.
#![cfg(feature = "gate")]

use std::fs;

use offgridflow_bench::gate::{GateReport, Judged, Round, Rule, SCHEMA, Statistic, Verdict};
use offgridflow_bench::history::Record;
use testkit::{Browser, with_nothing_allowed};

const NAME: &str = "p/t: <img src=http://example.invalid/x onerror=alert(1)> & \"100 %\"";

/// A red benchmark of thirty rounds, one that is gone, and a history of the first.
fn page() -> String {
    let round = |round: usize| Round {
        bench: NAME.to_owned(),
        round,
        control: false,
        base_first: round.is_multiple_of(2),
        base: vec![100.0 + round as f64 % 3.0; 10],
        head: vec![110.0; 10],
        layout: 0,
        waited_ms: 0,
        took_ms: 0,
    };
    let judged = |bench: &str, verdict, statistic| Judged {
        bench: bench.to_owned(),
        verdict,
        statistic,
        rounds: 30,
        figures: None,
        allowed: None,
        layouts: 1,
        instructions: None,
        allocations: None,
        note: "<script>document.title = 'owned'</script>".to_owned(),
    };
    let report = GateReport {
        schema: SCHEMA.to_owned(),
        base: "b".repeat(40),
        head: "h".repeat(40),
        rule: Rule::default(),
        dirty: false,
        machine: String::new(),
        at: 0,
        environment_suspect: false,
        benches: vec![
            judged(NAME, Verdict::Undecided, Some(Statistic::Median)),
            judged("p/t: gone", Verdict::Missing, None),
        ],
        notes: vec!["<note>".to_owned()],
        raw: (0..30).map(round).collect(),
    };
    let record = |nth: usize| Record {
        commit: format!("c{nth}"),
        anchor: "a".to_owned(),
        bench: NAME.to_owned(),
        ln_ratio: nth as f64 / 100.0,
        spread: None,
        nanoseconds: None,
        machine: String::new(),
        at: 0,
    };
    report.html(&(0..5).map(record).collect::<Vec<_>>())
}

/// The control: a page that does both is caught at it.
#[test]
fn the_page_runs_nothing_and_asks_for_nothing() {
    let Some(browser) = Browser::find() else { return eprintln!("SKIP no browser is here") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    fs::write(&file, with_nothing_allowed(&page())).unwrap();
    let seen = browser.open(&file).unwrap();
    for part in
        ["<h1>Benchmarks: ", "&lt;img src=http://example.invalid/x", "<circle", "class=\"course\"", "</html>"]
    {
        assert!(seen.document.contains(part), "{part}: {seen:?}");
    }
    assert!(!seen.document.contains("<img") && !seen.document.contains("<title>owned"), "{seen:?}");
    assert!(seen.console.is_empty() && seen.asked.is_empty(), "{seen:?}");

    let restless = page().replace("</main>", "<img src=\"http://example.invalid/x\"></main>");
    fs::write(&file, with_nothing_allowed(&restless)).unwrap();
    assert!(!browser.open(&file).unwrap().console.is_empty(), "the image was refused");
    fs::write(&file, restless).unwrap();
    assert_eq!(
        browser.open(&file).unwrap().asked.first().map(String::as_str),
        Some("http://example.invalid/x")
    );
}
