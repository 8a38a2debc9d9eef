//! The command's exit codes, streams and files.
#![cfg(feature = "cli")]

mod common;

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use common::{Behaviour, Server};
use offgridflow_loadtest::Report;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("a code"), text(stdout), text(stderr))
}

/// Like [`run`]; asks again if the machine was too busy to generate the load, which the run itself says.
fn run_unstarved(arguments: &[&str]) -> (i32, String, String) {
    let mut result = run(arguments);
    for _ in 0..4 {
        if !format!("{}{}", result.1, result.2).contains("verdict: GeneratorBound") {
            break;
        }
        result = run(arguments);
    }
    result
}

#[test]
fn a_healthy_run_exits_0_with_report_progress_and_json() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let (code, out, err) = run_unstarved(&[
        "run",
        &server.url(),
        "--rate",
        "400",
        "--for",
        "1s",
        "-t",
        "p95(response) < 2s",
        "--json",
        json.to_str().expect("text"),
    ]);
    assert_eq!((code, out.lines().last()), (0, Some("verdict: Valid")), "{out}{err}");
    assert!(err.contains("400 operations in 1s") && err.contains("  offered "), "{err}");
    let report = Report::from_json(&fs::read_to_string(&json).expect("written")).expect("a report");
    assert_eq!((report.offered, report.total.ok, server.requests() % 400), (400, 400, 0));
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "no partial file stays");
}

#[test]
fn a_scenario_runs_from_its_file() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    let text = format!(
        "thresholds = [\"achieved_rate >= 90%\"]\n[target]\nurl = \"{}\"\n[load]\nrequests_per_second = 400\nduration = \"1s\"\n\
         [[route]]\npath = \"/a\"\nweight = 3\n[[route]]\nmethod = \"PUT\"\npath = \"/b\"\nbody = \"x\"\n",
        server.url()
    );
    fs::write(&file, text).expect("written");
    let (code, out, err) = run_unstarved(&["run", file.to_str().expect("text"), "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("GET /a") && out.contains("PUT /b") && err.is_empty(), "{out}{err}");
}

#[test]
fn one_file_for_two_reports_is_refused_before_the_run() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("run.out");
    let roundabout = folder.path().join(".").join("run.out");
    for there_already in [false, true] {
        if there_already {
            fs::write(&file, "kept").expect("written");
        }
        let [json, log] = [&file, &roundabout].map(|path| path.to_str().expect("text"));
        let (code, _, err) = run(&["run", &server.url(), "-d", "1s", "--json", json, "--hdr-log", log]);
        assert!(code == 2 && err.contains("name two files"), "{code} {err}");
    }
    assert_eq!((server.requests(), &*fs::read_to_string(&file).expect("there")), (0, "kept"));
}

