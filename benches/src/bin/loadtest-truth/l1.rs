//! L1: a server frozen 2 s of 20 s comes back as the percentiles that arithmetic gives.

use std::{path::PathBuf, thread, time::Duration};

use offgridflow_loadtest::{LoadTest, OnCap, OpRng, Quantile, Rate, workload_fn};
use serde_json::{Value, json};

use benches::row;

use crate::{
    Failure,
    child::Process,
    serve::{Behaviour, Server},
    size,
    tools::{Load, Ours, Rival, ours},
    units::Units,
};

const SECONDS: u32 = 20;
/// So low that draining what piled up adds less than a percent.
const PER_SEC: u32 = 200;
const FREEZE: Duration = Duration::from_secs(2);
const TOLERANCE: f64 = 0.02;
/// How wrong the controls have to be.
const WRONG: f64 = 10.0;
const QUANTILES: [f64; 3] = [0.95, 0.99, 0.999];

pub(crate) fn main() -> Result<(), Failure> {
    let runs = if size::full() { 20 } else { 2 };
    let seed = size::seed();
    let mut units = Units::open("L1")?;
    row!(
        "{:<26} {:>8} {:>8} {:>8}   truth p95, p99, p99.9 = f − (1−q)·{SECONDS} s with the frozen time f",
        "",
        "p95",
        "p99",
        "p99.9"
    );
    let (mut right, mut worst, mut closures) = (0, 0.0_f64, 0);
    let mut controls = Vec::new();
    for run in 0..runs {
        let Some(figures) = units.get(&format!("ours {run}"), || frozen_server(seed + run))? else {
            return unfinished();
        };
        let off = show("ours, HTTP", &figures);
        worst = worst.max(off);
        right += u64::from(off <= TOLERANCE && figures["verdict"] == "Valid");
        let Some(figures) = units.get(&format!("closure {run}"), || frozen_closure(seed + run))? else {
            return unfinished();
        };
        closures += u64::from(show("ours, closure", &figures) <= TOLERANCE);
    }
    let Some(generator) = units.get("generator", frozen_generator)? else { return unfinished() };
    row!(
        "ours, frozen itself        {} (exit {}), service p95 {} s",
        generator["verdict"],
        generator["code"],
        generator["service"]
    );
    for rival in Rival::ALL {
        let Some(figures) = units.get(rival.name(), || frozen_rival(rival))? else { return unfinished() };
        controls.push((rival, show(rival.name(), &figures), figures["times"].as_f64().unwrap_or(0.0)));
    }
    // wrk, which keeps no rate, spreads what a connection missed over its average gap, and may come near.
    let control = |rival: Rival| matches!(rival, Rival::Hey | Rival::Oha);
    let wrong = controls.iter().filter(|(rival, _, times)| control(*rival) && *times > WRONG).count();
    let generator_bound = generator["verdict"] == "GeneratorBound" && generator["code"] == 3;
    let pass = right == runs && closures == runs && generator_bound && wrong == 2;
    let beside: Vec<_> =
        controls.iter().map(|(rival, off, _)| format!("{} {:.0}%", rival.name(), off * 100.0)).collect();
    println!(
        "{} measured={right}/{runs}-HTTP,{closures}/{runs}-closure,worst-off-{:.2}%,frozen-itself={} control={wrong}/2-of-hey,oha-off-by->{WRONG}x n={} seed {seed}; off by: {}",
        if pass { "PASS" } else { "FAIL" },
        worst * 100.0,
        generator["verdict"].as_str().unwrap_or("?"),
        2 * runs + 5,
        beside.join(", ")
    );
    Ok(())
}

fn unfinished() -> Result<(), Failure> {
    println!("FAIL measured=unfinished the time is up: the next call goes on");
    Ok(())
}

