//! The `offgridflow-loadtest` command: `run`, `search`, `preflight`, `report`, `selftest` and `init`, `completions` and `man`.
//!
//! Exit codes: 0 passed · 1 a threshold broken, or the target down · 2 usage or configuration · 3 the run is not
//! valid, or was altered while it ran, so nothing was judged · 4 set-up or preflight, or a report that could not be written · 5 ended by a rule of its own (`--abort-if`) ·
//! 130 interrupted.

mod arguments;
#[cfg(feature = "autoscale")]
mod autoscale;
mod compare;
mod endpoint;
mod forms;
mod init;
#[cfg(feature = "live")]
mod live;
#[cfg(not(feature = "live"))]
mod no_live;
mod papers;
#[cfg(any(feature = "sql", feature = "redis"))]
mod preset;
#[cfg(feature = "redis")]
mod redis_bundles;
mod report_file;
mod search;
mod self_test;
mod shard;
mod steps;
mod stream_file;

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;

use crate::{
    AnyTarget, ConfigError, Control, Error, LoadTest, Plan, ProgressLines, Report, StopHandle,
    report::width::one_line,
};
use arguments::{Arguments, Command, Run};
use endpoint::{Endpoint, LiveMetrics, Served};
use forms::{Asked, Show, json};
#[cfg(not(feature = "live"))]
use no_live as live;
use report_file::is_stdout;
use stream_file::StreamFile;

const USAGE: u8 = 2;
const SET_UP: u8 = 4;
const INTERRUPTED: u8 = 130;

/// Runs the command with the process's arguments; wrong usage ends the process with code 2.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Run(run) => execute(run),
        Command::Search(asked) => search::run(asked),
        Command::Steps(asked) => steps::run(asked),
        Command::Compare(asked) => compare::run(asked),
        Command::Merge(asked) => shard::run(asked),
        #[cfg(any(feature = "sql", feature = "redis"))]
        Command::Preset(asked) => preset::run(asked),
        Command::Preflight(subject) => subject.load_test().map_err(usage).and_then(|test| preflight(&test)),
        Command::Report(show) => again(show),
        Command::Selftest(asked) => self_test::run(asked),
        Command::Completions(asked) => papers::completions(asked.shell),
        Command::Man => papers::man(),
        #[cfg(feature = "autoscale")]
        Command::Autoscale(asked) => autoscale::run(asked),
        Command::Init(init) => {
            init::write(init).map_err(usage).and_then(|said| say(&said)).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|failure| {
        let lines: Vec<_> = failure.message.split('\n').map(one_line).collect(); // what it quotes is anybody's
        eprintln!("error: {}", lines.join("\n"));
        ExitCode::from(failure.code)
    })
}

/// Why there is no result, and the code for it.
struct Failure {
    code: u8,
    message: String,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        usage(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => usage(error),
            Error::Start(error) => set_up(format!("cannot start: {}", advised(&error))),
            Error::Interrupted => Self { code: INTERRUPTED, message: Error::Interrupted.to_string() },
            error => set_up(with_source(&error)),
        }
    }
}

fn usage(error: impl Display) -> Failure {
    Failure { code: USAGE, message: error.to_string() }
}

fn set_up(error: impl Display) -> Failure {
    Failure { code: SET_UP, message: error.to_string() }
}

/// Shows what would be done.
fn show(test: &LoadTest<AnyTarget>) -> Result<(), Failure> {
    let plan = test.validate().map_err(usage)?;
    remark(&plan);
    say(&format_args!("{plan}\n"))?;
    test.workload().outline().iter().try_for_each(|line| say(&format_args!("{line}\n")))
}

