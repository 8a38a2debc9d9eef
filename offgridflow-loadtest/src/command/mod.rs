//! The `offgridflow-loadtest` command: `run` and `preflight`.
//!
//! Exit codes: 0 passed · 1 a threshold broken, or the target down · 2 usage or configuration · 3 the run is not
//! valid, so nothing was judged · 4 set-up or preflight, or a report that could not be written · 130 interrupted.

mod arguments;
mod hdr_file;
mod json_file;

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;

use crate::{Error, HttpTarget, LoadTest, Plan, ProgressLines, Report, StopHandle};
use arguments::{Arguments, Command, Run};
use hdr_file::HdrFile;
use json_file::{JsonFile, is_stdout};

const USAGE: u8 = 2;
const SET_UP: u8 = 4;
const INTERRUPTED: u8 = 130;

/// Runs the command with the process's arguments; wrong usage ends the process with code 2.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Run(run) => execute(run),
        Command::Preflight(subject) => subject.load_test().map_err(usage).and_then(|test| preflight(&test)),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("error: {}", failure.message);
        ExitCode::from(failure.code)
    })
}

/// Why there is no result, and the code for it.
struct Failure {
    code: u8,
    message: String,
}

fn usage(error: impl Display) -> Failure {
    Failure { code: USAGE, message: error.to_string() }
}

fn set_up(error: impl Display) -> Failure {
    Failure { code: SET_UP, message: error.to_string() }
}

fn preflight(test: &LoadTest<HttpTarget>) -> Result<ExitCode, Failure> {
    let plan = test.validate().map_err(usage)?;
    remark(&plan);
    say(&format_args!("{plan}\n"))?;
    let (_, checks) = runtime()?.block_on(test.preflight()).map_err(|error| match error {
        Error::Start(error) => set_up(format!("cannot start: {}", advised(&error))),
        error => set_up(error),
    })?;
    checks.iter().try_for_each(|check| say(&format_args!("{check}\n")))?;
    let worrying = checks.iter().any(|check| check.worrying);
    say(&if worrying { DOUBTFUL } else { "preflight   this machine can carry it\n" })?;
    Ok(ExitCode::SUCCESS)
}

const DOUBTFUL: &str =
    "preflight   nothing rules it out, but what is marked with ! will probably show in the numbers\n";

/// What should be known of the plan, to standard error.
fn remark(plan: &Plan) {
    let remarks = plan.executor.arrivals().map(|arrivals| arrivals.remarks());
    remarks.into_iter().flatten().for_each(|remark| eprintln!("note: {remark}"));
}

fn execute(run: &Run) -> Result<ExitCode, Failure> {
    let mut test = run.subject.load_test().map_err(usage)?;
    if run.dry_run {
        return preflight(&test);
    }
    refuse_one_file_for_both(run).map_err(usage)?;
    remark(&test.validate().map_err(usage)?);
    let json = run.json.as_ref().map(JsonFile::create).transpose().map_err(usage)?;
    let mut unlogged = None;
    if let Some(path) = &run.hdr_log {
        let (log, failed) = HdrFile::create(path).map_err(usage)?;
        (test, unlogged) = (test.reporter(log), Some(failed));
    }
    if !run.quiet {
        test = test.reporter(ProgressLines::stderr());
    }
    let report = runtime()?.block_on(until_interrupted(test))?;
    // Each is written, whatever becomes of the others.
    let unlogged = unlogged.and_then(|failed| failed.get().cloned());
    let unwritten = json.and_then(|json| json.write(&report).err());
    let takes_stdout = run.json.as_deref().is_some_and(is_stdout);
    let unsaid = if takes_stdout { tell(&report) } else { say(&report) };
    let unsaid = unsaid.err().map(|failure| failure.message);
    let failures = [unlogged, unwritten, unsaid];
    failures.iter().flatten().for_each(|message| complain(&format_args!("error: {message}")));
    let failed = failures.iter().any(Option::is_some);
    Ok(ExitCode::from(if failed { report.exit_code().max(SET_UP) } else { report.exit_code() }))
}

/// A line on standard error, which may be a terminal that was closed.
fn complain(message: &dyn Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Two writers of one file would spoil each other's, and a log is a file's.
fn refuse_one_file_for_both(run: &Run) -> Result<(), String> {
    if run.hdr_log.as_deref().is_some_and(is_stdout) {
        return Err("--hdr-log: name a file, standard output is the report's".into());
    }
    match (&run.json, &run.hdr_log) {
        (Some(json), Some(log)) if same_file(json, log) => {
            Err(format!("--json and --hdr-log: {} can hold one of them only, name two files", json.display()))
        }
        _ => Ok(()),
    }
}

/// Whether both names lead to one file that keeps what is written, there already or not.
fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    let (one, other) = (real(one), real(other));
    one.is_some() && one == other && one.as_deref() != Some(Path::new("/dev/null"))
}

/// Writes to standard output.
fn say(text: &dyn Display) -> Result<(), Failure> {
    write_to(io::stdout().lock(), "standard output", text)
}

/// Writes to standard error, where standard output is a report's.
fn tell(text: &dyn Display) -> Result<(), Failure> {
    write_to(io::stderr().lock(), "standard error", text)
}

/// A reader who has seen enough is no failure.
fn write_to(mut out: impl Write, name: &str, text: &dyn Display) -> Result<(), Failure> {
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(set_up(format!("cannot write to {name}: {error}")))
        }
        _ => Ok(()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| set_up(format!("cannot start: {}", advised(&error))))
}

/// With what to do, where descriptors ran out before a plan could be checked against their limit.
fn advised(error: &io::Error) -> String {
    const NFILE: i32 = 23;
    const MFILE: i32 = 24;
    match error.raw_os_error() {
        Some(NFILE | MFILE) => format!("{error}: raise the limit on open files (`ulimit -n`)"),
        _ => error.to_string(),
    }
}

/// The first interrupt ends the run with a partial report, the second ends the process.
async fn until_interrupted(test: LoadTest<HttpTarget>) -> Result<Report, Failure> {
    let stop = test.stop_handle();
    let listener = tokio::spawn(listen(stop));
    let result = test.run().await;
    listener.abort();
    result.map_err(|error| match error {
        Error::Config(error) => usage(error),
        Error::Start(error) => set_up(format!("cannot start: {}", advised(&error))),
        error => set_up(with_source(&error)),
    })
}

/// Signals so close together are one: `timeout` and shells send it to a process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

async fn listen(stop: StopHandle) {
    interrupt().await;
    stop.stop();
    complain(&"interrupted: finishing what is in flight, again to quit at once");
    tokio::time::sleep(SAME_SIGNAL).await;
    interrupt().await;
    std::process::exit(INTERRUPTED.into());
}

#[cfg(unix)]
async fn interrupt() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    // Whoever was started to outlive its terminal (nohup) does.
    let mut hangup = if ignores_hangup() { None } else { signal(SignalKind::hangup()).ok() };
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => drop(hangup.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = hung_up => {}
    }
}

/// Whether the process was started with SIGHUP ignored, or this system does not tell.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    static AT_START: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *AT_START.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_none_or(|mask| mask & 1 == 1)
    })
}

#[cfg(not(unix))]
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