/// Prints a row, and gives the largest relative error.
fn show(name: &str, figures: &Value) -> f64 {
    let triple = |key: &str| [0, 1, 2].map(|at| figures[key][at].as_f64().unwrap_or(f64::NAN));
    let (seen, truth) = (triple("seen"), triple("truth"));
    let off = seen.iter().zip(&truth).map(|(seen, truth)| (seen / truth - 1.0).abs()).fold(0.0, f64::max);
    row!(
        "{name:<26} {:>8.4} {:>8.4} {:>8.4}   truth {:.4} {:.4} {:.4}, off by {:.2} %  {}",
        seen[0],
        seen[1],
        seen[2],
        truth[0],
        truth[1],
        truth[2],
        off * 100.0,
        figures["verdict"].as_str().unwrap_or("")
    );
    off
}

/// What arithmetic says if `frozen` of the run waited, evenly.
fn truth(frozen: Duration) -> [f64; 3] {
    QUANTILES.map(|q| frozen.as_secs_f64() - (1.0 - q) * f64::from(SECONDS))
}

fn figures(seen: [f64; 3], frozen: Duration, verdict: &str) -> Value {
    let truth = truth(frozen);
    // How many times too small or too large the worst of them is.
    let times =
        seen.iter().zip(&truth).map(|(seen, truth)| (seen / truth).max(truth / seen)).fold(0.0, f64::max);
    json!({ "seen": seen, "truth": truth, "verdict": verdict, "times": times })
}

fn load(server: &Server) -> Load<'_> {
    Load { url: &server.url, per_sec: PER_SEC, seconds: SECONDS }
}

/// Freezes the server while `process` runs; the answer is for how long.
fn freeze_during(server: &Server, after: f64) -> Result<Duration, Failure> {
    thread::sleep(Duration::from_secs_f64(after));
    server.process.freeze(FREEZE)
}

fn frozen_server(seed: u64) -> Result<Value, Failure> {
    let server = Server::start(Behaviour::default())?;
    let json = PathBuf::from("target/verify/l1.json");
    let process = Process::start(ours(load(&server), 2_000, &json))?;
    let frozen = freeze_during(&server, size::between(&OpRng::new(seed, 1), 3.0, 15.0))?;
    let ours = Ours::read(process, &json)?;
    Ok(figures(ours.percentiles("response"), frozen, &ours.verdict()))
}

fn frozen_rival(rival: Rival) -> Result<Value, Failure> {
    let server = Server::start(Behaviour::default())?;
    let process = rival.start(load(&server))?;
    let frozen = freeze_during(&server, 8.0)?;
    let ended = process.end(Duration::from_secs(60))?;
    Ok(figures(rival.percentiles(&ended)?, frozen, ""))
}

/// The generator is stopped in place of the server: it has to say so.
fn frozen_generator() -> Result<Value, Failure> {
    let server = Server::start(Behaviour::default())?;
    let json = PathBuf::from("target/verify/l1.json");
    let process = Process::start(ours(load(&server), 2_000, &json))?;
    thread::sleep(Duration::from_secs(8));
    process.freeze(FREEZE)?;
    let ours = Ours::read(process, &json)?;
    let [service, ..] = ours.percentiles("service");
    Ok(json!({ "verdict": ours.verdict(), "code": ours.code, "service": service }))
}

/// The library with a closure that freezes, in virtual time.
fn frozen_closure(seed: u64) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let report = runtime.block_on(async {
        let from = tokio::time::Instant::now()
            + Duration::from_secs_f64(size::between(&OpRng::new(seed, 2), 3.0, 15.0));
        let target = workload_fn(move |_op| async move {
            let now = tokio::time::Instant::now();
            if now >= from && now < from + FREEZE {
                tokio::time::sleep_until(from + FREEZE).await;
            }
        });
        let rate = Rate::constant(f64::from(PER_SEC), Duration::from_secs(SECONDS.into()));
        LoadTest::new(target).rate(rate).max_in_flight(2_000, OnCap::CountAsFailure).run_here().await
    })?;
    let response = report.total.response;
    let seen =
        [response.p95, response.p99, response.p999].map(|q| q.value().map_or(f64::NAN, |q| q.as_secs_f64()));
    debug_assert!(!matches!(response.p95, Quantile::Needs(_)));
    Ok(figures(seen, FREEZE, report.verdict.name()))
}
