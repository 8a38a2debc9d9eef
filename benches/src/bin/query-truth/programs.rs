//! Programs that the databases come with, and the connections that measurements use.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use offgridflow_query::sqlx::{AssertSqlSafe, raw_sql};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, PgGate};

use crate::Failure;

/// A server set up for loading: large logs, no sync, statistics as they come.
pub(crate) fn server() -> Result<testkit::Postgres, Failure> {
    let settings = [("shared_buffers", "512MB"), ("max_wal_size", "8GB"), ("autovacuum", "off")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(testkit::Postgres::start_with(&testkit::PostgresOptions { settings })?)
}

pub(crate) fn gate(url: &str, max_open: usize) -> Result<PgGate, Failure> {
    Ok(PgGate::from_url(url, GateConfig { max_open, max_idle: max_open, ..GateConfig::default() })?)
}

/// Statements through a connection of the gate.
pub(crate) async fn run(gate: &PgGate, sql: &str) -> Result<(), Failure> {
    let mut conn = gate.acquire(Acquire::default()).await?;
    raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *conn).await?;
    Ok(())
}

/// The first column of the only row.
pub(crate) async fn number(gate: &PgGate, sql: &str) -> Result<i64, Failure> {
    use offgridflow_query::sqlx::Row as _;
    let mut conn = gate.acquire(Acquire::default()).await?;
    let row = offgridflow_query::sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut *conn).await?;
    Ok(row.try_get(0)?)
}

/// Runs a client program on a script; how long it took.
pub(crate) fn script(program: &str, arguments: &[&str], script: &str) -> Result<Duration, Failure> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().ok_or("no standard input")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(started.elapsed());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

pub(crate) fn psql(url: &str, commands: &str) -> Result<Duration, Failure> {
    script("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url], commands)
}
