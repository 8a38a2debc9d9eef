use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// One benchmark at one commit, measured side by side with an anchor commit: a ratio means the same on every machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The commit measured.
    pub commit: String,
    /// The commit it was measured against, in the same run.
    pub anchor: String,
    /// The benchmark's full name.
    pub bench: String,
    /// ln of the time at `commit` over the time at `anchor`.
    pub ln_ratio: f64,
    /// Standard error of `ln_ratio`; `None` when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Nanoseconds an iteration at `commit`, for the reader: never compared across machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds: Option<f64>,
    /// What kind of machine it was.
    #[serde(default)]
    pub machine: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub at: u64,
}

/// A slow-down that is meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blessing {
    /// The benchmark's full name.
    pub bench: String,
    /// How much slower it may become, as a share: 0.1 is 10 %.
    pub slowdown: f64,
    /// Why.
    pub reason: String,
    /// The commit it was given at.
    pub commit: String,
}

/// Reads a file of JSON lines: one value a line, fields it does not know left out, empty lines skipped. A file that is not there is empty.
///
/// # Errors
/// The file cannot be read, or a line is not such a value: history that is half read would be judged as if it were whole.
pub fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    parse_lines(&text).map_err(|(line, source)| Error::Line { path: path.to_owned(), line, source })
}

/// The values of JSON lines, or the number of the first line that is none.
pub(crate) fn parse_lines<T: serde::de::DeserializeOwned>(
    text: &str,
) -> Result<Vec<T>, (usize, serde_json::Error)> {
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    filled.map(|(nth, line)| serde_json::from_str(line).map_err(|source| (nth + 1, source))).collect()
}

/// Appends one value as a line of its own, in one write.
///
/// # Errors
/// The file cannot be written.
pub fn append_line<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut line = serde_json::to_string(value).map_err(|error| failed(error.into()))?;
    line.push('\n');
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_and_broken_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.jsonl");
        assert_eq!(read_lines::<Blessing>(&file).unwrap(), []);
        let blessing = Blessing {
            bench: "a/\"b\" %".to_owned(),
            slowdown: 0.1,
            reason: "safer".to_owned(),
            commit: "c".to_owned(),
        };
        append_line(&file, &blessing).unwrap();
        append_line(&file, &blessing).unwrap();
        assert_eq!(read_lines::<Blessing>(&file).unwrap(), [blessing.clone(), blessing]);
        fs::write(&file, "\n{\"bench\": 1}\n").unwrap();
        let error = read_lines::<Blessing>(&file).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        if Path::new("/dev/full").exists() {
            let value = serde_json::json!({});
            assert!(matches!(append_line(Path::new("/dev/full"), &value), Err(Error::Write { .. })));
        }
    }
}
