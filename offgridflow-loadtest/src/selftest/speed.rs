//! How many operations a second a thread begins and ends.

use std::{io, time::Duration};

use tokio::sync::oneshot;

use super::{Line, Size};
use crate::{
    HttpTarget, Workload, calibrate::null_rate, histogram::to_count, report::text::short, run::on_a_thread,
};

/// Below, the engine is in its own way.
const LEAST: f64 = 100_000.0;
/// Below, hardly any load can be sent from here.
const LEAST_HTTP: f64 = 2_000.0;

/// Operations a second of a thread; `None` where nothing could be timed.
pub(super) struct Speed {
    null_per_sec: Option<f64>,
    pub(super) http_per_sec: Option<f64>,
}

/// The best of several: whatever else ran made it slower.
pub(super) async fn measure(size: Size) -> io::Result<Speed> {
    let mut best = None;
    for _ in 0..size.pick(20, 5) {
        let (tell, told) = oneshot::channel();
        on_a_thread("selftest-speed", move || async move {
            let _ = tell.send(null_rate().await);
        })?;
        best = told.await.ok().flatten().into_iter().chain(best).reduce(f64::max);
    }
    let mut least: Option<Duration> = None;
    for _ in 0..size.pick(5, 2) {
        let (tell, told) = oneshot::channel();
        // Any address: the target's cost is that of asking a server within this process.
        let target = HttpTarget::new("http://127.0.0.1").map_err(io::Error::other)?;
        std::thread::Builder::new().name("selftest-http".into()).spawn(move || tell.send(target.cost()))?;
        least = told.await.ok().flatten().into_iter().chain(least).min();
    }
    Ok(Speed { null_per_sec: best, http_per_sec: least.map(|each| 1.0 / each.as_secs_f64().max(1e-9)) })
}

impl Speed {
    pub(super) fn lines(&self) -> Vec<Line> {
        let each = |per_sec: f64| short(Duration::from_secs_f64(1.0 / per_sec.max(1e-9)));
        let line = |name, per_sec: Option<f64>, least: f64, what: &str, means: &str| Line {
            name,
            passed: per_sec.is_some_and(|per_sec| per_sec >= least),
            measured: per_sec.map_or_else(
                || "could not be timed".into(),
                |per_sec| format!("{} {what}, {} each", to_count(per_sec), each(per_sec)),
            ),
            means: means.into(),
        };
        vec![
            line(
                "engine",
                self.null_per_sec,
                LEAST,
                "operations a second that do nothing, on one thread",
                "what the engine itself takes of each operation",
            ),
            line(
                "http",
                self.http_per_sec,
                LEAST_HTTP,
                "exchanges a second with a server that does nothing, on one thread",
                "beyond it a rate is refused or late, and the verdict says which",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_slow_or_could_not_be_timed_fails() {
        let passed = |null, http| {
            let lines = Speed { null_per_sec: null, http_per_sec: http }.lines();
            lines.into_iter().map(|line| line.passed).collect::<Vec<_>>()
        };
        assert_eq!(passed(Some(2e6), Some(4e4)), [true, true]);
        assert_eq!(passed(Some(5e4), None), [false, false]);
    }
}
