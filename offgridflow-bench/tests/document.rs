//! The page of measurements says what its records say, and nothing else passes.
#![cfg(feature = "cli")]
mod project;

use project::Project;

const SETTINGS: &str =
    "[[target]]\nname = \"API p95\"\nfigure = \"api: response p95\"\nunit = \"ms\"\nat-most = 100.0\n";
const PAGE: &str = "docs/PERFORMANCE_BENCHMARKS.md";

fn load(validity: &str, p95_ns: u64) -> String {
    serde_json::json!({
        "schema": "offgridflow-loadtest.report/1", "ending": "completed", "load": "1000/s for 30 s",
        "verdict": {"validity": {"is": validity, "cause": "it was late"}, "limit": {"is": "not_reached"}},
        "total": {"ok": 30_000, "failed": 0, "answered": 30_000, "rate_per_sec": 1000.0, "response": {
            "p50": {"value": p95_ns / 2}, "p95": {"value": p95_ns}, "p99": {"needs": 299},
            "intervals": {"p95": {"stated": {"low_ns": p95_ns - 1_000_000, "high_ns": p95_ns + 1_000_000}}}}}
    })
    .to_string()
}

fn project() -> Project {
    let project = Project::empty();
    project.write("bench.toml", SETTINGS);
    project.write("load.json", &load("valid", 12_000_000));
    project.commit_all();
    project
}

#[test]
fn figures_are_kept_and_the_page_is_made_of_them() {
    let project = project();
    let (code, text) = project.run(&["docs"]);
    assert!(code == 0 && project.read(PAGE).contains("| not measured |"), "{code} {text}");
    let (code, text) = project.run(&["record", "load.json", "--as", "api"]);
    assert!(code == 0 && text.contains("4 figure(s) kept in bench-records.jsonl"), "{code} {text}");
    let (code, text) = project.run(&["docs", "--check"]);
    assert!(code == 1 && text.contains("or is stale"), "the records say more by now: {code} {text}");
    assert_eq!(project.run(&["docs"]).0, 0);
    assert_eq!(project.run(&["docs", "--check"]), (0, String::new()));
    let page = project.read(PAGE);
    let head = project.git(&["rev-parse", "HEAD"]);
    assert!(page.contains("| API p95 | at most 100 ms | 12 ms (11 to 13) | met |"), "{page}");
    let row = page.lines().find(|line| line.starts_with("| api: response p95 | 12 ms | 11 to 13 | 30000 |"));
    assert!(row.is_some_and(|row| row.contains(&head[..12]) && row.contains("1000/s for 30 s")), "{page}");

    project.write(PAGE, &page.replace("12 ms (11 to 13)", "9 ms (8 to 10)"));
    let (code, text) = project.run(&["docs", "--check"]);
    assert!(code == 1 && text.contains("9 ms (8 to 10)") && text.contains("line "), "{code} {text}");
    project.write(PAGE, &format!("{page}\nThree times as fast as others.\n"));
    assert_eq!(project.run(&["docs", "--check"]).0, 1, "no sentence without a record");
}

#[test]
fn numbers_that_do_not_count_are_not_kept() {
    let project = project();
    let said = |arguments: &[&str], code: i32, words: &str| {
        let (got, text) = project.run(arguments);
        assert!(got == code && text.contains(words), "{arguments:?}: {got} {text}");
        assert!(!project.path().join("bench-records.jsonl").exists(), "{arguments:?}");
    };
    project.write("late.json", &load("generator_bound", 5_000_000));
    said(&["record", "late.json"], 3, "generator_bound: it was late");
    project.write("other.json", "{\"a\": 1}");
    said(&["record", "other.json"], 2, "--value NAME=/POINTER");
    said(&["record", "other.json", "--value", "memory", "--n", "/a"], 2, "NAME=/POINTER");
    said(&["record", "other.json", "--value", "memory=/b", "--n", "/a"], 2, "no number at `/b`");
    said(&["record", "nosuch.json"], 4, "cannot read");
    project.write("bench.toml", &format!("{SETTINGS}# changed\n"));
    said(&["record", "load.json"], 2, "no commit has what was measured");
    said(&["docs", "--check"], 4, "cannot read docs/PERFORMANCE_BENCHMARKS.md");
}

#[test]
fn figures_that_are_too_old_for_the_revision_fail_the_check() {
    let project = project();
    project.write("bench.toml", &format!("[document]\nmax-age-days = 30\n{SETTINGS}"));
    project.commit_all();
    let line = "{\"name\":\"a\",\"value\":1.0,\"unit\":\"ms\",\"n\":1,\"commit\":\"c\",\"at\":1700000000,\"machine\":\"m\",\"from\":\"f\"}\n";
    project.write("bench-records.jsonl", line);
    assert_eq!(project.run(&["docs"]).0, 0);
    let (code, text) = project.run(&["docs", "--check"]);
    assert!(code == 1 && text.contains("`a` was measured more than 30 days before"), "{code} {text}");
    project.write("bench.toml", SETTINGS);
    assert_eq!(project.run(&["docs", "--check"]).0, 0, "without a limit no figure is too old");
}

#[test]
fn promises_stand_on_the_page_measured_or_not() {
    let project = project();
    project.write("bench.toml", &format!("[document]\npromises = \"promises.toml\"\n{SETTINGS}"));
    let promise = |id: &str| format!("[[promise]]\nid = \"{id}\"\narea = \"system\"\ntarget = \"0 lost\"\n");
    project.write("promises.toml", &(promise("S1") + &promise("S2")));
    project.commit_all();
    assert_eq!(project.run(&["docs"]).0, 0);
    assert!(project.read(PAGE).contains("No record of a measurement: 2 of 2: S1, S2."));
    let report = |said: &str| {
        serde_json::json!({"promise": "S1", "said": said, "measured": "0", "control": "3", "size": "quick"})
            .to_string()
    };
    project.write("s1.json", &report("SKIP"));
    let (code, text) = project.run(&["record", "s1.json"]);
    assert!(code == 3 && text.contains("S1 was not measured: it says SKIP"), "{code} {text}");
    project.write("s1.json", &report("PASS"));
    let (code, text) = project.run(&["record", "s1.json"]);
    assert!(code == 0 && text.contains("kept in bench-promises.jsonl"), "{code} {text}");
    assert_eq!(project.run(&["docs", "--check"]).0, 1, "the records say more by now");
    assert_eq!(project.run(&["docs"]).0, 0);
    let page = project.read(PAGE);
    assert!(page.contains("No record of a measurement: 1 of 2: S2."), "{page}");
    assert!(page.contains("| S1 | 0 lost | 0 | 3 | kept in quick size | `"), "{page}");
    project.write("promises.toml", "[[promise]]\nid = \"S1\"\n");
    let (code, text) = project.run(&["docs"]);
    assert!(code == 2 && text.contains("promises.toml: ") && text.contains("target"), "{code} {text}");
}

/// The page of this repository itself. The control is above: an edited one fails.
#[test]
fn the_page_of_this_repository_says_what_its_records_say() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !root.join("bench-records.jsonl").exists() {
        return; // packaged alone, the crate comes without them
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offgridflow-bench"));
    let said = project::told(&command.current_dir(root).args(["docs", "--check"]).output().unwrap());
    assert_eq!(said, (0, String::new()));
}
