//! A report file that is whole or not there.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::report::Report;

/// Written beside its place and then moved there, so that a reader never sees half a report. What is there and no file, such as a
/// pipe or `/dev/stdout`, is written to as it is; `-` is standard output.
pub(super) struct JsonFile {
    path: PathBuf,
    partial: Option<PathBuf>,
    out: Box<dyn Write>,
}

/// Whether a name stands for standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

impl JsonFile {
    /// Opens the file before the run, so that a wrong path costs no run.
    pub(super) fn create(path: impl AsRef<Path>) -> Result<Self, String> {
        let path = path.as_ref().to_owned();
        if is_stdout(&path) {
            return Ok(Self { path, partial: None, out: Box::new(io::stdout()) });
        }
        let failed = |error: io::Error| format!("--json: cannot write {}: {error}", path.display());
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            return Ok(Self { path, partial: None, out: Box::new(file) });
        }
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(failed)?;
        Ok(Self { path, partial: Some(partial), out: Box::new(file) })
    }

    pub(super) fn write(mut self, report: &Report) -> Result<(), String> {
        let written = report.to_json().map_err(io::Error::other).and_then(|json| {
            self.out.write_all(json.as_bytes())?;
            self.out.write_all(b"\n")?;
            self.out.flush()?;
            self.partial.as_ref().map_or(Ok(()), |partial| fs::rename(partial, &self.path))
        });
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Drop for JsonFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _ = fs::remove_file(partial); // gone already if it was moved
        }
    }
}
