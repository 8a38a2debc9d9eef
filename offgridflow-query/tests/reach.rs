//! Where no connection can be had, the error says what stands in the way, and where.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    Acquire, Class, ConfigError, ConnectionPool, GateConfig, PgGate, PoolError, SqliteGate,
};
use std::time::Duration;

fn gate(url: &str) -> PgGate {
    PgGate::from_url(url, GateConfig { max_open: 2, ..GateConfig::default() }).unwrap()
}

/// What an impatient caller is told.
async fn told(gate: &PgGate) -> PoolError {
    gate.acquire(Acquire::default().within(Duration::from_millis(900))).await.unwrap_err()
}

#[tokio::test]
async fn an_unreachable_server_is_a_connect_error_not_a_full_pool() {
    let mut server = testkit::Postgres::start().unwrap();
    let url = server.url();
    server.kill();
    let error = told(&gate(&url)).await;
    let PoolError::ConnectTimeout { obstacle: Some(cause), .. } = &error else { panic!("{error}") };
    assert!(cause.message().contains("onnection refused"), "{error}");
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    assert_eq!(error.to_cause().class(), Class::Connection);
}

#[tokio::test]
async fn a_full_server_says_that_it_is_full() {
    let database = testkit::postgres().create_database("full").unwrap();
    let role = format!("guest_{}", std::process::id());
    database.psql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")).unwrap();
    let guests = gate(&database.url().replace("postgres@", &format!("{role}@")));
    let only = guests.acquire(Acquire::default()).await.unwrap();
    let error = told(&guests).await;
    let PoolError::ConnectTimeout { obstacle: Some(cause), .. } = &error else { panic!("{error}") };
    assert_eq!((cause.class(), cause.code()), (Class::Resource, Some("53300")), "{error}");
    drop(only);
    guests.close().await;
    database.psql(&format!("DROP ROLE {role}")).unwrap();
}

#[tokio::test]
async fn somebody_who_listens_and_says_nothing_is_named() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = gate(&format!("postgres://u@{}/d", mute.local_addr().unwrap()))
        .acquire(Acquire::default().within(Duration::from_millis(1_600)))
        .await;
    let Err(PoolError::ConnectTimeout { obstacle: Some(cause), .. }) = &error else { panic!("{error:?}") };
    assert!(cause.message().contains("does not begin a session"), "{cause:?}");
    assert!(cause.message().contains(&mute.local_addr().unwrap().to_string()), "{cause:?}");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_named() {
    let error = told(&gate("postgres://u@nobody.invalid:5433/d")).await;
    assert!(error.to_string().contains("nobody.invalid:5433"), "{error}");
}

#[test]
fn an_address_of_another_kind_is_refused() {
    for url in ["http://127.0.0.1/d", "mysql://127.0.0.1/d", "sqlite:some.db"] {
        let error = PgGate::from_url(url, GateConfig::default()).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Address { why } if why.contains("postgres://")),
            "{url}: {error}"
        );
    }
}

#[test]
fn an_address_with_a_fault_says_which_and_keeps_the_password() {
    let error =
        PgGate::from_url("postgres://u:hunter2@h/d?sslmode=bogus", GateConfig::default()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("bogus") && !said.contains("hunter2"), "{said}");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_address_that_names_no_file_is_refused() {
    for url in ["sqlite:", "sqlite://", "", "sqlite:?mode=rwc", "postgres://h/d", "some.db"] {
        let error = SqliteGate::from_url(url, GateConfig::default()).unwrap_err();
        assert!(matches!(error, ConfigError::Address { .. }), "{url:?}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mode=a.db");
    let gate = SqliteGate::from_url(&format!("sqlite:{}", path.display()), GateConfig::default()).unwrap();
    drop(
        gate.acquire(Acquire::default())
            .await
            .expect("made, as nothing after a question mark says otherwise"),
    );
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_that_is_missing_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.db");
    let gate =
        SqliteGate::from_url(&format!("sqlite:{}?mode=rw", path.display()), GateConfig::default()).unwrap();
    let error = gate.acquire(Acquire::default()).await.unwrap_err();
    let PoolError::Connect(cause) = &error else { panic!("{error}") };
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!((cause.class(), error.is_transient()), (Class::Schema, false), "waiting makes no file");
}
