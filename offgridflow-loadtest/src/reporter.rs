//! Who is told about a run while it goes on, and at its end.

use std::io::{self, Write};

use crate::{error::ReportError, plan::Plan, report::Report, report::text::short, window::Window};

/// Follows a run. Called from a thread of its own ([`LoadTest::run`](crate::LoadTest::run)) or the calling
/// task ([`run_here`](crate::LoadTest::run_here)), never from a shard: a slow reporter delays the next window, not
/// an operation.
pub trait Reporter: Send {
    /// The plan is sound and about to run.
    fn on_start(&mut self, plan: &Plan) {
        let _ = plan;
    }

    /// About every second.
    fn on_window(&mut self, window: &Window) {
        let _ = window;
    }

    /// The run is over and judged.
    ///
    /// # Errors
    /// What kept the report from being delivered; the run's result is returned all the same, with the
    /// failure in its notes.
    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        let _ = report;
        Ok(())
    }
}

impl<R: Reporter + ?Sized> Reporter for Box<R> {
    fn on_start(&mut self, plan: &Plan) {
        (**self).on_start(plan);
    }

    fn on_window(&mut self, window: &Window) {
        (**self).on_window(window);
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        (**self).on_end(report)
    }
}

/// One plain line a second, for terminals, logs and CI.
#[derive(Debug)]
pub struct ProgressLines<O> {
    out: O,
}

impl ProgressLines<io::Stderr> {
    /// To standard error, so that standard output stays the report's.
    #[must_use]
    pub fn stderr() -> Self {
        Self { out: io::stderr() }
    }
}

impl<O: Write + Send> ProgressLines<O> {
    /// To any writer. What it refuses is dropped.
    #[must_use]
    pub fn to(out: O) -> Self {
        Self { out }
    }
}

impl<O: Write + Send> Reporter for ProgressLines<O> {
    fn on_start(&mut self, plan: &Plan) {
        let _ = writeln!(self.out, "{}: {}", plan.target, plan.load());
    }

    fn on_window(&mut self, window: &Window) {
        let _ = writeln!(self.out, "{}", progress_line(window));
    }
}

/// The line [`ProgressLines`] writes.
#[must_use]
pub fn progress_line(window: &Window) -> String {
    let quantile =
        |q: Option<crate::histogram::Quantile>| q.map_or("-".into(), crate::report::text::quantile);
    let (to, planned) = (window.to, window.planned);
    let draining = window.from >= planned;
    let offered = window.offered_per_sec().filter(|_| !draining);
    let offered = offered.map_or(String::new(), |rate| format!("  offered {rate:.0}/s"));
    let place = if draining {
        format!(
            "{:>5.0} s + {:.1} s draining",
            planned.as_secs_f64(),
            to.saturating_sub(planned).as_secs_f64()
        )
    } else {
        format!("{:>5.0} s / {:.0} s", to.min(planned).as_secs_f64(), planned.as_secs_f64())
    };
    let paused = if window.paused.is_zero() { "" } else { "  paused" };
    format!(
        "{place}{paused}{offered}  done {:.0}/s  failed {}  in flight {}  p50 {}  p95 {}  lag p99 {}",
        window.done_per_sec(),
        window.failed,
        window.in_flight,
        quantile(window.p50),
        quantile(window.p95),
        window.lag_p99.map_or("-".into(), short),
    )
}
