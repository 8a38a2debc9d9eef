//! Q1: rows a second into PostgreSQL, beside `psql \copy` in binary format and rows bound one by one (`push_values`).
//!
//! Every figure of a pair comes from the same server, right after TRUNCATE and CHECKPOINT. First the ceiling: bytes that were
//! encoded beforehand, through the same connection.

use std::path::Path;
use std::time::{Duration, Instant};

use benches::figures::{full, median, quantile, spread};
use benches::row;
use offgridflow_query::{BatchWriter, Conflict, PgGate};

use crate::Failure;
use crate::programs::{gate, number, psql, run, server};
use crate::q1_rivals::{ceiling, push_values};
use crate::rows::{Narrow, Sample, Wide};

/// Flushes under way side by side: a server has a process for each connection, and there are two cores.
const FLIGHTS: usize = 2;
/// Rows pushed before the writer is asked to wait.
const PORTION: i64 = 4_096;

pub(crate) async fn main() -> Result<(), Failure> {
    let (rows, pairs) = if full() { (1_000_000, 7) } else { (500_000, 5) };
    let server = server()?;
    let gate = gate(&server.url(), 8)?;
    let folder = tempfile::tempdir()?;
    row!("{:<8} {:<26} {:>12}  rows/s, median (10th to 90th percentile) of {pairs}", "table", "way", "");
    let narrow = Ingest::measure::<Narrow>(&gate, &server.url(), folder.path(), rows, pairs).await?;
    let wide = Ingest::measure::<Wide>(&gate, &server.url(), folder.path(), rows, pairs).await?;
    let latency = small_flushes(&gate).await?;
    row!("100-row flushes: p50 {:.2} ms, p99 {:.2} ms", latency.0, latency.1);

    let worst = |of: fn(&Ingest) -> f64| of(&narrow).min(of(&wide));
    let (copy, values, best, upsert) =
        (worst(|i| i.copy), worst(|i| i.values), worst(|i| i.best_values), worst(|i| i.upsert));
    let pass = copy >= 0.95 && values >= 2.0 && best >= 1.7 && upsert >= 0.85 && latency.1 < 5.0;
    let control = narrow.control.max(wide.control);
    let caught = control < 0.95;
    println!(
        "{} measured=copy={copy:.3},push_values-1000={values:.2},push_values-best={best:.2},upsert={upsert:.3},100-row-p99={:.2}ms,\
         rows/s-narrow={:.0}k,wide={:.0}k,psql={:.0}k,{:.0}k control=push_values-reach-{control:.2}-of-psql{} n={rows}-rows,{pairs}-pairs \
         worst of narrow and wide; ceiling {:.2} and {:.2} of psql",
        if pass && caught { "PASS" } else { "FAIL" },
        latency.1,
        narrow.rate / 1e3,
        wide.rate / 1e3,
        narrow.psql / 1e3,
        wide.psql / 1e3,
        if caught { "" } else { ",which-passes" },
        narrow.ceiling,
        wide.ceiling,
    );
    Ok(())
}

/// Ratios of rates: ours over theirs.
struct Ingest {
    rate: f64,
    psql: f64,
    copy: f64,
    values: f64,
    best_values: f64,
    upsert: f64,
    /// Of `push_values` over `psql`.
    control: f64,
    /// Of pre-encoded bytes over `psql`.
    ceiling: f64,
}

impl Ingest {
    async fn measure<R: Sample>(
        gate: &PgGate,
        url: &str,
        folder: &Path,
        rows: i64,
        pairs: usize,
    ) -> Result<Self, Failure> {
        run(gate, R::TABLE).await?;
        let file = folder.join(R::NAME);
        let export = format!("\\copy {} TO '{}' (FORMAT binary)\n", R::NAME, file.display());
        write::<R>(gate, 0..rows, Conflict::Error).await?;
        psql(url, &export)?;
        let bytes = std::fs::read(&file)?;
        let import = format!("\\copy {} FROM '{}' (FORMAT binary)\n", R::NAME, file.display());

        let mut times = Times::default();
        for pair in 0..pairs {
            for turn in 0..2usize {
                if (pair + turn).is_multiple_of(2) {
                    empty::<R>(gate).await?;
                    times.psql.push(psql(url, &import)?);
                } else {
                    empty::<R>(gate).await?;
                    times.ours.push(write::<R>(gate, 0..rows, Conflict::Error).await?);
                }
            }
            empty::<R>(gate).await?;
            times.ceiling.push(ceiling(gate, R::NAME, &bytes).await?);
            let share = rows / 4; // slow, and as fast at any length
            for (size, into) in
                [(1_000, &mut times.values), (250, &mut times.small), (4_000, &mut times.large)]
            {
                let size = usize::min(size, 65_535 / R::COLUMNS);
                empty::<R>(gate).await?;
                into.push(push_values::<R>(gate, share, size).await? * 4);
            }
            times.upserts::<R>(gate, url, &import, rows, pair).await?;
        }
        Ok(times.judge(R::NAME, rows))
    }
}

#[derive(Default)]
struct Times {
    psql: Vec<Duration>,
    ours: Vec<Duration>,
    ceiling: Vec<Duration>,
    values: Vec<Duration>,
    small: Vec<Duration>,
    large: Vec<Duration>,
    psql_upsert: Vec<Duration>,
    our_upsert: Vec<Duration>,
}

