//! Runs of which it is known beforehand what they are worth.

use std::{sync::Arc, thread, time::Duration};

use tokio::{sync::Semaphore, time::sleep};

use super::{Line, Size, no_start, server::Server};
use crate::{Executor, HttpTarget, LoadTest, OnCap, Rate, Report, error::Error, workload::workload_fn};

/// How often a healthy run may be spoiled by a moment in which the machine was busy.
const TRIES: usize = 3;

pub(super) async fn line(size: Size) -> Result<Line, Error> {
    let run = Duration::from_secs(size.pick(4, 2));
    let mut tries = 0;
    let healthy = loop {
        tries += 1;
        let report = healthy(run).await?;
        if tries == TRIES || report.verdict.name() == "Valid" {
            break report;
        }
    };
    let runs = [
        ("healthy", "Valid", healthy),
        ("generator blocked", "GeneratorBound", blocked(run).await?),
        ("cap too low", "CapBound", capped(run).await?),
        ("target too slow", "TargetBound", slow(run).await?),
        ("nobody there", "TargetDown", nobody().await?),
        ("too few operations", "Inconclusive", few().await?),
    ];
    Ok(judge(
        &runs.map(|(what, expected, report)| Run {
            what,
            expected,
            said: report.verdict.name(),
            passed: report.exit_code() == 0,
        }),
        tries,
    ))
}

struct Run {
    what: &'static str,
    expected: &'static str,
    said: &'static str,
    passed: bool, // its gate
}

fn judge(runs: &[Run], tries: usize) -> Line {
    let valid = |run: &Run| ["Valid", "TargetBound"].contains(&run.expected);
    let wrong: Vec<_> = runs
        .iter()
        .filter(|run| run.said != run.expected)
        .map(|run| format!("{} is called {} in place of {}", run.what, run.said, run.expected))
        .chain(
            runs.iter()
                .filter(|run| run.passed && !valid(run))
                .map(|run| format!("{} passes its gate", run.what)),
        )
        .collect();
    let named: Vec<_> = runs.iter().map(|run| run.expected).collect();
    let tried = if tries > 1 { format!("; the healthy run took {tries} tries") } else { String::new() };
    Line {
        name: "verdicts",
        passed: wrong.is_empty(),
        measured: match &wrong[..] {
            [] => format!(
                "{} of {} runs are called what they are ({}){tried}",
                runs.len(),
                runs.len(),
                named.join(", ")
            ),
            wrong => format!("{}{tried}", wrong.join("; ")),
        },
        means: "a run that this machine or its settings spoiled says so, and cannot pass a gate".into(),
    }
}

async fn healthy(run: Duration) -> Result<Report, Error> {
    let server = Server::start(None).map_err(no_start)?;
    LoadTest::new(HttpTarget::new(&server.url())?).rate(Rate::constant(300.0, run)).run().await
}

/// An operation that blocks its thread for a fifth of the run.
async fn blocked(run: Duration) -> Result<Report, Error> {
    let work = workload_fn(move |op| async move {
        if op.index() == 100 {
            thread::sleep(run / 5);
        }
    });
    LoadTest::new(work).rate(Rate::constant(300.0, run)).shards(1).run().await
}

/// Each takes a twentieth of a second, so 300/s are 15 at a time.
async fn capped(run: Duration) -> Result<Report, Error> {
    let work = workload_fn(|_op| sleep(Duration::from_millis(50)));
    LoadTest::new(work).rate(Rate::constant(300.0, run)).max_in_flight(3, OnCap::CountAsFailure).run().await
}

/// One at a time, so about 90 of the 300 a second.
async fn slow(run: Duration) -> Result<Report, Error> {
    let one = Arc::new(Semaphore::new(1));
    let work = workload_fn(move |_op| {
        let one = Arc::clone(&one);
        async move {
            let _turn = one.acquire().await;
            sleep(Duration::from_millis(10)).await;
        }
    });
    LoadTest::new(work)
        .rate(Rate::constant(300.0, run))
        .max_in_flight(4_096, OnCap::CountAsFailure)
        .run()
        .await
}

/// A port on which nobody listens any more.
async fn nobody() -> Result<Report, Error> {
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).map_err(no_start)?;
    let target = HttpTarget::new(&format!("http://{address}"))?;
    LoadTest::new(target).rate(Rate::constant(400.0, Duration::from_secs(1))).run().await
}

async fn few() -> Result<Report, Error> {
    let test = LoadTest::new(workload_fn(|_op| sleep(Duration::from_millis(5))));
    test.executor(Executor::open(Rate::constant(50.0, Duration::from_secs(1)))).run().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_fails_and_so_does_an_invalid_run_that_passes() {
        let run = |expected, said, passed| Run { what: "one", expected, said, passed };
        let passed = |runs: &[Run]| judge(runs, 1).passed;
        assert!(passed(&[run("Valid", "Valid", true), run("CapBound", "CapBound", false)]));
        assert!(!passed(&[run("GeneratorBound", "Valid", false)]));
        assert!(!passed(&[run("GeneratorBound", "GeneratorBound", true)]));
        assert!(judge(&[run("Valid", "GeneratorBound", false)], 3).measured.contains("took 3 tries"));
    }
}
