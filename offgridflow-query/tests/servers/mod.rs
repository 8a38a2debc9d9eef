//! A database of each kind for one test, and statements run on it.

use offgridflow_query::{GateConfig, PgGate, SqliteGate};

pub(crate) fn postgres(name: &str) -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database(name).unwrap();
    let config = GateConfig { max_open: 3, ..GateConfig::default() };
    (PgGate::from_url(&database.url(), config).unwrap(), database)
}

pub(crate) fn sqlite() -> (SqliteGate, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    (SqliteGate::from_url(&url, GateConfig::default()).unwrap(), dir)
}

/// Runs statements on a connection of either kind.
macro_rules! run {
    ($gate:expr, $($sql:expr),+) => {{
        let mut conn = $gate.acquire(Acquire::default()).await.unwrap();
        $(conn.execute(AssertSqlSafe($sql)).await.unwrap();)+
    }};
}
pub(crate) use run;
