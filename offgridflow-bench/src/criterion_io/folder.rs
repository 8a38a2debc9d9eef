use std::fs;
use std::path::{Path, PathBuf};

use super::sample::{Identity, Sample};
use crate::{Error, Measurement, MeasurementSource};

/// How deep benchmarks are nested: group, function, value, and criterion's own folder.
const DEPTH: usize = 5;

/// A folder that criterion recorded into: `target/criterion`, and the name of one recording in it.
///
/// criterion writes the newest run as `new` and each `--save-baseline NAME` as `NAME`.
#[derive(Debug, Clone)]
pub struct CriterionDir {
    root: PathBuf,
    baseline: String,
}

impl CriterionDir {
    /// The recording `baseline` below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, baseline: impl Into<String>) -> Self {
        Self { root: root.into(), baseline: baseline.into() }
    }

    fn collect(&self, folder: &Path, depth: usize, found: &mut Vec<Measurement>) -> Result<(), Error> {
        let recording = folder.join(&self.baseline);
        if recording.join("sample.json").is_file() {
            found.push(read_recording(&recording)?);
        }
        if depth == 0 {
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })? {
            let entry = entry.map_err(|source| Error::Read { path: folder.to_owned(), source })?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.collect(&entry.path(), depth - 1, found)?; // a link may lead back
            }
        }
        Ok(())
    }
}

impl MeasurementSource for CriterionDir {
    fn measurements(&self) -> Result<Vec<Measurement>, Error> {
        let mut found = Vec::new();
        self.collect(&self.root, DEPTH, &mut found)?;
        if found.is_empty() {
            return Err(Error::Empty { path: self.root.clone(), baseline: self.baseline.clone() });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

fn read_recording(recording: &Path) -> Result<Measurement, Error> {
    let sample: Sample = read_json(&recording.join("sample.json"))?;
    let identity: Identity = read_json(&recording.join("benchmark.json"))?;
    let path = recording.join("sample.json");
    let samples = sample.nanoseconds_an_iteration().ok_or_else(|| {
        use serde::de::Error as _;
        Error::Format {
            path,
            source: serde_json::Error::custom(
                "`iters` and `times` differ in length, or an iteration count is zero",
            ),
        }
    })?;
    Ok(Measurement::new(identity.full_id, samples))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Format { path: path.to_owned(), source })
}
