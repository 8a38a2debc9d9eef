use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use offgridflow_bench::document::{
    Document, Figure, Judgement, Pointer, Promise, SourceError, from_gate, from_json, promises_in,
};
use offgridflow_bench::gate::{GateError, GateReport};
use offgridflow_bench::history::{Blessing, Record, append_line, read_lines};
use offgridflow_bench::origin::{machine, now};

const PAGE: &str = "docs/PERFORMANCE_BENCHMARKS.md";
const RECORDS: &str = "bench-records.jsonl";
const JUDGEMENTS: &str = "bench-promises.jsonl";
const HISTORY: &str = "bench-history.jsonl";
const BLESSINGS: &str = "bench-blessed.jsonl";
const DAY: u64 = 86_400;

/// Makes the page of measurements from its records.
///
/// Exit status: 0 made, or as the records say; 1 `--check` found it edited or stale, 2 usage, 4 something cannot be read or written.
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Compare the page with what the records say, and write nothing.
    #[arg(long)]
    check: bool,
    /// Settings with the targets. By default bench.toml, where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Keeps the figures of a report: of the gate, of the load test, or of probes; or what a measurement of a promise said.
///
/// Exit status: 0 kept, 2 usage, 3 the report's own verdict is that its numbers do not count, 4 something cannot be read or written.
#[derive(Debug, Args)]
pub(crate) struct RecordArguments {
    /// The report, as JSON.
    #[arg(required = true)]
    report: PathBuf,
    /// What the names of its figures begin with.
    #[arg(long = "as", value_name = "LABEL", default_value = "")]
    label: String,
    /// A number anywhere in it, and nothing else: `NAME=/POINTER`.
    #[arg(long, value_name = "NAME=/POINTER", requires = "n")]
    value: Option<String>,
    /// Where the number is that it was counted over.
    #[arg(long, value_name = "/POINTER")]
    n: Option<String>,
    /// What it is multiplied with.
    #[arg(long, default_value_t = 1.0)]
    times: f64,
    /// The unit it then has.
    #[arg(long, default_value = "")]
    unit: String,
    /// It is a share of what it was counted over: state its exact interval.
    #[arg(long)]
    share: bool,
    /// The commit that was measured; by default HEAD, when nothing in it was changed. The gate's reports name theirs.
    #[arg(long)]
    commit: Option<String>,
    /// Settings. By default bench.toml, where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn docs(docs: &Docs) -> ExitCode {
    super::gate::finish(docs.run())
}

pub(crate) fn record(record: &RecordArguments) -> ExitCode {
    super::gate::finish(record.run())
}

impl Docs {
    fn run(&self) -> Result<u8, GateError> {
        let settings = super::gate::settings(self.config.as_deref())?;
        let path = settings.page().unwrap_or(Path::new(PAGE));
        let figures: Vec<Figure> = read(settings.records().unwrap_or(Path::new(RECORDS)))?;
        let history: Vec<Record> = read(settings.history().unwrap_or(Path::new(HISTORY)))?;
        let blessings: Vec<Blessing> = read(settings.blessings().unwrap_or(Path::new(BLESSINGS)))?;
        let promises = settings.promises().map_or(Ok(Vec::new()), promises)?;
        let judgements: Vec<Judgement> = read(settings.judgements().unwrap_or(Path::new(JUDGEMENTS)))?;
        let document = Document {
            goals: settings.goals(),
            figures: &figures,
            history: &history,
            blessings: &blessings,
            promises: &promises,
            judgements: &judgements,
        };
        if self.check {
            return check(&document, path, settings.max_age_days());
        }
        super::gate::write(&document.to_string(), path)?;
        println!("{} is made of {} figures", path.display(), figures.len());
        Ok(0)
    }
}

fn check(document: &Document<'_>, path: &Path, days: Option<u64>) -> Result<u8, GateError> {
    let text = fs::read_to_string(path)
        .map_err(|error| GateError::Setup(format!("cannot read {}: {error}", path.display())))?;
    if let Some((line, said, should)) = document.difference(&text) {
        eprintln!(
            "{}, line {line}, is not what the records say: it was edited, or is stale; `offgridflow-bench docs` makes it anew\n  it says   {said}\n  it should {should}",
            path.display()
        );
        return Ok(1);
    }
    let old = days.map_or_else(Vec::new, |days| {
        document.older_than(revision_time().saturating_sub(days.saturating_mul(DAY)))
    });
    for figure in &old {
        eprintln!(
            "`{}` was measured more than {} days before this revision: measure it again",
            figure.name,
            days.unwrap_or_default()
        );
    }
    Ok(u8::from(!old.is_empty()))
}

