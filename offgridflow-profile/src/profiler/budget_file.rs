//! What was spent of the budget, on disk for the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::parts::with_causes;
use crate::ProfileError;

/// The file; none where each start begins anew.
#[derive(Debug, Clone, Default)]
pub(super) struct BudgetFile(pub(super) Option<PathBuf>);

impl BudgetFile {
    /// What an earlier process left. A file that is not there yet is empty.
    ///
    /// # Errors
    /// Why it could not be read, in a sentence.
    pub(super) fn read(&self) -> Result<String, String> {
        let Some(path) = &self.0 else { return Ok(String::new()) };
        match fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(with_causes(&ProfileError::Read { path: shown(path), source })),
        }
    }

    /// Whole or not at all.
    ///
    /// # Errors
    /// Why it could not be written, in a sentence.
    pub(super) fn write(&self, text: &str) -> Result<(), String> {
        let Some(path) = &self.0 else { return Ok(()) };
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path)).map_err(|source| {
            let _ = fs::remove_file(&unfinished);
            with_causes(&ProfileError::Write { path: shown(path), source })
        })
    }

    /// Where it is kept, in words.
    pub(super) fn describe(&self) -> String {
        self.0.as_ref().map_or("anew at each start".to_owned(), |path| format!("kept in {}", path.display()))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
