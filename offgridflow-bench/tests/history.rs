//! The commands around the history judge by their exit status and say why.
#![cfg(feature = "cli")]
use std::path::Path;
use std::process::Command;

use offgridflow_bench::history::{Record, append_line};

fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_offgridflow-bench"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[test]
fn a_step_is_red_until_it_is_blessed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench-history.jsonl");
    assert_eq!(run(folder.path(), &["history", "findings"]).0, 3, "nothing judged is not green");
    for nth in 0..40_u32 {
        let wobble = f64::from(nth * 7 % 11) / 1_000.0;
        let ln_ratio = wobble + if nth >= 30 { 0.08 } else { 0.0 };
        let record = Record {
            commit: format!("c{nth}"),
            anchor: "c0".to_owned(),
            bench: "parse/100 %".to_owned(),
            ln_ratio,
            spread: Some(0.01),
            nanoseconds: Some(100.0),
            machine: "x86-64".to_owned(),
            at: 1,
        };
        append_line(&file, &record).unwrap();
    }
    let (code, text) = run(folder.path(), &["history", "findings"]);
    assert!(
        code == 1 && text.contains("parse/100 %: step of +8") && text.contains("between c29 and c30"),
        "{code} {text}"
    );
    let bless = ["bless", "parse/100 %", "--slowdown", "10", "--reason", "checks input", "--commit", "c30"];
    assert_eq!(run(folder.path(), &bless).0, 0);
    let (code, text) = run(folder.path(), &["history", "findings"]);
    assert!(code == 0 && text.contains("accepted: checks input"), "{code} {text}");
    assert_eq!(run(folder.path(), &["bless", "b", "--slowdown", "-3", "--reason", "r"]).0, 2);
    for empty in [["", "r"], ["b", " "]] {
        let (code, text) = run(folder.path(), &["bless", empty[0], "--slowdown", "3", "--reason", empty[1]]);
        assert!(code == 2 && text.contains("not be empty"), "{code} {text}");
    }
    std::fs::write(&file, "garbage\n").unwrap();
    let (code, text) = run(folder.path(), &["history", "findings"]);
    assert!(code == 4 && text.contains("line 1"), "{code} {text}");
}
