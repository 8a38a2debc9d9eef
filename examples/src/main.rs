//! `offgridflow ROLE`: the example server, its demonstration, a health check, an importer and migrations.

use std::alloc::System;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use offgridflow::app::AppError;
use offgridflow::config::Config;
use offgridflow::serve::{self, Role};
use offgridflow::{demo, health, import, load, store, upload};
use offgridflow_profile::Tracked;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[global_allocator]
static ALLOCATOR: Tracked<System> = Tracked::system();

/// Carbon accounting for many tenants: the example server of OffGridFlow.
#[derive(Debug, Parser)]
#[command(name = "offgridflow", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP interface.
    Api(Config),
    /// Work off the jobs.
    Worker(Config),
    /// Serve the page that shows another process.
    Web(Config),
    /// Serve the interface and the page, and work, in one process.
    All(Config),
    /// Start a server, load it, and print what was measured on one screen.
    Demo(demo::Options),
    /// Load a server that is up, with `/metrics` of the load itself.
    Load(load::Options),
    /// Ask a server whether it is well: exit 0 where it answers 200.
    Health(health::Options),
    /// Import a file into the database: activities of one tenant, or a table of nations by year, a column a fuel.
    Import {
        /// With `--tenant` activities as the API takes them (`.csv`, `.ndjson`, `.jsonl`), else the table as CSV.
        file: PathBuf,
        /// Whose activities they are.
        #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        tenant: Option<String>,
        #[command(flatten)]
        config: Config,
    },
    /// Issue, list or revoke API keys in the database.
    #[command(subcommand)]
    Keys(offgridflow::KeyCommand),
    /// Bring the database's schema up to date, or revert it.
    Migrate {
        /// `down` drops every table of the server's.
        #[arg(value_parser = ["up", "down"])]
        direction: String,
        #[command(flatten)]
        config: Config,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("OFFGRIDFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(logs);
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(offgridflow::otlp::layer());
    subscriber.init();
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("offgridflow: {}", with_causes(error.as_ref()));
            ExitCode::from(exit_code(error.as_ref()))
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Api(config) => serve::run(Role::Api, config).await?,
        Command::Worker(config) => serve::run(Role::Worker, config).await?,
        Command::Web(config) => serve::run(Role::Web, config).await?,
        Command::All(config) => serve::run(Role::All, config).await?,
        Command::Demo(options) => return Ok(ExitCode::from(demo::run(options).await?)),
        Command::Load(options) => return Ok(ExitCode::from(load::run(options).await?)),
        Command::Health(options) => health::run(options).await?,
        Command::Keys(command) => println!("{}", offgridflow::run_key_command(command).await?),
        Command::Import { file, tenant: Some(tenant), config } => {
            println!("{}", upload::run(&file, &tenant, &config).await?);
        }
        Command::Import { file, config, .. } => println!("{}", import::run(&file, &config).await?),
        Command::Migrate { direction, config } if direction == "down" => {
            store::migrate_down(&config.database_url).await?;
        }
        Command::Migrate { config, .. } => store::migrate_up(&config.database_url).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// 2 for settings that make no sense, 4 for what could not be set up.
fn exit_code(error: &(dyn std::error::Error + 'static)) -> u8 {
    match error.downcast_ref::<AppError>() {
        Some(
            AppError::Config(_) | AppError::Store(store::StoreError::Scheme | store::StoreError::Config(_)),
        ) => 2,
        _ => 4,
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