#[test]
fn a_broken_threshold_exits_1() {
    let server = Server::behaving(Behaviour { refuse: Some("/"), ..Behaviour::default() });
    let (code, out, _) = run_unstarved(&["run", &server.url(), "-r", "400", "-d", "1s", "-q"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("BROKEN") && out.contains("status 503"), "{out}");
}

#[test]
fn an_unreachable_target_exits_1_and_says_so() {
    let url = Server::start().url();
    let (code, out, _) = run(&["run", &url, "-r", "400", "-d", "60s", "-q"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("verdict: TargetDown: no session could be opened"), "{out}");
}

#[test]
fn too_few_samples_exit_3() {
    let server = Server::start();
    let (code, out, _) = run_unstarved(&["run", &server.url(), "-r", "20", "-d", "1s", "-q"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("verdict: Inconclusive") && out.contains("not judged"), "{out}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_shown_is_still_written() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("run.json");
    let arguments = ["run", "http://127.0.0.1:1", "-q", "-r", "20", "--for", "200ms", "--json"];
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let output = command(&arguments).arg(&file).stdout(full).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("cannot write to standard output"), "{said}");
    assert!(fs::read_to_string(&file).expect("a report").contains("\"verdict\""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_exits_4_and_the_rest_is_written() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let arguments = ["run", &server.url(), "-q", "-r", "400", "-d", "1s", "--hdr-log", "/dev/full", "--json"];
    let (code, out, err) = run_unstarved(&[&arguments[..], &[json.to_str().expect("text")]].concat());
    assert!(code == 4 && err.contains("cannot write /dev/full: ") && err.contains("space"), "{code} {err}");
    assert!(out.contains("verdict: Valid"), "{out}");
    let report = Report::from_json(&fs::read_to_string(&json).expect("written")).expect("a report");
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn wrong_usage_exits_2_in_a_sentence() {
    let folder = tempfile::tempdir().expect("folder");
    let missing = folder.path().join("none/run.json");
    let cases: [(&[&str], &str); 31] = [
        (&["run"], "SCENARIO"),
        (&["run", "", "--rate", "9"], "the scenario or URL is empty"),
        (&["run", "http://:80/", "--rate", "9"], "the host is missing"),
        (&["run", "http://a\u{1b}[31mb/"], "`http://a\\u{1b}[31mb/`"),
        (&["run", "http://127.0.0.1:99999"], "the port is not a number"),
        (&["run", "http://127.0.0.1:http/"], "the port is not a number"),
        (&["run", "http://127.0.0.1:1", "--rate", "fast"], "--rate"),
        (&["run", "http://127.0.0.1:1", "--for", "30"], "needs a unit"),
        (&["run", "http://127.0.0.1:1", "--for", "0s"], "longer than zero"),
        (&["run", "http://127.0.0.1:1", "--timeout", "-1ms"], "`-1ms` is negative"),
        (&["run", "http://127.0.0.1:1", "-r", "100", "--think-time", "10s"], "raise it to 1000"),
        (
            &["run", "http://127.0.0.1:1", "-r", "1000", "-c", "40", "--expected-latency", "50ms"],
            "keeps 50 operations busy at a time, more than the 40 allowed",
        ),
        (&["run", "http://127.0.0.1:1", "-t", "p95 < 1s"], "not a metric"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--deadline", "0s"], "deadline: must be longer than zero"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--speed", "2"], "--speed: is about a log: add --replay"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--log-time", "t"], "--log-time: is about a log"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--shards", "0"], "shards: at least one thread"),
        (
            &["run", "http://127.0.0.1:1", "-r", "9", "--shards", "1000"],
            "shards: 1000 threads cannot share 256",
        ),
        (&["run", "127.0.0.1:18080", "-r", "9"], "did you mean http://127.0.0.1:18080?"),
        (&["run", "http://127.0.0.1:1", "-X", "CONNECT"], "CONNECT is for proxies"),
        (&["run", "http://127.0.0.1:1", "--for", "1h30m"], "90m"),
        (&["run", "http://127.0.0.1:1", "-c", "some"], "write a whole number from 0 up"),
        (&["run", "http://127.0.0.1:1", "--seed", "-1"], "write a whole number from 0 up"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--gamma", "x"], "write a number"),
        (&["run", "http://127.0.0.1:1", "-r", "9", "--gamma", "1e-300"], "not 1e-300; 1 is Poisson"),
        (&["run", "http://127.0.0.1:1", "--poisson"], "--poisson: is about arrivals at a rate: add --rate"),
        (&["run", "http://127.0.0.1:1", "--gamma", "2"], "--gamma: is about arrivals at a rate: add --rate"),
        (&["run", "http://127.0.0.1:1", "-t", "failure_ratio <= 100%"], "(`--failure-threshold 100%`)"),
        (&["run", "missing.toml", "--seed", "3"], "cannot read missing.toml"),
        (&["run", "missing.toml"], "cannot read missing.toml"),
        (&["run", "http://127.0.0.1:1", "--json", missing.to_str().expect("text")], "--json: cannot write"),
    ];
    for (arguments, part) in cases {
        let (code, _, err) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(part), "{part} in {err}");
    }
}

#[test]
fn a_plan_beyond_the_machine_exits_4() {
    let server = Server::start();
    let (code, out, err) = run(&["preflight", &server.url(), "-r", "10"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("open loop, 300 operations in 30s") && out.contains("can carry it"), "{out}");
    for looked_at in [
        "open files",
        "rate          up to 10/s are wanted",
        "cores",
        "clock",
        "target        127.0.0.1:",
        ", accepts a connection after ",
    ] {
        assert!(out.contains(looked_at), "{looked_at}: {out}");
    }
    let (code, _, err) = run(&["preflight", "http://127.0.0.1:1", "-r", "5000000", "--shards", "1"]);
    assert!(code == 4 && err.contains("operations a second: this plan needs 5000000"), "{code} {err}");
    let (code, _, err) = run(&["run", &server.url(), "-r", "5000000", "--for", "1s", "--shards", "1", "-q"]);
    assert!(code == 4 && err.contains("operations a second: this plan needs 5000000"), "{code} {err}");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let (code, out, err) = run(&["preflight", &server.url(), "-r", "10", "--shards", &cores]);
    let doubtful = out.lines().any(|line| line.starts_with('!'));
    assert!(code == 0 && out.contains("can carry it") != doubtful, "{out}{err}");
    assert_eq!(out.contains("what is marked with ! will probably show"), doubtful, "{out}");
    let (code, _, err) = run(&["preflight", "http://no-such-host.invalid", "-r", "10", "--timeout", "5s"]);
    assert!(code == 4 && err.contains("no-such-host.invalid"), "{code} {err}");
    let (code, out, err) = run(&["preflight", "http://127.0.0.1:1", "-r", "10"]); // nobody listens there
    assert!(code == 4 && err.contains("127.0.0.1:1: Connection refused"), "{code} {err}");
    assert!(out.contains("open loop, 300 operations in 30s"), "the plan is shown all the same: {out}");
    // A shell of its own, so that its limit binds nobody else.
    let binary = env!("CARGO_BIN_EXE_offgridflow-loadtest");
    let script = format!("ulimit -n 100; exec {binary} preflight http://127.0.0.1:1 -r 10 -c 200");
    let limited = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    let err = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(4), "{err}");
    assert!(
        err.contains("open files: this plan needs 224, there are 100; 200 of them for operations"),
        "{err}"
    );
    // So few that nothing can start, and just enough for one connection.
    for (files, code, part) in [(4, 4, "raise the limit on open files (`ulimit -n`)"), (48, 0, "")] {
        let url = server.url();
        let script = format!("ulimit -n {files}; exec {binary} preflight {url} -r 10 -c 8");
        let limited = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        let err = String::from_utf8_lossy(&limited.stderr);
        assert!(limited.status.code() == Some(code) && err.contains(part), "{files}: {err}");
    }
}

#[test]
fn a_report_goes_to_standard_output_by_its_usual_name() {
    let server = Server::start();
    let (code, out, err) =
        run_unstarved(&["run", &server.url(), "-r", "400", "-d", "1s", "-q", "--json", "-"]);
    let report = Report::from_json(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!((code, i32::from(report.exit_code())), (0, 0), "{out}{err}");
    assert!(err.ends_with("verdict: Valid\n"), "{err}");
    let (code, _, err) = run(&["run", &server.url(), "-d", "1s", "--hdr-log", "-"]);
    assert!(code == 2 && err.contains("--hdr-log: name a file"), "{code} {err}");
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_exits_130_with_a_partial_report() {
    // Twice at once, as `timeout -s INT` does: to the process and to its group; and a terminal that is closed.
    for script in ["kill -INT $0; kill -INT $0", "kill -HUP $0"] {
        interrupted_by(script);
    }
}

/// What was started to outlive its terminal does.
#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_is_ignored_ends_nothing() {
    let server = Server::start();
    let binary = env!("CARGO_BIN_EXE_offgridflow-loadtest");
    let script = format!("trap '' HUP; exec {binary} run {} -r 200 -d 2s -q", server.url());
    let child = Command::new("sh").args(["-c", &script]).stdout(std::process::Stdio::piped()).spawn();
    let child = child.expect("starts");
    while server.requests() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        Command::new("sh")
            .args(["-c", "kill -HUP $0", &child.id().to_string()])
            .status()
            .expect("kill")
            .success()
    );
    let out = child.wait_with_output().expect("ends");
    let out = String::from_utf8_lossy(&out.stdout);
    assert!(out.contains("400 begun") && !out.contains("interrupted after"), "{out}");
}

#[cfg(target_os = "linux")]
fn interrupted_by(script: &str) {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let mut command = command(&[
        "run",
        &server.url(),
        "-r",
        "100",
        "-d",
        "600s",
        "-q",
        "--json",
        json.to_str().expect("text"),
    ]);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    while server.requests() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("sh").args(["-c", script, &pid]).status().expect("kill").success());
    let output = child.wait_with_output().expect("ends");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{out}");
    assert!(out.contains("interrupted after") && out.contains("not judged"), "{out}");
    let report = Report::from_json(&fs::read_to_string(&json).expect("written")).expect("a whole report");
    assert!(report.total.ok >= 19);
}

/// By symbolic links, so that nothing real could be replaced.
#[test]
#[cfg(target_os = "linux")]
fn a_report_goes_into_what_is_no_file_and_does_not_take_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let report = |to: &str| {
        let _ = fs::remove_file(&json);
        std::os::unix::fs::symlink(to, &json).expect("a link");
        run(&[
            "run",
            "http://127.0.0.1:1",
            "-r",
            "10",
            "-d",
            "1s",
            "-q",
            "--json",
            json.to_str().expect("text"),
        ])
    };
    let (code, out, err) = report("/dev/stdout");
    assert!(code == 1 && out.contains("\"schema\""), "{code} {out}{err}");
    let (code, _, err) = report("/dev/full");
    assert!(code == 4 && err.contains("cannot write") && err.contains("space"), "{code} {err}");
    assert!(json.is_symlink(), "it is there still");
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "no partial file stays");
}

/// Stopped for a second of three, by a signal as a shell's job control sends it.
#[test]
#[cfg(target_os = "linux")]
fn a_generator_that_was_stopped_is_not_called_short_of_cores() {
    let server = Server::start();
    let paused = || {
        let before = server.requests();
        let mut command = command(&["run", &server.url(), "-r", "200", "-d", "3s", "-q"]);
        let child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
        while server.requests() < before + 100 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (script, pid) = ("kill -STOP $0; sleep 1; kill -CONT $0", child.id().to_string());
        assert!(Command::new("sh").args(["-c", script, &pid]).status().expect("kill").success());
        let output = child.wait_with_output().expect("ends");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // A machine on which it waits longer than that for a core says so instead.
    let mut said: Vec<String> = Vec::new();
    while said.len() < 4
        && !said.iter().any(|out| out.contains("the whole process stood still for at least "))
    {
        said.push(paused());
        assert!(said[said.len() - 1].contains("verdict: GeneratorBound"), "{said:?}");
    }
    assert!(said.len() < 4, "{said:?}");
}

/// Rates below one a second are rates, and a plan says its settings as people write them.
#[test]
fn a_plan_shows_small_rates_and_settings_in_plain_words() {
    let server = Server::start();
    let shown = |flags: &[&str]| {
        let (code, out, err) = run(&[&["preflight", &server.url()], flags].concat());
        assert_eq!(code, 0, "{out}{err}");
        out
    };
    let out = shown(&["--rate", "0.1", "--for", "60s", "--warm-up", "5s", "--deadline", "1s", "--shed"]);
    for part in [
        "6 operations in 60s, up to 0.1/s\n",
        "rate          up to 0.1/s are wanted",
        "warm-up     5s\n",
        "deadline    1s, what could not begin by then is shed\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let out = shown(&["--rate", "2.5", "--for", "60s", "--warm-up", "auto", "--deadline", "1s"]);
    for part in [
        "up to 2.5/s\n",
        "warm-up     auto\n",
        "deadline    1s, what could not begin by then is run all the same\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn a_header_that_is_said_twice_is_sent_twice() {
    let server = Server::start();
    let (_, out, err) = run(&[
        "run",
        &server.url(),
        "-r",
        "20",
        "-d",
        "200ms",
        "-q",
        "-H",
        "x-tag: one",
        "-H",
        "x-tag: two",
        "-H",
        "Host: other",
    ]);
    let headers = server.last().headers;
    let sent = |line: &str| headers.iter().filter(|header| header.eq_ignore_ascii_case(line)).count();
    assert_eq!(
        (sent("x-tag: one"), sent("x-tag: two"), sent("host: other")),
        (1, 1, 1),
        "{headers:?} {out}{err}"
    );
    assert_eq!(
        headers.iter().filter(|header| header.to_lowercase().starts_with("host:")).count(),
        1,
        "{headers:?}"
    );
}

/// Whatever ends the process, no file is left that looks like a report and is none.
#[test]
#[cfg(target_os = "linux")]
fn a_process_that_is_killed_leaves_no_half_report() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let mut command = command(&["run", &server.url(), "-r", "100", "-d", "600s", "-q", "--json"]);
    let mut child = command.arg(&json).stdout(std::process::Stdio::null()).spawn().expect("starts");
    while server.requests() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ends");
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
}

#[test]
fn a_dry_run_shows_the_plan_and_sends_nothing() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let (file, json) = (folder.path().join("load.toml"), folder.path().join("run.json"));
    let text = format!(
        "thresholds = [\"p95(response){{GET /a}} < 1s\"]\n[target]\nurl = \"{}\"\n[load]\nrequests_per_second = 400\n\
         [[route]]\npath = \"/a\"\nweight = 3\n[[route]]\nmethod = \"PUT\"\npath = \"/b\"\nexpect = \"201, 400-404\"\n",
        server.url()
    );
    fs::write(&file, text).expect("written");
    let [file, json] = [&file, &json].map(|path| path.to_str().expect("text"));
    let (code, out, err) = run(&["run", file, "--dry-run", "--json", json]);
    assert_eq!((code, server.connections()), (0, 0), "{out}{err}");
    for part in [
        "open loop, 12000 operations in 30s, up to 400/s",
        "threshold   p95(response){GET /a} < 1s",
        "route        75.0 %  GET /a\n",
        "route        25.0 %  PUT /b, expects 201, 400-404\n",
        "dry run     nothing was sent\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!std::path::Path::new(json).exists(), "and nothing is written");
}

#[test]
fn a_wrong_scenario_is_refused_with_file_line_field_and_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    fs::write(&file, "[target]\nurl = \"http://127.0.0.1:1\"\n[load]\ntimout = \"1s\"\n").expect("written");
    let (code, _, err) = run(&["run", file.to_str().expect("text")]);
    let expected = format!(
        "error: {}:4: load.timout: unknown field `timout`: did you mean `timeout`?\n",
        file.display()
    );
    assert_eq!((code, err), (2, expected));
}

#[test]
fn a_scenario_to_begin_with_is_written_once_and_runs() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("first.toml");
    let file = file.to_str().expect("text");
    let (code, out, err) = run(&["init", file, "--url", &server.url()]);
    assert!(
        code == 0 && out.contains(&format!("offgridflow-loadtest run {file} --dry-run")),
        "{code} {out}{err}"
    );
    let (code, out, err) = run(&["run", file, "--dry-run"]);
    assert!(
        code == 0 && out.contains(&server.url()) && out.contains("100.0 %  GET /\n"),
        "{code} {out}{err}"
    );

    fs::write(file, "mine").expect("written");
    let (code, _, err) = run(&["init", file]);
    assert!(code == 2 && err.contains("is there already: name another file, or --force"), "{code} {err}");
    assert_eq!(fs::read_to_string(file).expect("there"), "mine");
    assert_eq!(run(&["init", file, "--force"]).0, 0);
    assert!(fs::read_to_string(file).expect("there").contains("requests_per_second = 50"));

    let (code, out, _) = run(&["init", "-", "--url", "http://localhost:1234"]);
    assert!(code == 0 && out.contains("url = \"http://localhost:1234\""), "{out}");
    let (code, _, err) = run(&["init", file, "--force", "--url", "ftp://x"]);
    assert!(code == 2 && err.contains("it has to begin with http://"), "{code} {err}");
}

#[test]
fn a_rule_that_holds_exits_5_with_a_partial_report() {
    let server = Server::behaving(Behaviour { refuse: Some("/"), ..Behaviour::default() });
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    let text = format!(
        "abort_if = [\"failures[1s] >= 50\"]\n[target]\nurl = \"{}\"\n[load]\nrequests_per_second = 200\n",
        server.url()
    );
    fs::write(&file, text).expect("written");
    let flags =
        ["run", &server.url(), "-r", "200", "-d", "60s", "-q", "--abort-if", "failure_ratio[1s] > 50%"];
    let scenario = ["run", file.to_str().expect("text"), "-q"];
    for (arguments, rule) in [(&flags[..], "failure_ratio[1s] > 50%"), (&scenario[..], "failures[1s] >= 50")]
    {
        let (code, out, err) = run(arguments);
        assert!(code == 5 && out.contains(&format!(": `{rule}` held, with ")), "{code} {out}{err}");
        assert!(out.contains("thresholds were not judged") && out.contains("status 503"), "{out}");
    }
    let (code, _, err) = run(&["run", &server.url(), "--abort-if", "failure_ratio > 50%"]);
    assert!(
        code == 2 && err.contains("abort_if: `failure_ratio > 50%`: say over which time"),
        "{code} {err}"
    );
}

#[test]
fn a_report_is_written_in_every_form_and_shown_again() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let [json, html, junit, prom, windows] =
        ["run.json", "run.html", "run.xml", "run.prom", "run.ndjson"].map(path);
    let flags =
        ["--json", &json, "--html", &html, "--junit", &junit, "--prometheus", &prom, "--windows", &windows];
    let start = ["run", &server.url(), "-q", "-r", "400", "-d", "1s", "-t", "p95(response) < 2s"];
    let (code, out, err) = run_unstarved(&[&start[..], &flags].concat());
    assert!([0, 3].contains(&code), "{out}{err}"); // 3 on a starved machine
    let read = |path: &str| fs::read_to_string(path).expect(path);
    assert!(read(&junit).contains("name=\"p95(response) &lt; 2s\""), "{}", read(&junit));
    let exit_code = format!("offgridflow_loadtest_exit_code {code}\n");
    assert!(read(&prom).contains(&exit_code), "{}", read(&prom));
    assert!(
        read(&windows).lines().count() >= 1 && read(&windows).contains("\"to_ns\":"),
        "{}",
        read(&windows)
    );
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 5, "no partial file stays");

    let (again, shown, err) = run(&["report", &json]);
    assert_eq!((again, &*shown), (code, &*out), "the same text: {err}");
    let (again, shown, err) = run(&["report", &html]);
    assert_eq!((again, &*shown), (code, &*out), "a page holds its report: {err}");
    let (again, page, err) = run(&["report", &json, "--html", "-"]);
    assert_eq!((again, &*page), (code, &*read(&html)), "{err}");
    let (again, xml, err) = run(&["report", &json, "--junit", "-"]);
    assert_eq!((again, &*xml), (code, &*read(&junit)), "{err}");
    let (code, _, err) = run(&["report", &junit]);
    assert!(code == 2 && err.contains("is no report of this tool"), "{code} {err}");
    let (code, _, err) = run(&["report", &json, "--junit", "-", "--prometheus", "-"]);
    assert!(
        code == 2 && err.contains("--junit and --prometheus: - can hold one of them only"),
        "{code} {err}"
    );
    let (code, _, err) = run(&["run", &server.url(), "--windows", "-"]);
    assert!(code == 2 && err.contains("--windows: name a file"), "{code} {err}");
}

