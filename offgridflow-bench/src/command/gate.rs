use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use offgridflow_bench::gate::{Cancel, Gate, GateError, GateReport, Rule, Via};

/// Exit status: 0 pass, 1 regressed, 2 usage, 3 undecided or environment suspect, 4 set-up, build, a missing or broken benchmark, 130 interrupted.
#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// Revision to compare with; its merge base with the head is measured.
    #[arg(long)]
    base: String,
    /// Revision to judge; by default HEAD.
    #[arg(long)]
    head: Option<String>,
    /// Measure changes that are not committed, too.
    #[arg(long, conflicts_with = "head")]
    dirty: bool,
    /// Only benchmarks whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Chance that identical programs are called regressed, in percent.
    #[arg(long, default_value_t = 1.0)]
    alpha: f64,
    /// Slow-downs up to this do not matter, in percent.
    #[arg(long, default_value_t = 2.0)]
    slowdown: f64,
    /// Seconds for measuring; building is not counted.
    #[arg(long, default_value_t = 300)]
    budget: u64,
    /// Most rounds of a benchmark.
    #[arg(long, default_value_t = 150)]
    rounds: usize,
    /// Longest a benchmark process may take, in seconds.
    #[arg(long, default_value_t = 60)]
    process_limit: u64,
    /// Measures all rounds even when all is decided.
    #[arg(long)]
    all_rounds: bool,
    /// Measures even programs that are identical.
    #[arg(long)]
    force: bool,
    /// Seed of coins and resamples; by default a fresh one, printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How benchmarks tell their samples.
    #[arg(long, value_enum, default_value_t = How::Protocol)]
    via: How,
    /// Leave code generation as the project sets it; else one codegen unit.
    #[arg(long)]
    as_is: bool,
    /// Environment variable that holds a build stamp: the same on both sides. May be repeated.
    #[arg(long = "stamp-env", value_name = "NAME")]
    stamps: Vec<String>,
    /// Exit 0 when all that is wrong is that something is undecided.
    #[arg(long)]
    allow_undecided: bool,
    /// Where the report goes.
    #[arg(long, default_value = "target/offgridflow-bench/report.json")]
    report: PathBuf,
    /// Arguments for `cargo bench`, after `--`: `-- -p CRATE --bench NAME --features x`.
    #[arg(last = true)]
    cargo: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// While they run.
    Protocol,
    /// In criterion's files.
    Files,
}

pub(crate) fn run(arguments: GateArguments) -> ExitCode {
    finish(judge(arguments))
}

fn finish(code: Result<u8, GateError>) -> ExitCode {
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("offgridflow-bench: {error}");
        error.exit_code()
    }))
}

fn judge(arguments: GateArguments) -> Result<u8, GateError> {
    let (report_path, lenient) = (arguments.report.clone(), arguments.allow_undecided);
    let gate = gate(arguments)?;
    let cancel = Cancel::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, cancel.flag())
            .map_err(|error| GateError::Setup(format!("cannot watch for signals: {error}")))?;
    }
    let report = gate.run(&cancel, &mut |sentence| eprintln!("{sentence}"))?;
    write(&report, &report_path)?;
    println!("{report}");
    Ok(match report.exit_code() {
        3 if lenient && !report.environment_suspect => 0,
        code => code,
    })
}

fn gate(arguments: GateArguments) -> Result<Gate, GateError> {
    let percent = |name: &str, value: f64, most: f64| {
        let sound = (0.0..most).contains(&value);
        sound
            .then_some(value / 100.0)
            .ok_or_else(|| GateError::Usage(format!("--{name} {value}: a percentage from 0 to below {most}")))
    };
    let alpha = percent("alpha", arguments.alpha, 50.0)?;
    if alpha == 0.0 || arguments.rounds == 0 {
        return Err(GateError::Usage("--alpha and --rounds have to be above 0".to_owned()));
    }
    let rule = Rule {
        alpha,
        slowdown: percent("slowdown", arguments.slowdown, 1_000.0)?,
        rounds: arguments.rounds,
        stop_early: !arguments.all_rounds,
        seed: arguments.seed.unwrap_or_else(super::selftest::fresh_seed),
        ..Rule::default()
    };
    Ok(Gate {
        folder: PathBuf::from("."),
        base: arguments.base,
        head: arguments.head,
        dirty: arguments.dirty,
        cargo: arguments.cargo,
        filter: arguments.filter,
        rule,
        budget: Duration::from_secs(arguments.budget),
        process_limit: Duration::from_secs(arguments.process_limit),
        via: match arguments.via {
            How::Protocol => Via::Protocol,
            How::Files => Via::Files,
        },
        as_is: arguments.as_is,
        force: arguments.force,
        stamps: arguments.stamps,
    })
}

fn write(report: &GateReport, path: &Path) -> Result<(), GateError> {
    let failed =
        |error: std::io::Error| GateError::Setup(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let text = serde_json::to_string(report).map_err(|error| failed(error.into()))?;
    fs::write(path, text).map_err(failed)
}

pub(crate) fn recompute(path: &Path) -> ExitCode {
    let read = || {
        let text = fs::read(path)
            .map_err(|error| GateError::Setup(format!("cannot read {}: {error}", path.display())))?;
        let report: GateReport = serde_json::from_slice(&text).map_err(|error| {
            GateError::Invalid(format!("{} is no report of the gate: {error}", path.display()))
        })?;
        report.recompute()?;
        println!("{report}");
        Ok(report.exit_code())
    };
    finish(read())
}
