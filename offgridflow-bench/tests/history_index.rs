//! The SQLite index of a history says what the lines say, and is made anew when it does not.
#![cfg(feature = "history")]

use std::fs;
use std::path::{Path, PathBuf};

use offgridflow_bench::Error;
use offgridflow_bench::history::{Index, Record, append_line, read_lines};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

fn record(bench: &str, commit: &str, ln_ratio: f64) -> Record {
    Record {
        commit: commit.to_owned(),
        anchor: "a".to_owned(),
        bench: bench.to_owned(),
        ln_ratio,
        spread: (ln_ratio > 0.05).then_some(0.01),
        nanoseconds: None,
        machine: "m".to_owned(),
        at: 1_796_000_000,
    }
}

#[tokio::test]
async fn the_index_has_what_the_lines_have_and_follows_them() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, database) = (folder.path().join("history.jsonl"), folder.path().join("history.sqlite"));
    for nth in 0..50 {
        let bench = format!("p/t: \"b'{}\" %", nth % 3);
        append_line(&lines, &record(&bench, &format!("c{nth}"), f64::from(nth) / 100.0)).unwrap();
    }
    let all: Vec<Record> = read_lines(&lines).unwrap();
    let mut index = Index::open(&lines, &database).await.unwrap();
    assert!(index.was_made());
    let of_one: Vec<Record> = all.iter().filter(|one| one.bench == "p/t: \"b'1\" %").cloned().collect();
    assert_eq!(index.series("p/t: \"b'1\" %").await.unwrap(), of_one, "not a bit is lost on the way");
    assert!(index.series("nosuch").await.unwrap().is_empty());
    let newest: Vec<String> = index.newest().await.unwrap().into_iter().map(|one| one.commit).collect();
    assert_eq!(newest, ["c48", "c49", "c47"]);
    drop(index);

    assert!(!Index::open(&lines, &database).await.unwrap().was_made(), "the lines are the same");
    append_line(&lines, &record("new", "c50", 0.1)).unwrap();
    let mut index = Index::open(&lines, &database).await.unwrap();
    assert!(index.was_made() && index.newest().await.unwrap().len() == 4);
}

/// An index of one line, and what it is of.
async fn indexed(folder: &Path) -> (PathBuf, PathBuf) {
    let (lines, database) = (folder.join("history.jsonl"), folder.join("history.sqlite"));
    append_line(&lines, &record("b", "c", 0.1)).unwrap();
    assert!(Index::open(&lines, &database).await.unwrap().was_made());
    (lines, database)
}

#[tokio::test]
async fn a_spoilt_index_is_made_anew_and_spoilt_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, database) = indexed(folder.path()).await;
    let whole = fs::read(&database).unwrap();
    let garbage = [&whole[..100], &[0xff; 8_192]].concat(); // the header of an index, and no index behind it
    for spoilt in [&whole[..200], &garbage, b""] {
        fs::write(&database, spoilt).unwrap();
        let mut index = Index::open(&lines, &database).await.unwrap();
        assert!(index.was_made() && index.newest().await.unwrap().len() == 1);
    }
    let nowhere = folder.path().join("no folder/history.sqlite");
    assert!(matches!(Index::open(&lines, &nowhere).await, Err(Error::Index { .. })));
    fs::write(&lines, "{\"bench\": 1}\n").unwrap();
    assert!(matches!(Index::open(&lines, &database).await, Err(Error::Line { line: 1, .. })));
}

/// Notes, or the database of a program, at the path that somebody gave by mistake.
#[tokio::test]
async fn what_is_no_index_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, index) = indexed(folder.path()).await;
    let program = folder.path().join("shop.sqlite");
    let options = SqliteConnectOptions::new().filename(&program).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    for statement in ["CREATE TABLE records (customer TEXT)", "INSERT INTO records VALUES ('Ada')"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let notes = folder.path().join("notes.txt");
    fs::write(
        &notes,
        "no database, and longer than the header of one, which has a hundred bytes: mine, and nobody else's",
    )
    .unwrap();
    for other in [&program, &notes] {
        let before = fs::read(other).unwrap();
        let refused = Index::open(&lines, other).await.unwrap_err();
        assert!(refused.to_string().contains("is no index of a history: name another file"), "{refused}");
        assert_eq!(fs::read(other).unwrap(), before, "{}", other.display());
    }
    assert!(!Index::open(&lines, &index).await.unwrap().was_made(), "the control: an index is one");
}

/// Somebody else writes into it: it is neither removed nor taken for spoilt.
#[tokio::test]
async fn an_index_in_use_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, database) = indexed(folder.path()).await;
    append_line(&lines, &record("b", "d", 0.2)).unwrap();
    let mut other = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    assert!(matches!(Index::open(&lines, &database).await, Err(Error::Index { .. })));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(Index::open(&lines, &database).await.unwrap().newest().await.unwrap()[0].commit, "d");
}
