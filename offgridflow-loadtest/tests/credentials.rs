//! Credentials are sent, and nothing that the tool writes ever holds them.
#![cfg(feature = "cli")]

mod common;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use common::{Behaviour, Seen, Server};
use offgridflow_loadtest::{HttpRoute, HttpTarget, Scenario};

const USER: &str = "load-user";
const PASSWORD: &str = "p4ss/w:rd";
const TOKEN: &str = "t0ken-of-nobody";
/// `load-user:p4ss/w:rd` in Base64.
const BASIC: &str = "bG9hZC11c2VyOnA0c3MvdzpyZA==";

/// Everything that one of them could be recognised by.
const SECRETS: [&str; 4] = ["p4ss", TOKEN, "bG9hZC11c2Vy", "p4ss%2Fw"];

fn guarded(seen: &Seen) -> Vec<u8> {
    let says = |value: &str| seen.headers.contains(&format!("authorization: {value}"));
    let status =
        if says(&format!("Basic {BASIC}")) || says(&format!("Bearer {TOKEN}")) { "200 OK" } else { "401 No" };
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

fn server() -> Server {
    Server::behaving(Behaviour { script: Some(guarded), ..Behaviour::default() })
}

/// All that a run writes, by what it is called.
fn everything(folder: &Path, arguments: &[&str]) -> (i32, BTreeMap<String, String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    command.current_dir(folder).args(arguments);
    command
        .env("LOAD_TOKEN", TOKEN)
        .env("LOAD_PASSWORD", PASSWORD)
        .env("LOAD_BASIC", format!("{USER}:{PASSWORD}"));
    command.env("LOAD_BROKEN", format!("{TOKEN}\nx: 1"));
    let output = command.output().expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all =
        BTreeMap::from([("out".into(), text(&output.stdout)), ("err".into(), text(&output.stderr))]);
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("text");
        if name != "load.toml" {
            all.insert(name, text(&fs::read(entry.path()).expect("readable")));
        }
    }
    (output.status.code().expect("a code"), all)
}

fn assert_silent(all: &BTreeMap<String, String>) {
    for (name, text) in all {
        for secret in SECRETS {
            assert!(!text.contains(secret), "`{secret}` is in {name}: {text}");
        }
    }
}

const FORMS: [&str; 10] = [
    "--json",
    "a.json",
    "--junit",
    "a.xml",
    "--prometheus",
    "a.prom",
    "--windows",
    "a.ndjson",
    "--hdr-log",
    "a.hlog",
];

#[test]
fn credentials_are_sent_and_in_no_form_of_a_report() {
    let server = server();
    let at = server.addr;
    let plain = format!("http://{at}/");
    let in_url = format!("http://{USER}:p4ss%2Fw:rd@{at}/");
    for (url, flags) in [
        (&*in_url, &[][..]),
        (&plain, &["--bearer-env", "LOAD_TOKEN"]),
        (&plain, &["--basic-env", "LOAD_BASIC"]),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let run = [&["run", url, "-r", "400", "-d", "1s"][..], flags, &FORMS].concat();
        let (_, all) = everything(folder.path(), &run);
        assert!(all.len() == 7 && all["a.json"].contains("\"ok\": 400"), "{flags:?}: {all:?}");
        assert_silent(&all);
        for more in [&["preflight", url, "-r", "4"][..], &["run", url, "-r", "4", "--dry-run"]] {
            let (code, all) = everything(folder.path(), &[more, flags].concat());
            assert_eq!(code, 0, "{all:?}");
            assert_silent(&all);
        }
        let (_, all) = everything(folder.path(), &["report", "a.json"]);
        assert_silent(&all);
    }
}

