//! L3: scripted runs, healthy and sick, and whether the verdict says which.

use std::{fmt, fs, path::PathBuf, process::Command, thread, time::Duration};

use offgridflow_loadtest::OpRng;

use benches::{figures::as_f64, row};

use crate::{
    Failure,
    child::{Process, Quota, busy, pinned},
    serve::{Behaviour, Server},
    size,
    tools::{Load, Ours, ours, ours_path},
};

/// What is the matter with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Healthy,
    BesideBusyLoop,
    SameCore,
    SlowTarget,
    FrozenTarget,
    CappedTarget,
    DyingTarget,
    DeadTarget,
    LowCap,
    FewDescriptors,
    Quota,
    Starved,
    FrozenGenerator,
    Saturated,
}

use Kind::{
    BesideBusyLoop, CappedTarget, DeadTarget, DyingTarget, FewDescriptors, FrozenGenerator, FrozenTarget,
    Healthy, LowCap, SameCore, Saturated, SlowTarget, Starved,
};

/// How often each kind runs in full: 60 in all.
const FULL: [(Kind, usize); 14] = [
    (Healthy, 6),
    (BesideBusyLoop, 20),
    (SameCore, 3),
    (SlowTarget, 3),
    (FrozenTarget, 3),
    (CappedTarget, 3),
    (DyingTarget, 3),
    (DeadTarget, 1),
    (LowCap, 3),
    (FewDescriptors, 1),
    (Kind::Quota, 4),
    (Starved, 4),
    (FrozenGenerator, 3),
    (Saturated, 3),
];

