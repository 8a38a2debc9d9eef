//! A log is asked again under the hosts that it was asked under, or what those are called here.
#![cfg(feature = "cli")]

mod common;

use std::{collections::BTreeMap, fs};

use common::Server;
use offgridflow_loadtest::{Fields, HttpTarget, LogFormat, Replay, Scenario};

const LOG: &str =
    "time,vhost,path\n1,www.example.com,/a\n1.1,api.example.com,/b\n1.2,,/c\n1.3,www.example.com,/d\n";

/// What each path was asked under.
fn asked(server: &Server) -> BTreeMap<String, String> {
    let first = server.first();
    let host =
        |headers: &[String]| headers.iter().find_map(|line| line.strip_prefix("host: ").map(str::to_owned));
    let path = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    first.iter().map(|seen| (path(&seen.line), host(&seen.headers).unwrap_or_default())).collect()
}

#[tokio::test]
async fn hosts_are_those_of_the_log_unless_they_have_another_name_here() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("access.csv"), LOG).expect("written");
    let server = Server::start();
    let here = server.addr.to_string();
    let run = async |hosts: &str| {
        let file = folder.path().join("load.toml");
        let load = format!("[load]\nreplay = {{ file = \"access.csv\"{hosts} }}\n");
        fs::write(&file, format!("[target]\nurl = \"{}\"\n{load}", server.url())).expect("written");
        let report =
            Scenario::read(&file).expect("read").load_test().expect("sound").run().await.expect("runs");
        assert_eq!(report.total.ok, 4, "{report}");
        asked(&server)
    };
    let kept = run("").await;
    assert!(kept.len() == 4 && kept.values().all(|host| *host == here), "the target's own: {kept:?}");
    let renamed = run(", host = \"vhost\", hosts = { \"www.example.com\" = \"staging.test:8443\" }").await;
    let expected =
        [("/a", "staging.test:8443"), ("/b", "api.example.com"), ("/c", &*here), ("/d", "staging.test:8443")];
    assert_eq!(renamed, expected.map(|(path, host)| (path.to_owned(), host.to_owned())).into());
}

#[test]
fn what_tells_no_host_or_is_none_is_refused() {
    let replay = |host: Option<&str>| {
        let fields = Fields { host: host.map(str::to_owned), ..Fields::default() };
        Replay::builder(LogFormat::Csv(fields)).read(LOG.as_bytes()).expect("a log")
    };
    let target = || HttpTarget::new("http://127.0.0.1:1").expect("a url");
    let none: [(&str, &str); 0] = [];
    let refused = |target: HttpTarget, hosts: &[(&str, &str)]| {
        target.hosts(hosts.iter().copied()).expect_err("refused").hint
    };
    assert!(refused(target(), &none).contains("replay one first"));
    let silent = target().replaying(replay(None)).expect("paths");
    assert!(refused(silent, &none).contains("no entry which host"));
    let telling = || target().replaying(replay(Some("vhost"))).expect("paths");
    assert!(refused(telling(), &[("www.example.com", "user@host")]).contains("is no host"));
    assert!(refused(telling(), &[("www.example.com", "a b")]).contains("is no host"));
    assert!(telling().hosts(none).is_ok());
}
