//! `compare` and `steps` by the command, against servers of this test's own; what they claim is tested in `src/compare` and `src/steps`.
#![cfg(feature = "cli")]

mod common;

use std::{
    process::{Command, Output},
    time::Duration,
};

use common::{Behaviour, Server};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    let Output { status, stdout, stderr } = command.args(arguments).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("a code"), text(stdout), text(stderr))
}

#[test]
fn a_slower_build_is_called_slower_with_its_effect() {
    let slow = Behaviour { slow: Some(("/", Duration::from_millis(30))), ..Behaviour::default() };
    let (a, b) = (Server::start(), Server::behaving(slow));
    let few = ["--blocks", "6", "--for", "600ms", "--rate", "520", "--cool-down", "50ms", "--json", "-"];
    let (code, out, err) = run(&[&["compare", &a.url(), &b.url()], &few[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["schema"], "offgridflow-loadtest.compare/1");
    // A machine too busy to generate the load spoils blocks, which the comparison says.
    if json["found"]["finding"] == "invalid" {
        return eprintln!("SKIP too many runs were not valid here");
    }
    assert_eq!((code, &json["found"]["finding"]), (1, &"slower".into()), "{err}");
    assert!(json["found"]["ratio"].as_f64().expect("a ratio") > 2.0, "{out}");
    assert!(err.contains("run  24  ") && err.contains("B against A"), "{err}");
}

#[test]
fn saved_reports_stand_beside_each_other_and_what_they_cannot_tell_is_said() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let names = ["a.json", "b.json"].map(|name| folder.path().join(name).to_str().expect("text").to_owned());
    for (name, rate) in names.iter().zip(["500", "600"]) {
        let (_, _, err) = run(&["run", &server.url(), "--rate", rate, "--for", "1s", "-q", "--json", name]);
        assert!(err.is_empty(), "{err}");
    }
    let (code, out, err) = run(&["compare", &names[0], &names[1]]);
    assert_eq!(code, 3, "{out}{err}");
    for said in ["p95", "differs       load: open loop, 500", "time: they began", "in neither report"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    let (code, _, err) = run(&["compare", &names[0], &server.url()]);
    assert!(code == 2 && err.contains("two targets, or two reports"), "{err}");
}

#[test]
fn a_staircase_shows_its_law_and_how_many_replicas_a_rate_takes() {
    let slow = Behaviour { slow: Some(("/", Duration::from_millis(5))), ..Behaviour::default() };
    let server = Server::behaving(slow);
    let steps = ["--levels", "2,4,8,16", "--each", "900ms", "--rounds", "2", "-t", "p95(response) < 2s"];
    let (code, out, err) = run(&[&["steps", &server.url(), "--wanted", "50000"], &steps[..]].concat());
    if out.contains("nothing fits") {
        return assert_eq!(code, 3, "{out}{err}"); // too busy to generate the load, which it says
    }
    assert_eq!(code, 0, "{out}{err}");
    for said in ["workers     answered", "scaling     λ", "peak  ", "knee  ", "replicas    "] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert_eq!(err.lines().filter(|line| line.contains(" workers  ")).count(), 8, "{err}");
    let (code, _, err) = run(&["steps", &server.url(), "--workers", "5"]);
    assert!(code == 2 && err.contains("--workers"), "{err}");
    let (code, _, err) = run(&["steps", &server.url(), "--levels", "1,2"]);
    assert!(code == 2 && err.contains("levels"), "{err}");
}
