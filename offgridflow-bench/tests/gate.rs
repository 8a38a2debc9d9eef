//! The gate as a command, on repositories of their own whose benchmarks are as fast as the test says.
#![cfg(feature = "cli")]
mod project;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use project::{Project, told};

/// A package whose benchmarks `(name, nanoseconds)` are made up.
struct Tiny(Project);

impl std::ops::Deref for Tiny {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.0
    }
}

impl Tiny {
    fn new(benches: &str) -> Self {
        let tiny = Self(Project::empty());
        tiny.write("Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n[[bench]]\nname = \"speed\"\nharness = false\n");
        tiny.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"0.1.0\"\n");
        tiny.write("src/lib.rs", "");
        tiny.commit("", benches);
        tiny
    }

    /// The benchmarks below a comment.
    fn put(&self, comment: &str, benches: &str) {
        let count = benches.matches('(').count();
        let source = include_str!("data/tiny/speed.rs");
        self.write(
            "benches/speed.rs",
            &format!("{comment}\n{source}\nconst BENCHES: [(&str, f64); {count}] = [{benches}];\n")
                .replace("\n//!", "\n//"),
        );
    }

    fn commit(&self, comment: &str, benches: &str) {
        self.put(comment, benches);
        self.commit_all();
    }

    fn gate(&self, more: &[&str]) -> (i32, String) {
        self.run(&[&["gate", "--base", "HEAD~1", "--seed", "5"], more].concat())
    }
}

/// The control: the same two commits differ byte for byte, as the moved line is in them.
#[test]
fn b5_a_comment_is_identical_and_nothing_is_run() {
    let project = Tiny::new("(\"a/100 %\", -1.0)");
    project.commit("// a\n// comment\n// of three lines\n", "(\"a/100 %\", -1.0)");
    let (code, text) = project.gate(&[]);
    assert!(code == 0 && text.contains("| tiny/speed: a/100 % | identical |"), "{code} {text}");
    let side = |side: &str| {
        fs::read(project.path().join(format!("target/offgridflow-bench/{side}/tiny--speed"))).unwrap()
    };
    assert!(side("base") != side("head"));
}

/// How often it errs on one's own machine, in a minute. The control is in the words: criterion's rule on the same rounds.
#[test]
fn the_tool_tells_its_own_error_rates_on_the_users_benchmarks() {
    let project = Tiny::new("(\"a\", 100.0)");
    let (code, text) = project.run(&["selftest", "here", "--rounds", "12", "--seed", "1"]);
    for words in ["measured=red-suites-", "+5 % seen", "critcmp at 5 %", "measured=suites-wrong-0.0"] {
        assert!(text.contains(words), "{code} {text}");
    }
    let (code, text) = project.run(&["selftest", "here", "--filter", "nosuch"]);
    assert!(code == 3 && text.contains("no benchmark got ten rounds"), "{code} {text}");
}