/// When HEAD was committed: the age of a figure then depends on the revision, not on when somebody looks. Now, without git.
fn revision_time() -> u64 {
    let said = super::history::git(&["log", "-1", "--format=%ct"]).pop();
    said.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(now)
}

impl RecordArguments {
    fn run(&self) -> Result<u8, GateError> {
        let settings = super::gate::settings(self.config.as_deref())?;
        if let Some(judgement) = self.judgement()? {
            let path = settings.judgements().unwrap_or(Path::new(JUDGEMENTS));
            append_line(path, &judgement).map_err(|error| GateError::Setup(crate::with_causes(&error)))?;
            println!("what was said of {} is kept in {}", judgement.promise, path.display());
            return Ok(0);
        }
        let figures = self.figures()?;
        let path = settings.records().unwrap_or(Path::new(RECORDS));
        for figure in &figures {
            append_line(path, figure).map_err(|error| GateError::Setup(crate::with_causes(&error)))?;
        }
        println!("{} figure(s) kept in {}", figures.len(), path.display());
        Ok(0)
    }

    /// What the report says of a promise, if that is what it is.
    fn judgement(&self) -> Result<Option<Judgement>, GateError> {
        let Some(judgement) =
            fs::read(&self.report).ok().and_then(|bytes| serde_json::from_slice::<Judgement>(&bytes).ok())
        else {
            return Ok(None);
        };
        if !matches!(judgement.said.as_str(), "PASS" | "FAIL") {
            let (promise, said) = (&judgement.promise, &judgement.said);
            return Err(GateError::Invalid(format!("{promise} was not measured: it says {said}")));
        }
        Ok(Some(Judgement { commit: self.commit()?, machine: machine(), at: now(), ..judgement }))
    }

    fn figures(&self) -> Result<Vec<Figure>, GateError> {
        let path = self.report.display();
        let bytes = fs::read(&self.report)
            .map_err(|error| GateError::Setup(format!("cannot read {path}: {error}")))?;
        if let Ok(report) = serde_json::from_slice::<GateReport>(&bytes) {
            return of_gate(&report);
        }
        let json = serde_json::from_slice(&bytes)
            .map_err(|error| GateError::Invalid(format!("{path} is no JSON: {error}")))?;
        let said = |error: SourceError| match error {
            SourceError::Invalid(_) => GateError::Invalid(format!("{path}: {error}")),
            _ => GateError::Usage(format!("{path}: {error}")),
        };
        let figures = from_json(&json, &self.label, self.pointer()?.as_slice()).map_err(said)?;
        let (commit, machine, at) = (self.commit()?, machine(), now());
        let finish =
            |figure: Figure| Figure { commit: commit.clone(), machine: machine.clone(), at, ..figure };
        Ok(figures.into_iter().map(finish).collect())
    }

    fn pointer(&self) -> Result<Option<Pointer>, GateError> {
        let (Some(value), Some(n)) = (&self.value, &self.n) else { return Ok(None) };
        let (name, value) = value.split_once("=/").ok_or_else(|| {
            GateError::Usage(format!("--value {value}: NAME=/POINTER, such as memory=/rss"))
        })?;
        Ok(Some(Pointer {
            name: name.to_owned(),
            value: format!("/{value}"),
            times: self.times,
            unit: self.unit.clone(),
            n: n.clone(),
            is_share: self.share,
        }))
    }

    /// The commit named, or HEAD.
    fn commit(&self) -> Result<String, GateError> {
        let git = super::history::git;
        if let Some(commit) = &self.commit {
            return Ok(commit.clone());
        }
        if !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() {
            let hint = "tracked files are changed: no commit has what was measured; commit, or name it with --commit";
            return Err(GateError::Usage(hint.to_owned()));
        }
        git(&["rev-parse", "HEAD"]).pop().ok_or_else(|| {
            GateError::Usage("git knows no HEAD here: name the commit with --commit".to_owned())
        })
    }
}

fn of_gate(report: &GateReport) -> Result<Vec<Figure>, GateError> {
    report.recompute()?;
    let figures = from_gate(report);
    if figures.is_empty() {
        let why = "nothing in it was measured, its environment was suspect, or its head holds changes that are not committed";
        return Err(GateError::Invalid(format!("the gate's report has no figures: {why}")));
    }
    Ok(figures)
}

fn promises(path: &Path) -> Result<Vec<Promise>, GateError> {
    let text = fs::read_to_string(path)
        .map_err(|error| GateError::Setup(format!("cannot read {}: {error}", path.display())))?;
    promises_in(&text).map_err(|error| GateError::Usage(format!("{}: {error}", path.display())))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, GateError> {
    read_lines(path).map_err(|error| GateError::Setup(crate::with_causes(&error)))
}
