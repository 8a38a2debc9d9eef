//! The promises on lag, freezes and verdicts, in small, on the machine at hand.

mod freeze;
mod lag;
mod server;
mod speed;
mod verdicts;

use std::{fmt, io, time::Duration};

use tokio::time::Instant;

use crate::{
    error::Error,
    report::{nanos, text::short},
    verdict::MAX_INFLATION,
};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// About a minute.
    Usual,
    /// About half of it.
    Quick,
}

impl Size {
    fn pick<T>(self, usual: T, quick: T) -> T {
        match self {
            Self::Usual => usual,
            Self::Quick => quick,
        }
    }
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    pub(crate) measured: String,
    pub(crate) means: String,
}

/// What the numbers of a run on this machine are worth.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Selftest {
    schema: &'static str,
    version: &'static str,
    pub(crate) passed: bool,
    #[serde(rename = "took_ns", with = "nanos")]
    took: Duration,
    pub(crate) lines: Vec<Line>,
    /// A p95 below this is more than a tenth the generator's own.
    #[serde(rename = "shortest_p95_ns", with = "nanos")]
    shortest_p95: Duration,
    /// What a thread can send over HTTP, at most.
    http_per_sec: f64,
}

const SCHEMA: &str = "offgridflow-loadtest.selftest/1";

/// Runs all of it, telling `before` what comes next.
///
/// # Errors
/// A machine without loopback or threads.
pub(crate) async fn selftest(size: Size, before: impl Fn(&str)) -> Result<Selftest, Error> {
    let begun = Instant::now();
    before("the timer and the schedule");
    let lag = lag::measure(size).await?;
    before("a server that freezes");
    let frozen = freeze::line(size).await?;
    before("runs that are healthy, and sick");
    let verdicts = verdicts::line(size).await?;
    before("how fast it goes");
    let speed = speed::measure(size).await.map_err(Error::Start)?;
    let lines = [lag.lines(), vec![frozen, verdicts], speed.lines()].concat();
    Ok(Selftest {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        passed: lines.iter().all(|line| line.passed),
        took: begun.elapsed(),
        shortest_p95: lag.ours.p95.div_f64(MAX_INFLATION),
        http_per_sec: speed.http_per_sec.unwrap_or(0.0),
        lines,
    })
}

impl Selftest {
    /// # Errors
    /// Only if memory runs out.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Selftest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        writeln!(
            f,
            "selftest    offgridflow-loadtest {} on {cores} cores, in {}\n",
            self.version,
            short(self.took)
        )?;
        for Line { name, passed, measured, means } in &self.lines {
            let word = if *passed { "pass" } else { "FAIL" };
            writeln!(f, "{word}  {name:<10}{measured}\n      {:<10}{means}", "")?;
        }
        writeln!(
            f,
            "\nbudget      a p95 below {} is more than a tenth the generator's own; a thread sends at most {:.0} requests a second",
            short(self.shortest_p95),
            self.http_per_sec
        )?;
        let failed: Vec<_> = self.lines.iter().filter(|line| !line.passed).map(|line| line.name).collect();
        match &failed[..] {
            [] => writeln!(f, "selftest: passed"),
            failed => writeln!(
                f,
                "selftest: FAILED ({}): as this machine is now, it does not measure; end what else runs on it, or use another",
                failed.join(", ")
            ),
        }
    }
}

/// An error of a run that could not begin here.
fn no_start(error: impl Into<io::Error>) -> Error {
    Error::Start(error.into())
}
