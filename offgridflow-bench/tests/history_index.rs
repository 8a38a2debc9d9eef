//! The SQLite index of a history says what the lines say, and is made anew when it does not.
#![cfg(feature = "history")]

use std::fs;

use offgridflow_bench::Error;
use offgridflow_bench::history::{Index, Record, append_line, read_lines};

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

#[tokio::test]
async fn a_spoilt_index_is_made_anew_and_spoilt_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, database) = (folder.path().join("history.jsonl"), folder.path().join("history.sqlite"));
    append_line(&lines, &record("b", "c", 0.1)).unwrap();
    for spoilt in
        [&b"no database, and longer than the header of one, which has a hundred bytes"[..], &[0xff; 4_096]]
    {
        fs::write(&database, spoilt).unwrap();
        let mut index = Index::open(&lines, &database).await.unwrap();
        assert!(index.was_made() && index.newest().await.unwrap().len() == 1);
    }
    let nowhere = folder.path().join("no folder/history.sqlite");
    assert!(matches!(Index::open(&lines, &nowhere).await, Err(Error::Index { .. })));
    fs::write(&lines, "{\"bench\": 1}\n").unwrap();
    assert!(matches!(Index::open(&lines, &database).await, Err(Error::Line { line: 1, .. })));
}
