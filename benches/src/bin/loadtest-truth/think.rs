//! A closed loop with think time beside an open schedule of the same rate: what the target takes is the target's, whoever decides when to ask.

use std::{path::PathBuf, process::Command};

use benches::{
    figures::{median, spread},
    row,
};

use crate::{
    Failure,
    serve::{Behaviour, Server},
    size,
    tools::{Load, Ours, ours, ours_path},
};

/// Workers, and how long each rests, in milliseconds: about 2 000 and 1 000 a second.
const LOADS: [(u32, u32); 2] = [(20, 10), (50, 50)];
/// Service times in the middle may differ by this factor: a closed loop keeps all its connections warm or cold, an open one a few.
const MAX_RATIO: f64 = 2.0;

pub(crate) fn main() -> Result<(), Failure> {
    let rounds = if size::full() { 15 } else { 7 };
    let server = Server::start(Behaviour::default())?;
    let mut ratios = Vec::new();
    for (workers, rest_ms) in LOADS {
        ratios.push(beside_open(&server, workers, rest_ms, rounds)?);
    }
    let pass = ratios.iter().all(|[p50, _]| *p50 <= MAX_RATIO);
    let shown: Vec<_> = ratios.iter().map(|[p50, p99]| format!("{p50:.2}/{p99:.2}")).collect();
    println!(
        "{} measured=service-p50/p99-over-open-schedule={} control=open-schedule-of-the-same-rate n={rounds}x{}",
        if pass { "PASS" } else { "FAIL" },
        shown.join(","),
        LOADS.len()
    );
    Ok(())
}

/// Service times of the closed loop over those of the open one, p50 and p99, in turn round after round.
fn beside_open(server: &Server, workers: u32, rest_ms: u32, rounds: usize) -> Result<[f64; 2], Failure> {
    const SECONDS: u32 = 2;
    let json = PathBuf::from("target/verify/think.json");
    let (mut ratios, mut lags) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..rounds {
        let closed = Ours::run(resting(&server.url, workers, rest_ms, SECONDS, &json), &json)?;
        let per_sec = closed.report["total"]["rate_per_sec"].as_f64().unwrap_or(1.0);
        let load = Load { url: &server.url, per_sec: whole(per_sec), seconds: SECONDS };
        let open = Ours::run(ours(load, 2_000, &json), &json)?;
        for (ratios, name) in ratios.iter_mut().zip(["p50", "p99"]) {
            let path = format!("total.service.{name}.value");
            ratios.push(closed.seconds(&path) / open.seconds(&path));
        }
        lags.push(closed.seconds("dispatch_lag.p50.value") * 1e6);
    }
    row!(
        "{workers} workers resting {rest_ms} ms: service over an open schedule's p50 {}, p99 {}; lag p50 {} µs",
        spread(&ratios[0]),
        spread(&ratios[1]),
        spread(&lags)
    );
    Ok([median(&ratios[0]), median(&ratios[1])])
}

fn resting(url: &str, workers: u32, rest_ms: u32, seconds: u32, json: &PathBuf) -> Command {
    let mut command = Command::new(ours_path());
    command.args(["run", url, "-q", "--shards", "1", "-c", &workers.to_string()]);
    command
        .args(["--think-time", &format!("{rest_ms}ms"), "--for", &format!("{seconds}s"), "--json"])
        .arg(json);
    command
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousand a second")]
fn whole(per_sec: f64) -> u32 {
    per_sec.max(1.0) as u32
}
