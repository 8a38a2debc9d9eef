//! The scripts around the presets: the same flags in both, and a report from the one that a shell can run.
#![cfg(feature = "cli")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::Server;
use offgridflow_loadtest::Report;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A script; none outside of the repository.
fn script(name: &str) -> Option<String> {
    let text = fs::read_to_string(root().join("scripts").join(name)).ok();
    if text.is_none() {
        eprintln!("SKIP the scripts are not part of the package");
    }
    text
}

/// The flags of its own that a script tells apart: those that stand alone in a case.
fn flags(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("--") || line.starts_with("'--"));
    let flag = |line: &str| {
        let name: String =
            line.trim_matches('\'').chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let rest = line.trim_start_matches('\'').strip_prefix(&*name)?.trim_start_matches(['\'', ' ']);
        rest.starts_with([')', '{']).then_some(name)
    };
    lines.filter_map(flag).collect()
}

/// The comment at the head, without the script's name.
fn usage(text: &str) -> Vec<String> {
    let comment =
        text.lines().skip_while(|line| line.starts_with("#!")).take_while(|line| line.starts_with('#'));
    let lines = comment.filter(|line| line.contains("load-test."));
    lines
        .map(|line| {
            line.split_once("load-test.").expect("it").1.trim_start_matches(['s', 'h', 'p', '1']).to_owned()
        })
        .collect()
}

#[test]
fn both_scripts_take_the_same_flags_and_presets() {
    let (Some(shell), Some(power)) = (script("load-test.sh"), script("load-test.ps1")) else { return };
    let expected = ["--base", "--each", "--for", "--out", "--rate"].map(str::to_owned);
    assert_eq!(flags(&shell), BTreeSet::from(expected.clone()));
    assert_eq!(flags(&power), BTreeSet::from(expected));
    let presets =
        |text: &str| usage(text).into_iter().filter(|line| line.contains("--out")).collect::<Vec<_>>();
    assert_eq!(presets(&shell), presets(&power));
    assert_eq!(presets(&shell).len(), 4);
    // Parentheses and braces of the one that nobody ran are balanced.
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        let count = |c: char| {
            power
                .lines()
                .filter(|line| !line.starts_with('#'))
                .flat_map(str::chars)
                .filter(|&found| found == c)
                .count()
        };
        assert_eq!(count(open), count(close), "{open}{close}");
    }
}

#[test]
fn the_preset_of_endpoints_writes_its_report() {
    if script("load-test.sh").is_none() {
        return;
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().expect("folder"));
    let out = folder.path().to_str().expect("text");
    let output = Command::new("bash")
        .arg(root().join("scripts/load-test.sh"))
        .args(["api-endpoints", "--base", &server.url(), "--rate", "200", "--for", "4s", "--out", out])
        .env("OFFGRIDFLOW_LOADTEST", env!("CARGO_BIN_EXE_offgridflow-loadtest"))
        .output()
        .expect("bash");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{said}");
    let json = fs::read_to_string(folder.path().join("api-endpoints.json")).expect(&said);
    let report = Report::from_json(&json).expect("a report");
    for route in ["totals", "a page", "ingest"] {
        assert!(report.route(route).is_some_and(|row| row.ok > 0), "{route}: {said}");
    }
    assert!(folder.path().join("api-endpoints.html").exists());
    let refused =
        Command::new("bash").arg(root().join("scripts/load-test.sh")).arg("no-such").output().expect("bash");
    assert_eq!(refused.status.code(), Some(2));
}
