//! L4: what a request costs the machine that asks.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use offgridflow_loadtest::{Executor, LoadTest, OnCap, Quantile, Rate, workload_fn};
use serde_json::{Value, json};

use benches::{
    figures::{as_f64, median, spread},
    row,
};

use crate::{
    Failure,
    child::Process,
    serve::{Behaviour, Server},
    size,
    tools::ours_path,
    units::Units,
};

/// Everybody holds so many connections.
const CONNECTIONS: &str = "64";
const SECONDS: u32 = 3;
/// Open loops beside oha's, a second.
const RATES: [u32; 2] = [3_000, 10_000];
/// CPU time a request of ours, by that of each rival when saturated, at most.
const SATURATED: [(Tool, f64); 3] = [(Tool::Oha, 0.9), (Tool::Wrk, 1.3), (Tool::Hey, 0.4)];
/// The same at a rate, beside oha, with as much slack as its timer has.
const OPEN: f64 = 1.05;
const SLACK: &str = "1ms";
const MIN_NULL_RATE: f64 = 2e6;
const MAX_NULL_LAG: Duration = Duration::from_micros(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Ours,
    /// Ours, each arrival sent at its own time.
    Precise,
    Oha,
    Wrk,
    Hey,
}

pub(crate) fn main() -> Result<(), Failure> {
    let rounds = if size::full() { 15 } else { 5 };
    let mut units = Units::open("L4")?;
    let server = Server::start(Behaviour::default())?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        let Some(figures) = units.get(&format!("round-{round}"), || one_round(&server, round))? else {
            break;
        };
        measured.push(figures);
    }
    if measured.len() < rounds {
        println!("FAIL measured=none {} of {rounds} rounds: call again to go on", measured.len());
        return Ok(());
    }
    let (mut pass, mut said) = (true, Vec::new());
    let names = ["saturated".to_owned()].into_iter().chain(RATES.map(|rate| rate.to_string()));
    for name in names {
        let limits: &[(Tool, f64)] = if name == "saturated" { &SATURATED } else { &[(Tool::Oha, OPEN)] };
        row!("{name}: ours {} µs a request", spread(&costs(&measured, &name, Tool::Ours)));
        for &(rival, limit) in limits {
            let pairs = ratios(&measured, &name, rival);
            row!(
                "{:>10} {} {} µs, ratio {}",
                "",
                rival.name(),
                spread(&costs(&measured, &name, rival)),
                spread(&pairs)
            );
            pass &= median(&pairs) <= limit;
            said.push(format!("{name}/{}={:.2}", rival.name(), median(&pairs)));
        }
        if name != "saturated" {
            let pairs = between(&measured, &name, Tool::Precise, Tool::Oha);
            row!(
                "{:>10} each at its own time {} µs, by oha's {}",
                "",
                spread(&costs(&measured, &name, Tool::Precise)),
                spread(&pairs)
            );
            said.push(format!("{name}-precise/oha={:.2}", median(&pairs)));
        }
    }
    let null = null_target()?;
    row!("no-op: {:.2} M scheduled a second and core, mean lag {:?}", null.0 / 1e6, null.1);
    pass &= null.0 >= MIN_NULL_RATE && null.1 <= MAX_NULL_LAG;
    println!(
        "{} measured={},no-op={:.2}M/s,mean-lag={:.1}us control=oha,wrk,hey-in-turn n={rounds}",
        if pass { "PASS" } else { "FAIL" },
        said.join(","),
        null.0 / 1e6,
        null.1.as_secs_f64() * 1e6
    );
    Ok(())
}

/// The engine alone, on a target that does nothing.
pub(crate) fn null() -> Result<(), Failure> {
    let (per_sec, lag) = null_target()?;
    row!("no-op: {:.2} M scheduled a second and core, mean lag {lag:?}", per_sec / 1e6);
    Ok(())
}