#[test]
fn a_scenario_takes_credentials_from_the_environment_and_from_its_table() {
    let server = server();
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("users.csv"), format!("user,word\n{USER},{PASSWORD}\n")).expect("written");
    for auth in [
        "{ bearer = \"${env.LOAD_TOKEN}\" }",
        "{ basic = { user = \"load-user\", password = \"${env.LOAD_PASSWORD}\" } }",
        "{ basic = { user = \"${row.user}\", password = \"${row.word}\" } }",
    ] {
        let text = format!(
            "[target]\nurl = \"{}\"\nauth = {auth}\n[load]\nrequests_per_second = 400\nduration = \"1s\"\n[feed]\nfile = \"users.csv\"\n",
            server.url()
        );
        fs::write(folder.path().join("load.toml"), &text).expect("written");
        let (_, mut all) = everything(folder.path(), &[&["run", "load.toml"][..], &FORMS].concat());
        assert!(all["a.json"].contains("\"ok\": 400"), "{all:?}");
        all.remove("users.csv");
        assert_silent(&all);
        let (code, mut all) = everything(folder.path(), &["run", "load.toml", "--dry-run"]);
        all.remove("users.csv");
        assert_eq!(code, 0, "{all:?}");
        assert_silent(&all);
        let scenario = Scenario::parse(&text).expect("a scenario");
        assert!(!format!("{scenario:?}").contains(USER), "{scenario:?}");
    }
}

/// What a path takes from the environment is named by its variable, also where nothing else differs between operations.
#[test]
fn a_path_from_the_environment_is_named_by_its_variable() {
    let server = server();
    let folder = tempfile::tempdir().expect("folder");
    let scenario = |route: &str| {
        let text = format!(
            "[target]\nurl = \"{}\"\n[load]\nrequests_per_second = 400\nduration = \"1s\"\n{route}",
            server.url()
        );
        fs::write(folder.path().join("load.toml"), text).expect("written");
    };
    for table in ["[[route]]", "[[flow]]\nname = \"f\"\n[[flow.step]]"] {
        scenario(&format!("{table}\npath = \"/hook/${{env.LOAD_TOKEN}}?k=${{env.LOAD_TOKEN}}\"\n"));
        let (_, all) = everything(folder.path(), &[&["run", "load.toml"][..], &FORMS].concat());
        assert!(all["a.json"].contains("GET /hook/{LOAD_TOKEN}\""), "{all:?}");
        assert_silent(&all);
        let seen = server.last().line;
        assert!(seen.contains(&format!("GET /hook/{TOKEN}?k={TOKEN} ")), "{seen}");
        let (code, all) = everything(folder.path(), &["run", "load.toml", "--dry-run"]);
        assert!(code == 0 && all["out"].contains("/hook/{LOAD_TOKEN}"), "{all:?}");
        assert_silent(&all);
    }
    scenario("[[route]]\npath = \"/${env.LOAD_TOKEN} no\"\n");
    let (code, all) = everything(folder.path(), &["run", "load.toml"]);
    assert!(code == 2 && all["err"].contains("`/{LOAD_TOKEN} no` has to begin with a slash"), "{all:?}");
    assert_silent(&all);
}

/// Each is refused before anything is sent, by the name of the variable and without its value.
#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let url = "http://127.0.0.1:1/";
    for (arguments, said) in [
        (
            &["run", url, "--bearer-env", "LOAD_NOTHING"][..],
            "--bearer-env: the environment has no `LOAD_NOTHING`",
        ),
        (&["run", url, "--bearer-env", "LOAD_BROKEN"], "--bearer-env: the credentials hold characters"),
        (
            &["run", url, "--basic-env", "LOAD_TOKEN"],
            "`LOAD_TOKEN` does not hold a user, a colon and a password",
        ),
        (
            &["run", "http://u:p4ss@127.0.0.1:1", "--bearer-env", "LOAD_TOKEN"],
            "credentials were given already",
        ),
        (&["run", "http://u:p4ss%ff@127.0.0.1:1"], "not UTF-8"),
        (&["run", "http://u:p4ss@127.0.0.1:x"], "http"),
        (&["run", "ftp://u:p4ss@127.0.0.1"], "has to begin with http://"),
        (&["run", "u:p4ss@127.0.0.1"], "is no file"),
        (&["run", "u:p4ss@127.0.0.1:80/", "-r", "9"], "did you mean http://…@127.0.0.1:80/?"),
        (&["init", "-", "--url", "http://u:p4ss@127.0.0.1"], "credentials in it would stand in the file"),
    ] {
        let (code, all) = everything(folder.path(), arguments);
        assert!(code == 2 && all["err"].contains(said), "{arguments:?}: {all:?}");
        assert_silent(&all);
    }
    for (auth, field, said) in [
        (
            "{ bearer = \"${env.LOAD_NOTHING}\" }",
            "target.auth.bearer",
            "the environment has no `LOAD_NOTHING`",
        ),
        (
            "{ basic = { user = \"a\", password = \"${env.LOAD_NOTHING}\" } }",
            "target.auth.basic.password",
            "the environment has no `LOAD_NOTHING`",
        ),
        (
            "{ basic = { user = \"a:b\", password = \"p4ss\" } }",
            "target.auth.basic.user",
            "cannot hold a colon",
        ),
        (
            "{ bearer = \"a\", basic = { user = \"a\", password = \"b\" } }",
            "target.auth",
            "write either bearer",
        ),
        ("{ bearrer = \"p4ss\" }", "target.auth.bearrer", "did you mean `bearer`?"),
        ("{ basic = { user = \"a\" } }", "target.auth.basic", "`password` is missing"),
    ] {
        let text = format!("[target]\nurl = \"{url}\"\nauth = {auth}\n");
        fs::write(folder.path().join("load.toml"), text).expect("written");
        let (code, all) = everything(folder.path(), &["run", "load.toml"]);
        let err = &all["err"];
        assert!(
            code == 2 && err.contains(field) && err.contains(said) && err.contains("load.toml:3"),
            "{auth}: {all:?}"
        );
        assert_silent(&all);
    }
}

