//! The command `offgridflow-bench`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
mod command;

use offgridflow_bench::{CriterionDir, Error, Options, compare};

/// Compares recorded benchmarks, with intervals.
#[derive(Debug, Parser)]
#[command(name = "offgridflow-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure how often this tool errs.
    #[command(subcommand)]
    Selftest(command::selftest::Selftest),
    /// Judge a revision against another.
    Gate(Box<command::gate::GateArguments>),
    /// Judge the rounds in a report again.
    ///
    /// Exit status: that of the report, or 3 when it does not follow from its rounds.
    Recompute {
        /// A `report.json` of the gate.
        report: PathBuf,
        /// Writes the report as a page, too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// The history that the page shows beside each benchmark.
        #[arg(long, value_name = "FILE", requires = "html")]
        history: Option<PathBuf>,
    },
    /// What became slower over the commits.
    #[command(subcommand)]
    History(command::history::History),
    /// Accept a slow-down that is meant.
    Bless(command::history::Bless),
    Docs(command::document::Docs),
    Record(command::document::RecordArguments),
    /// Compare two recordings of criterion.
    ///
    /// Exit status: 0 nothing slower, 1 something slower, 2 usage, 3 undecided, 4 nothing to compare or a benchmark missing.
    Compare {
        /// Name of the recording to compare against (`cargo bench -- --save-baseline NAME`).
        base: String,
        /// Name of the recording to judge.
        #[arg(default_value = "new")]
        new: String,
        /// Folder that criterion recorded into.
        #[arg(long, default_value = "target/criterion")]
        dir: PathBuf,
        /// Folder of the base, when it is another.
        #[arg(long)]
        base_dir: Option<PathBuf>,
        /// Smallest slow-down that matters, in percent.
        #[arg(long, default_value_t = 2.0)]
        threshold: f64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Selftest(which) => Ok(command::selftest::run(&which)),
        Command::Gate(arguments) => Ok(command::gate::run(*arguments)),
        Command::Recompute { report, html, history } => {
            Ok(command::gate::recompute(&report, html.as_deref(), history.as_deref()))
        }
        Command::History(which) => command::history::run(&which),
        Command::Docs(docs) => Ok(command::document::docs(&docs)),
        Command::Record(record) => Ok(command::document::record(&record)),
        Command::Bless(blessing) => command::history::bless(blessing),
        Command::Compare { base, new, dir, base_dir, threshold, json } => {
            compare_recordings(base, new, dir, base_dir, threshold, json)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("offgridflow-bench: {}", with_causes(&error));
        ExitCode::from(if matches!(error, Error::Option { .. }) { 2 } else { 4 })
    })
}

fn compare_recordings(
    base: String,
    new: String,
    dir: PathBuf,
    base_dir: Option<PathBuf>,
    threshold: f64,
    json: bool,
) -> Result<ExitCode, Error> {
    let base = CriterionDir::new(base_dir.unwrap_or_else(|| dir.clone()), base);
    let new = CriterionDir::new(dir, new);
    let report = compare(&base, &new, &Options { threshold: threshold / 100.0, ..Options::default() })?;
    let text = if json {
        serde_json::to_string_pretty(&report).expect("a report is JSON")
    } else {
        report.to_string()
    };
    println!("{text}");
    Ok(ExitCode::from(report.exit_code()))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
