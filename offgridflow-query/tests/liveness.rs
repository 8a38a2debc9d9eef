//! Servers that die, freeze or hang up: dead connections are found out, and the pool is whole afterwards.
#![cfg(feature = "postgres")]

use offgridflow_query::sqlx::{self, PgConnection};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Guard, PgGate, PoolError, PoolStatus};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(3_600);

/// A gate that does nothing by itself unless the test says so.
fn gate(url: &str, change: impl FnOnce(&mut GateConfig)) -> PgGate {
    let mut config = GateConfig {
        max_open: 3,
        max_idle: 3,
        reserve: Some(0),
        test_after_idle: NEVER,
        keepalive: None,
        ..GateConfig::default()
    };
    change(&mut config);
    PgGate::from_url(url, config).unwrap()
}

async fn take(gate: &PgGate) -> Guard<PgConnection> {
    gate.acquire(Acquire::default().within(Duration::from_secs(60))).await.unwrap()
}

/// A proxy before a server, and the way through it.
fn proxied(server: &testkit::Postgres) -> (testkit::FaultProxy, String) {
    let proxy = testkit::FaultProxy::start(server.addr()).unwrap();
    let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    (proxy, url)
}

/// Opens every connection.
async fn fill(gate: &PgGate) {
    let held = [take(gate).await, take(gate).await, take(gate).await];
    drop(held);
    assert_eq!(gate.status().idle, 3);
}

async fn answer(conn: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT 6 * 7").fetch_one(conn).await
}

/// All places can be lent at a time, every connection answers, and what was lent comes back.
async fn is_whole(gate: &PgGate) {
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(take(gate).await);
    }
    for guard in &mut held {
        assert_eq!(answer(guard).await.unwrap(), 42);
    }
    assert_eq!((gate.status().open, gate.status().in_use), (3, 3));
    drop(held);
    until(gate, |status| status.in_use == 0 && status.idle == 3).await;
}

