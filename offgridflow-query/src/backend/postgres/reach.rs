//! What stands between this process and the server.

use super::Postgres;
use crate::error::{Cause, Class};
use crate::gate::GateDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

const PATIENCE: Duration = Duration::from_secs(1);
const SILENT: &str = "somebody listens and does not begin a session";

/// The Unix socket that these options lead to, if they lead to one.
pub(super) fn socket(options: &PgConnectOptions) -> Option<PathBuf> {
    let host = options.get_host();
    let directory = options.get_socket().cloned().or_else(|| host.starts_with('/').then(|| host.into()))?;
    Some(directory.join(format!(".s.PGSQL.{}", options.get_port())))
}

/// Why no session begins at the address of `options`: nobody listens, or the server refuses or does not answer. What
/// is opened to find out is closed again.
pub(super) async fn obstacle(options: &PgConnectOptions) -> Option<Cause> {
    let until = Instant::now() + PATIENCE;
    let why = match timeout_at(until, link(options)).await {
        Ok(Ok(())) => return refusal(options, until).await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    Some(Cause::new(Class::Connection, why).at(place(options)))
}

/// A failure of the driver's own on the way to the server, with the place that it did not reach; what the server says is the server's.
pub(super) fn unreached(options: &PgConnectOptions, error: &sqlx::Error) -> Cause {
    let cause = Postgres::cause(error);
    if error.as_database_error().is_some() { cause } else { cause.at(place(options)) }
}

async fn refusal(options: &PgConnectOptions, until: Instant) -> Option<Cause> {
    match timeout_at(until, options.connect()).await {
        Ok(Ok(conn)) => {
            let _ = conn.close().await;
            None
        }
        Ok(Err(error)) => Some(unreached(options, &error)),
        Err(_) => Some(Cause::new(Class::Connection, SILENT).at(place(options))),
    }
}

fn place(options: &PgConnectOptions) -> String {
    match socket(options) {
        Some(path) => path.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

async fn link(options: &PgConnectOptions) -> io::Result<()> {
    match socket(options) {
        Some(path) => open_socket(path).await,
        None => TcpStream::connect((options.get_host(), options.get_port())).await.map(drop),
    }
}

#[cfg(unix)]
async fn open_socket(path: PathBuf) -> io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

#[cfg(not(unix))]
async fn open_socket(_: PathBuf) -> io::Result<()> {
    Ok(())
}
