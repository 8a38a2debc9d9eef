//! Every pool keeps the promises of `ConnectionPool`.
#![cfg(feature = "conformance")]

use offgridflow_query::{MemoryPool, conformance};

#[tokio::test]
async fn memory_conforms() {
    conformance::all(async |max_open| MemoryPool::new(max_open)).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_conforms() {
    use offgridflow_query::{GateConfig, SqliteGate};
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("gate.db").display());
    conformance::all(async |max_open| {
        SqliteGate::from_url(&url, GateConfig { max_open, ..GateConfig::default() }).unwrap()
    })
    .await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_conforms() {
    use offgridflow_query::{GateConfig, PgGate};
    let database = testkit::postgres().create_database("conformance").unwrap();
    conformance::all(async |max_open| {
        PgGate::from_url(&database.url(), GateConfig { max_open, ..GateConfig::default() }).unwrap()
    })
    .await;
}
