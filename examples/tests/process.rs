//! The binary as its users run it: what it refuses, and what survives its death.
mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::row;
use hyper::Method;
use hyper::body::Bytes;
use offgridflow::http_client;
use rustix::process::{Pid, Signal, kill_process};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow"));
    command
        .args(arguments)
        .env_remove("OFFGRIDFLOW_DATABASE_URL")
        .env_remove("OFFGRIDFLOW_REDIS_URL")
        .env("OFFGRIDFLOW_LOG", "warn");
    command
}

/// A server in a process of its own, killed with the handle.
struct Process {
    child: Child,
    base: String,
}

impl Process {
    fn start(database_url: &str) -> Self {
        Self::run(&["all", "--listen", "127.0.0.1:0", "--database-url", database_url])
    }

    fn run(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base =
            line.trim().strip_prefix("listening on ").expect("the server says where it listens").to_owned();
        Self { child, base }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Sends one row; whether it was acknowledged.
    async fn ingest(&self, id: &str) -> bool {
        let body = Bytes::from(row(id, "diesel", "1", "2024"));
        let headers = [("content-type", "application/x-ndjson")];
        let sent = http_client::send(&self.base, Method::POST, "/api/v1/activities", &headers, body).await;
        sent.is_ok_and(|answer| answer.status == 200)
    }

    async fn stored(&self) -> Vec<String> {
        let (mut after, mut ids) = (String::new(), Vec::new());
        loop {
            let page =
                http_client::get(&self.base, &format!("/api/v1/activities?limit=1000&after={after}"), &[])
                    .await
                    .unwrap();
            let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            ids.extend(
                page["activities"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned()),
            );
            let serde_json::Value::String(next) = &page["next"] else { return ids };
            after.clone_from(next);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends rows from four clients until `end` says so; the ids that were acknowledged.
async fn ingest_until(
    server: &Arc<Process>,
    prefix: &'static str,
    end: impl Future<Output = ()>,
) -> BTreeSet<String> {
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (server, over) = (Arc::clone(server), Arc::clone(&over));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let id = format!("{prefix}-{client}-{n}");
                    match server.ingest(&id).await {
                        true => acknowledged.push(id),
                        false if over.load(Ordering::Relaxed) => return acknowledged,
                        false => tokio::task::yield_now().await,
                    }
                    if n > 100_000 {
                        panic!("the server was to end long ago");
                    }
                }
                acknowledged
            })
        })
        .collect();
    end.await;
    over.store(true, Ordering::Relaxed);
    let mut all = BTreeSet::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all
}

async fn acknowledged_at_least(server: &Process, rows: usize) {
    while server.stored().await.len() < rows {
        tokio::task::yield_now().await;
    }
}

