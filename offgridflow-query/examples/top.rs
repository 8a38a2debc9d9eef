//! Which statements cost most: fingerprints, counts and percentiles.

use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Observer, SqliteGate};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gate = SqliteGate::from_url("sqlite::memory:", GateConfig::default())?;
    let observer = Observer::new("sqlite");
    for n in 0..1_000 {
        let mut conn = gate.acquire(Acquire::default()).await?;
        let sql = "SELECT 1 + ?";
        let answer = sqlx::query(sql).bind(n).fetch_all(&mut *conn);
        observer.time_rows(sql, answer, Vec::len).await?;
    }
    let text = format!("SELECT count(*) FROM sqlite_master WHERE name = '{}'", "built at run time");
    let observation = observer.start_text(&text);
    let mut conn = gate.acquire(Acquire::default()).await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&mut *conn).await?;
    observation.succeeded(rows.len());

    println!("{:>6} {:>10} {:>10}  statement", "calls", "p50 µs", "p99 µs");
    for stats in observer.top(10) {
        let micros = |ns: u64| ns as f64 / 1e3;
        let (p50, p99) = (micros(stats.latency.p50_ns), micros(stats.latency.p99_ns));
        println!("{:>6} {p50:>10.1} {p99:>10.1}  {}", stats.calls, stats.text);
    }
    Ok(())
}
