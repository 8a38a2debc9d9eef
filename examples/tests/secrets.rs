//! A real run, its log at its loudest: no key, password or datum stands in it.
mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use common::row;
use hyper::Method;
use hyper::body::Bytes;
use offgridflow::http_client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const TENANT_KEY: &str = "tenant-key-7f3a9c51d2";
const ADMIN_KEY: &str = "admin-key-2b8e64f0aa";
const WRONG_KEY: &str = "wrong-key-55aa10c3be";
const DATABASE_PASSWORD: &str = "database-password-91d7";
const REDIS_PASSWORD: &str = "redis-password-0c44";
const DATUM: &str = "datum-e83b17";

/// What of `secrets` stands in `text`.
fn found<'a>(text: &str, secrets: &[&'a str]) -> Vec<&'a str> {
    secrets.iter().copied().filter(|secret| text.contains(secret)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_datum_stands_in_the_log_of_a_run() {
    let (database, redis) = (testkit::postgres().create_database("secrets").unwrap(), testkit::redis());
    let allowed = ["ACL", "SETUSER", "secretive", "on", &format!(">{REDIS_PASSWORD}"), "~*", "&*", "+@all"]
        .map(str::to_owned);
    redis.cli(&allowed.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let database_url = database.url().replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_offgridflow"))
        .args(["all", "--listen", "127.0.0.1:0", "--probe-secs", "1", "--faults"])
        .env("OFFGRIDFLOW_DATABASE_URL", database_url)
        .env(
            "OFFGRIDFLOW_REDIS_URL",
            redis.url().replace("redis://", &format!("redis://secretive:{REDIS_PASSWORD}@")),
        )
        .env("OFFGRIDFLOW_API_KEYS", format!("acme={TENANT_KEY}"))
        .env("OFFGRIDFLOW_ADMIN_KEYS", ADMIN_KEY)
        .env("OFFGRIDFLOW_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let base = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let ask = async |method: Method, path: &str, headers: &[(&str, &str)], body: &str| {
        http_client::send(&base, method, path, headers, Bytes::copy_from_slice(body.as_bytes()))
            .await
            .unwrap()
    };
    let (tenant, admin) = (("x-api-key", TENANT_KEY), ("x-api-key", ADMIN_KEY));
    let ndjson = ("content-type", "application/x-ndjson");
    assert_eq!(
        ask(Method::POST, "/api/v1/activities", &[tenant, ndjson], &row(DATUM, "diesel", "1", "2024"))
            .await
            .status,
        200
    );
    ask(
        Method::POST,
        "/api/v1/activities",
        &[tenant, ndjson],
        &format!("{{\"id\":\"{DATUM}\",\"{DATUM}\":1}}\n{DATUM}\n"),
    )
    .await;
    ask(Method::POST, "/api/v1/activities", &[tenant, ndjson], &row(DATUM, DATUM, "1", "2024")).await;
    let change = json!({ "unit": "GJ", "kg_co2e_per_unit": "1", "scope": 1, "source": DATUM }).to_string();
    assert_eq!(ask(Method::PUT, "/api/v1/factors/diesel", &[tenant], &change).await.status, 200);
    let large = change.replace("\"1\"", "\"999999999999999\"");
    ask(Method::PUT, "/api/v1/factors/diesel", &[tenant], &large).await;
    for path in [
        "/api/v1/emissions",
        "/api/v1/activities",
        &format!("/api/v1/factors/{DATUM}"),
        &format!("/{DATUM}?{DATUM}={TENANT_KEY}"),
    ] {
        ask(Method::GET, path, &[tenant], "").await;
        ask(Method::GET, path, &[("authorization", &format!("Bearer {WRONG_KEY}"))], "").await;
    }
    for path in [
        "/",
        "/metrics",
        "/api/v1/performance",
        "/api/v1/insight?format=json",
        "/debug/pprof/cmdline",
        "/debug/pprof/goroutine?debug=1",
    ] {
        let shown = ask(Method::GET, path, &[admin], "").await;
        let shown = String::from_utf8_lossy(&shown.body).into_owned();
        assert_eq!(
            found(&shown, &[TENANT_KEY, ADMIN_KEY, DATABASE_PASSWORD, REDIS_PASSWORD, DATUM]),
            [""; 0],
            "{path} shows a secret"
        );
    }
    let issued = ask(Method::POST, "/api/v1/keys", &[admin], &json!({ "tenant": "acme" }).to_string()).await;
    let issued: Value = serde_json::from_slice(&issued.body).unwrap();
    let (id, key) = (issued["id"].as_str().unwrap(), issued["key"].as_str().unwrap());
    assert_eq!(ask(Method::GET, "/api/v1/emissions", &[("x-api-key", key)], "").await.status, 200);

    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    let log = reading.join().unwrap();
    redis.cli(&["ACL", "DELUSER", "secretive"]).unwrap();
    let secrets = [
        TENANT_KEY,
        ADMIN_KEY,
        WRONG_KEY,
        DATABASE_PASSWORD,
        REDIS_PASSWORD,
        DATUM,
        key.rsplit('_').next().unwrap(),
    ];
    for (name, text) in [("log", &log), ("output", &said)] {
        let line =
            |secret: &&str| text.lines().find(|line| line.contains(*secret)).unwrap_or_default().to_owned();
        let found = found(text, &secrets);
        assert!(
            found.is_empty(),
            "{found:?} in the {name}: {:#?}",
            found.iter().map(line).collect::<Vec<_>>()
        );
    }
    // The control: the log is the whole one, and what may be in it is found.
    assert!(log.lines().count() > 40 && log.contains(id), "a trace of {} lines", log.lines().count());
    assert_eq!(found(&format!("{log}{TENANT_KEY}"), &secrets), [TENANT_KEY]);
}