fn preflight(test: &LoadTest<AnyTarget>) -> Result<ExitCode, Failure> {
    show(test)?;
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
    let mut test = run.part.of(run.subject.load_test().map_err(usage)?);
    if run.dry_run {
        show(&test)?;
        say(&"dry run     nothing was sent\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked = run.asked();
    refuse_files(run, &asked).map_err(usage)?;
    remark(&test.validate().map_err(usage)?);
    let forms = forms::open(&asked).map_err(usage)?;
    let mut unstreamed = Vec::new();
    let streams =
        [run.hdr_log.as_deref().map(StreamFile::hdr_log), run.windows.as_deref().map(StreamFile::windows)];
    for stream in streams.into_iter().flatten() {
        let (stream, failed) = stream.map_err(usage)?;
        test = test.reporter(stream);
        unstreamed.push(failed);
    }
    #[cfg(feature = "otlp")]
    if let Some(url) = &run.otlp {
        let pushed = crate::OtlpMetrics::new(url);
        test = test.reporter(pushed.map_err(|error| usage(format!("--otlp: {}", error.hint)))?);
    }
    let stop = test.stop_handle();
    let (test, steering) = steering(run, test)?;
    let mut test = test;
    if !run.quiet {
        test = if run.plain {
            test.reporter(ProgressLines::stderr())
        } else {
            let control =
                steering.as_ref().map(|steering| (steering.control.clone(), steering.endpoint.address));
            test.reporter(live::follower(stop.clone(), control))
        };
    }
    let (bundling, report) = match run.part.bundling()? {
        Some(bundling) => {
            let (bundle, report) = runtime()?.block_on(until_interrupted(&stop, test.run_shard()))?;
            (Some((bundling, bundle)), report)
        }
        None => (None, runtime()?.block_on(until_interrupted(&stop, test.run()))?),
    };
    // Each is written, whatever becomes of the others.
    let mut failures: Vec<_> = unstreamed.iter().filter_map(|failed| failed.get().cloned()).collect();
    failures.extend(forms.into_iter().filter_map(|form| form.write(&report).err()));
    let takes_stdout = asked.iter().any(|(_, path, _)| path.is_some_and(|path| is_stdout(path)));
    let said = if takes_stdout { tell(&report) } else { say(&report) };
    failures.extend(said.err().map(|failure| failure.message));
    match bundling {
        Some((bundling, bundle)) if failures.is_empty() => bundling.finish(bundle, &report),
        _ => Ok(ended(&report, &failures)),
    }
}

/// What a run is steered by, for as long as it goes on.
struct Steering {
    control: Control,
    endpoint: Endpoint,
}

/// Makes a run steerable that was asked to be, and says where.
fn steering(
    run: &Run,
    test: LoadTest<AnyTarget>,
) -> Result<(LoadTest<AnyTarget>, Option<Steering>), Failure> {
    let Some(at) = run.control else { return Ok((test, None)) };
    let (test, control) = test.steerable();
    test.validate().map_err(usage)?;
    let so_far = Arc::default();
    let test = test.reporter(LiveMetrics(Arc::clone(&so_far)));
    let served = Served { control: control.clone(), so_far };
    let endpoint = Endpoint::listen(at, served).map_err(|error| usage(format!("--control: {at} {error}")))?;
    complain(&format_args!("control: http://{}", endpoint.address));
    Ok((test, Some(Steering { control, endpoint })))
}

/// The report's exit code, unless something could not be written.
fn ended(report: &Report, failures: &[String]) -> ExitCode {
    failures.iter().for_each(|message| complain(&format_args!("error: {message}")));
    let code = report.exit_code();
    ExitCode::from(if failures.is_empty() { code } else { code.max(SET_UP) })
}

/// Shows a report that was written before, and writes it in other forms.
fn again(show: &Show) -> Result<ExitCode, Failure> {
    let asked = show.asked();
    forms::refuse_one_file_for_two(&asked.map(|(flag, path, _)| (flag, path))).map_err(usage)?;
    let report = read_report(&show.file)?;
    let forms = forms::open(&asked).map_err(usage)?;
    let mut failures: Vec<_> = forms.into_iter().filter_map(|form| form.write(&report).err()).collect();
    if asked.iter().all(|(_, path, _)| path.is_none()) {
        failures.extend(say(&report).err().map(|failure| failure.message));
    }
    Ok(ended(&report, &failures))
}

/// A report that was written as JSON or as a page.
fn read_report(path: &Path) -> Result<Report, Failure> {
    let file = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| usage(format!("cannot read {file}: {error}")))?;
    let is_page = text.trim_start().starts_with("<!doctype html>");
    let report = if is_page { Report::from_html(&text) } else { Report::from_json(&text) };
    report.map_err(|error| usage(format!("{file} is no report of this tool: {error}")))
}

/// A line on standard error, which may be a terminal that was closed.
fn complain(message: &dyn Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Files that would spoil each other, and streams without a file.
fn refuse_files(run: &Run, asked: &[Asked<'_>]) -> Result<(), String> {
    let streams = [("--hdr-log", run.hdr_log.as_ref()), ("--windows", run.windows.as_ref())];
    if let Some((flag, _)) = streams.iter().find(|(_, path)| path.is_some_and(|path| is_stdout(path))) {
        return Err(format!("{flag}: name a file, standard output is the report's"));
    }
    let files: Vec<_> = asked.iter().map(|&(flag, path, _)| (flag, path)).chain(streams).collect();
    forms::refuse_one_file_for_two(&files)
}

impl Run {
    fn asked(&self) -> [Asked<'_>; 4] {
        let [html, junit, prometheus] = self.forms.asked();
        [("--json", self.json.as_ref(), json), html, junit, prometheus]
    }
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
async fn until_interrupted<T>(
    stop: &StopHandle,
    run: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let listener = tokio::spawn(listen(stop.clone()));
    let result = run.await;
    listener.abort();
    result
}

/// Signals so close together are one: `timeout` and shells send it to a process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

async fn listen(stop: StopHandle) {
    interrupt().await;
    stop.stop();
    if !live::is_shown() {
        complain(&"interrupted: finishing what is in flight, again to quit at once");
    }
    tokio::time::sleep(SAME_SIGNAL).await;
    interrupt().await;
    live::restore();
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