async fn killed_while_ingesting(database_url: &str) {
    let server = Arc::new(Process::start(database_url));
    let killing = Arc::clone(&server);
    let acknowledged = ingest_until(&server, "row", async move {
        acknowledged_at_least(&killing, 200).await;
        killing.signal(Signal::KILL);
    })
    .await;
    drop(server);
    let again = Process::start(database_url);
    let stored = again.stored().await;
    let distinct: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(stored.len(), distinct.len(), "none twice");
    assert!(
        acknowledged.len() >= 100 && acknowledged.is_subset(&distinct),
        "{:?}",
        acknowledged.difference(&distinct)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_acknowledged_before_kill_minus_nine_are_there_once_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    killed_while_ingesting(&format!("sqlite:{}", folder.path().join("test.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_acknowledged_before_kill_minus_nine_are_there_once_on_postgres() {
    let database = testkit::postgres().create_database("killed").unwrap();
    killed_while_ingesting(&database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_loses_nothing_and_exits_zero() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let server = Arc::new(Process::start(&url));
    let ending = Arc::clone(&server);
    let acknowledged = ingest_until(&server, "row", async move {
        acknowledged_at_least(&ending, 200).await;
        ending.signal(Signal::TERM);
    })
    .await;
    let mut server = Arc::into_inner(server).unwrap();
    let patience = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(patience.elapsed() < Duration::from_secs(40), "the server did not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(status.code(), Some(0));
    let stored: BTreeSet<String> = Process::start(&url).stored().await.into_iter().collect();
    assert!(acknowledged.is_subset(&stored), "{:?}", acknowledged.difference(&stored));
}

#[tokio::test]
async fn the_web_role_counts_its_requests_by_route_for_prometheus() {
    let web = Process::run(&["web", "--listen", "127.0.0.1:0"]);
    for path in ["/healthz", "/no/such/page", "/another"] {
        http_client::get(&web.base, path, &[]).await.unwrap();
    }
    let answer = http_client::get(&web.base, "/metrics", &[]).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body);
    let count = "http_server_request_duration_seconds_count{http_request_method=\"GET\"";
    for line in [
        format!("{count},http_route=\"/healthz\",http_response_status_code=\"200\"}} 1\n"),
        format!("{count},http_route=\"other\",http_response_status_code=\"404\"}} 2\n"),
    ] {
        assert!(text.contains(&line), "no `{line}` in {text}");
    }
}

/// It holds no data, and passes its caller's key on: a cluster lets it listen everywhere, without a secret.
#[tokio::test]
async fn the_web_role_needs_no_keys_to_listen_beyond_loopback() {
    let web = Process::run(&["web", "--listen", "0.0.0.0:0"]);
    let base = web.base.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(http_client::get(&base, "/healthz", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn health_asks_a_server_that_is_up_and_fails_where_it_is_not_well() {
    let web = Process::run(&["web", "--listen", "127.0.0.1:0"]);
    let asked = |url: String| refused(&["health", &url]);
    assert_eq!(asked(format!("{}/healthz", web.base)), (0, String::new()));
    let (code, said) = asked(format!("{}/no/such/page", web.base));
    assert!(code == 4 && said.contains("answers 404"), "{code} {said}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let (code, said) = refused(&["health", &silent, "--seconds", "1"]);
    assert!(code == 4 && said.contains("did not answer within 1s"), "{code} {said}");
    let url = web.base.clone();
    drop(web);
    let (code, said) = refused(&["health", &url]);
    assert!(code == 4 && said.contains("does not answer: cannot connect"), "{code} {said}");
}

fn refused(arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = command(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_cannot_work_is_refused_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let down = format!("postgres://postgres@{nobody}/x");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["all", "--listen", "0.0.0.0:0", "--database-url", "sqlite::memory:"], 2, "without API keys"),
        (
            &["all", "--listen", "127.0.0.1:0", "--database-url", "mysql://x"],
            2,
            "begins with `sqlite:` or `postgres:`",
        ),
        (
            &[
                "all",
                "--listen",
                "127.0.0.1:0",
                "--database-url",
                "sqlite:/no/such/folder/x.db",
                "--database-patience-secs",
                "0",
            ],
            4,
            "there is no folder /no/such/folder",
        ),
        (
            &["all", "--listen", "127.0.0.1:0", "--database-url", &down, "--database-patience-secs", "0"],
            4,
            "did not answer",
        ),
        (&["all", "--listen", &taken], 4, "cannot listen at"),
        (&["all", "--listen", "127.0.0.1:0", "--redis-url", "http://x"], 2, "Redis URL"),
        (&["all", "--listen", "nowhere"], 2, "invalid"),
        (&["all", "--api-keys", "acme=short"], 2, "shorter than 16"),
        (&["import", "/no/such/file.csv"], 4, "cannot read"),
    ];
    for (arguments, code, sentence) in cases {
        let (status, said) = refused(arguments);
        assert!(
            status == code && said.contains(sentence) && !said.contains("panicked"),
            "{arguments:?}: {status} {said}"
        );
    }
}

#[test]
fn a_database_that_is_down_is_waited_for_with_progress() {
    let nobody = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let down = format!("postgres://postgres@{nobody}/x");
    let mut waiting = command(&[
        "all",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &down,
        "--database-patience-secs",
        "2",
    ]);
    let mut child =
        waiting.env("OFFGRIDFLOW_LOG", "info").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(said.contains("waiting for the database") && said.contains("did not answer within 2s"), "{said}");
}

#[test]
fn keys_are_never_shown() {
    let secret = "acme=0123456789abcdef";
    let (_, said) = refused(&["all", "--listen", "127.0.0.1:0", "--database-url", "x", "--api-keys", secret]);
    assert!(!said.contains("0123456789abcdef"), "{said}");
    let help = command(&["all", "--help"]).env("OFFGRIDFLOW_API_KEYS", secret).output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("0123456789abcdef"));
}

/// Who may reach the database may issue keys: the way to the first one.
#[tokio::test]
async fn keys_are_issued_listed_and_revoked_by_command_and_a_running_server_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let server = Process::start(&url);
    let keys = |arguments: &[&str]| {
        let Output { status, stdout, stderr } =
            command(&[&["keys"], arguments, &["--database-url", &url]].concat()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let asked = async |key: &str, path: &str| {
        http_client::get(&server.base, path, &[("x-api-key", key)]).await.unwrap().status
    };
    let becomes = async |key: &str, path: &str, status: u16| {
        let began = Instant::now();
        while asked(key, path).await != status {
            assert!(began.elapsed() < Duration::from_secs(5), "{path} does not become {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(asked("", "/api/v1/emissions").await, 200, "a development start");
    let (code, key, said) = keys(&["issue", "--tenant", "acme, inc"]);
    assert!(code == 0 && key.starts_with("ogf_") && said.is_empty(), "{code} {said}");
    becomes("", "/api/v1/emissions", 401).await;
    assert_eq!(
        (asked(&key, "/api/v1/emissions").await, asked(&key, "/api/v1/performance").await),
        (200.try_into().unwrap(), 403.try_into().unwrap())
    );
    let (_, admin, _) = keys(&["issue", "--admin"]);
    becomes(&admin, "/api/v1/performance", 200).await;
    let (_, listed, _) = keys(&["list"]);
    assert!(
        listed.lines().count() == 2 && listed.contains("acme, inc") && !listed.contains("ogf_"),
        "{listed}"
    );
    let id = key.split('_').nth(1).unwrap();
    assert_eq!(keys(&["revoke", id]).0, 0);
    becomes(&key, "/api/v1/emissions", 401).await;
    let (code, _, said) = keys(&["revoke", id]);
    assert!(code == 4 && said.contains("no valid key is named"), "{code} {said}");
    assert_eq!(keys(&["issue"]).0, 2, "for whom?");
}