impl Times {
    /// Half of the keys are stored already.
    async fn upserts<R: Sample>(
        &mut self,
        gate: &PgGate,
        url: &str,
        import: &str,
        rows: i64,
        pair: usize,
    ) -> Result<(), Failure> {
        let columns = number_of_columns(gate, R::NAME).await?;
        let staged = format!(
            "BEGIN; CREATE TEMP TABLE staging (LIKE {name}) ON COMMIT DROP;\n{}INSERT INTO {name} SELECT * FROM staging \
             ON CONFLICT (id) DO UPDATE SET {columns};\nCOMMIT;\n",
            import.replacen(R::NAME, "staging", 1),
            name = R::NAME,
        );
        for turn in 0..2usize {
            empty::<R>(gate).await?;
            write::<R>(gate, 0..rows / 2, Conflict::Error).await?;
            run(gate, "CHECKPOINT").await?;
            if (pair + turn).is_multiple_of(2) {
                self.psql_upsert.push(psql(url, &staged)?);
            } else {
                self.our_upsert.push(write::<R>(gate, 0..rows, Conflict::Update).await?);
            }
        }
        Ok(())
    }

    fn judge(&self, name: &str, rows: i64) -> Ingest {
        let rates = |times: &[Duration]| -> Vec<f64> {
            times.iter().map(|took| rows as f64 / took.as_secs_f64()).collect()
        };
        let all = [
            ("psql \\copy binary", &self.psql),
            ("pre-encoded bytes", &self.ceiling),
            ("BatchWriter", &self.ours),
            ("push_values of 250", &self.small),
            ("push_values of 1000", &self.values),
            ("push_values of 4000", &self.large),
            ("psql staging, ON CONFLICT", &self.psql_upsert),
            ("BatchWriter, update", &self.our_upsert),
        ];
        for (way, times) in all {
            row!("{name:<8} {way:<26} {:>12}", spread(&rates(times)));
        }
        let ratio = |ours: &[Duration], theirs: &[Duration]| {
            let pairs = ours.iter().zip(theirs);
            median(&pairs.map(|(our, their)| their.as_secs_f64() / our.as_secs_f64()).collect::<Vec<_>>())
        };
        let best = [&self.small, &self.values, &self.large].map(|times| ratio(&self.ours, times));
        Ingest {
            rate: median(&rates(&self.ours)),
            psql: median(&rates(&self.psql)),
            copy: ratio(&self.ours, &self.psql),
            values: ratio(&self.ours, &self.values),
            best_values: best.into_iter().fold(f64::INFINITY, f64::min),
            upsert: ratio(&self.our_upsert, &self.psql_upsert),
            control: ratio(&self.values, &self.psql),
            ceiling: ratio(&self.ceiling, &self.psql),
        }
    }
}

async fn empty<R: Sample>(gate: &PgGate) -> Result<(), Failure> {
    run(gate, &format!("TRUNCATE {}; CHECKPOINT", R::NAME)).await
}

/// `a = excluded.a, …` without the key.
async fn number_of_columns(gate: &PgGate, table: &str) -> Result<String, Failure> {
    use offgridflow_query::sqlx::{AssertSqlSafe, Row as _, query};
    use offgridflow_query::{Acquire, ConnectionPool};
    let mut conn = gate.acquire(Acquire::default()).await?;
    let sql = format!(
        "SELECT string_agg(format('%I = excluded.%I', attname, attname), ', ') FROM pg_attribute \
         WHERE attrelid = '{table}'::regclass AND attnum > 1 AND NOT attisdropped"
    );
    Ok(query(AssertSqlSafe(sql)).fetch_one(&mut *conn).await?.try_get(0)?)
}

/// All rows through a writer with its own settings, every row acknowledged; from the first push to the last answer.
async fn write<R: Sample>(
    gate: &PgGate,
    ids: std::ops::Range<i64>,
    conflict: Conflict,
) -> Result<Duration, Failure> {
    let started = Instant::now();
    let (count, mut next) = (u64::try_from(ids.end - ids.start)?, ids.start);
    let writer =
        BatchWriter::<R>::builder(gate.clone()).conflict(conflict).flush_rows(32_768).queue_rows(131_072);
    let writer = writer.flush_bytes(16 << 20).in_flight(FLIGHTS).start()?;
    while next < ids.end {
        let until = ids.end.min(next + PORTION);
        drop(writer.push_many((next..until).map(R::nth)).await?); // the report counts them
        next = until;
    }
    let report = writer.close().await?;
    let took = started.elapsed();
    if report.stats.committed != count || !report.is_clean() {
        return Err(format!("{count} rows went in: {report:?}").into());
    }
    if number(gate, &format!("SELECT count(*) FROM {}", R::NAME)).await? < i64::try_from(count)? {
        return Err("rows are missing".into());
    }
    Ok(took)
}

/// What a hundred rows wait for their answer, in milliseconds: median and 99th percentile.
async fn small_flushes(gate: &PgGate) -> Result<(f64, f64), Failure> {
    run(gate, "TRUNCATE narrow; CHECKPOINT").await?;
    let writer = BatchWriter::<Narrow>::builder(gate.clone()).start()?;
    let mut took = Vec::new();
    for flush in 0..if full() { 5_000 } else { 1_500 } {
        let started = Instant::now();
        let tickets = writer.push_many((0..100).map(|id| Narrow::nth(flush * 100 + id))).await?;
        for outcome in tickets.outcomes().await {
            outcome.committed()?;
        }
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let _ = writer.close().await?;
    Ok((median(&took), quantile(&took, 0.99)))
}