/// A run that fails in every way says nothing of them either.
#[test]
fn failures_say_nothing_of_credentials() {
    let folder = tempfile::tempdir().expect("folder");
    let refusing =
        Server::behaving(Behaviour { raw: Some("HTTP/1.1 nonsense\r\n\r\n"), ..Behaviour::default() });
    for at in [refusing.addr.to_string(), "127.0.0.1:1".into()] {
        let url = format!("http://{USER}:p4ss%2Fw:rd@{at}/");
        let (code, all) =
            everything(folder.path(), &[&["run", &url, "-r", "400", "-d", "1s"][..], &FORMS].concat());
        assert_ne!(code, 0, "{all:?}");
        assert_silent(&all);
        let (_, all) = everything(folder.path(), &["preflight", &url, "-r", "4"]);
        assert_silent(&all);
    }
}

#[test]
fn debug_output_holds_no_credentials() {
    let target = HttpTarget::new(&format!("http://{USER}:p4ss@127.0.0.1:1")).expect("a target");
    assert!(
        !format!("{target:?}").contains("p4ss") && !format!("{target:?}").contains("Basic "),
        "{target:?}"
    );
    let target =
        HttpTarget::new("http://127.0.0.1:1").and_then(|target| target.bearer(TOKEN)).expect("a target");
    assert!(!format!("{target:?}").contains(TOKEN), "{target:?}");
}

fn values(seen: &Seen, name: &str) -> Vec<String> {
    let values = seen.headers.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.map(str::to_owned).collect()
}

/// One rule: what a route says of a header goes in place of what the target says of it, and what one of them says twice is sent twice.
#[tokio::test]
async fn a_routes_headers_go_in_place_of_the_targets() {
    let server = Server::start();
    let target = HttpTarget::new(&format!("http://{USER}:p4ss@{}", server.addr)).expect("a target");
    let target = ["a", "b"].into_iter().try_fold(target, |target, value| target.header("x-all", value));
    let target = target.and_then(|target| target.header_with("x-all", |_| "c".into())).expect("headers");
    let own = HttpRoute::get("/own").header("x-all", "1").and_then(|route| route.header("X-All", "2"));
    let own = own.and_then(|route| route.header_with("x-all", |_| "3".into()));
    let own = own.and_then(|route| route.header("authorization", "Other")).expect("headers");
    let made = HttpRoute::get("/made").header_with("x-all", |op| op.index().to_string()).expect("a header");
    let target = target.route(HttpRoute::get("/plain")).route(own).route(made);
    let rate = offgridflow_loadtest::Rate::constant(60.0, std::time::Duration::from_secs(1));
    let report = offgridflow_loadtest::LoadTest::new(target).rate(rate).run().await.expect("runs");
    assert_eq!(report.total.ok, 60, "{report}");
    let first = server.first();
    let of = |path: &str| first.iter().find(|seen| seen.line.contains(path)).expect(path);
    assert_eq!(values(of("/plain"), "x-all"), ["a", "b", "c"]);
    assert_eq!(values(of("/own"), "x-all"), ["1", "2", "3"]);
    assert_eq!(values(of("/made"), "x-all").len(), 1);
    assert_eq!(values(of("/own"), "authorization"), ["Other"]);
    assert_eq!(values(of("/plain"), "authorization").len(), 1);
}
