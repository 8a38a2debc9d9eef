//! Tables of data from files.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::Feed;
use crate::{
    error::ConfigError,
    replay::{Records, csv_cells},
};

/// The longest record, in bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// What a table may hold: bytes of text, and cells.
const MAX_TEXT_BYTES: usize = 256 << 20;
const MAX_CELLS: usize = 10_000_000;

impl Feed {
    /// Reads a file by its extension: `.csv`, or (feature `serde`) `.ndjson`, `.jsonl` and `.json`. At most 256 MiB of text in ten million cells.
    ///
    /// # Errors
    /// As [`read_csv`](Self::read_csv); also a file that cannot be opened, and another extension.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let named = |hint: &str| ConfigError::new("feed", format!("{}: {hint}", path.display()));
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let read = match &*extension.to_ascii_lowercase() {
            "csv" => Self::read_csv::<BufReader<File>>,
            #[cfg(feature = "serde")]
            "ndjson" | "jsonl" | "json" => Self::read_ndjson::<BufReader<File>>,
            _ => return Err(named("its name has to end in .csv or .ndjson, which says how it is written")),
        };
        if path.is_dir() {
            return Err(named("it is a folder, not a table"));
        }
        let file = File::open(path).map_err(|error| named(&format!("cannot be opened: {error}")))?;
        read(BufReader::with_capacity(1 << 18, file)).map_err(|error| named(&error.hint))
    }

    /// Reads comma-separated values (RFC 4180) whose first record names the columns.
    ///
    /// # Errors
    /// Text that cannot be read or is no such table, with the line; no row; more than a table may hold (see [`open`](Self::open)).
    pub fn read_csv<R: BufRead>(table: R) -> Result<Self, ConfigError> {
        read(table, true, |held, text| {
            let record = csv_cells(text)?;
            let Some(columns) = &held.columns else {
                held.columns = Some(record.iter().map(|name| name.trim().to_owned()).collect());
                return Ok(());
            };
            if record.len() != columns.len() {
                return Err(format!("has {} cells, and the header names {}", record.len(), columns.len()));
            }
            record.into_iter().for_each(|cell| held.push(cell.into_owned()));
            Ok(())
        })
    }

    /// Reads one JSON object a line; the fields of the first are the columns, which all have to have. Numbers, `true` and `false` are as they are
    /// written, `null` is empty, lists and objects are JSON.
    ///
    /// # Errors
    /// As [`read_csv`](Self::read_csv).
    #[cfg(feature = "serde")]
    pub fn read_ndjson<R: BufRead>(table: R) -> Result<Self, ConfigError> {
        use serde_json::{Map, Value};
        read(table, false, |held, text| {
            let object: Map<String, Value> =
                serde_json::from_str(text).map_err(|_| "is no JSON object".to_owned())?;
            let columns = held.columns.get_or_insert_with(|| object.keys().cloned().collect()).clone();
            for column in columns {
                let value = object.get(&column);
                let value =
                    value.ok_or_else(|| format!("has no field `{column}`, which the first line has"))?;
                held.push(match value {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    value => value.to_string(),
                });
            }
            Ok(())
        })
    }
}

/// What was read so far.
#[derive(Default)]
struct Held {
    columns: Option<Vec<String>>,
    cells: Vec<String>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, cell: String) {
        self.bytes += cell.len();
        self.cells.push(cell);
    }
}

/// Reads records one after the other; `take` adds one, or says why it cannot.
fn read(
    table: impl BufRead,
    quoted: bool,
    take: impl Fn(&mut Held, &str) -> Result<(), String>,
) -> Result<Feed, ConfigError> {
    let wrong = |hint: String| ConfigError::new("feed", hint);
    let mut records = Records::new(table, MAX_RECORD_BYTES, quoted);
    let mut held = Held::default();
    while let Some(record) = records.next().map_err(|error| wrong(format!("cannot be read: {error}")))? {
        let taken = record.text.and_then(|text| take(&mut held, text));
        taken.map_err(|reason| wrong(format!("line {} {reason}", record.line)))?;
        if held.bytes > MAX_TEXT_BYTES || held.cells.len() > MAX_CELLS {
            return Err(wrong("a table holds at most 256 MiB of text in ten million cells: cut it".into()));
        }
    }
    Feed::of(held.columns.unwrap_or_default(), held.cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(feed: &Feed) -> Vec<Vec<String>> {
        let rows = (0..feed.len()).filter_map(|at| feed.row(u64::try_from(at).ok()?, 0));
        rows.map(|row| row.cells().to_vec()).collect()
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let csv = "\u{feff}site, name\r\n1,\"north, upper\"\r\n\r\n2,\"a \"\"b\"\"\nc\"\r\n";
        let feed = Feed::read_csv(csv.as_bytes()).expect("a table");
        assert_eq!(feed.columns(), ["site", "name"]);
        assert_eq!(cells(&feed), [["1", "north, upper"], ["2", "a \"b\"\nc"]]);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn objects_are_rows_of_the_first_ones_fields() {
        let ndjson =
            "{\"id\":7,\"name\":\"a\",\"on\":true}\n{\"name\":null,\"on\":[1],\"id\":2.50,\"more\":1}\n";
        let feed = Feed::read_ndjson(ndjson.as_bytes()).expect("a table");
        let at = |row: u64, column| feed.row(row, 0).and_then(|row| row.get(column).map(str::to_owned));
        assert_eq!([at(0, "id"), at(0, "name"), at(0, "on")].map(Option::unwrap), ["7", "a", "true"]);
        assert_eq!([at(1, "id"), at(1, "name"), at(1, "on")].map(Option::unwrap), ["2.5", "", "[1]"]);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let refused = |text: &str| Feed::read_csv(text.as_bytes()).expect_err(text).hint;
        for (text, hint) in [
            ("", "at least one column and one row"),
            ("a,b\n", "at least one column and one row"),
            ("a,b\n1,2\n3\n", "line 3 has 1 cells, and the header names 2"),
            ("a,a\n1,2\n", "two columns `a`"),
            ("a\n\"1\n", "line 2 has a quote that is not closed"),
        ] {
            assert!(refused(text).contains(hint), "{text}: {}", refused(text));
        }
        assert!(Feed::read_csv(&b"a\n\xff\n"[..]).expect_err("no text").hint.contains("line 2 is not UTF-8"));
        let long = format!("a\n{}\n", "x".repeat(MAX_RECORD_BYTES));
        assert!(refused(&long).contains("line 2 is longer than 1048576 bytes"));
        #[cfg(feature = "serde")]
        for (text, hint) in
            [("7\n", "line 1 is no JSON object"), ("{\"a\":1}\n{\"b\":1}\n", "line 2 has no field `a`")]
        {
            assert!(Feed::read_ndjson(text.as_bytes()).expect_err(text).hint.contains(hint), "{text}");
        }
        let open = |path: &str| Feed::open(path).expect_err(path).hint;
        assert!(open("no/such.csv").starts_with("no/such.csv: cannot be opened"), "{}", open("no/such.csv"));
        assert!(open("table.xls").contains("has to end in .csv or .ndjson"));
    }
}