async fn until(gate: &PgGate, wanted: impl Fn(&PoolStatus) -> bool) {
    let wait = async {
        while !wanted(&gate.status()) {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(ended.is_ok(), "never came: {:?}", gate.status());
}

#[tokio::test]
async fn connections_that_died_idle_are_not_lent() {
    let mut server = testkit::Postgres::start().unwrap();
    let gate = gate(&server.url(), |config| config.test_after_idle = Duration::ZERO);
    fill(&gate).await;
    server.kill();
    server.restart().unwrap();
    is_whole(&gate).await;
    let status = gate.status();
    assert_eq!((status.dead, status.connect_errors, status.timeouts), (3, 0, 0));
}

/// Who was lent a dead connection notices; from then on the others are tested first.
#[tokio::test]
async fn one_dead_connection_makes_the_others_suspects() {
    let mut server = testkit::Postgres::start().unwrap();
    let gate = gate(&server.url(), |_| {});
    fill(&gate).await;
    server.kill();
    server.restart().unwrap();
    let mut guard = take(&gate).await;
    assert!(answer(&mut guard).await.is_err(), "it answered a moment ago, so it was lent untested");
    drop(guard);
    until(&gate, |status| status.dead == 1).await;
    is_whole(&gate).await;
    assert_eq!(gate.status().dead, 3, "found out by tests, not by callers");
}

#[tokio::test]
async fn keepalive_finds_dead_connections_before_anybody_needs_them() {
    let mut server = testkit::Postgres::start().unwrap();
    let gate = gate(&server.url(), |config| config.keepalive = Some(40 * MS));
    fill(&gate).await;
    server.kill();
    until(&gate, |status| status.dead == 3 && status.open == 0).await;
    assert_eq!(gate.status().acquired, 3);
    server.restart().unwrap();
    is_whole(&gate).await;
}

#[tokio::test]
async fn a_frozen_link_costs_one_patience_not_one_a_connection() {
    let server = testkit::Postgres::start().unwrap();
    let (proxy, url) = proxied(&server);
    let gate = gate(&url, |config| config.test_after_idle = Duration::ZERO);
    fill(&gate).await;
    proxy.freeze();

    let impatient = gate.acquire(Acquire::default().within(20 * MS)).await;
    assert!(matches!(impatient, Err(PoolError::ConnectTimeout { .. })), "{impatient:?}");
    until(&gate, |status| status.dead == 3).await;
    let ping = gate.status().ping;
    assert!(
        ping.sum_ns < 2 * ping.max_ns,
        "the first test took the patience, the others had none left: {ping:?}"
    );
    proxy.thaw();
    is_whole(&gate).await;
}

#[tokio::test]
async fn a_link_cut_under_a_holder_takes_only_its_connection() {
    let server = testkit::Postgres::start().unwrap();
    let (proxy, url) = proxied(&server);
    let gate = gate(&url, |_| {});
    fill(&gate).await;
    let mut guard = take(&gate).await;
    proxy.cut();
    assert!(answer(&mut guard).await.is_err());
    proxy.restore();
    drop(guard);
    until(&gate, |status| status.in_use == 0).await;
    is_whole(&gate).await;
}

/// Waiting for a place, connecting and testing are told apart, each by what it was made to cost.
#[tokio::test]
async fn waiting_connecting_and_testing_are_measured_apart() {
    let server = testkit::Postgres::start().unwrap();
    let (proxy, url) = proxied(&server);
    let gate = gate(&url, |config| (config.max_open, config.test_after_idle) = (1, Duration::ZERO));
    proxy.delay(20 * MS);
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap();
    drop(take(&gate).await);
    let status = gate.status();
    assert!(status.connect.max_ns >= ns(40 * MS), "connecting takes some exchanges: {:?}", status.connect);
    assert_eq!((status.wait.max_ns, status.ping.count), (0, 0), "nobody waited, nothing was tested");
    let held = take(&gate).await;
    let status = gate.status();
    assert!(status.ping.count == 1 && status.ping.max_ns >= ns(40 * MS), "{:?}", status.ping);
    assert_eq!((status.wait.max_ns, status.connect.count), (0, 1));
    let waited = gate.acquire(Acquire::default().within(70 * MS)).await;
    assert!(matches!(waited, Err(PoolError::Timeout { .. })), "{waited:?}");
    drop(held);
    let status = gate.status();
    assert!(status.wait.max_ns >= ns(70 * MS) && status.held.max_ns >= ns(70 * MS));
    assert_eq!((status.ping.count, status.connect.count), (1, 1));
}

/// What comes back goes to whoever has looked for a connection longest, not to whoever asks next.
#[tokio::test]
async fn nobody_starves_where_the_server_has_fewer_connections_than_the_gate() {
    let settings = vec![("max_connections".to_owned(), "8".to_owned())];
    let server = testkit::Postgres::start_with(&testkit::PostgresOptions { settings }).unwrap();
    let gate = gate(&server.url(), |config| {
        (config.max_open, config.shed) = (20, false);
        config.acquire_timeout = Some(Duration::from_secs(20));
    });
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                for _ in 0..30 {
                    let mut guard = gate.acquire(Acquire::default()).await.expect("one comes back");
                    sqlx::query("SELECT pg_sleep(0.001)").execute(&mut *guard).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(40), task).await.expect("nobody starves").unwrap();
    }
    assert!(gate.status().open <= 8, "{:?}", gate.status());
    gate.close().await;
}

/// `Duration::MAX` is how some say "without limit".
#[tokio::test]
async fn times_beyond_a_century_are_without_limit() {
    let endless = Some(Duration::MAX);
    let config = GateConfig {
        acquire_timeout: endless,
        max_lifetime: endless,
        keepalive: endless,
        leak_after: endless,
        test_after_idle: Duration::MAX,
        surplus_linger: Duration::MAX,
        ..GateConfig::default()
    };
    let database = testkit::postgres().create_database("endless").unwrap();
    let gate = PgGate::from_url(&database.url(), config).unwrap();
    drop(gate.acquire(Acquire::default()).await.unwrap());
    drop(gate.acquire(Acquire::default().within(Duration::MAX)).await.unwrap());
    gate.close().await;
}

/// A database that lets its role have one connection.
fn with_one_connection(name: &str) -> (testkit::Database, String) {
    let database = testkit::postgres().create_database(name).unwrap();
    let role = format!("{name}_{}", std::process::id());
    database.psql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")).unwrap();
    let url = database.url();
    let (_, rest) = url.split_once('@').unwrap();
    (database, format!("postgres://{role}@{rest}"))
}

/// `acquire_timeout` is for callers without a deadline of their own.
#[tokio::test]
async fn a_patient_caller_waits_longer_for_a_connection_than_others() {
    let (_database, url) = with_one_connection("patient");
    let gate = gate(&url, |config| config.acquire_timeout = Some(100 * MS));
    let held = take(&gate).await;
    let hurried = gate.acquire(Acquire::default()).await;
    assert!(matches!(hurried, Err(PoolError::ConnectTimeout { .. })), "{hurried:?}");
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { answer(&mut *take(&gate).await).await.unwrap() }
    });
    tokio::time::sleep(1_500 * MS).await; // longer than one attempt to connect
    drop(held);
    assert_eq!(waiting.await.unwrap(), 42);
    gate.close().await;
}

/// Nobody goes on connecting for a caller who has left.
#[tokio::test]
async fn a_gate_whose_callers_left_closes_though_the_server_is_away() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap());
    drop(listener);
    let gate = gate(&url, |config| config.acquire_timeout = Some(100 * MS));
    let patient = gate.acquire(Acquire::default().within(NEVER));
    assert!(tokio::time::timeout(1_500 * MS, patient).await.is_err(), "it waits for more than one attempt");
    tokio::time::timeout(Duration::from_secs(20), gate.close()).await.expect("it closes");
}

#[tokio::test]
async fn a_connection_that_was_kept_alive_goes_to_whoever_came_meanwhile() {
    let (_database, url) = with_one_connection("kept");
    let address = url.split(['@', '/']).nth(3).unwrap().to_owned();
    let proxy = testkit::FaultProxy::start(address.parse().unwrap()).unwrap();
    let url = url.replace(&address, &proxy.addr().to_string());
    let gate = gate(&url, |config| config.keepalive = Some(200 * MS));
    drop(take(&gate).await);
    proxy.delay(300 * MS); // its ping takes 600 ms
    while gate.status().idle == 1 {
        tokio::time::sleep(MS).await;
    }
    let lent = gate.acquire(Acquire::default().within(Duration::from_secs(30))).await;
    assert!(lent.is_ok(), "{lent:?}");
}

/// Whoever looks for a connection is given none that others would test first.
#[tokio::test]
async fn a_connection_that_died_with_its_holder_is_not_handed_on() {
    let (database, url) = with_one_connection("died");
    let gate = gate(&url, |config| config.test_after_idle = 100 * MS);
    let held = take(&gate).await;
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { answer(&mut *take(&gate).await).await }
    });
    tokio::time::sleep(500 * MS).await;
    database
        .psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'died_%'")
        .unwrap();
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap(), 42);
    gate.close().await;
}