#[test]
fn b6_a_slow_down_is_red_and_its_report_is_recomputed() {
    let project = Tiny::new("(\"slow\", 100.0), (\"same \\\"x\\\"/%\", 50.0), (\"fast\", 80.0)");
    project.commit("", "(\"slow\", 110.0), (\"same \\\"x\\\"/%\", 50.0), (\"fast\", 60.0)");
    let (code, text) = project.gate(&["--allocations"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("| confirmed: allocations 10 → 11 (80 → 88 bytes);"), "{text}");
    assert!(text.contains("| allocations 8 → 6 (64 → 48 bytes);"), "{text}");
    assert!(text.contains("not decided; about "), "the time to go is told: {text}");
    for row in ["speed: slow | regressed", "speed: fast | improved", "speed: same \"x\"/% | no-regression"] {
        assert!(text.contains(row), "{text}");
    }
    let report = "target/offgridflow-bench/report.json";
    assert_eq!(project.run(&["recompute", report]).0, 1);
    let altered = fs::read_to_string(project.path().join(report)).unwrap().replacen(
        "\"base_first\":true",
        "\"base_first\":false",
        1,
    );
    project.write("altered.json", &altered);
    let (code, text) = project.run(&["recompute", "altered.json"]);
    assert!(code == 3 && text.contains("the order is not the seed's"), "{code} {text}");
    let (code, text) = project.gate(&["--rounds", "3", "--filter", "slow"]);
    assert!(code == 3 && text.contains("| undecided |"), "three rounds cannot tell: {code} {text}");
    assert_eq!(project.gate(&["--rounds", "3", "--filter", "slow", "--allow-undecided"]).0, 0);
    let (code, text) = project.gate(&["--report", "/dev/full", "--rounds", "1", "--filter", "fast"]);
    assert!(code == 4 && text.contains("cannot write /dev/full"), "a full disk: {code} {text}");
}

#[test]
fn benchmarks_that_are_gone_new_or_broken_are_never_green() {
    let project = Tiny::new(
        "(\"gone\", 1.0), (\"panics\", 1.0), (\"hangs\", 1.0), (\"garbage\", 1.0), (\"zero\", 1.0), (\"single\", 1.0)",
    );
    project.commit(
        "",
        "(\"new\", 1.0), (\"panics\", -1.0), (\"hangs\", -2.0), (\"garbage\", -3.0), (\"zero\", 0.0), (\"single\", -4.0)",
    );
    let (code, text) = project.gate(&["--process-limit", "5", "--rounds", "2"]);
    assert_eq!(code, 4, "{text}");
    let told = |bench: &str| {
        text.lines().find(|line| line.contains(&format!("speed: {bench} |"))).unwrap_or_default().to_owned()
    };
    assert!(told("gone").contains("| missing |") && told("new").contains("| new |"), "{text}");
    assert!(told("panics").contains("| broken |") && told("panics").contains("no such fixture"), "{text}");
    assert!(told("hangs").contains("it hangs") && told("garbage").contains("garbage"), "{text}");
    assert!(told("zero").contains("takes no time"), "{text}");
    assert!(told("single").contains("it told 1 sample(s): at least 10"), "{text}");
    assert_eq!(project.gate(&["--filter", "no such benchmark"]).0, 4, "nothing compared is not green");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let project = Tiny::new("(\"a\", 1.0)");
    project.commit("", "(\"a\", 2.0)");
    let said = |arguments: &[&str], code: i32, words: &str| {
        let (got, text) = project.run(arguments);
        assert!(got == code && text.contains(words), "{arguments:?}: {got} {text}");
    };
    said(&["gate", "--base", "nosuch"], 4, "no commit `nosuch`");
    said(&["gate", "--base", "--x"], 2, "");
    said(&["gate", "--base", "HEAD", "--alpha", "0"], 2, "above 0");
    for (option, value) in [
        ("--process-limit", u64::MAX.to_string()),
        ("--process-limit", "0".to_owned()),
        ("--budget", "0".to_owned()),
        ("--rounds", "1001".to_owned()),
        ("--layouts", "33".to_owned()),
    ] {
        said(
            &["gate", "--base", "HEAD", option, &value],
            2,
            &format!("{option} {value}: a whole number from 1 to "),
        );
    }
    said(&["recompute", "Cargo.toml"], 3, "no report");
    said(&["recompute", "nosuch.json"], 4, "cannot read");
    project.put("", "(\"a\", 3.0)");
    let (code, text) = project.gate(&[]);
    assert!(code == 2 && text.contains("--dirty"), "{code} {text}");
    project.git(&["checkout", "--quiet", "."]);
    let out = project.command(&["gate", "--base", "HEAD~1"]).env("PATH", "").output().unwrap();
    assert!(out.status.code() == Some(4) && String::from_utf8_lossy(&out.stderr).contains("cannot run git"));
    let empty = tempfile::tempdir().unwrap();
    let out = project.command(&["gate", "--base", "HEAD"]).current_dir(empty.path()).output().unwrap();
    assert!(
        out.status.code() == Some(4)
            && String::from_utf8_lossy(&out.stderr).contains("not in a git repository")
    );
    let home = project.path().join("target/offgridflow-bench");
    fs::create_dir_all(&home).unwrap();
    let lock = fs::File::create(home.join("lock")).unwrap();
    lock.lock().unwrap();
    let (code, text) = project.gate(&[]);
    assert!(code == 4 && text.contains("another gate"), "{code} {text}");
}

#[test]
fn a_base_that_does_not_build_and_a_shallow_clone_are_not_green() {
    let project = Tiny::new("(\"a\", wrong)");
    project.commit("", "(\"a\", 1.0)");
    let (code, text) = project.gate(&[]);
    assert!(code == 4 && text.contains("the base does not build"), "{code} {text}");
    let clone = tempfile::tempdir().unwrap();
    let from = format!("file://{}", project.path().display());
    let to = clone.path().join("c");
    assert!(
        Command::new("git")
            .args(["clone", "--quiet", "--depth", "1", &from])
            .arg(&to)
            .status()
            .unwrap()
            .success()
    );
    let (code, text) =
        told(&project.command(&["gate", "--base", "HEAD~1"]).current_dir(&to).output().unwrap());
    assert!(code == 4 && text.contains("fetch-depth: 0"), "{code} {text}");
}

/// Ends the gate with `signal` once `file` holds `what`.
#[cfg(unix)]
fn ended(project: &Tiny, arguments: &[&str], signal: &str, file: &str, what: &str) -> Option<i32> {
    let mut child = project.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (file, deadline) = (project.path().join(file), Instant::now() + Duration::from_secs(120));
    while !fs::read_to_string(&file).is_ok_and(|text| text.contains(what)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code()
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_gate_and_its_benchmark() {
    let project = Tiny::new("(\"hangs\", -2.0)");
    project.commit("", "(\"hangs\", -2.0), (\"b\", 1.0)");
    let slot = "target/offgridflow-bench/run/slot/said";
    assert_eq!(ended(&project, &["gate", "--base", "HEAD~1"], "-INT", slot, ""), Some(130));
}

/// The control: without `--resume` the rounds begin anew.
#[cfg(unix)]
#[test]
fn a_killed_gate_goes_on_where_it_was() {
    let project = Tiny::new("(\"slow\", 100.0)");
    project.commit("", "(\"slow\", 110.0)");
    let journal = "target/offgridflow-bench/journal.jsonl";
    let arguments = ["gate", "--base", "HEAD~1", "--seed", "5"];
    assert_eq!(ended(&project, &arguments, "-KILL", journal, "\"round\":3,"), None);
    let first = project.read(journal);
    let whole = &first[..=first.rfind('\n').unwrap()];
    let (code, text) = project.run(&["gate", "--base", "HEAD~1", "--resume", "--slowdown", "3"]);
    assert!(code == 2 && text.contains("other settings"), "{code} {text}");
    let (code, text) = project.run(&["gate", "--base", "HEAD~1", "--resume"]);
    assert!(code == 1 && text.contains("seed 5"), "{code} {text}");
    assert!(!text.contains("pilot"), "what was tried out is not tried out again: {text}");
    assert!(project.read(journal).starts_with(whole), "what was measured is kept");
    assert_eq!(project.run(&["recompute", "target/offgridflow-bench/report.json"]).0, 1);
    project.gate(&["--rounds", "1"]);
    assert!(!project.read(journal).starts_with(whole));
    project.commit("", "(\"slow\", 120.0)");
    let (code, text) = project.run(&["gate", "--base", "HEAD~1", "--resume"]);
    assert!(code == 2 && text.contains("other revisions"), "{code} {text}");
}

/// The controls: the same two commits without the blessing, the limit or the permission.
#[test]
fn what_is_meant_is_not_red() {
    let project = Tiny::new("(\"slow\", 100.0), (\"gone\", 1.0)");
    let bless = ["bless", "tiny/speed: slow", "--slowdown", "10", "--reason", "checks its input"];
    project.commit("", "(\"slow\", 107.0)");
    let (code, text) = project.gate(&[]);
    assert!(code == 1 && text.contains("| missing |"), "red outranks missing: {code} {text}");
    project.write(
        "bench.toml",
        "[gate]\nallow-missing = [\"tiny/*: gone\"]\n[[gate.bench]]\nname = \"*: slow\"\nslowdown = 12.0\n",
    );
    let (code, text) = project.gate(&[]);
    assert!(
        code == 0 && text.contains("slow | no-regression") && text.contains("gone | retired"),
        "{code} {text}"
    );
    assert!(text.contains("up to 12 % slower does not matter"), "{text}");
    assert_eq!(project.run(&["recompute", "target/offgridflow-bench/report.json"]).0, 0);
    project.write("bench.toml", "[gate]\nrounds = 0\n");
    let (code, text) = project.gate(&[]);
    assert!(code == 2 && text.contains("bench.toml, line 2: `rounds = 0`"), "{code} {text}");
    fs::remove_file(project.path().join("bench.toml")).unwrap();

    assert_eq!(project.run(&bless).0, 0);
    project.git(&["add", "-A"]);
    project.git(&["commit", "--quiet", "--amend", "--no-edit"]);
    let gone = ["--allow-missing", "tiny/speed: gone"];
    let (code, text) = project.gate(&gone);
    assert!(code == 0 && text.contains("accepted: checks its input"), "{code} {text}");
    project.commit("", "(\"slow\", 114.0)");
    let (code, text) = project.gate(&gone);
    assert!(code == 1, "a blessing that the base has is about an older change: {code} {text}");
}

#[test]
fn what_was_measured_goes_into_the_history() {
    let project = Tiny::new("(\"slow\", 100.0)");
    project.commit("", "(\"slow\", 130.0)");
    let history = ["--rounds", "12", "--history", "bench-history.jsonl"];
    project.gate(&history);
    let line = project.read("bench-history.jsonl");
    let (head, base) = (project.git(&["rev-parse", "HEAD"]), project.git(&["rev-parse", "HEAD~1"]));
    let record: offgridflow_bench::history::Record = serde_json::from_str(line.trim()).unwrap();
    assert_eq!((record.commit, record.anchor, record.bench.as_str()), (head, base, "tiny/speed: slow"));
    assert!((record.ln_ratio.exp() - 1.3).abs() < 0.02 && record.spread.unwrap() < 0.02, "{line}");
    project.put("", "(\"slow\", 150.0)");
    let (code, text) = project.gate(&["--dirty", "--history", "dirty.jsonl"]);
    assert!(
        code == 1 && !project.path().join("dirty.jsonl").exists(),
        "no commit, no history: {code} {text}"
    );
}

/// The history says of two benchmarks that they became slower at the same commit; side by side, one did.
#[test]
fn a_finding_is_confirmed_or_refuted_by_an_ab() {
    let project = Tiny::new("(\"slow\", 100.0), (\"same\", 100.0)");
    let still = |commits: usize| {
        (0..commits).for_each(|_| drop(project.git(&["commit", "--quiet", "--allow-empty", "-m", "c"])));
    };
    still(11);
    project.commit("", "(\"slow\", 110.0), (\"same\", 100.0)");
    still(11);
    let commits = project.git(&["rev-list", "--reverse", "HEAD"]);
    let write = |file: &str, bench: &str| {
        for (nth, commit) in commits.lines().enumerate() {
            let step = if nth >= 12 { 0.09 } else { 0.0 };
            let record = offgridflow_bench::history::Record {
                commit: commit.to_owned(),
                anchor: commits.lines().next().unwrap().to_owned(),
                bench: bench.to_owned(),
                ln_ratio: (nth * 7 % 11) as f64 / 2_000.0 + step,
                spread: None,
                nanoseconds: None,
                machine: String::new(),
                at: 0,
            };
            offgridflow_bench::history::append_line(&project.path().join(file), &record).unwrap();
        }
    };
    write("slow.jsonl", "tiny/speed: slow");
    write("same.jsonl", "tiny/speed: same");
    write("other.jsonl", "parse");
    let confirm = |file: &str| project.run(&["history", "confirm", "--file", file]);
    let (code, text) = confirm("slow.jsonl");
    assert!(code == 1 && text.contains("confirmed: tiny/speed: slow: step of +9"), "{code} {text}");
    let (code, text) = confirm("same.jsonl");
    assert!(code == 0 && text.contains("refuted: tiny/speed: same"), "{code} {text}");
    let (code, text) = confirm("other.jsonl");
    assert!(code == 2 && text.contains("`parse` is no name that the gate gives"), "{code} {text}");
    assert_eq!(confirm("nosuch.jsonl").0, 3, "nothing judged is not green");
}

/// What continuous integration runs, as it runs it. The controls: documentation, and what is undecided, pass.
#[cfg(unix)]
#[test]
fn the_command_of_continuous_integration_fails_on_a_planted_slow_down_only() {
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let Ok(names) = fs::read_dir(&scripts) else { return }; // packaged alone, the crate comes without them
    assert!(names.count() > 0);
    let project = Tiny::new("(\"hit\", 100.0)");
    for script in ["common.sh", "run-benchmarks.sh", "ci-benchmarks.sh"] {
        fs::create_dir_all(project.path().join("scripts")).unwrap();
        fs::copy(scripts.join(script), project.path().join("scripts").join(script)).unwrap();
    }
    project.write("bench.toml", "[gate]\nbudget = 100\n");
    project.commit("", "(\"hit\", 100.0)");
    let ci = |more: &[&str]| {
        let mut command = Command::new("scripts/ci-benchmarks.sh");
        command
            .current_dir(project.path())
            .args(more)
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("GITHUB_STEP_SUMMARY");
        told(&command.env("OFFGRIDFLOW_BENCH", env!("CARGO_BIN_EXE_offgridflow-bench")).output().unwrap())
    };
    project.commit("// a comment\n", "(\"hit\", 100.0)");
    let (code, text) = ci(&[]);
    assert!(code == 0 && text.contains("hit | identical"), "{code} {text}");
    project.git(&["tag", "v0.1.0"]);
    project.commit("", "(\"hit\", 108.0)");
    project.commit("// another\n", "(\"hit\", 108.0)");
    let (code, text) = ci(&[]);
    assert!(code == 1 && text.contains("hit | regressed"), "against the newest tag: {code} {text}");
    assert!(project.read("target/offgridflow-bench/report.md").contains("regressed"));
    assert!(project.read("target/offgridflow-bench/report.html").contains("regressed"));
    assert_eq!(ci(&["--base", "HEAD~1"]).0, 0, "against the commit before");
    let (code, text) = ci(&["--rounds", "2"]);
    assert!(code == 0 && text.contains("undecided: nothing is known to have regressed"), "{code} {text}");
    let (code, text) = ci(&["--base", "nosuch"]);
    assert!(code == 4 && text.contains("no commit `nosuch`"), "{code} {text}");
}
