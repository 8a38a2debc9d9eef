//! A gate to PostgreSQL beside SQLite in one process: it looks for its sockets among all descriptors, and must not drop the locks of files
//! (POSIX: whoever closes any descriptor of a file drops all locks that the process holds on it).
#![cfg(all(feature = "postgres", feature = "sqlite", target_os = "linux"))]

use offgridflow_query::{Acquire, ConnectionPool, GateConfig, PgGate, SqliteGate};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Locks that this process holds on a file.
fn locks(file: &Path) -> usize {
    let inode = format!(":{} ", std::fs::metadata(file).unwrap().ino());
    let process = format!(" {} ", std::process::id());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| line.contains(&inode) && line.contains(&process)).count()
}

#[tokio::test]
async fn the_locks_of_sqlite_outlive_connections_to_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db");
    let lite = SqliteGate::from_url(&format!("sqlite:{}", file.display()), GateConfig::default()).unwrap();
    let mut conn = lite.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = delete; CREATE TABLE t (id INTEGER); BEGIN IMMEDIATE")
        .execute(&mut *conn)
        .await
        .unwrap();
    let before = locks(&file);
    if before == 0 {
        eprintln!("skipped: /proc/locks does not tell this process's locks");
        return;
    }
    let database = testkit::postgres().create_database("locks").unwrap();
    for _ in 0..3 {
        let gate = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
        drop(gate.acquire(Acquire::default()).await.unwrap());
        gate.close().await;
        assert_eq!(locks(&file), before);
    }
    drop(std::fs::File::open(&file).unwrap()); // the control: this is how they are lost
    assert_eq!(locks(&file), 0);
    sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await.unwrap();
}
