//! Q2: rows a second into SQLite beside `sqlite3 .import` with equal pragmas, and many writers and readers of one file.
//! Control: a transaction a row.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use benches::figures::{full, median, quantile, spread};
use offgridflow_query::sqlx::{Row as _, query, raw_sql};
use offgridflow_query::{Acquire, BatchWriter, ConnectionPool, GateConfig, Outcome, SqliteGate, row};

use crate::Failure;
use crate::programs::script;

struct Reading {
    id: i64,
    at: i64,
    site: i64,
    watts: f64,
    unit: &'static str,
    meter: String,
}
row!(Reading in "readings" { id, at, site, watts, unit, meter } key { id });

const TABLE: &str = "CREATE TABLE readings (id INTEGER PRIMARY KEY, at INTEGER, site INTEGER, watts REAL, unit TEXT, meter TEXT)";

fn nth(id: i64) -> Reading {
    Reading {
        id,
        at: 1_700_000_000 + id,
        site: id % 1_009,
        watts: (id * 7_919 % 100_003) as f64 / 7.0,
        unit: ["kWh", "l", "km", "t"][usize::try_from(id % 4).unwrap_or(0)],
        meter: format!("meter-{:06}", id % 20_000),
    }
}

pub(crate) async fn main() -> Result<(), Failure> {
    let (rows, pairs, busy) = if full() { (1_000_000, 7, 30) } else { (200_000, 5, 8) };
    let folder = tempfile::tempdir()?;
    let csv = folder.path().join("rows.csv");
    std::fs::write(&csv, lines(rows))?;
    let (mut import, mut ours) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        for turn in 0..2usize {
            let file = folder.path().join(format!("{pair}-{turn}.db"));
            if (pair + turn).is_multiple_of(2) {
                import.push(imported(&file, &csv)?);
            } else {
                ours.push(written(&file, rows).await?);
            }
            std::fs::remove_file(&file)?;
        }
    }
    let single = autocommitted(&folder.path().join("single.db"), 2_000).await?;
    let crowd = crowd(&folder.path().join("crowd.db"), Duration::from_secs(busy)).await?;

    let rates = |times: &[Duration]| -> Vec<f64> {
        times.iter().map(|took| rows as f64 / took.as_secs_f64()).collect()
    };
    benches::row!("sqlite3 .import  {}", spread(&rates(&import)));
    benches::row!("BatchWriter      {}", spread(&rates(&ours)));
    benches::row!("a row a transaction  {single:.0}");
    benches::row!("64 writers, 8 readers: {crowd:?}");
    let pairs_of = import.iter().zip(&ours).map(|(their, our)| their.as_secs_f64() / our.as_secs_f64());
    let ratio = median(&pairs_of.collect::<Vec<_>>());
    let (rate, over) = (median(&rates(&ours)), median(&rates(&ours)) / single);
    let pass = ratio >= 1.15 && over >= 20.0 && crowd.busy == 0 && crowd.reader_p99_ms <= 10.0;
    let control = single / median(&rates(&import));
    println!(
        "{} measured=import={ratio:.3},autocommit={over:.0}x,busy={},reader-p99={:.2}ms,rows/s={:.0}k,import={:.0}k \
         control=autocommit-reaches-{control:.4}-of-import n={rows}-rows,{pairs}-pairs,{}-rows-by-64-writers,{}-reads",
        if pass && control < 1.15 { "PASS" } else { "FAIL" },
        crowd.busy,
        crowd.reader_p99_ms,
        rate / 1e3,
        median(&rates(&import)) / 1e3,
        crowd.written,
        crowd.reads,
    );
    Ok(())
}

fn lines(rows: i64) -> String {
    let line = |id| {
        let Reading { id, at, site, watts, unit, meter } = nth(id);
        format!("{id},{at},{site},{watts},{unit},{meter}\n")
    };
    (0..rows).map(line).collect()
}

/// What a gate sets, too.
const PRAGMAS: &str = "PRAGMA journal_mode = wal;\nPRAGMA synchronous = full;\nPRAGMA foreign_keys = on;\n";

fn imported(file: &Path, csv: &Path) -> Result<Duration, Failure> {
    let name = file.display().to_string();
    script("sqlite3", &[&name], &format!("{PRAGMAS}{TABLE};\n"))?;
    script("sqlite3", &[&name], &format!("{PRAGMAS}.mode csv\n.import {} readings\n", csv.display()))
}

