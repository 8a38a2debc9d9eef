//! The HdrHistogram log beside a report.

use std::{
    error::Error,
    fs::File,
    io::BufWriter,
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::{HdrLog, Plan, Report, ReportError, Reporter, Window};

/// What kept the log from being written, for the exit code: the run itself goes on.
pub(super) type Failed = Arc<OnceLock<String>>;

/// An [`HdrLog`] that leaves word of its failure.
pub(super) struct HdrFile {
    log: HdrLog<BufWriter<File>>,
    failed: Failed,
    path: String,
}

impl HdrFile {
    /// Opens the file before the run, so that a wrong path costs no run.
    pub(super) fn create(path: &Path) -> Result<(Self, Failed), String> {
        let log = HdrLog::create(path)
            .map_err(|error| format!("--hdr-log: cannot write {}: {error}", path.display()))?;
        let failed = Failed::default();
        Ok((Self { log, failed: Arc::clone(&failed), path: path.display().to_string() }, failed))
    }
}

impl Reporter for HdrFile {
    fn on_start(&mut self, plan: &Plan) {
        self.log.on_start(plan);
    }

    fn on_window(&mut self, window: &Window) {
        self.log.on_window(window);
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        self.log.on_end(report).inspect_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let _ = self.failed.set(format!("cannot write {}{cause}", self.path));
        })
    }
}
