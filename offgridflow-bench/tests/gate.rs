//! The gate as a command, on repositories of their own whose benchmarks are as fast as the test says.
#![cfg(feature = "cli")]
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Project(tempfile::TempDir);

impl Project {
    fn new(benches: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.git(&["init", "--quiet", "--initial-branch=main"]);
        project.write("Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n[[bench]]\nname = \"speed\"\nharness = false\n");
        project.write(".gitignore", "target\n");
        project.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"0.1.0\"\n");
        project.write("src/lib.rs", "");
        project.commit("", benches);
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let out = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// The benchmarks `(name, nanoseconds)` below a comment.
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
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", "c"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-bench"));
        command.current_dir(self.path()).args(arguments).env_remove("CARGO_TARGET_DIR");
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let out = self.command(arguments).output().unwrap();
        (
            out.status.code().unwrap(),
            String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
        )
    }

    fn gate(&self, more: &[&str]) -> (i32, String) {
        self.run(&[&["gate", "--base", "HEAD~1", "--seed", "5"], more].concat())
    }
}

/// The control: the same two commits differ byte for byte, as the moved line is in them.
#[test]
fn b5_a_comment_is_identical_and_nothing_is_run() {
    let project = Project::new("(\"a/100 %\", -1.0)");
    project.commit("// a\n// comment\n// of three lines\n", "(\"a/100 %\", -1.0)");
    let (code, text) = project.gate(&[]);
    assert!(code == 0 && text.contains("| tiny/speed: a/100 % | identical |"), "{code} {text}");
    let side = |side: &str| {
        fs::read(project.path().join(format!("target/offgridflow-bench/{side}/tiny--speed"))).unwrap()
    };
    assert!(side("base") != side("head"));
}

#[test]
fn b6_a_slow_down_is_red_and_its_report_is_recomputed() {
    let project = Project::new("(\"slow\", 100.0), (\"same \\\"x\\\"/%\", 50.0), (\"fast\", 80.0)");
    project.commit("", "(\"slow\", 110.0), (\"same \\\"x\\\"/%\", 50.0), (\"fast\", 60.0)");
    let (code, text) = project.gate(&[]);
    assert_eq!(code, 1, "{text}");
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
    let project = Project::new(
        "(\"gone\", 1.0), (\"panics\", 1.0), (\"hangs\", 1.0), (\"garbage\", 1.0), (\"zero\", 1.0)",
    );
    project.commit(
        "",
        "(\"new\", 1.0), (\"panics\", -1.0), (\"hangs\", -2.0), (\"garbage\", -3.0), (\"zero\", 0.0)",
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
    assert_eq!(project.gate(&["--filter", "no such benchmark"]).0, 4, "nothing compared is not green");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let project = Project::new("(\"a\", 1.0)");
    project.commit("", "(\"a\", 2.0)");
    let said = |arguments: &[&str], code: i32, words: &str| {
        let (got, text) = project.run(arguments);
        assert!(got == code && text.contains(words), "{arguments:?}: {got} {text}");
    };
    said(&["gate", "--base", "nosuch"], 4, "no commit `nosuch`");
    said(&["gate", "--base", "--x"], 2, "");
    said(&["gate", "--base", "HEAD", "--alpha", "0"], 2, "above 0");
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
    let project = Project::new("(\"a\", wrong)");
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
    let out = project.command(&["gate", "--base", "HEAD~1"]).current_dir(&to).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(4) && text.contains("fetch-depth: 0"), "{text}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_gate_and_its_benchmark() {
    let project = Project::new("(\"hangs\", -2.0)");
    project.commit("", "(\"hangs\", -2.0), (\"b\", 1.0)");
    let mut child = project
        .command(&["gate", "--base", "HEAD~1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let slot = project.path().join("target/offgridflow-bench/run/slot/said");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !slot.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