async fn gate(file: &Path, max_open: usize) -> Result<SqliteGate, Failure> {
    let url = format!("sqlite:{}", file.display());
    let config = GateConfig { max_open, max_idle: max_open, ..GateConfig::default() };
    let gate = SqliteGate::from_url(&url, config)?;
    let mut conn = gate.acquire(Acquire::default()).await?;
    raw_sql(TABLE).execute(&mut *conn).await?;
    drop(conn);
    Ok(gate)
}

async fn written(file: &Path, rows: i64) -> Result<Duration, Failure> {
    let gate = gate(file, 2).await?;
    let started = Instant::now();
    let writer = BatchWriter::<Reading>::builder(gate.clone()).flush_rows(32_768).queue_rows(131_072);
    let writer = writer.flush_bytes(16 << 20).start()?;
    let mut next = 0;
    while next < rows {
        let until = rows.min(next + 4_096);
        drop(writer.push_many((next..until).map(nth)).await?); // the report counts them
        next = until;
    }
    let report = writer.close().await?;
    let took = started.elapsed();
    gate.close().await;
    if report.stats.committed != u64::try_from(rows)? {
        return Err(format!("{rows} rows went in: {report:?}").into());
    }
    Ok(took)
}

/// Rows a second, one transaction each.
async fn autocommitted(file: &Path, rows: i64) -> Result<f64, Failure> {
    let gate = gate(file, 1).await?;
    let mut conn = gate.acquire(Acquire::default()).await?;
    let started = Instant::now();
    for id in 0..rows {
        let Reading { id, at, site, watts, unit, meter } = nth(id);
        let insert = query("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)");
        insert.bind(id).bind(at).bind(site).bind(watts).bind(unit).bind(meter).execute(&mut *conn).await?;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}

#[derive(Debug)]
struct Crowd {
    written: u64,
    reads: usize,
    busy: u64,
    reader_p99_ms: f64,
}

/// 64 writers and 8 readers of one file, all in this process.
async fn crowd(file: &Path, long: Duration) -> Result<Crowd, Failure> {
    let gate = gate(file, 24).await?;
    let (stop, busy, written) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers = (0..64i64).map(|task| {
        let (gate, stop, busy, written) =
            (gate.clone(), Arc::clone(&stop), Arc::clone(&busy), Arc::clone(&written));
        tokio::spawn(async move {
            let writer = BatchWriter::<Reading>::builder(gate).start()?;
            let mut next = task * 100_000_000;
            while !stop.load(Relaxed) {
                let outcomes = writer.push_many((next..next + 20).map(nth)).await?.outcomes().await;
                next += 20;
                for outcome in outcomes {
                    let count = if Outcome::is_settled(&outcome) { &written } else { &busy };
                    count.fetch_add(1, Relaxed);
                }
            }
            let report = writer.close().await?;
            busy.fetch_add(report.stats.retries, Relaxed); // a BUSY that was retried is one that was seen
            Ok::<_, Failure>(())
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers: Vec<_> = (0..8)
        .map(|reader| {
            let (gate, stop, busy) = (gate.clone(), Arc::clone(&stop), Arc::clone(&busy));
            tokio::spawn(async move {
                let mut took = Vec::new();
                while !stop.load(Relaxed) {
                    let started = Instant::now();
                    let mut conn = gate.acquire(Acquire::default()).await?;
                    let id: i64 = reader * 100_000_000 + i64::try_from(took.len())?;
                    let found = query("SELECT watts FROM readings WHERE id = ?")
                        .bind(id)
                        .fetch_optional(&mut *conn)
                        .await;
                    match found {
                        Ok(row) => drop(row.map(|row| row.get::<f64, _>(0))),
                        Err(_) => drop(busy.fetch_add(1, Relaxed)),
                    }
                    took.push(started.elapsed().as_secs_f64() * 1e3);
                    drop(conn);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok::<_, Failure>(took)
            })
        })
        .collect();
    tokio::time::sleep(long).await;
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await??;
    }
    let mut took = Vec::new();
    for reader in readers {
        took.extend(reader.await??);
    }
    Ok(Crowd {
        written: written.load(Relaxed),
        reads: took.len(),
        busy: busy.load(Relaxed),
        reader_p99_ms: quantile(&took, 0.99),
    })
}
