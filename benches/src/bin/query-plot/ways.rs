//! The same rows in batches of one size, by different hands, each batch in a transaction of its own.

use std::io::Write as _;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use offgridflow_query::sqlx::{self, Connection, Postgres, QueryBuilder, raw_sql};
use offgridflow_query::{Acquire, BatchWriter, ConnectionPool, GateConfig, PgGate, row};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use crate::Failure;

struct Reading {
    id: i64,
    site: i64,
    watts: f64,
}
row!(Reading in "readings" { id, site, watts } key { id });

const TABLE: &str = "CREATE TABLE readings (id INT8 PRIMARY KEY, site INT8 NOT NULL, watts FLOAT8 NOT NULL)";
const COPY: &str = "COPY readings (id, site, watts) FROM STDIN (FORMAT binary)";
const UNNEST: &str =
    "INSERT INTO readings (id, site, watts) SELECT * FROM UNNEST($1::int8[], $2::int8[], $3::float8[])";
/// Long enough that a batch more or less does not matter.
const WINDOW: Duration = Duration::from_millis(400);

fn nth(id: i64) -> Reading {
    Reading { id, site: id % 1_009, watts: (id * 7_919 % 100_003) as f64 / 7.0 }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Ours,
    PushValues,
    Unnest,
    SqlxCopy,
    TokioCopy,
    Psql,
}

impl Way {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ours, Self::PushValues, Self::Unnest, Self::SqlxCopy, Self::TokioCopy, Self::Psql];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "BatchWriter",
            Self::PushValues => "push_values",
            Self::Unnest => "UNNEST by hand",
            Self::SqlxCopy => "COPY by sqlx",
            Self::TokioCopy => "COPY by tokio-postgres",
            Self::Psql => "psql \\copy, a process a batch",
        }
    }
}

/// A server behind two proxies, and the connections to it: a gate changes the sockets that lead where its own lead, so the rivals
/// come another way.
pub(crate) struct Bench {
    _server: testkit::Postgres,
    proxies: [testkit::FaultProxy; 2],
    gate: PgGate,
    url: String, // of the rivals
    tokio: tokio::sync::Mutex<tokio_postgres::Client>,
}

impl Bench {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let settings = [("shared_buffers", "512MB"), ("max_wal_size", "8GB"), ("autovacuum", "off")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let server = testkit::Postgres::start_with(&testkit::PostgresOptions { settings })?;
        let proxies =
            [testkit::FaultProxy::start(server.addr())?, testkit::FaultProxy::start(server.addr())?];
        let [ours, url] = proxies
            .each_ref()
            .map(|proxy| server.url().replace(&server.addr().to_string(), &proxy.addr().to_string()));
        let gate = PgGate::from_url(&ours, GateConfig { max_open: 4, ..GateConfig::default() })?;
        raw_sql(TABLE).execute(&mut *gate.acquire(Acquire::default()).await?).await?;
        let (tokio, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(Self { _server: server, proxies, gate, url, tokio: tokio.into() })
    }

    pub(crate) fn delay(&self, one_way: Duration) {
        self.proxies.iter().for_each(|proxy| proxy.delay(one_way));
    }

    /// Rows a second in batches of `size`, from an empty table on; at least two batches, the first of which is not counted.
    pub(crate) async fn rate(&self, way: Way, size: usize) -> Result<f64, Failure> {
        raw_sql("TRUNCATE readings").execute(&mut *self.gate.acquire(Acquire::default()).await?).await?;
        match way {
            Way::Ours => self.ours(size).await,
            Way::TokioCopy => self.tokio(size).await,
            Way::Psql => self.psql(size),
            _ => self.by_hand(way, size).await,
        }
    }

    async fn ours(&self, size: usize) -> Result<f64, Failure> {
        let writer = BatchWriter::<Reading>::builder(self.gate.clone()).flush_rows(size).queue_rows(2 * size);
        let writer = writer.start()?;
        let mut clock = Clock::new(size);
        while let Some(ids) = clock.next() {
            for outcome in writer.push_many(ids.map(nth)).await?.outcomes().await {
                outcome.committed()?;
            }
        }
        let _ = writer.close().await?;
        Ok(clock.rate())
    }

    async fn by_hand(&self, way: Way, size: usize) -> Result<f64, Failure> {
        let mut conn = sqlx::PgConnection::connect(&self.url).await?;
        let mut clock = Clock::new(size);
        while let Some(ids) = clock.next() {
            let rows: Vec<Reading> = ids.map(nth).collect();
            match way {
                Way::Unnest => unnest(&mut conn, &rows).await?,
                Way::SqlxCopy => copy(&mut conn, &rows).await?,
                _ => push_values(&mut conn, rows).await?,
            }
        }
        Ok(clock.rate())
    }

    async fn tokio(&self, size: usize) -> Result<f64, Failure> {
        let client = self.tokio.lock().await;
        let mut clock = Clock::new(size);
        while let Some(ids) = clock.next() {
            let sink = client.copy_in(COPY).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT8, Type::INT8, Type::FLOAT8]));
            for Reading { id, site, watts } in ids.map(nth) {
                writer.as_mut().write(&[&id, &site, &watts]).await?;
            }
            writer.finish().await?;
        }
        Ok(clock.rate())
    }

    fn psql(&self, size: usize) -> Result<f64, Failure> {
        let mut clock = Clock::new(size);
        while let Some(ids) = clock.next() {
            let lines: String =
                ids.map(nth).map(|Reading { id, site, watts }| format!("{id}\t{site}\t{watts}\n")).collect();
            let mut child = Command::new("psql")
                .args([
                    "-X",
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-d",
                    &self.url,
                    "-c",
                    "\\copy readings FROM STDIN",
                ])
                .stdin(Stdio::piped())
                .spawn()?;
            child.stdin.take().ok_or("no standard input")?.write_all(lines.as_bytes())?;
            if !child.wait()?.success() {
                return Err("psql failed".into());
            }
        }
        Ok(clock.rate())
    }
}

