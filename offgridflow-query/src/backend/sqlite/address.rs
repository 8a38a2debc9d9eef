//! Which database an address means: a file or memory, to write or only to read.

use crate::error::ConfigError;
use crate::gate::{Gate, GateConfig};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use std::str::FromStr;
use std::time::Duration;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl Gate<Sqlite> {
    /// A gate from a `sqlite:` address, set up for many readers beside one writer: WAL, synchronous FULL (an
    /// acknowledged commit survives loss of power), foreign keys on, a busy time-out of 5 s. A file that is missing is
    /// created, unless the address says otherwise: with `?mode=rw` it is an error. One that is only read (`?mode=ro`, `?immutable=1`) is
    /// left in the mode it has.
    ///
    /// An in-memory database lives in its connection. Whichever way the gate was made, such a database gets exactly one, which the gate
    /// keeps until it is closed or its runtime ends: a statement that nobody waits for any more is waited out, however long it takes, and
    /// a connection that comes back broken is brought in order instead of replaced. The settings that say otherwise are not heeded.
    ///
    /// # Errors
    /// [`ConfigError::Address`] for an address sqlx cannot read, [`ConfigError::Setting`] for sizes that cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_url(url: &str, config: GateConfig) -> Result<Self, ConfigError> {
        let query = query(url).map_err(|why| ConfigError::Address { why: why.to_owned() })?;
        let options =
            SqliteConnectOptions::from_str(url).map_err(|e| ConfigError::Address { why: e.to_string() })?;
        let options = options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT);
        if is_in_memory(&options) || only_reads(query) {
            return Self::open(options, config);
        }
        let options = options
            .create_if_missing(matches!(parameter(query, "mode="), None | Some("rwc")))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        Self::open(options, config)
    }
}

/// What follows the question mark.
fn query(url: &str) -> Result<&str, &'static str> {
    let rest = url.strip_prefix("sqlite:").ok_or("not a sqlite: address")?;
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    match name.strip_prefix("//").unwrap_or(name) {
        "" => Err(
            "no file is named, and SQLite would give each connection a database of its own; in memory is sqlite::memory:",
        ),
        _ => Ok(query),
    }
}

/// The value of a parameter, the last where it is there more than once.
fn parameter<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').rev().find_map(|pair| pair.strip_prefix(key))
}

/// Whether nothing is written, the mode of the file's journal neither.
fn only_reads(query: &str) -> bool {
    parameter(query, "mode=") == Some("ro") || matches!(parameter(query, "immutable="), Some("1" | "true"))
}

/// Whether the database lives in its connections: in memory, or in a temporary file without a name.
pub(super) fn is_in_memory(options: &SqliteConnectOptions) -> bool {
    let path = options.get_filename();
    let name = path.to_string_lossy();
    let uri = name.strip_prefix("file:").unwrap_or_default();
    let told = ["", ":memory:"].contains(&&*name)
        || uri.starts_with(":memory:")
        || ["mode=memory", "vfs=memdb"].iter().any(|parameter| uri.contains(parameter));
    // What was said by name only; the rest sqlx shows nowhere but here (its address panics over some names).
    let shown = format!("{options:?}").replacen(&format!("{path:?}"), "…", 1);
    told || shown.contains("in_memory: true") || shown.contains("vfs: Some(\"memdb\")")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{ConnectOptions, Connection};

    /// What SQLite itself says of the database that the options open.
    async fn has_no_file(options: &SqliteConnectOptions) -> bool {
        let mut conn = options.connect().await.unwrap();
        let file: String = sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
        file.is_empty()
    }

    #[tokio::test]
    async fn memory_is_told_from_files_as_sqlite_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let read = |url: &str| SqliteConnectOptions::from_str(url).unwrap();
        let named = |name: &str| SqliteConnectOptions::new().filename(name).create_if_missing(true);
        let in_memory = [
            read("sqlite::memory:"),
            read("sqlite://:memory:?cache=private"),
            read("sqlite:some?mode=memory"),
            SqliteConnectOptions::new(),
            named(":memory:"),
            named(""),
            named("some").in_memory(true),
            named("file::memory:"),
            named("file:some?mode=memory&cache=shared"),
            named("file:/some?vfs=memdb"),
            named("/some").vfs("memdb"),
        ];
        for options in &in_memory {
            assert!(is_in_memory(options), "{options:?}");
            assert!(has_no_file(options).await, "{options:?}");
        }
        let files = [
            read(&format!("sqlite:{}?mode=rwc", file("a"))),
            named(&file("in_memory: true")),
            named(&file("vfs: Some(\"memdb\")")),
            named(&file("mode=memory")),
        ];
        for options in &files {
            assert!(!is_in_memory(options), "{options:?}");
            assert!(!has_no_file(options).await, "{options:?}");
        }
    }
}
