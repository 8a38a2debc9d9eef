//! Schedules from the command line: random ones, logs, and impossible ones.
#![cfg(feature = "cli")]

mod common;

use std::{fmt::Write, fs, process::Command};

use common::Server;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    let output = command.args(arguments).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

#[test]
fn a_log_is_replayed_against_a_url() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("access.log");
    let mut log = String::from("not a log line\n");
    for n in 0..400 {
        let second = 36 + n / 100;
        writeln!(log, "::1 - - [10/Oct/2000:13:55:{second} -0700] \"GET /sites/{n}?x=1 HTTP/1.1\" 200 9")
            .unwrap();
    }
    fs::write(&file, log).expect("written");
    let file = file.to_str().expect("text");
    let (code, out, err) = run(&["run", &server.url(), "--replay", file, "--speed", "8", "--queue", "-q"]);
    assert!([0, 3].contains(&code), "{out}{err}"); // 3 on a starved machine
    assert!(
        out.contains("replaying 400 of 401 lines, 1 refused") && out.contains("GET /sites/{id}"),
        "{out}"
    );
    assert!(out.contains("400 operations in 500ms, up to 800/s"), "{out}");
    let left_out = "note: the log's line 1 has no time such as";
    assert!(err.contains(left_out) && !out.contains(left_out), "{err}");
    assert_eq!((server.requests(), &*server.last().line), (400, "GET /sites/399?x=1 HTTP/1.1"));

    let scenario = folder.path().join("load.toml");
    let text = format!("[target]\nurl = \"{}\"\n[load.replay]\nfile = \"access.log\"\n", server.url());
    fs::write(&scenario, text).expect("written");
    let (code, _, err) = run(&["preflight", scenario.to_str().expect("text")]);
    assert!(code == 0 && err.contains(left_out), "a scenario says the same: {code} {err}");
}

#[test]
fn a_log_is_replayed_by_visits() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("access.csv");
    let asked = |n: u32| format!("{}.{n:02},u{},/sites/{n}\n", 10 + n % 3, n % 20);
    fs::write(&file, format!("time,user,path\n{}", (0..60).map(asked).collect::<String>())).expect("written");
    let replay = ["run", &server.url(), "--replay", file.to_str().expect("text"), "--visits", "30m", "-q"];
    let (code, _, err) = run(&replay);
    assert!(code == 2 && err.contains("there is no column `client` in the header `time,user,path`"), "{err}");
    let (code, out, err) = run(&[&replay[..], &["--log-client", "user"]].concat());
    assert!([0, 3].contains(&code), "{out}{err}");
    assert!(out.contains("60 of 60 lines, ") && out.contains(" out of order, in 20 visits"), "{out}");
    assert!(out.contains("GET /sites/{id}") && server.requests() == 60, "{out}");
    let (code, _, err) = run(&["run", &server.url(), "--rate", "9", "--visits", "30m"]);
    assert!(code == 2 && err.contains("is about a log: add --replay"), "{err}");
}

#[test]
fn how_many_lines_may_be_refused_is_up_to_the_caller() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("access.log");
    let line = |request: &str| format!("::1 - - [10/Oct/2000:13:55:36 -0700] \"{request}\" 200 9\n");
    let requests = ["GET / HTTP/1.1", "-", "CONNECT a:443 HTTP/1.1", "GET /b HTTP/1.1"];
    fs::write(&file, requests.map(line).concat()).expect("written");
    let server = Server::start();
    let arguments = ["preflight", &server.url(), "--replay", file.to_str().expect("text")];
    let (code, _, err) = run(&arguments);
    assert!(
        code == 2 && err.contains("2 of 4 lines cannot be used as clf, above the 1% that"),
        "{code} {err}"
    );
    let (code, out, err) = run(&[&arguments[..], &["--max-refused", "50%"]].concat());
    assert!(code == 0 && out.contains("2 of 4 lines, 2 refused"), "{code} {out}{err}");
    assert!(err.contains("line 2 has `-` for a request") && err.contains("line 3 asks for CONNECT"), "{err}");
}

