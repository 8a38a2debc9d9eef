use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::Record;
use super::record::parse_lines;
use crate::Error;
use crate::fnv::fnv1a;

/// A history in SQLite, to ask it questions: one table, `records`, a row a line, `line` its number. The lines stay the truth; the index is made of
/// them, and made anew whenever they are not those that it was made of, or it is spoilt. What is no index, by SQLite's `application_id`, is left alone.
#[derive(Debug)]
pub struct Index {
    connection: SqliteConnection,
    path: PathBuf,
    made: bool,
}

/// What marks a database as an index: "OGFh", in its header.
const MARK: [u8; 4] = *b"OGFh";
/// Where SQLite keeps that (*Database File Format*, §1.3).
const MARK_AT: usize = 68;

const TABLES: [&str; 6] = [
    "PRAGMA application_id = 1330071144",
    "DROP TABLE IF EXISTS made_of",
    "DROP TABLE IF EXISTS records",
    "CREATE TABLE made_of (digest TEXT NOT NULL)",
    "CREATE TABLE records (line INTEGER PRIMARY KEY, bench TEXT NOT NULL, \"commit\" TEXT NOT NULL, anchor TEXT NOT NULL, ln_ratio REAL NOT NULL, spread REAL, nanoseconds REAL, machine TEXT NOT NULL, at INTEGER NOT NULL)",
    "CREATE INDEX records_by_bench ON records (bench, line)",
];

impl Index {
    /// The index at `database` of the history at `history`.
    ///
    /// # Errors
    /// The history cannot be read or is none; the database is something else than an index, cannot be written, or is in use.
    ///
    /// # Cancel safety
    /// Dropped half-way, the index is as it was, or made anew the next time.
    pub async fn open(history: &Path, database: &Path) -> Result<Self, Error> {
        let text = match fs::read_to_string(history) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Read { path: history.to_owned(), source }),
        };
        let records = parse_lines::<Record>(&text).map_err(|(line, source)| Error::Line {
            path: history.to_owned(),
            line,
            source,
        })?;
        let digest = digest(&text);
        if !may_be_made(database)? {
            return Err(Error::NotAnIndex { path: database.to_owned() });
        }
        match Self::of(database, &digest, &records).await {
            Err(error) if is_spoilt(&error) => {
                remove(database);
                Self::of(database, &digest, &records).await
            }
            opened => opened,
        }
        .map_err(|source| failed(database, source))
    }

    /// Whether opening made it anew.
    #[must_use]
    pub fn was_made(&self) -> bool {
        self.made
    }

    /// The records of one benchmark, in the order of their lines.
    ///
    /// # Errors
    /// The database cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn series(&mut self, bench: &str) -> Result<Vec<Record>, Error> {
        let query = sqlx::query("SELECT * FROM records WHERE bench = ? ORDER BY line").bind(bench);
        let rows = query.fetch_all(&mut self.connection).await;
        rows.and_then(|rows| rows.iter().map(record).collect()).map_err(|source| failed(&self.path, source))
    }

    /// The last record of each benchmark, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn newest(&mut self) -> Result<Vec<Record>, Error> {
        const NEWEST: &str = "SELECT * FROM records WHERE line IN (SELECT max(line) FROM records GROUP BY bench) ORDER BY bench";
        let rows = sqlx::query(NEWEST).fetch_all(&mut self.connection).await;
        rows.and_then(|rows| rows.iter().map(record).collect()).map_err(|source| failed(&self.path, source))
    }

    async fn of(database: &Path, digest: &str, records: &[Record]) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
        // What a lost power leaves half written is made anew.
        let mut connection = options.synchronous(SqliteSynchronous::Off).connect().await?;
        let made = !is_of(&mut connection, digest).await?;
        if made {
            make(&mut connection, digest, records).await?;
        }
        Ok(Self { connection, path: database.to_owned(), made })
    }
}

/// Whether what is at the path is an index, or nothing: only that is written to, or removed.
fn may_be_made(database: &Path) -> Result<bool, Error> {
    let mut header = Vec::new();
    match fs::File::open(database).and_then(|file| file.take(100).read_to_end(&mut header)) {
        Ok(0) => Ok(true),
        Ok(_) => Ok(header.get(MARK_AT..MARK_AT + MARK.len()) == Some(&MARK[..])),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(Error::Read { path: database.to_owned(), source }),
    }
}

/// Removes an index, of which nothing is lost that the lines do not have, with what SQLite would roll back into the next one.
fn remove(database: &Path) {
    let journal = format!("{}-journal", database.display());
    for file in [database, Path::new(&journal)] {
        let _ = fs::remove_file(file);
    }
}

/// Whether an index is damaged, or of another version; not where it is in use, or the disk is full or cannot be written to.
fn is_spoilt(error: &sqlx::Error) -> bool {
    /// SQLite's primary codes for: error, corrupt, not a database.
    const SPOILT: [u32; 3] = [1, 11, 26];
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    let odd = matches!(
        error,
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
    );
    odd || code.is_some_and(|code| SPOILT.contains(&(code & 0xff)))
}

async fn is_of(connection: &mut SqliteConnection, digest: &str) -> Result<bool, sqlx::Error> {
    let tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('made_of', 'records')";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut *connection).await?;
    if tables != 2 {
        return Ok(false);
    }
    let known: Option<String> =
        sqlx::query_scalar("SELECT digest FROM made_of").fetch_optional(connection).await?;
    Ok(known.as_deref() == Some(digest))
}

/// All of it in one transaction.
async fn make(
    connection: &mut SqliteConnection,
    digest: &str,
    records: &[Record],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for statement in TABLES {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    for (line, record) in (1_i64..).zip(records) {
        sqlx::query("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(line)
            .bind(&record.bench)
            .bind(&record.commit)
            .bind(&record.anchor)
            .bind(record.ln_ratio)
            .bind(record.spread)
            .bind(record.nanoseconds)
            .bind(&record.machine)
            .bind(i64::try_from(record.at).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query("INSERT INTO made_of VALUES (?)").bind(digest).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        bench: row.try_get("bench")?,
        commit: row.try_get("commit")?,
        anchor: row.try_get("anchor")?,
        ln_ratio: row.try_get("ln_ratio")?,
        spread: row.try_get("spread")?,
        nanoseconds: row.try_get("nanoseconds")?,
        machine: row.try_get("machine")?,
        at: row.try_get::<i64, _>("at")?.unsigned_abs(),
    })
}

/// FNV-1a of the text, and its length.
fn digest(text: &str) -> String {
    format!("{:016x}-{}", fnv1a(text.as_bytes()), text.len())
}

fn failed(path: &Path, source: sqlx::Error) -> Error {
    Error::Index { path: path.to_owned(), source: Box::new(source) }
}
