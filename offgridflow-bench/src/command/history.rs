use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand};
use offgridflow_bench::Error;
use offgridflow_bench::history::{
    Blessing, Finding, HistoryOptions, Movement, Record, append_line, findings, read_lines, series,
};

/// Where meant slow-downs are written down.
const BLESSINGS: &str = "bench-blessed.jsonl";
/// Shorter series are not judged.
const LEAST_COMMITS: usize = 6;

#[derive(Debug, Subcommand)]
pub(crate) enum History {
    /// Steps and drifts in the history.
    ///
    /// Exit status: 0 none became slower without a blessing, 1 some did, 3 nothing was judged, 4 the history cannot be read.
    Findings {
        #[command(flatten)]
        files: Files,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    Confirm(super::confirm::Confirm),
    /// Makes a SQLite database of the history, table `records`, to ask it questions; the lines stay the truth.
    #[cfg(feature = "history")]
    Index {
        /// The history, JSON lines.
        #[arg(long, default_value = "bench-history.jsonl")]
        file: PathBuf,
        /// The database.
        #[arg(long, default_value = "target/offgridflow-bench/history.sqlite")]
        database: PathBuf,
    },
}

/// Where a history stands.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The history, JSON lines.
    #[arg(long, default_value = "bench-history.jsonl")]
    file: PathBuf,
    /// Accepted slow-downs, JSON lines.
    #[arg(long, default_value = BLESSINGS)]
    blessings: PathBuf,
}

/// A history and what was found in it.
#[derive(Debug)]
pub(crate) struct JudgedHistory {
    pub(crate) found: Vec<Finding>,
    /// Series that are long enough to judge.
    pub(crate) long: usize,
    /// Series in all.
    pub(crate) all: usize,
    /// Records whose anchor nothing leads to.
    unchained: usize,
}

impl Files {
    pub(crate) fn judge(&self, options: &HistoryOptions) -> Result<JudgedHistory, Error> {
        let records: Vec<Record> = read_lines(&self.file)?;
        let (all, unchained) = series(&records, &order(&records));
        let long = all.iter().filter(|series| series.values.len() >= LEAST_COMMITS).count();
        let found = findings(&all, &read_lines::<Blessing>(&self.blessings)?, options);
        Ok(JudgedHistory { found, long, all: all.len(), unchained })
    }
}

/// Accepts a slow-down that is meant: commit the file with the change that causes it.
#[derive(Debug, Args)]
pub(crate) struct Bless {
    /// The benchmark's full name.
    bench: String,
    /// How much slower it may become, in percent.
    #[arg(long)]
    slowdown: f64,
    /// Why.
    #[arg(long)]
    reason: String,
    /// The commit it is about; by default HEAD.
    #[arg(long)]
    commit: Option<String>,
    /// Where it is written down.
    #[arg(long, default_value = BLESSINGS)]
    file: PathBuf,
}

pub(crate) fn bless(bless: Bless) -> Result<ExitCode, Error> {
    if !(bless.slowdown > 0.0 && bless.slowdown < 1_000.0) {
        return Err(Error::Option {
            option: "slowdown",
            value: bless.slowdown.to_string(),
            hint: "a percentage above 0",
        });
    }
    for (option, value) in [("bench", &bless.bench), ("reason", &bless.reason)] {
        if value.trim().is_empty() {
            let hint = "must not be empty: a blessing says of what, and why";
            return Err(Error::Option { option, value: value.clone(), hint });
        }
    }
    let head = || git(&["rev-parse", "HEAD"]).pop().unwrap_or_else(|| "unknown".to_owned());
    let commit = bless.commit.unwrap_or_else(head);
    let blessing =
        Blessing { bench: bless.bench, slowdown: bless.slowdown / 100.0, reason: bless.reason, commit };
    append_line(&bless.file, &blessing)?;
    println!("{} may become {} % slower: {}", blessing.bench, bless.slowdown, blessing.reason);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(which: &History) -> Result<ExitCode, Error> {
    let (files, json) = match which {
        History::Findings { files, json } => (files, json),
        History::Confirm(confirm) => return super::confirm::run(confirm),
        #[cfg(feature = "history")]
        History::Index { file, database } => return index(file, database),
    };
    let judged = files.judge(&HistoryOptions::default())?;
    if *json {
        println!("{}", serde_json::to_string_pretty(&judged.found).unwrap_or_default());
    } else {
        print(&judged, &files.file);
    }
    let slower = judged.found.iter().any(|finding| finding.ln_change > 0.0 && finding.blessed.is_none());
    Ok(ExitCode::from(if slower {
        1
    } else if judged.long == 0 {
        3
    } else {
        0
    }))
}

#[cfg(feature = "history")]
fn index(file: &Path, database: &Path) -> Result<ExitCode, Error> {
    let failed = |source| Error::Write { path: database.to_owned(), source };
    if let Some(folder) = database.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut index = offgridflow_bench::history::Index::open(file, database).await?;
        let word = if index.was_made() { "made of" } else { "is that of" };
        let benches = index.newest().await?.len();
        println!("{} {word} {}: {benches} benchmark(s)", database.display(), file.display());
        Ok(ExitCode::SUCCESS)
    })
}

fn print(judged: &JudgedHistory, file: &Path) {
    for finding in &judged.found {
        let (change, p) = (100.0 * finding.ln_change.exp_m1(), finding.p);
        let (how, between) = match finding.movement {
            Movement::Step => ("step", "between"),
            Movement::Drift => ("drift", "from"),
        };
        let blessed =
            finding.blessed.as_ref().map_or(String::new(), |reason| format!("; accepted: {reason}"));
        println!(
            "{}: {how} of {change:+.1} % {between} {} and {} (p {p:.2e}){blessed}",
            finding.bench, finding.before, finding.after
        );
    }
    println!(
        "{} of {} series in {} are long enough to judge ({LEAST_COMMITS} commits), {} finding(s); about 1 in 20 findings is expected to be wrong.",
        judged.long,
        judged.all,
        file.display(),
        judged.found.len()
    );
    if judged.unchained > 0 {
        println!(
            "{} record(s) have an anchor that nothing leads to: measure that anchor against an older one.",
            judged.unchained
        );
    }
}

/// First-parent order where git knows the commits; else that of the file.
fn order(records: &[Record]) -> Vec<String> {
    let mut known = git(&["rev-list", "--first-parent", "--reverse", "HEAD"]);
    let among: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    if records.iter().any(|record| among.contains(record.commit.as_str())) {
        return known;
    }
    known.clear();
    let mut seen = BTreeSet::new();
    known.extend(
        records
            .iter()
            .filter(|record| seen.insert(record.commit.as_str()))
            .map(|record| record.commit.clone()),
    );
    known
}

pub(super) fn git(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or(Vec::new(), |output| {
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    })
}