impl Kind {
    /// The verdicts that are right.
    fn right(self) -> &'static [&'static str] {
        match self {
            Healthy | BesideBusyLoop | SameCore | SlowTarget => &["Valid"],
            FrozenTarget => &["Valid", "TargetBound"],
            CappedTarget => &["TargetBound"],
            DyingTarget | DeadTarget => &["TargetDown"],
            LowCap => &["CapBound"],
            FewDescriptors => &["preflight"],
            Self::Quota | Starved | FrozenGenerator | Saturated => &["GeneratorBound"],
        }
    }

    fn generator_bound(self) -> bool {
        self.right() == ["GeneratorBound"]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

pub(crate) fn main() -> Result<(), Failure> {
    let seed = size::seed();
    let plan: Vec<(Kind, usize)> = if size::full() {
        FULL.to_vec()
    } else {
        FULL.map(|(kind, _)| (kind, if kind == BesideBusyLoop { 3 } else { 1 })).to_vec()
    };
    let (mut right, mut runs, mut passed_a_gate, mut skipped) = (0, 0, 0, 0);
    // The control: what the same runs would say by their threshold alone, as tools without a verdict do.
    let (mut would_pass, mut sick) = (0, 0);
    let mut beside = (0, 0);
    for (kind, times) in plan {
        for time in 0..times {
            let rng = OpRng::new(seed, (kind as u64) << 32 | time as u64);
            let Some(Outcome { verdict, code, p95, detail }) = run(kind, &rng)? else {
                skipped += 1;
                continue;
            };
            let good = kind.right().contains(&&*verdict);
            runs += 1;
            right += u64::from(good);
            if kind.generator_bound() {
                sick += 1;
                passed_a_gate += u64::from(code == 0);
                would_pass += u64::from(p95 < THRESHOLD_SECONDS);
            }
            if kind == BesideBusyLoop {
                beside = (beside.0 + u64::from(good), beside.1 + 1);
            }
            row!("{} {kind:<16} {verdict:<15} exit {code:<3} {detail}", if good { "right" } else { "WRONG" });
        }
    }
    let enough = right * 20 >= runs * 19 && beside.0 * 20 >= beside.1 * 19;
    let pass = enough && passed_a_gate == 0 && would_pass > 0;
    println!(
        "{} measured={right}/{runs}-right,{passed_a_gate}-generator-bound-runs-passed,{}/{}-beside-a-busy-loop-Valid control=threshold-alone-passes-{would_pass}/{sick}-generator-bound-runs n={runs} seed {seed}{}",
        if pass { "PASS" } else { "FAIL" },
        beside.0,
        beside.1,
        if skipped > 0 { format!("; {skipped} skipped: no control groups here") } else { String::new() }
    );
    Ok(())
}

const SECONDS: u32 = 5;
/// A gate that any run meets whose target answers at all.
const THRESHOLD_SECONDS: f64 = 60.0;

/// What one run said.
struct Outcome {
    verdict: String,
    code: i32,
    p95: f64, // seconds
    detail: String,
}

/// One run. `None` if this machine cannot do it.
fn run(kind: Kind, rng: &OpRng) -> Result<Option<Outcome>, Failure> {
    let json = PathBuf::from("target/verify/l3.json");
    let _ = fs::remove_file(&json);
    let behaviour = behaviour(kind, rng);
    let per_sec = whole(size::between(rng, 400.0, 2_000.0));
    let core = 0;
    let server_command = Server::command(behaviour)?;
    let server = match kind {
        SameCore => Server::run(&pinned(core, &server_command))?,
        _ => Server::run(&server_command)?,
    };
    let url = if kind == DeadTarget { "http://127.0.0.1:1/".to_owned() } else { server.url.clone() };
    let per_sec = match kind {
        CappedTarget => whole(size::between(rng, 1.3, 3.0) * as_f64(behaviour.per_sec)),
        SlowTarget | LowCap => 400,
        Kind::Quota => 3_000,
        _ => per_sec,
    };
    let in_flight = if kind == LowCap { whole(size::between(rng, 4.0, 12.0)) } else { 6_000 };
    let load = Load { url: &url, per_sec, seconds: SECONDS };
    let mut command = ours(load, in_flight, &json);
    command.args(["-t", &format!("p95(response) < {THRESHOLD_SECONDS}s")]);
    if kind == Saturated {
        command = saturating(&url, &json, whole(size::between(rng, 16.0, 64.0)));
    }
    let quota = (kind == Kind::Quota).then(|| Quota::of(size::between(rng, 0.02, 0.05)));
    let mut busy_loops = Vec::new();
    match kind {
        Kind::Quota => match quota.as_ref().and_then(Option::as_ref) {
            Some(quota) => command = quota.wrap(&command),
            None => return Ok(None),
        },
        BesideBusyLoop => busy_loops.push(Process::start(busy())?),
        SameCore => command = pinned(core, &command),
        Starved => {
            for _ in 0..whole(size::between(rng, 4.0, 9.0)) {
                busy_loops.push(Process::start(pinned(core, &busy()))?);
            }
            command = pinned(core, &command);
        }
        FewDescriptors => command = with_descriptors(100, &command),
        _ => {}
    }
    let process = Process::start(command)?;
    let half = Duration::from_secs_f64(size::between(rng, 1.2, 2.0));
    match kind {
        FrozenTarget => {
            thread::sleep(half);
            server.process.freeze(Duration::from_secs_f64(size::between(rng, 0.3, 1.2)))?;
        }
        FrozenGenerator => {
            thread::sleep(half);
            process.freeze(Duration::from_secs_f64(size::between(rng, 0.3, 1.5)))?;
        }
        DyingTarget => {
            thread::sleep(half);
            server.process.kill()?;
        }
        _ => {}
    }
    let ours = Ours::read(process, &json)?;
    let verdict = if ours.code == 4 && ours.report.is_null() { "preflight".into() } else { ours.verdict() };
    let p95 = ours.seconds("total.response.p95.value");
    let detail = format!(
        "{per_sec}/s, p95 {:.2} ms, lag p99 {:.2} ms  {}",
        p95 * 1e3,
        ours.seconds("dispatch_lag.p99.value") * 1e3,
        ours.cause()
    );
    Ok(Some(Outcome { verdict, code: ours.code, p95, detail }))
}

fn behaviour(kind: Kind, rng: &OpRng) -> Behaviour {
    match kind {
        SlowTarget => Behaviour {
            delay: Duration::from_secs_f64(size::between(rng, 0.02, 0.12)),
            ..Behaviour::default()
        },
        LowCap => Behaviour {
            delay: Duration::from_secs_f64(size::between(rng, 0.05, 0.15)),
            ..Behaviour::default()
        },
        CappedTarget => {
            Behaviour { per_sec: whole(size::between(rng, 200.0, 500.0)).into(), ..Behaviour::default() }
        }
        _ => Behaviour::default(),
    }
}

/// A closed loop as fast as it goes, on one thread.
fn saturating(url: &str, json: &std::path::Path, workers: u32) -> Command {
    let mut command = Command::new(ours_path());
    command
        .args(["run", url, "-q", "--for", "4s", "-c", &workers.to_string(), "--shards", "1", "--json"])
        .arg(json);
    command.args(["-t", &format!("p95(response) < {THRESHOLD_SECONDS}s")]);
    pinned(0, &command)
}

fn with_descriptors(limit: u32, command: &Command) -> Command {
    let mut wrapped = Command::new("sh");
    wrapped
        .args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn whole(value: f64) -> u32 {
    value as u32
}
