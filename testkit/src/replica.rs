use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::postgres::{KIND, PACKAGE, Postgres, as_other_user, command, data, other_user, psql};
use crate::server::{Server, output};
use crate::{Error, binary, port};

/// A streaming replica of a [`Postgres`], to be left behind and promoted. Stopped on drop.
#[derive(Debug)]
pub struct Replica {
    server: Server,
    addr: SocketAddr,
}

impl Replica {
    /// Copies the primary and starts to follow it.
    ///
    /// # Errors
    /// When the copy fails, or the replica does not start.
    pub fn start(primary: &Postgres) -> Result<Self, Error> {
        let primary = primary.addr();
        port::at_a_free_one(|addr| Self::start_at(addr, primary))
    }

    fn start_at(addr: SocketAddr, primary: SocketAddr) -> Result<Self, Error> {
        let (directory, reaper) = Server::prepare(&KIND)?;
        if let Some((user, group)) = other_user() {
            chown(&directory, Some(user), Some(group))
                .map_err(Error::io("hand over PostgreSQL's directory"))?;
        }
        copy(&directory, primary)?;
        configure(&directory, addr)?;
        let server = Server::start(&KIND, directory.clone(), reaper, command(&directory)?)?;
        let mut replica = Self { server, addr };
        let (url, expected) = (replica.url(), data(&directory).display().to_string());
        replica.server.wait_until(|| {
            let found = psql(&url, "SHOW data_directory").ok()?;
            let ours = found == expected;
            Some(if ours { Ok(()) } else { Err(Error::NotOurs { addr, expected: expected.clone(), found }) })
        })?;
        Ok(replica)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Address of the maintenance database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.addr)
    }

    /// Receives nothing more: what the primary commits from now on is not here. Waits until the receiver has ended.
    ///
    /// # Errors
    /// When the replica does not answer.
    pub fn fall_behind(&mut self) -> Result<(), Error> {
        let url = self.url();
        psql(&url, "ALTER SYSTEM SET primary_conninfo = ''")?;
        psql(&url, "SELECT pg_reload_conf()")?;
        self.server.wait_until(|| match psql(&url, "SELECT count(*) FROM pg_stat_wal_receiver") {
            Ok(receivers) => (receivers == "0").then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })
    }

    /// Becomes a primary, on a timeline of its own.
    ///
    /// # Errors
    /// When it is none within a minute.
    pub fn promote(&self) -> Result<(), Error> {
        psql(&self.url(), "SELECT pg_promote(true, 60)").map(drop)
    }
}

fn copy(directory: &Path, primary: SocketAddr) -> Result<(), Error> {
    let mut copy = as_other_user(Command::new(binary::find("pg_basebackup", PACKAGE)?));
    copy.arg("-D").arg(data(directory)).args([
        "-h",
        &primary.ip().to_string(),
        "-p",
        &primary.port().to_string(),
    ]);
    copy.args(["-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync"]).current_dir(directory);
    output("pg_basebackup", &mut copy).map(drop)
}

/// The later lines win over the primary's.
fn configure(directory: &Path, addr: SocketAddr) -> Result<(), Error> {
    let conf = data(directory).join("postgresql.conf");
    let copied = fs::read_to_string(&conf).map_err(Error::io("read postgresql.conf"))?;
    let ours = format!("\nport = {}\nunix_socket_directories = '{}'\n", addr.port(), directory.display());
    fs::write(&conf, copied + &ours).map_err(Error::io("write postgresql.conf"))
}
