//! `autoscale` from the command line: what it reads and writes, how it ends; and its document, run as it stands there.
#![cfg(all(feature = "cli", feature = "autoscale"))]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use testkit::Browser;

const HPA: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: api }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: api }
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: 70 } }
";
/// One replica, of which each of a hundred requests a second takes a hundredth.
const REPLICA: [&str; 6] = [
    "--capacity",
    "100",
    "--cpu",
    "request=500m,idle=0m,full=500m",
    "--memory",
    "request=128Mi,idle=16Mi,full=32Mi",
];

/// A folder with an autoscaler in it, where the command runs.
struct Bench(tempfile::TempDir);

/// Exit code, what was written to standard output and to standard error.
type Said = (i32, String, String);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("folder"));
        bench.write("hpa.yaml", HPA);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it was written")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        said(command.arg("autoscale").args(arguments).current_dir(self.0.path()))
    }

    /// With the autoscaler and the replica.
    fn simulate(&self, arguments: &[&str]) -> Said {
        self.run(&[&["--hpa", "hpa.yaml"], &REPLICA[..], arguments].concat())
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

/// Replicas at each look, out of JSON.
fn replicas(json: &str) -> Vec<u64> {
    let json: Value = serde_json::from_str(json).expect("JSON");
    let ticks = json[0]["ticks"].as_array().expect("looks");
    ticks.iter().map(|tick| tick["replicas"].as_u64().expect("replicas")).collect()
}

#[test]
fn it_ends_with_what_was_found() {
    let bench = Bench::new();
    let sound = bench.run(&["--hpa", "hpa.yaml"]);
    assert_eq!(
        (sound.0, &*sound.1),
        (0, "nothing is wrong with what they say; give a load to see what they do\n")
    );
    bench.write("broken.yaml", &HPA.replace("minReplicas: 2", "minReplicas: 12"));
    let (code, out, _) = bench.run(&["--hpa", "broken.yaml"]);
    assert_eq!((code, &*out), (1, "wrong   api: spec.minReplicas: 12 is more than maxReplicas, 10\n"));
    assert_eq!(bench.simulate(&["--points", "0s=100,1m=100"]).0, 0);
    for (arguments, sentence) in [
        (&["--hpa", "none.yaml"][..], "none.yaml: No such file"),
        (&["--hpa", "hpa.yaml", "--name", "web"], "there is no HorizontalPodAutoscaler \"web\""),
        (&["--hpa", "hpa.yaml", "--points", "0s=1"], "--capacity <PER_SECOND>"),
        (&["--hpa", "hpa.yaml", "--points", "0s"], "--points"),
        (&["--hpa", "hpa.yaml", "--json", "x"], "--trace"),
        (&[], "--hpa <FILE>"),
    ] {
        let (code, out, err) = bench.run(arguments);
        assert!(code == 2 && out.is_empty() && err.contains(sentence), "{arguments:?}: {code} {out}{err}");
    }
    let no_yaml = "a: [";
    bench.write("none.yaml", no_yaml);
    assert_eq!(bench.run(&["--hpa", "none.yaml"]).0, 2);
    let (code, _, err) = bench.simulate(&["--points", "0s=1", "--json", "no/such/folder.json"]);
    assert!(code == 4 && err.contains("no/such/folder.json"), "{code} {err}");
}

/// Memory that keeps replicas is found without a fault in the manifest.
#[test]
fn memory_that_keeps_replicas_fails() {
    let bench = Bench::new();
    let memory = "    - type: Resource\n      resource: { name: memory, target: { type: Utilization, averageUtilization: 80 } }\n";
    bench.write("hpa.yaml", &format!("{HPA}{memory}"));
    let pinned = |idle: &str| {
        let memory = format!("request=128Mi,idle={idle}Mi,full=110Mi");
        let arguments = ["--hpa", "hpa.yaml", "--points", "0s=100,1m=100", "--memory", &memory];
        bench.run(&[&arguments, &REPLICA[..4]].concat())
    };
    let (code, out, _) = pinned("96");
    assert!(code == 1 && out.contains("pinned  idle replicas hold 75 % of the memory"), "{code} {out}");
    assert_eq!(pinned("16").0, 0);
}

#[test]
fn json_holds_every_look_and_leaves_standard_output_to_itself() {
    let bench = Bench::new();
    let load = ["--points", "0s=100,2m=100,3m=600,10m=600"];
    let (code, text, _) = bench.simulate(&[&load[..], &["--json", "course.json"]].concat());
    assert_eq!(code, 0);
    let course = bench.read("course.json");
    let replicas = replicas(&course);
    assert_eq!(
        (replicas.len(), replicas[0], replicas[40]),
        (41, 2, 8),
        "each 15 s, from 2 to where 75 % is near enough to 70 %: {replicas:?}"
    );
    let (_, piped, err) = bench.simulate(&[&load[..], &["--json", "-"]].concat());
    assert_eq!(piped, course);
    assert_eq!(err, text, "the text goes elsewhere then");
}

#[test]
fn the_same_load_is_the_same_whether_from_corners_a_table_or_a_log() {
    let bench = Bench::new();
    bench.write("trace.csv", "seconds,per_second\n0,50\n300,50\n");
    let mut log = String::new();
    for second in 0..300 {
        for _ in 0..5 {
            let (minute, second) = (second / 60, second % 60);
            writeln!(log, "::1 - - [10/Oct/2000:13:{minute:02}:{second:02} +0000] \"GET / HTTP/1.1\" 200 9")
                .unwrap();
        }
    }
    bench.write("access.log", &log);
    let course = |arguments: &[&str]| {
        let (code, json, err) = bench.simulate(&[arguments, &["--json", "-"]].concat());
        assert_eq!(code, 0, "{err}");
        let json: Value = serde_json::from_str(&json).expect("JSON");
        json[0]["ticks"].as_array().expect("looks").clone()
    };
    let corners = course(&["--points", "0s=50,5m=50"]);
    assert_eq!(course(&["--trace", "trace.csv"]), corners);
    assert_eq!(course(&["--points", "0s=5,5m=5", "--times", "10"]), corners);
    // Five a second, ten times; a log ends in the middle of its last quarter of a minute.
    let logged = course(&["--log", "access.log", "--times", "10"]);
    assert_eq!(logged[..], corners[..logged.len()]);
    assert!(logged.len() + 1 >= corners.len(), "{} of {}", logged.len(), corners.len());
    let (code, _, err) = bench.simulate(&["--trace", "access.log"]);
    assert!(code == 2 && err.contains("access.log: line 1:"), "{code} {err}");
}

#[test]
fn a_picture_opens_and_shows_the_autoscaler() {
    let bench = Bench::new();
    let load = ["--points", "0s=100,2m=100,3m=600,10m=600", "--svg", "course.svg"];
    assert_eq!(bench.simulate(&load).0, 0);
    let svg = bench.read("course.svg");
    let open = svg.matches('<').count() - svg.matches("</").count();
    assert_eq!(open, svg.matches("</").count() + svg.matches("/>").count(), "every element is closed");
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.contains("#c0392b"), "{svg}");
    let Some(browser) = Browser::find() else {
        return eprintln!("SKIP there is no browser that could open it");
    };
    let seen = browser.open(&bench.path("course.svg")).expect("the browser runs");
    assert!(seen.document.contains("api: replicas over time, simulated"), "{}", seen.document);
    assert!(!seen.document.contains("parsererror"), "{}", seen.document);
    assert_eq!((seen.console, seen.asked), (Vec::new(), Vec::new()));
}