/// A wrong path costs no run, and nothing is left of any other form.
#[test]
fn a_page_that_cannot_be_written_is_refused_before_the_run() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (json, html) = (path("run.json"), path("missing/run.html"));
    let (code, out, err) = run(&["run", &server.url(), "-r", "50", "--json", &json, "--html", &html]);
    assert!(code == 2 && out.is_empty() && err.contains("--html: cannot write"), "{code} {out}{err}");
    assert_eq!((server.requests(), fs::read_dir(folder.path()).expect("folder").count()), (0, 0));
    let (code, _, err) = run(&["run", &server.url(), "--html", &json, "--json", &json]);
    assert!(code == 2 && err.contains("--json and --html"), "{code} {err}");
}

/// A gate that looks at a report later decides as the run did.
#[test]
fn a_report_that_is_shown_again_exits_as_its_run_did() {
    let server = Server::behaving(Behaviour { refuse: Some("/"), ..Behaviour::default() });
    let folder = tempfile::tempdir().expect("folder");
    let json = folder.path().join("run.json");
    let json = json.to_str().expect("text");
    let (code, ..) = run_unstarved(&["run", &server.url(), "-r", "400", "-d", "1s", "-q", "--json", json]);
    assert!(code != 0 && run(&["report", json]).0 == code, "{code}");
}
