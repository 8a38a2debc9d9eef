//! `offgridflow demo`: a server in a process of its own, real data, real load, and one screen that says what was measured.

mod child;
mod data;
mod load;
mod screen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use offgridflow_loadtest::{ProgressLines, Report};
use serde_json::Value;

use crate::http_client::{self, ClientError};
use child::Server;
pub(crate) use load::load_test;

/// Settings of the demonstration.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Table of nations by year to import first, in place of generated data.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Requests a second.
    #[arg(long, default_value_t = 400.0)]
    rate: f64,
    /// How long to load, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Folder for the report, the flame graph, the profile and the database.
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A rate that cannot be kept.
    #[error("a rate of {0} is not between 0 and 100 000 a second")]
    Rate(f64),
    /// A file or folder.
    #[error("cannot use {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// The server process.
    #[error("the server did not start: {0}")]
    Server(String),
    /// A request to it.
    #[error("the server could not be asked")]
    Client(#[from] ClientError),
    /// It refused the data.
    #[error("the server refused the data: {0}")]
    Data(String),
    /// The load test was misconfigured.
    #[error("the load test did not run")]
    Load(#[from] offgridflow_loadtest::Error),
    /// A report that is no JSON.
    #[error("a report could not be written")]
    Json(#[from] serde_json::Error),
}

impl From<offgridflow_loadtest::ConfigError> for DemoError {
    fn from(error: offgridflow_loadtest::ConfigError) -> Self {
        Self::Load(error.into())
    }
}

/// A tenant, and the header by which the server knows it.
pub(crate) struct Account {
    pub(crate) tenant: String,
    pub(crate) credential: (&'static str, String),
}

/// Everything the screen speaks of.
struct Outcome {
    ingested: data::Ingested,
    report: Report,
    performance: Value,
    profile: Result<Vec<u8>, String>,
    flamegraph: Result<Vec<u8>, String>,
}

/// Runs it; the exit code of the load test.
///
/// # Errors
/// What kept it from running to its end.
pub async fn run(options: Options) -> Result<u8, DemoError> {
    if !(options.rate > 0.0 && options.rate <= 100_000.0) {
        return Err(DemoError::Rate(options.rate));
    }
    if let Some(input) = &options.input {
        std::fs::File::open(input).map_err(|error| DemoError::File(input.clone(), error))?;
    }
    std::fs::create_dir_all(&options.out).map_err(|error| DemoError::File(options.out.clone(), error))?;
    let server = Server::start(&options.out)?;
    println!("server up at {} ({})", server.base(), server.database().display());
    let outcome = measure(&server, &options).await?;
    server.stop().await?;
    let paths = write_files(&options.out, &outcome)?;
    print!("{}", screen::draw(&outcome, &paths));
    Ok(outcome.report.exit_code())
}

async fn measure(server: &Server, options: &Options) -> Result<Outcome, DemoError> {
    let ingested = data::ingest(server.base(), server.admin(), options.input.as_deref()).await?;
    println!("{ingested}");
    println!("loading for {} s at {}/s …", options.seconds, options.rate);
    let time = Duration::from_secs(options.seconds);
    let load = load_test(server.base(), &ingested.accounts, options.rate, time)?;
    let load = load.reporter(ProgressLines::stderr()).run();
    let (report, (profile, flamegraph)) = tokio::join!(load, profiles(server, options.seconds));
    let answer = http_client::get(server.base(), "/api/v1/performance", &server.as_admin()).await?;
    let performance = serde_json::from_slice(&answer.body)?;
    Ok(Outcome { ingested, report: report?, performance, profile, flamegraph })
}

type Taken = Result<Vec<u8>, String>;

/// A profile and a flame graph, one after the other, while the load runs.
async fn profiles(server: &Server, seconds: u64) -> (Taken, Taken) {
    let each = (seconds * 2 / 5).max(1);
    let take = async |name: &str| {
        let path = format!("/debug/pprof/{name}?seconds={each}");
        let answer = http_client::get(server.base(), &path, &server.as_admin())
            .await
            .map_err(|error| error.to_string())?;
        let body = answer.body.to_vec();
        if answer.status.is_success() { Ok(body) } else { Err(String::from_utf8_lossy(&body).into_owned()) }
    };
    (take("profile").await, take("flamegraph").await)
}

/// Where everything was written.
struct Paths {
    report: PathBuf,
    page: PathBuf,
    flamegraph: Option<PathBuf>,
    profile: Option<PathBuf>,
}

fn write_files(out: &Path, outcome: &Outcome) -> Result<Paths, DemoError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes).map_err(|error| DemoError::File(path.clone(), error))?;
        Ok::<PathBuf, DemoError>(path)
    };
    let optional = |name, bytes: &Taken| bytes.as_ref().ok().map(|bytes| write(name, bytes)).transpose();
    write("report.txt", outcome.report.to_string().as_bytes())?;
    Ok(Paths {
        page: write("report.html", outcome.report.to_html().as_bytes())?,
        report: write("report.json", outcome.report.to_json()?.as_bytes())?,
        flamegraph: optional("flamegraph.svg", &outcome.flamegraph)?,
        profile: optional("profile.pb.gz", &outcome.profile)?,
    })
}
