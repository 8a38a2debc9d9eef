//! A report in a file that is whole or not there.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Written beside its place and then moved there, so that a reader never sees half a report. What is there and no file, such as a
/// pipe or `/dev/stdout`, is written to as it is; `-` is standard output.
pub(super) struct ReportFile {
    path: PathBuf,
    to: To,
}

enum To {
    Stdout,
    Device(File),
    /// By way of this file, which is there for as long as it takes to write it.
    Beside(PathBuf),
}

/// Whether a name stands for standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == OsStr::new("-")
}

impl ReportFile {
    /// Tries before the run whether it can be written, so that a wrong path costs no run; `flag` is who asked for it.
    pub(super) fn create(flag: &str, path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{flag}: cannot write {}: {error}", path.display());
        Ok(Self { path: path.to_owned(), to: To::of(path).map_err(failed)? })
    }

    /// Writes all of it.
    pub(super) fn write(self, text: &str) -> Result<(), String> {
        let written = match self.to {
            To::Stdout => put(io::stdout(), text),
            To::Device(file) => put(file, text),
            To::Beside(partial) => move_in(&partial, &self.path, text),
        };
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

impl To {
    fn of(path: &Path) -> io::Result<Self> {
        if is_stdout(path) {
            return Ok(Self::Stdout);
        }
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return OpenOptions::new().write(true).open(path).map(Self::Device);
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        File::create(&partial)?;
        fs::remove_file(&partial)?; // nothing is left behind by a process that is killed
        Ok(Self::Beside(partial))
    }
}

fn put(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn move_in(partial: &Path, path: &Path, text: &str) -> io::Result<()> {
    let written = File::create(partial).and_then(|file| put(file, text));
    let moved = written.and_then(|()| fs::rename(partial, path));
    moved.inspect_err(|_| drop(fs::remove_file(partial)))
}
