//! A wrong scenario is refused with field, line and advice.
#![cfg(feature = "cli")]

use std::time::Duration;

use offgridflow_loadtest::{ConfigError, Scenario};
use proptest::prelude::*;

const GOOD: &str = r#"seed = 7
thresholds = ["p95(response) < 100ms"]

[target]
url = "http://127.0.0.1:8080/api"
headers = { authorization = "Bearer hunter2" }

[load]
requests_per_second = 100
duration = "30s"
failure_threshold = "2%"

[[route]]
path = "/emissions"
weight = 2

[[route]]
method = "POST"
path = "/activities"
expect = "201"
body = "{}"
"#;

fn refuse(text: &str) -> ConfigError {
    match Scenario::parse(text).and_then(|scenario| scenario.load_test()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

/// What replacing a part of a good scenario is refused with: field, line, and a part of the advice.
#[test]
fn refusals_name_field_line_and_remedy() {
    let cases = [
        ("duration = \"30s\"", "durration = \"30s\"", "", 10, "unknown field `durration`"),
        ("duration = \"30s\"", "duration = 30", "load.duration", 10, "in quotes"),
        ("duration = \"30s\"", "duration = \"30\"", "load.duration", 10, "needs a unit"),
        ("duration = \"30s\"", "duration = \"0s\"", "load.duration", 10, "longer than zero"),
        ("= 100\n", "= -5\n", "load.requests_per_second", 9, "above zero"),
        ("\"2%\"", "\"lots\"", "load.failure_threshold", 11, "not a share"),
        ("\"2%\"", "7", "load.failure_threshold", 11, "7%"),
        ("p95(response)", "p95(latency)", "thresholds", 2, "not measured"),
        ("http://127", "https://127", "target.url", 5, "TLS"),
        ("authorization =", "\"bad header\" =", "target.headers.bad header", 6, "header name"),
        ("path = \"/emissions\"", "path = \"emissions\"", "route.0.path", 14, "begin with a slash"),
        ("weight = 2", "weight = 0", "route.0.weight", 15, "at least 1"),
        ("\"POST\"", "\"PO ST\"", "route.1.method", 18, "not an HTTP method"),
        ("\"201\"", "\"2xx\"", "route.1.expect", 20, "range of statuses"),
        ("seed = 7", "seed = ", "", 1, ""),
    ];
    for (from, to, field, line, hint) in cases {
        let error = refuse(&GOOD.replace(from, to));
        assert_eq!(error.line, Some(line), "{to}: {error}");
        assert!(field.is_empty() || error.field == field, "{to}: {error}");
        assert!(error.hint.contains(hint), "{to}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn contradictions_are_refused() {
    let stages = GOOD.replace("duration = \"30s\"\n", "stages = [{ over = \"10s\", to = 100 }]\n");
    assert!(refuse(&stages).hint.contains("not both"));
    let twice = stages.replace("requests_per_second = 100", "ramp_up = \"1s\"");
    assert!(refuse(&twice).hint.contains("durations of their own"));
    let busy = GOOD.replace("[load]", "[load]\nconcurrent_workers = 10\nthink_time = \"1s\"");
    assert_eq!((&*refuse(&busy).field, refuse(&busy).line), ("load.concurrent_workers", Some(9)));
}

#[test]
fn stages_and_random_arrivals_are_understood() {
    let plan = |text: &str| {
        Scenario::parse(text).and_then(|s| s.load_test()).and_then(|test| test.validate()).expect(text)
    };
    let stages =
        "stages = [{ over = \"10s\", to = 100 }, { over = \"20s\", to = 100 }, { over = \"10s\", to = 0 }]\n";
    let staged = plan(&GOOD.replace("requests_per_second = 100\nduration = \"30s\"\n", stages));
    assert_eq!(staged.executor.duration(), Duration::from_secs(40));
    assert!(staged.load().contains("3000 operations"), "{}", staged.load());
    let random = plan(&GOOD.replace("[load]", "[load]\narrivals = \"poisson\""));
    assert!(!random.load().contains(" 3000 operations"), "{}", random.load());
    assert_eq!(random.seed, 7);
}

#[test]
fn a_scenario_never_shows_its_secrets() {
    let scenario = Scenario::parse(GOOD).expect("good");
    assert!(!format!("{scenario:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_damage_is_answered_without_panic(at in 0..400_usize, cut in 0..8_usize, put in "[\\[\\]{}=\"a-z0-9. \n]{0,6}") {
        let start = at.min(GOOD.len());
        let damaged = format!("{}{put}{}", &GOOD[..start], &GOOD[(start + cut).min(GOOD.len())..]);
        if let Err(error) = Scenario::parse(&damaged).and_then(|scenario| scenario.load_test()) {
            prop_assert!(!error.hint.is_empty());
        }
    }
}