/// Hands out ids batch by batch until the window is over.
struct Clock {
    size: usize,
    batches: usize,
    began: Instant,
}

impl Clock {
    fn new(size: usize) -> Self {
        Self { size, batches: 0, began: Instant::now() }
    }

    fn next(&mut self) -> Option<std::ops::Range<i64>> {
        if self.batches == 1 {
            self.began = Instant::now(); // prepared and looked up
        }
        if self.batches >= 2 && self.began.elapsed() > WINDOW {
            return None;
        }
        let first = i64::try_from(self.batches * self.size).ok()?;
        self.batches += 1;
        Some(first..first + i64::try_from(self.size).ok()?)
    }

    fn rate(&self) -> f64 {
        ((self.batches - 1) * self.size) as f64 / self.began.elapsed().as_secs_f64()
    }
}

/// As many statements in one transaction as 65 535 parameters take.
async fn push_values(conn: &mut sqlx::PgConnection, rows: Vec<Reading>) -> Result<(), Failure> {
    let mut transaction = conn.begin().await?;
    for piece in rows.chunks(65_535 / 3) {
        let mut builder = QueryBuilder::<Postgres>::new("INSERT INTO readings (id, site, watts) ");
        builder.push_values(piece, |mut row, value| {
            row.push_bind(value.id).push_bind(value.site).push_bind(value.watts);
        });
        builder.build().execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

async fn unnest(conn: &mut sqlx::PgConnection, rows: &[Reading]) -> Result<(), Failure> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let sites: Vec<i64> = rows.iter().map(|row| row.site).collect();
    let watts: Vec<f64> = rows.iter().map(|row| row.watts).collect();
    sqlx::query(UNNEST).bind(ids).bind(sites).bind(watts).execute(conn).await?;
    Ok(())
}

async fn copy(conn: &mut sqlx::PgConnection, rows: &[Reading]) -> Result<(), Failure> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend(3i16.to_be_bytes());
        for value in [row.id.to_be_bytes(), row.site.to_be_bytes(), row.watts.to_be_bytes()] {
            bytes.extend(8i32.to_be_bytes());
            bytes.extend(value);
        }
    }
    bytes.extend((-1i16).to_be_bytes());
    let mut copy = conn.copy_in_raw(COPY).await?;
    copy.send(bytes).await?;
    copy.finish().await?;
    Ok(())
}
