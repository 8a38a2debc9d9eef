//! What comes with the command: completions that a shell can use, a manual page that `man` can show, and its test of itself.
#![cfg(feature = "cli")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest")).args(arguments).output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("a code"), text(stdout), text(stderr))
}

/// What a program makes of what it is told.
fn fed(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("reads");
    Some(child.wait_with_output().expect("ends"))
}

/// Asks a real bash what it would offer after `words`, the last of which is being typed.
fn offered(script: &str, words: &[&str]) -> Option<Vec<String>> {
    let line = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _offgridflow__loadtest offgridflow-loadtest {} {}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        words.last().map(|word| format!("'{word}'")).expect("a word"),
        words.get(words.len() - 2).expect("a word before"),
    );
    let answer = fed("bash", &["--norc", "-s"], &line)?;
    assert!(answer.stderr.is_empty(), "{}", String::from_utf8_lossy(&answer.stderr));
    let mut offered: Vec<_> =
        String::from_utf8_lossy(&answer.stdout).split_whitespace().map(str::to_owned).collect();
    offered.sort_unstable();
    Some(offered)
}

#[test]
fn bash_completes_parts_and_flags() {
    let (code, script, _) = run(&["completions", "bash"]);
    assert_eq!(code, 0);
    let Some(parts) = offered(&script, &["offgridflow-loadtest", "re"]) else {
        return eprintln!("SKIP no bash is here");
    };
    assert_eq!(parts, ["report"]);
    let flags = offered(&script, &["offgridflow-loadtest", "run", "--ht"]).expect("bash");
    assert_eq!(flags, ["--html", "--http2"]);
    assert_eq!(offered(&script, &["offgridflow-loadtest", "run", "--no-such"]).expect("bash"), [""; 0]);
    let files =
        offered(&script, &["offgridflow-loadtest", "report", "x", "--html", "Cargo.t"]).expect("bash");
    assert_eq!(files, ["Cargo.toml"], "after a flag that names a file");
}

#[test]
fn every_shell_has_completions_and_others_are_refused() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef offgridflow-loadtest"),
        ("fish", "complete -c offgridflow-loadtest"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let (code, script, err) = run(&["completions", shell]);
        assert!(code == 0 && script.contains(part) && script.contains("abort-if"), "{shell}: {err}");
    }
    let (code, out, err) = run(&["completions", "cmd.exe"]);
    assert!(code == 2 && out.is_empty() && err.contains("possible values: bash"), "{code} {err}");
}

#[test]
fn the_manual_page_is_one_that_man_can_show() {
    let (code, page, _) = run(&["man"]);
    assert!(code == 0 && page.contains(".TH offgridflow-loadtest 1"), "{page}");
    for part in ["RUN", "PREFLIGHT", "REPORT", "SELFTEST", "INIT", "COMPLETIONS", "\"EXIT STATUS\""] {
        assert!(page.lines().any(|line| line == format!(".SH {part}")), "{part}");
    }
    let Some(checked) = fed("groff", &["-man", "-ww", "-Tutf8", "-Kutf8"], &page) else {
        return eprintln!("SKIP no groff is here");
    };
    assert!(checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
    let shown = String::from_utf8_lossy(&checked.stdout);
    assert!(shown.contains("Operations a second (open loop)"), "{shown}");
    // The control: a page with a fault is caught.
    let faulty =
        fed("groff", &["-man", "-ww", "-Tutf8", "-Kutf8"], &format!("{page}.NOSUCH\n")).expect("groff");
    assert!(!faulty.stderr.is_empty(), "an unknown request is told");
}

/// Whether this machine passes is its own affair; that code, text and JSON say the same is not.
#[test]
fn the_selftest_says_what_it_measured_and_exits_by_it() {
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("selftest.json");
    let (code, out, err) = run(&["selftest", "--quick", "--json", json.to_str().expect("text")]);
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&json).expect("written")).expect("JSON");
    let lines = json["lines"].as_array().expect("lines");
    let names: Vec<_> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(names, ["timer", "count", "freeze", "verdicts", "engine", "http"]);
    let passed = lines.iter().all(|line| line["passed"] == true);
    assert_eq!((code, json["passed"].as_bool()), (if passed { 0 } else { 3 }, Some(passed)), "{out}{err}");
    assert_eq!(out.matches("\npass  ").count(), lines.iter().filter(|line| line["passed"] == true).count());
    for line in lines {
        assert!(out.contains(line["measured"].as_str().expect("text")), "{line} in {out}");
    }
    assert!(out.lines().count() <= 24 && out.contains("\nbudget      a p95 below "), "one screen: {out}");
    assert!(out.ends_with(if passed { "selftest: passed\n" } else { "or use another\n" }), "{out}");
    // These hold on any machine that runs them at all.
    let line = |name: &str| lines.iter().find(|line| line["name"] == name).expect(name);
    assert_eq!(line("count")["passed"], true, "{out}");
    assert!(json["http_per_sec"].as_f64().is_some_and(|rate| rate > 100.0), "{out}");
}

#[test]
fn a_selftest_whose_result_cannot_be_written_is_refused_before_it_runs() {
    let began = std::time::Instant::now();
    let (code, out, err) = run(&["selftest", "--json", "/no/such/folder/x.json"]);
    assert!(code == 2 && out.is_empty() && err.contains("--json: cannot write"), "{code} {err}");
    assert!(began.elapsed().as_secs() < 10, "nothing was measured");
}
