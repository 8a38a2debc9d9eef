//! What can be said on the command line.

mod asked;
mod quick;
mod subject;
pub(super) mod values;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "autoscale")]
use super::autoscale::Autoscale;
#[cfg(any(feature = "sql", feature = "redis"))]
use super::preset::Preset;
use super::{
    compare::Comparing,
    forms::{Forms, Show},
    papers::Completions,
    search::SearchFor,
    self_test::Selftest,
    shard::{Merge, ShardOf},
    steps::Climb,
};
pub(super) use subject::{Pace, Subject};
use values::parse_address;

/// A load tester that proves its own numbers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 threshold broken or target down, 2 usage or configuration, \
3 the run is not valid or was altered while it ran, 4 set-up, preflight or a report that could not be written, 5 aborted by --abort-if, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a scenario, or a URL with flags, and report.
    Run(Run),
    /// Find the highest rate at which a target meets its thresholds, what limits it, and how sure that is.
    Search(SearchFor),
    /// Show the plan and check that this machine can carry it, without any load: one connection to the target is opened and closed.
    Preflight(Subject),
    /// Load with more and more workers: the Universal Scalability Law that fits, its peak and knee, and how many replicas a rate takes.
    Steps(Climb),
    /// Load two targets in turn and say whether the second is slower; or show two saved reports, and what they cannot tell.
    Compare(Comparing),
    /// Add up the bundles of all shards of a run (`run --shard`) and judge it, once; exits with 4 if one is missing, there twice, of another run, late or not whole.
    Merge(Merge),
    /// Load what stands behind a service: a database's connections (feature `sql`), a Redis cache (feature `redis`).
    #[cfg(any(feature = "sql", feature = "redis"))]
    Preset(Preset),
    /// Show a report that --json wrote, or write it in other forms; exits as its run did.
    Report(Show),
    /// Test the load tester on this machine, within about a minute, and print its error budget; exits with 3 if it does not measure here.
    Selftest(Selftest),
    /// Simulate Kubernetes' autoscalers under a load, and say what is wrong with them; exits with 1 if anything is.
    #[cfg(feature = "autoscale")]
    Autoscale(Box<Autoscale>),
    /// Write a scenario to begin with, every setting explained.
    Init(Init),
    /// Print what a shell needs to complete this command: source it, or put it where your shell looks.
    Completions(Completions),
    /// Print the manual page: `offgridflow-loadtest man | man -l -`.
    Man,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The file to write; `-` is standard output.
    #[arg(value_name = "FILE", default_value = "load.toml")]
    pub(super) file: PathBuf,
    /// What to load.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(in crate::command) subject: Subject,
    #[command(flatten)]
    pub(in crate::command) part: ShardOf,
    /// Also write the report as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Also write the response times, second by second, as an HdrHistogram log to this file.
    #[arg(long, value_name = "FILE")]
    pub(super) hdr_log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) forms: Forms,
    /// Also write each second of the run as a line of JSON to this file, while it goes on.
    #[arg(long, value_name = "FILE")]
    pub(super) windows: Option<PathBuf>,
    /// Also push each second to an OpenTelemetry collector (feature `otlp`), such as http://127.0.0.1:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// Neither the live view nor a line a second on standard error.
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// A line a second in place of the live view, also on a terminal.
    #[arg(long)]
    pub(super) plain: bool,
    /// Let the run be paused, changed, annotated and stopped while it goes on: by keys of the live view, and by HTTP at this loopback address, which also has Prometheus' /metrics;
    /// GET / there says how.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(super) control: Option<SocketAddr>,
    /// Show the plan and stop: nothing is sent, and nothing is written.
    #[arg(long)]
    pub(super) dry_run: bool,
}
