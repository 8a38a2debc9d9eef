//! Finished parts of a long measurement, so that the next call goes on where this one stopped.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    process::Command,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{Failure, size};

/// The parts of one promise, in `target/verify/ID.jsonl`: only those of this revision count.
pub(crate) struct Units {
    file: PathBuf,
    revision: String,
    done: Vec<(String, Value)>,
    begun: Instant,
}

impl Units {
    /// Quick runs begin anew; full runs go on.
    pub(crate) fn open(id: &str) -> Result<Self, Failure> {
        let file = PathBuf::from(format!("target/verify/{id}.jsonl"));
        fs::create_dir_all("target/verify")?;
        let revision = revision();
        let text = if size::full() { fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mine = lines.filter(|line| line["revision"] == revision.as_str());
        let done: Vec<_> = mine
            .filter_map(|line| Some((line["unit"].as_str()?.to_owned(), line["figures"].clone())))
            .collect();
        if done.is_empty() {
            let _ = fs::remove_file(&file);
        }
        Ok(Self { file, revision, done, begun: Instant::now() })
    }

    /// The unit's figures: from an earlier call, or measured now. `None` once the time is up.
    pub(crate) fn get(
        &mut self,
        unit: &str,
        measure: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<Option<Value>, Failure> {
        if let Some((_, figures)) = self.done.iter().find(|(name, _)| name == unit) {
            return Ok(Some(figures.clone()));
        }
        if self.begun.elapsed() > size::budget() {
            return Ok(None);
        }
        let figures = measure().map_err(|error| format!("{unit}: {error}"))?;
        let line = json!({ "unit": unit, "revision": self.revision, "figures": figures });
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        writeln!(file, "{line}")?;
        self.done.push((unit.to_owned(), figures.clone()));
        Ok(Some(figures))
    }
}

/// The last commit that changed what is measured or what measures.
fn revision() -> String {
    let sources = ["offgridflow-loadtest/src", "benches/src", "Cargo.lock"];
    let output = Command::new("git").args(["rev-list", "-1", "HEAD", "--"]).args(sources).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
