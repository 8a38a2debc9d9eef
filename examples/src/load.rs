//! `offgridflow load`: the demonstration's load on a server that is up, with `/metrics`, so that a board shows both sides.

use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::get;
use axum::{Router, middleware};
use clap::Args;
use offgridflow_loadtest::MetricsReporter;
use offgridflow_profile::MemoryWatch;
use tokio::net::TcpListener;

use crate::api;
use crate::app::AppError;
use crate::demo::{Account, load_test};
use crate::secret::Secret;

/// Settings of the load.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server: `http://HOST:PORT`.
    #[arg(long, env = "OFFGRIDFLOW_API_URL", default_value = "http://127.0.0.1:8080")]
    api_url: String,
    /// The API key of the tenant that is loaded. Without one it is the tenant `default` of a server without keys.
    #[arg(long, env = "OFFGRIDFLOW_API_KEY", hide_env_values = true)]
    api_key: Option<Secret>,
    /// Requests a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// How long to load, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Where `/metrics` is; port 0 lets the system pick one.
    #[arg(long, env = "OFFGRIDFLOW_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Loads until the time is over, and prints the report; its exit code.
///
/// # Errors
/// A setting that makes no sense, or an address that cannot be had.
pub async fn run(options: Options) -> Result<u8, AppError> {
    let time = Duration::from_secs(options.seconds);
    let credential = match &options.api_key {
        Some(key) => ("x-api-key", (**key).to_owned()),
        None => ("x-tenant", "default".to_owned()),
    };
    let account = Account { tenant: "default".to_owned(), credential };
    let test = load_test(&options.api_url, &[account], options.rate, time)?;
    let listener =
        TcpListener::bind(options.listen).await.map_err(|error| AppError::Listen(options.listen, error))?;
    api::install_metrics();
    let _memory = MemoryWatch::builder().start()?;
    println!("listening on http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/metrics", get(api::show_metrics))
        .layer(middleware::from_fn(api::count_requests));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let report = test.reporter(MetricsReporter).run().await?;
    serving.abort();
    print!("{report}");
    Ok(report.exit_code())
}
