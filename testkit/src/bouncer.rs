use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::postgres::{as_other_user, other_user, psql};
use crate::server::{Kind, Server};
use crate::{Error, Postgres, binary, port};

const KIND: Kind = Kind { name: "pgbouncer", stop: (Signal::TERM, "TERM") };

/// A pgbouncer in front of a [`Postgres`], pooling by transaction. Stopped on drop.
#[derive(Debug)]
pub struct PgBouncer {
    _server: Server,
    addr: SocketAddr,
}

impl PgBouncer {
    /// Starts one that opens at most `sessions` sessions a database.
    ///
    /// # Errors
    /// When pgbouncer is not installed ([`Error::Missing`]), ends at once, or does not answer in time.
    pub fn start(postgres: &Postgres, sessions: usize) -> Result<Self, Error> {
        binary::find("pgbouncer", "pgbouncer")?;
        let upstream = postgres.addr();
        port::at_a_free_one(|addr| Self::start_at(addr, upstream, sessions))
    }

    fn start_at(addr: SocketAddr, upstream: SocketAddr, sessions: usize) -> Result<Self, Error> {
        let (directory, reaper) = Server::prepare(&KIND)?;
        let config = directory.join("pgbouncer.ini");
        fs::write(&config, configuration(addr, upstream, sessions))
            .map_err(Error::io("write pgbouncer.ini"))?;
        hand_over(&[&directory, &config])?;
        let mut command = as_other_user(Command::new(binary::find("pgbouncer", "pgbouncer")?));
        command.arg(&config).current_dir(&directory);
        let mut server = Server::start(&KIND, directory, reaper, command)?;
        let url = format!("postgres://postgres@{addr}/postgres");
        server.wait_until(|| psql(&url, "SELECT 1").ok().map(|_| Ok(())))?;
        Ok(Self { _server: server, addr })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn hand_over(paths: &[&Path]) -> Result<(), Error> {
    let Some((user, group)) = other_user() else { return Ok(()) };
    let give =
        |path: &&Path| chown(path, Some(user), Some(group)).map_err(Error::io("hand over pgbouncer's files"));
    paths.iter().try_for_each(give)
}

fn configuration(addr: SocketAddr, upstream: SocketAddr, sessions: usize) -> String {
    format!(
        "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 500\n\
         ignore_startup_parameters = extra_float_digits\n",
        upstream.ip(),
        upstream.port(),
        addr.ip(),
        addr.port(),
    )
}