/// Each `sh` block of the document with the exit code beside it, and what the `text` block after it says, to the letter.
fn holds(document: &str, folder: &Path) -> Vec<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_offgridflow-loadtest")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let (mut faults, mut wrote) = (Vec::new(), String::new());
    for block in document.split("\n```").skip(1).step_by(2) {
        let (head, text) = block.split_once('\n').expect("a block has lines");
        let text = format!("{text}\n");
        if let Some(beside) = head.strip_prefix("sh") {
            let expected =
                beside.trim().strip_prefix("exit-").map_or(0, |code| code.parse().expect("a code"));
            let mut shell = Command::new("bash");
            let (code, out, err) =
                said(shell.args(["-euo", "pipefail", "-c", &text]).current_dir(folder).env("PATH", &path));
            if code != expected {
                faults.push(format!("exit code {code}, not {expected}: {text}{out}{err}"));
            }
            wrote = out;
        } else if text != wrote {
            faults.push(format!("not written:\n{text}but:\n{wrote}"));
        }
    }
    faults
}

#[test]
fn its_document_is_as_it_stands_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(document) = fs::read_to_string(root.join("docs/loadtest/autoscale.md")) else {
        return eprintln!("SKIP the guide is not part of the package");
    };
    let bench = Bench::new();
    fs::create_dir_all(bench.path("infra/k8s")).expect("folder");
    for name in ["hpa", "api", "worker", "web"] {
        let name = format!("infra/k8s/{name}.yaml");
        fs::copy(root.join(&name), bench.path(&name)).expect("a manifest");
    }
    assert!(document.matches("\n```sh").count() >= 4, "it lost its snippets");
    assert_eq!(holds(&document, bench.0.path()), Vec::<String>::new());

    // The control: a figure that is not what the command writes is found, and so is another exit code.
    let changed =
        document.replace("   330 s       407", "   330 s       408").replacen("```sh exit-1", "```sh", 1);
    assert_eq!(holds(&changed, bench.0.path()).len(), 2);
}