/// CPU time a request, in microseconds, of each tool at each load. Who begins changes from round to round.
fn one_round(server: &Server, round: usize) -> Result<Value, Failure> {
    let mut figures = json!({});
    let mut turns: Vec<(Option<u32>, Tool)> =
        [Tool::Ours, Tool::Oha, Tool::Wrk, Tool::Hey].map(|tool| (None, tool)).into();
    turns.extend(
        RATES.iter().flat_map(|&rate| [Tool::Ours, Tool::Oha, Tool::Precise].map(|tool| (Some(rate), tool))),
    );
    if round % 2 == 1 {
        turns.reverse();
    }
    for (rate, tool) in turns {
        let name = rate.map_or("saturated".to_owned(), |rate| rate.to_string());
        figures[&name][tool.name()] = json!(cost(server, tool, rate)?);
    }
    Ok(figures)
}

fn cost(server: &Server, tool: Tool, rate: Option<u32>) -> Result<f64, Failure> {
    server.reset()?;
    let before = children()?;
    let process = Process::start(tool.command(&server.url, rate))?;
    process.end(Duration::from_secs(60))?;
    let spent = children()? - before;
    let requests = server.arrivals()?.len();
    if requests == 0 {
        return Err(format!("{} sent nothing", tool.name()).into());
    }
    Ok(spent * 1e6 / as_f64(requests as u64))
}

/// CPU time of all processes that were waited for, user and system, in seconds.
fn children() -> Result<f64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?).as_secs_f64())
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Precise => "precise",
            Self::Oha => "oha",
            Self::Wrk => "wrk",
            Self::Hey => "hey",
        }
    }

    /// Keep-alive GET on 64 connections, on one thread where a tool can be told so.
    fn command(self, url: &str, rate: Option<u32>) -> Command {
        let seconds = format!("{SECONDS}s");
        let program = match self {
            Self::Ours | Self::Precise => ours_path(),
            Self::Oha => std::env::var_os("OHA").map_or_else(|| "oha".into(), PathBuf::from),
            Self::Wrk => "wrk".into(),
            Self::Hey => "hey".into(),
        };
        let mut command = Command::new(program);
        match self {
            Self::Ours | Self::Precise => {
                command.args(["run", "-q", "-c", CONNECTIONS, "--shards", "1", "--for", &seconds])
            }
            Self::Oha => command.args(["--no-tui", "-c", CONNECTIONS, "-z", &seconds]),
            Self::Wrk => command.args(["-t1", "-c", CONNECTIONS, "-d", &seconds]),
            Self::Hey => command.args(["-c", CONNECTIONS, "-z", &seconds]),
        };
        if let Some(rate) = rate {
            command.arg(if self == Self::Oha { "-q" } else { "--rate" }).arg(rate.to_string());
            if self == Self::Ours {
                command.args(["--slack", SLACK]);
            }
        }
        command.arg(url);
        command
    }
}

fn costs(rounds: &[Value], load: &str, tool: Tool) -> Vec<f64> {
    rounds.iter().filter_map(|round| round[load][tool.name()].as_f64()).collect()
}

/// Ours by the rival's, round for round.
fn ratios(rounds: &[Value], load: &str, rival: Tool) -> Vec<f64> {
    between(rounds, load, Tool::Ours, rival)
}

fn between(rounds: &[Value], load: &str, one: Tool, other: Tool) -> Vec<f64> {
    let (ours, theirs) = (costs(rounds, load, one), costs(rounds, load, other));
    ours.into_iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// Operations a second of CPU time that a shard schedules when nothing is to be done for them and more are due than it can send, and its mean lag
/// at a rate that it can keep.
fn null_target() -> Result<(f64, Duration), Failure> {
    const TOO_MANY: f64 = 1e7;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = |per_sec: f64| {
        let work = Arc::new(workload_fn(|_op| async {}));
        let rate = Rate::constant(per_sec, Duration::from_secs(1));
        let test = LoadTest::new(work).executor(Executor::open(rate)).max_in_flight(2_000, OnCap::Queue);
        runtime.block_on(test.shards(1).calibrate(false).run())
    };
    let busy = run(TOO_MANY)?;
    let share = busy.generator.cpu_share.ok_or("this system does not tell CPU times")?;
    let took = share * busy.elapsed.as_secs_f64();
    let lag = run(10_000.0)?.dispatch_lag.mean.and_then(Quantile::value).ok_or("no lag")?;
    Ok((as_f64(busy.total.ok) / took, lag))
}
