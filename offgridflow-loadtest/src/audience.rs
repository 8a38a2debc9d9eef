//! The reporters of a run, fenced against their panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{guard::message, plan::Plan, report::Report, reporter::Reporter, window::Window};

/// Everybody who is told. Who panics is told no more, and a note in the report says so.
pub(crate) struct Audience {
    reporters: Vec<Box<dyn Reporter>>,
    dropped: Vec<String>,
}

impl Audience {
    pub(crate) fn new(reporters: Vec<Box<dyn Reporter>>) -> Self {
        Self { reporters, dropped: Vec::new() }
    }

    pub(crate) fn start(&mut self, plan: &Plan) {
        self.each(|reporter| reporter.on_start(plan));
    }

    pub(crate) fn window(&mut self, window: &Window) {
        self.each(|reporter| reporter.on_window(window));
    }

    /// Tells the end, and notes who could not be told.
    pub(crate) fn end(&mut self, report: &mut Report) {
        report.notes.append(&mut self.dropped); // for those who hear of the end
        let mut failed = Vec::new();
        self.each(|reporter| {
            if let Err(error) = reporter.on_end(report) {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                failed.push(format!("{error}{cause}"));
            }
        });
        report.notes.append(&mut failed);
        report.notes.append(&mut self.dropped);
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Reporter)) {
        for mut reporter in std::mem::take(&mut self.reporters) {
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| tell(&mut *reporter))) else {
                self.reporters.push(reporter);
                continue;
            };
            self.dropped.push(format!("a reporter panicked and was told no more: {}", message(&*panic)));
            let _ = catch_unwind(AssertUnwindSafe(|| drop(reporter))); // it may panic again
        }
    }
}
