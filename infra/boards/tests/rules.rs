//! Each rule finds the fault that it is about, and names board, panel and rule; the boards of this repository break none.

use std::path::Path;

use boards::{FOLDER, all, lint, questions, tests};
use serde_json::{Value, json};

fn board(name: &str) -> Value {
    let board = all().into_iter().find(|board| board.name == name).unwrap();
    serde_json::from_str(&board.to_json()).unwrap()
}

fn first_panel(board: &mut Value) -> &mut Value {
    let panels = board["panels"].as_array_mut().unwrap();
    panels.iter_mut().find(|panel| panel["type"] != "row").unwrap()
}

fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut board = board("api-dashboard");
    change(&mut board);
    lint(&board).iter().map(ToString::to_string).collect()
}

#[test]
fn our_boards_break_no_rule() {
    for board in all() {
        let faults = lint(&serde_json::from_str(&board.to_json()).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", board.name);
    }
}

#[test]
fn each_of_the_eleven_rules_finds_its_fault() {
    let query =
        |expr: &'static str| broken(move |board| first_panel(board)["targets"][0]["expr"] = json!(expr));
    let variable = |at: usize, field: &'static str, value: Value| {
        broken(move |board| board["templating"]["list"][at][field] = value)
    };
    let panel = |field: &'static str, value: Value| broken(move |board| first_panel(board)[field] = value);
    let found = [
        ("template-datasource-rule", variable(0, "query", json!("loki"))),
        ("template-job-rule", variable(1, "allValue", json!(".*"))),
        ("template-instance-rule", variable(2, "name", json!("pod"))),
        ("template-label-promql-rule", variable(1, "query", json!("label_values(up{, job)"))),
        ("panel-datasource-rule", panel("datasource", json!({"type": "prometheus", "uid": "mine"}))),
        ("panel-title-description-rule", panel("description", json!(""))),
        ("panel-units-rule", panel("fieldConfig", json!({"defaults": {"unit": "furlongs"}}))),
        (
            "target-promql-rule",
            query("sum(rate(a{job=~\"$job\", instance=~\"$instance\"}[$__rate_interval])"),
        ),
        ("target-rate-interval-rule", query("rate(a{job=~\"$job\", instance=~\"$instance\"}[5m])")),
        ("target-job-rule", query("a{instance=~\"$instance\"}")),
        ("target-instance-rule", query("a{job=~\"$job\"}")),
    ];
    for (rule, faults) in found {
        assert_eq!(faults.len(), 1, "{rule}: {faults:?}");
        assert!(faults[0].contains(rule), "{rule}: {faults:?}");
    }
    assert!(panel("targets", json!([]))[0].starts_with("panel `Requests`: target-promql-rule"));
}

#[test]
fn every_panel_asks_something_and_no_variable_is_left_in_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER);
    let questions = questions(&folder, "1m", "1h").unwrap();
    assert!(questions.iter().any(|one| one.cluster) && !questions.iter().all(|one| one.cluster));
    assert!(questions.len() > 100, "{}", questions.len());
    for question in questions {
        assert!(!question.query.contains('$'), "{}: {}", question.panel, question.query);
    }
    for board in all() {
        for panel in board.panels() {
            assert!(panel.queries().next().is_some(), "{}: {} asks nothing", board.name, panel.title);
        }
    }
}

#[test]
fn recorded_series_that_are_none_are_refused_with_their_line() {
    let refused = tests(&[], "# a comment\nup{job=\"a\"} => 1x3\nup 1x3\n").unwrap_err();
    assert_eq!(refused.to_string(), "line 3 of the recorded series is not `SERIES => VALUES`");
}
