//! Files that are written while the run goes on.

use std::{
    error::Error,
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::{HdrLog, NdjsonWindows, Plan, Report, ReportError, Reporter, Window};

/// What kept a file from being written, for the exit code: the run itself goes on.
pub(super) type Failed = Arc<OnceLock<String>>;

/// A reporter into a file that leaves word of its failure.
pub(super) struct StreamFile {
    reporter: Box<dyn Reporter>,
    failed: Failed,
    path: String,
}

impl StreamFile {
    /// An `HdrHistogram` log. Opens the file before the run, so that a wrong path costs no run.
    pub(super) fn hdr_log(path: &Path) -> Result<(Self, Failed), String> {
        Self::of("--hdr-log", path, HdrLog::create(path))
    }

    /// The windows, a line each.
    pub(super) fn windows(path: &Path) -> Result<(Self, Failed), String> {
        Self::of("--windows", path, NdjsonWindows::create(path))
    }

    fn of(
        flag: &str,
        path: &Path,
        opened: io::Result<impl Reporter + 'static>,
    ) -> Result<(Self, Failed), String> {
        let path = path.display().to_string();
        let reporter = opened.map_err(|error| format!("{flag}: cannot write {path}: {error}"))?;
        let failed = Failed::default();
        Ok((Self { reporter: Box::new(reporter), failed: Arc::clone(&failed), path }, failed))
    }
}

impl Reporter for StreamFile {
    fn on_start(&mut self, plan: &Plan) {
        self.reporter.on_start(plan);
    }

    fn on_window(&mut self, window: &Window) {
        self.reporter.on_window(window);
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        self.reporter.on_end(report).inspect_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let _ = self.failed.set(format!("cannot write {}{cause}", self.path));
        })
    }
}
