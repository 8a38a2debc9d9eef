//! A file of activities goes in portion by portion: once, however often it is imported, and a bad row costs only itself.
use std::io::Write as _;

use offgridflow::intake::{self, Format, Intake, Portions};
use offgridflow::upload;
use proptest::prelude::*;

mod common;

/// What all portions of `body` hold together.
fn in_portions(size: usize, format: Format, body: &[u8]) -> Intake {
    let mut all = Intake::default();
    for portion in Portions::sized(size, format, body) {
        let portion = portion.unwrap();
        all.drafts.extend(portion.drafts);
        all.rejections.extend(portion.rejections);
    }
    all
}

fn csv_row() -> impl Strategy<Value = String> {
    let id = prop_oneof!["[a-z]{1,5}", "\"[a-z,\n]{0,6}(\"\")?[a-z\n]{0,3}\""];
    let row = (id, 0u32..99).prop_map(|(id, n)| format!("{id},diesel,{n}.5,2024"));
    prop_oneof![8 => row, 1 => Just("too,few".to_owned()), 1 => Just(String::new())]
}

proptest! {
    #[test]
    fn portions_of_csv_hold_what_the_whole_does(
        rows in prop::collection::vec(csv_row(), 0..30), size in 1usize..300, end in prop_oneof!["\n", "\r\n"], last: bool
    ) {
        let mut body = format!("id,category,quantity,period{end}{}", rows.join(&end));
        if last {
            body.push_str(&end);
        }
        prop_assert_eq!(in_portions(size, Format::Csv, body.as_bytes()), intake::read(Format::Csv, body.as_bytes()));
    }

    #[test]
    fn portions_of_ndjson_hold_what_the_whole_does(kinds in prop::collection::vec(0..4, 0..30), size in 1usize..300) {
        let line = |kind| match kind {
            0 => "",
            1 => "no json",
            _ => r#"{"id":"a","category":"diesel","quantity":"1.5","period":"2024-03"}"#,
        };
        let body = kinds.into_iter().map(line).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(in_portions(size, Format::Ndjson, body.as_bytes()), intake::read(Format::Ndjson, body.as_bytes()));
    }
}

#[test]
fn a_quote_that_is_left_open_is_an_error_before_memory_is_full() {
    let endless = std::io::Read::chain(&b"id,category,quantity,period\n\"a"[..], std::io::repeat(b'x'));
    let mut portions = Portions::new(Format::Csv, endless);
    let error = portions.find_map(Result::err).unwrap();
    assert!(error.to_string().contains("line 2: a row of more than 16 MiB"), "{error}");
    assert!(portions.next().is_none());
}

#[test]
fn a_header_that_cannot_be_right_refuses_the_file_once() {
    let body = b"id,category,quantity\na,diesel,1\nb,diesel,1\n";
    assert_eq!(in_portions(1, Format::Csv, body), intake::read(Format::Csv, body));
}

/// Twenty thousand rows, two of them bad.
fn file(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("activities.csv");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    writeln!(out, "id,category,quantity,unit,period").unwrap();
    for n in 0..20_000 {
        match n {
            7 => writeln!(out, "a{n},phlogiston,1,kg,2024").unwrap(),
            19_999 => writeln!(out, "a{n},diesel,many,GJ,2024").unwrap(),
            _ => writeln!(out, "a{n},diesel,{}.5,GJ,2024-{:02}", n % 1_000, n % 12 + 1).unwrap(),
        }
    }
    path
}

async fn goes_in_once(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (file(folder.path()), common::config(&["--database-url", url]));
    let first = upload::run(&path, "acme", &config).await.unwrap();
    assert_eq!((first.stored, first.duplicates, first.refused, first.not_stored), (19_998, 0, 2, 0));
    assert_eq!(first.rejections.iter().map(|row| row.line).collect::<Vec<_>>(), [9, 20_001]);
    let again = upload::run(&path, "acme", &config).await.unwrap();
    assert_eq!((again.stored, again.duplicates, again.refused), (0, 19_998, 2));
    assert!(again.to_string().starts_with("0 activities stored, 19998 were there before, 2 rows refused ("));
    let other = folder.path().join("activities.xml");
    std::fs::write(&other, "<a/>").unwrap();
    let refused = upload::run(&other, "acme", &config).await.unwrap_err();
    assert!(refused.to_string().ends_with("activities come as .csv, .ndjson or .jsonl"), "{refused}");
}

#[tokio::test]
async fn a_file_goes_into_sqlite_once() {
    let folder = tempfile::tempdir().unwrap();
    goes_in_once(&format!("sqlite:{}", folder.path().join("upload.db").display())).await;
}

#[tokio::test]
async fn a_file_goes_into_postgresql_once() {
    let database = testkit::postgres().create_database("upload").unwrap();
    goes_in_once(&database.url()).await;
}
