use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use offgridflow_bench::gate::{Cancel, Gate, GateError, GateReport, Rule, Settings, Via};
use offgridflow_bench::history::append_line;

/// The longest time that can be asked for, in seconds.
const WEEK: u64 = 604_800;

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
    /// Settings; what is given here goes before them. By default bench.toml, where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only benchmarks whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Chance that identical programs are called regressed, in percent. Default: 1.
    #[arg(long)]
    alpha: Option<f64>,
    /// Slow-downs up to this do not matter, in percent. Default: 2.
    #[arg(long)]
    slowdown: Option<f64>,
    /// Seconds for measuring; building is not counted. Default: 300.
    #[arg(long)]
    budget: Option<u64>,
    /// Most rounds of a benchmark. Default: 150.
    #[arg(long)]
    rounds: Option<usize>,
    /// Link orders that rounds go through in turn, where the linker can shuffle functions; red is only what is slower in each. Default: 1.
    #[arg(long)]
    layouts: Option<usize>,
    /// Count instructions beside time, under valgrind: they grade a verdict and do not make one.
    #[arg(long)]
    instructions: bool,
    /// Count allocations beside time, of programs whose allocator is `offgridflow_bench::allocations::Counting`: they grade, too.
    #[arg(long)]
    allocations: bool,
    /// Longest a benchmark process may take, in seconds. Default: 60.
    #[arg(long)]
    process_limit: Option<u64>,
    /// Go on with a run of the same revisions that was cut short.
    #[arg(long)]
    resume: bool,
    /// Measures all rounds even when all is decided.
    #[arg(long)]
    all_rounds: bool,
    /// Measures even programs that are identical.
    #[arg(long)]
    force: bool,
    /// Seed of coins and resamples; by default a fresh one, printed.
    #[arg(long, conflicts_with = "resume")]
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
    /// A benchmark that may be gone, `*` for any text. May be repeated.
    #[arg(long, value_name = "NAME")]
    allow_missing: Vec<String>,
    /// Exit 0 when all that is wrong is that something is undecided.
    #[arg(long)]
    allow_undecided: bool,
    /// Where accepted slow-downs stand in the repository. Default: bench-blessed.jsonl.
    #[arg(long, value_name = "FILE")]
    blessings: Option<PathBuf>,
    /// Appends what was measured to this history.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Where the report goes.
    #[arg(long, default_value = "target/offgridflow-bench/report.json")]
    report: PathBuf,
    /// Where the report goes as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
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

pub(crate) fn finish(code: Result<u8, GateError>) -> ExitCode {
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("offgridflow-bench: {error}");
        error.exit_code()
    }))
}

fn judge(arguments: GateArguments) -> Result<u8, GateError> {
    let settings = settings(arguments.config.as_deref())?;
    let (report_path, lenient) = (arguments.report.clone(), arguments.allow_undecided);
    let history = arguments.history.clone().or_else(|| settings.history().map(Path::to_owned));
    let page = arguments.html.clone();
    let report = watched(&gate(arguments, &settings)?)?;
    let text = serde_json::to_string(&report).map_err(|error| failed(&report_path, error.into()))?;
    write(&text, &report_path)?;
    let past = history.as_deref().map(|file| keep(&report, file)).transpose()?.unwrap_or_default();
    if let Some(page) = page {
        write(&report.html(&past), &page)?;
    }
    println!("{report}");
    Ok(match report.exit_code() {
        3 if lenient && !report.environment_suspect => 0,
        code => code,
    })
}

/// Runs a gate that a signal ends.
pub(crate) fn watched(gate: &Gate) -> Result<GateReport, GateError> {
    let cancel = Cancel::new();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, cancel.flag())
            .map_err(|error| GateError::Setup(format!("cannot watch for signals: {error}")))?;
    }
    gate.run(&cancel, &mut |sentence| eprintln!("{sentence}"))
}

/// The file named, which has to be there, or `bench.toml`, which need not.
pub(super) fn settings(named: Option<&Path>) -> Result<Settings, GateError> {
    match (Settings::read(named.unwrap_or(Path::new("bench.toml")))?, named) {
        (Some(settings), _) => Ok(settings),
        (None, None) => Ok(Settings::default()),
        (None, Some(path)) => Err(GateError::Usage(format!("there is no {}", path.display()))),
    }
}

