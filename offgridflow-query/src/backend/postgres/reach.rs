//! Whether anybody listens where the server should be.

use crate::error::{Cause, Class};
use sqlx::postgres::PgConnectOptions;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(1);

/// The Unix socket that these options lead to, if they lead to one.
pub(super) fn socket(options: &PgConnectOptions) -> Option<PathBuf> {
    let host = options.get_host();
    let directory = options.get_socket().cloned().or_else(|| host.starts_with('/').then(|| host.into()))?;
    Some(directory.join(format!(".s.PGSQL.{}", options.get_port())))
}

/// Why nobody is reached at the address of `options`: a link that is opened and closed again, no session.
pub(super) async fn obstacle(options: &PgConnectOptions) -> Option<Cause> {
    let (place, result) = match socket(options) {
        Some(path) => (path.display().to_string(), timeout(PATIENCE, open_socket(path)).await),
        None => {
            let (host, port) = (options.get_host(), options.get_port());
            let opening = async { TcpStream::connect((host, port)).await.map(drop) };
            (format!("{host}:{port}"), timeout(PATIENCE, opening).await)
        }
    };
    let why = match result {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    Some(Cause::new(Class::Connection, format!("{place}: {why}")))
}

#[cfg(unix)]
async fn open_socket(path: PathBuf) -> io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

#[cfg(not(unix))]
async fn open_socket(_: PathBuf) -> io::Result<()> {
    Ok(())
}
