//! The gate on an ordinary crate whose benchmarks are criterion's, in a repository of its own. What criterion is built from stays in the
//! folder for tests, so only the first run builds it.
#![cfg(feature = "cli")]
mod guide;
mod project;

use std::path::{Path, PathBuf};
use std::process::Command;

use project::{Project, told};

/// Where both sides are built; one test at a time, as it is one folder.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("real")
}

fn real() -> Project {
    let project = Project::empty();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/real");
    for (file, from) in [
        ("Cargo.toml", "manifest.toml"),
        ("src/lib.rs", "src/lib.rs"),
        ("benches/speed.rs", "benches/speed.rs"),
        ("benches/more.rs", "benches/more.rs"),
    ] {
        project.write(file, &std::fs::read_to_string(data.join(from)).unwrap());
    }
    // The versions that this workspace has; what the crate does not need falls out.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    if let Ok(text) = std::fs::read_to_string(lock) {
        project.write("Cargo.lock", &text);
    }
    let pruned = Command::new(env!("CARGO"))
        .current_dir(project.path())
        .args(["metadata", "--format-version", "1"])
        .output();
    assert!(pruned.is_ok_and(|out| out.status.success()), "cargo metadata");
    project.commit_all();
    project
}

fn gate(project: &Project, more: &[&str]) -> (i32, String) {
    let arguments =
        [&["gate", "--base", "HEAD~1", "--seed", "3"], more, &["--", "--bench", "speed"]].concat();
    told(&project.command(&arguments).env("CARGO_TARGET_DIR", target()).output().unwrap())
}

fn row<'a>(text: &'a str, bench: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(&format!("| real/speed: {bench} |"))).unwrap_or_default()
}

const MIX: &str = "mix";
const FILL: &str = "fill / 100 %/\"list\"/300";

#[test]
fn documentation_is_identical_a_slow_down_is_red_and_noise_is_not() {
    let project = real();
    project.replace(
        "src/lib.rs",
        "/// Mixes",
        "/// Documentation that is\n/// two lines longer.\n///\n/// Mixes",
    );
    project.commit_all();
    let (code, text) = gate(&project, &[]);
    let identical = [MIX, FILL].map(|bench| row(&text, bench).contains("| identical |"));
    assert!(code == 0 && identical == [true; 2], "{code} {text}");
    assert!(!text.contains("pilot"), "nothing is run: {text}");

    project.replace("src/lib.rs", "TURNS: u64 = 2_000", "TURNS: u64 = 2_800");
    project.commit_all();
    let page = project.path().join("report.html");
    let bounded = ["--filter", "mix", "--rounds", "40", "--budget", "120", "--html", page.to_str().unwrap()];
    let (code, text) = gate(&project, &[&bounded[..], &["--instructions", "--allocations"]].concat());
    let red = row(&text, MIX);
    assert!(code == 1 && red.contains("| regressed | 1."), "{code} {text}");
    let without = text.contains("instructions were not counted: valgrind cannot be run");
    assert!(red.contains("| confirmed: instructions +3") || without, "{text}");
    assert!(text.contains("allocations were not counted: the program has no counting allocator"), "{text}");
    assert!(project.read("report.html").contains("regressed"));
    let (again, text) = project.run(&["recompute", "target/offgridflow-bench/report.json"]);
    assert_eq!(again, 1, "{text}");

    let (code, text) = gate(&project, &["--via", "files", "--rounds", "1", "--filter", "fill"]);
    let noise = row(&text, FILL);
    let ratio: f64 = noise.split('|').nth(3).unwrap().trim().parse().unwrap();
    assert!(
        code == 3 && noise.contains("| undecided |") && (0.2..5.0).contains(&ratio),
        "one round tells a size, however roughly, and proves nothing: {code} {text}"
    );
    assert!(noise.contains("its own settings beat the command line: 20 samples"), "{text}");
}

/// `docs/adopt/from-criterion.md` in a repository whose newest commit is the slow-down that it speaks of.
#[test]
fn the_guide_for_who_comes_from_critcmp_runs_as_it_stands() {
    let Some(text) = guide::text("from-criterion.md") else { return };
    let project = real();
    project.replace("src/lib.rs", "TURNS: u64 = 2_000", "TURNS: u64 = 2_800");
    project.commit_all();
    let faults = guide::faults(&text, |script| {
        let mut shell = Command::new("bash");
        // Recordings lie where they lie without a folder that tests share; critcmp looks beside the builds.
        let own = project.path().join("target");
        let built = if script.starts_with("critcmp") { own.clone() } else { target() };
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(project.path());
        shell.env("PATH", guide::path()).env("CARGO_TARGET_DIR", built);
        shell.env("CRITERION_HOME", own.join("criterion"));
        told(&shell.output().unwrap())
    });
    assert_eq!(faults, Vec::<String>::new());
}

/// The control: what a guide says and nothing does is found.
#[test]
fn a_guide_that_says_something_else_is_found() {
    let run = |script: &str| (i32::from(script.starts_with("false")), "one 1.23 two\n".to_owned());
    for (guide, fault) in [
        ("```sh\nfalse\n```\n", "exit status 1, beside it \"\""),
        ("```sh exit-1-3\ntrue\n```\n", "exit status 0, beside it \"exit-1-3\""),
        ("```sh\ntrue\n```\n```text\none 1.…\nthree\n```\n", "not written: three"),
        ("```python\n1\n```\n", "nobody runs `python`"),
    ] {
        let faults = guide::faults(guide, run);
        assert!(faults.len() == 1 && faults[0].contains(fault), "{guide}: {faults:?}");
    }
}
