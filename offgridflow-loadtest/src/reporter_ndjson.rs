//! Windows as one JSON object a line.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::{error::ReportError, report::Report, reporter::Reporter, window::Window};

/// Writes each [`Window`] as a line of JSON while the run goes on, for `tail -f`, `jq` and plots: times in whole nanoseconds, warm-up included (`measured` tells). A line is
/// written whole and flushed, so that what is there of a run that was killed can be read.
pub struct NdjsonWindows<W> {
    out: Option<W>,
    failed: Option<io::Error>,
}

impl NdjsonWindows<BufWriter<File>> {
    /// To a new file.
    ///
    /// # Errors
    /// What the system says about the path.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::to(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write + Send> NdjsonWindows<W> {
    /// To any writer.
    #[must_use]
    pub fn to(out: W) -> Self {
        Self { out: Some(out), failed: None }
    }
}

impl<W: Write + Send> Reporter for NdjsonWindows<W> {
    fn on_window(&mut self, window: &Window) {
        let Some(out) = &mut self.out else { return };
        let written = serde_json::to_string(window).map_err(io::Error::other).and_then(|line| {
            out.write_all((line + "\n").as_bytes())?;
            out.flush()
        });
        if let Err(error) = written {
            (self.out, self.failed) = (None, Some(error));
        }
    }

    fn on_end(&mut self, _: &Report) -> Result<(), ReportError> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) => Err(ReportError { reporter: "windows as NDJSON", source: error.into() }),
        }
    }
}

impl<W> fmt::Debug for NdjsonWindows<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NdjsonWindows").field("failed", &self.failed).finish_non_exhaustive()
    }
}