fn gate(arguments: GateArguments, settings: &Settings) -> Result<Gate, GateError> {
    let percent = |name: &str, value: f64, most: f64| {
        let sound = (0.0..most).contains(&value);
        sound
            .then_some(value / 100.0)
            .ok_or_else(|| GateError::Usage(format!("--{name} {value}: a percentage from 0 to below {most}")))
    };
    let rule = Rule::default();
    let alpha = arguments.alpha.or(settings.alpha_percent()).unwrap_or(100.0 * rule.alpha);
    let slowdown = arguments.slowdown.or(settings.slowdown_percent()).unwrap_or(100.0 * rule.slowdown);
    let rounds = arguments.rounds.or(settings.rounds()).unwrap_or(rule.rounds);
    if alpha == 0.0 {
        return Err(GateError::Usage("--alpha has to be above 0".to_owned()));
    }
    let whole = |name: &str, given: Option<u64>, most: u64| match given {
        Some(given) if !(1..=most).contains(&given) => {
            Err(GateError::Usage(format!("--{name} {given}: a whole number from 1 to {most}")))
        }
        _ => Ok(given),
    };
    let count = |name: &str, given: Option<usize>, most: u64| {
        whole(name, given.map(|given| given as u64), most).map(|_| given)
    };
    count("rounds", arguments.rounds, 1_000)?;
    count("layouts", arguments.layouts, 32)?;
    let (budget, process_limit) =
        (whole("budget", arguments.budget, WEEK)?, whole("process-limit", arguments.process_limit, WEEK)?);
    let rule = Rule {
        alpha: percent("alpha", alpha, 50.0)?,
        slowdown: percent("slowdown", slowdown, 1_000.0)?,
        rounds,
        stop_early: !arguments.all_rounds,
        seed: arguments.seed.unwrap_or_else(super::selftest::fresh_seed),
        ..rule
    };
    let usual = Gate::new(arguments.base);
    let seconds = |given: Option<u64>, usual: Duration| given.map_or(usual, Duration::from_secs);
    Ok(Gate {
        head: arguments.head,
        dirty: arguments.dirty,
        cargo: given(arguments.cargo, settings.cargo().unwrap_or_default()),
        filter: arguments.filter.or(settings.filter().map(str::to_owned)).unwrap_or_default(),
        rule,
        slowdowns: settings.slowdowns(),
        allow_missing: [settings.allow_missing(), &arguments.allow_missing].concat(),
        blessings: arguments
            .blessings
            .or(settings.blessings().map(Path::to_owned))
            .unwrap_or(usual.blessings.clone()),
        budget: seconds(budget.or(settings.budget_seconds()), usual.budget),
        process_limit: seconds(process_limit.or(settings.process_limit_seconds()), usual.process_limit),
        via: match arguments.via {
            How::Protocol => Via::Protocol,
            How::Files => Via::Files,
        },
        as_is: arguments.as_is,
        force: arguments.force,
        stamps: [settings.stamps(), &arguments.stamps].concat(),
        layouts: arguments.layouts.or(settings.layouts()).unwrap_or(usual.layouts),
        instructions: arguments.instructions,
        allocations: arguments.allocations,
        resume: arguments.resume,
        ..usual
    })
}

fn given(arguments: Vec<String>, settings: &[String]) -> Vec<String> {
    if arguments.is_empty() { settings.to_vec() } else { arguments }
}

/// Appends the report's records; what the file then holds.
fn keep(report: &GateReport, file: &Path) -> Result<Vec<offgridflow_bench::history::Record>, GateError> {
    let said = |error: offgridflow_bench::Error| GateError::Setup(crate::with_causes(&error));
    for record in report.records() {
        append_line(file, &record).map_err(said)?;
    }
    offgridflow_bench::history::read_lines(file).map_err(said)
}

fn failed(path: &Path, error: std::io::Error) -> GateError {
    GateError::Setup(format!("cannot write {}: {error}", path.display()))
}

pub(super) fn write(text: &str, path: &Path) -> Result<(), GateError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(path, error))?;
    }
    fs::write(path, text).map_err(|error| failed(path, error))
}

pub(super) fn read(path: &Path) -> Result<GateReport, GateError> {
    let text = fs::read(path)
        .map_err(|error| GateError::Setup(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_slice(&text)
        .map_err(|error| GateError::Invalid(format!("{} is no report of the gate: {error}", path.display())))
}

/// Judges a report again; writes it as a page, too, where `html` says.
pub(crate) fn recompute(path: &Path, html: Option<&Path>, history: Option<&Path>) -> ExitCode {
    let again = || {
        let report = read(path)?;
        report.recompute()?;
        if let Some(page) = html {
            let past = history.map(offgridflow_bench::history::read_lines).transpose();
            let past =
                past.map_err(|error| GateError::Setup(crate::with_causes(&error)))?.unwrap_or_default();
            write(&report.html(&past), page)?;
        }
        println!("{report}");
        Ok(report.exit_code())
    };
    finish(again())
}