#[test]
fn gamma_arrivals_have_a_random_count() {
    let server = Server::start();
    let plan = |shape| run(&["preflight", &server.url(), "--rate", "100", "--gamma", shape, "--seed", "3"]);
    let (code, bursts, err) = plan("0.2");
    assert_eq!(code, 0, "{err}");
    assert!(bursts.contains("open loop") && !bursts.contains(" 3000 operations"), "{bursts}");
    assert_ne!(bursts, plan("5").1);
    let flags = ["preflight", &server.url(), "--rate", "100", "--bursts", "5,10%,2s"];
    let (code, lasting, err) = run(&flags);
    assert_eq!(code, 0, "{err}");
    assert!(lasting.contains("up to 500/s") && !lasting.contains(" 3000 operations"), "{lasting}");
}

#[test]
fn impossible_schedules_exit_2_in_a_sentence() {
    let folder = tempfile::tempdir().expect("folder");
    let empty = folder.path().join("empty.log");
    fs::write(&empty, "").expect("written");
    let empty = empty.to_str().expect("text");
    let cases: [(&[&str], &str); 20] = [
        (&["--rate", "NaN"], "a rate must be a number"),
        (&["--rate", "inf"], "a rate must be a number"),
        (&["--rate", "-5"], "a rate must be a number"),
        (&["--rate", "0"], "nothing is ever due"),
        (&["--rate", "1e9"], "a rate must be a number"),
        (&["--rate", "1e8", "--for", "10s", "--poisson"], "2^28"),
        (&["--rate", "1", "--for", "2401h"], "100 days"),
        (&["--rate", "5", "--gamma", "NaN"], "shape"),
        (&["--rate", "5", "--gamma", "-1"], "shape"),
        (&["--rate", "5", "--bursts", "5,10%"], "5,10%,2s"),
        (&["--rate", "5", "--bursts", "50,10%,2s"], "at most 10.000 times"),
        (&["--bursts", "5,10%,2s"], "--bursts: is about arrivals at a rate"),
        (&["--rate", "5", "--bursts", "5,10%,2s", "--poisson"], "cannot be used with"),
        (&["--replay", "none.log"], "cannot open none.log: "),
        (&["--replay", empty], "the log is empty"),
        (&["--replay", "/"], "cannot open /: it is a folder"),
        (&["--replay", empty, "--max-refused", "200%"], "error: --max-refused: must be a share"),
        (&["--rate", "5", "--max-refused", "2%"], "--max-refused: is about a log"),
        (&["--replay", empty, "--speed", "NaN"], "error: --speed: must be a number"),
        (&["--replay", empty, "--rate", "5"], "cannot be used with"),
    ];
    for (flags, part) in cases {
        let arguments: Vec<_> = ["run", "http://127.0.0.1:1"].iter().chain(flags).copied().collect();
        let (code, _, err) = run(&arguments);
        assert_eq!(code, 2, "{flags:?}: {err}");
        assert!(err.contains(part), "{flags:?}: {part} in {err}");
    }
}

/// A log that does not say what was asked is refused, and asked right once the columns are named.
#[test]
fn columns_of_other_names_are_named_on_the_command_line() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let logs = [
        (
            "log.csv",
            "when,verb,url\n",
            "1.000,PUT,/sites/1\n1.200,PUT,/sites/2\n",
            "its columns are when, verb, url;",
        ),
        (
            "log.ndjson",
            "",
            "{\"when\":1.0,\"verb\":\"PUT\",\"url\":\"/sites/1\",\"ts\":1}\n\
             {\"when\":1.2,\"verb\":\"PUT\",\"url\":\"/sites/2\",\"ts\":2}\n",
            "its columns are ts, url, verb, when;",
        ),
    ];
    for (name, header, lines, found) in logs {
        let file = folder.path().join(name);
        fs::write(&file, format!("{header}{lines}")).expect("written");
        let arguments = ["run", &server.url(), "--replay", file.to_str().expect("text"), "-q"];
        let (code, _, err) = run(&arguments);
        assert!(code == 2 && err.contains(found) && err.contains("--log-path NAME"), "{code} {err}");
        let named = ["--log-time", "when", "--log-method", "verb", "--log-path", "url"];
        let (code, out, err) = run(&[&arguments[..], &named].concat());
        assert!(code == 3 && out.contains("PUT /sites/{id}"), "two are too few to judge: {code} {out}{err}");
        assert_eq!(server.last().line, "PUT /sites/2 HTTP/1.1");
    }
    let bare = folder.path().join("bare.csv");
    fs::write(&bare, "1.0\n1.2\n").expect("written");
    let (code, _, err) = run(&["run", &server.url(), "--replay", bare.to_str().expect("text"), "-q"]);
    assert!(code == 2 && err.contains("header such as `time,method,path`"), "{code} {err}");
}
