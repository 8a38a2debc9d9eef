use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, geteuid};

use crate::server::{Kind, Server, output};
use crate::{Error, binary, port};

/// `QUIT` is PostgreSQL's immediate shutdown; `TERM` would wait for the clients to leave.
pub(crate) const KIND: Kind = Kind { name: "PostgreSQL", stop: (Signal::QUIT, "QUIT") };
pub(crate) const PACKAGE: &str = "postgresql";
const CLIENT: &str = "psql";

/// Settings of a private PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Lines of `postgresql.conf`, later ones winning over the defaults: `fsync = off`, `shared_buffers = 64MB`,
    /// `max_connections = 200`. A killed *process* loses nothing without fsync; only a killed machine would.
    pub settings: Vec<(String, String)>,
}

/// A PostgreSQL server of one's own on loopback, stopped on drop. Superuser `postgres`, no password.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    addr: SocketAddr,
}

impl Postgres {
    /// Initialises a cluster, starts it and waits until it answers from our data directory.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, ends at once, or does not answer in time.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&PostgresOptions::default())
    }

    /// As [`start`](Self::start), with settings of one's own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(options: &PostgresOptions) -> Result<Self, Error> {
        port::at_a_free_one(|addr| Self::start_at(addr, options))
    }

    fn start_at(addr: SocketAddr, options: &PostgresOptions) -> Result<Self, Error> {
        let (directory, reaper) = Server::prepare(&KIND)?;
        initialise(&directory, addr, options)?;
        let server = Server::start(&KIND, directory.clone(), reaper, command(&directory)?)?;
        let mut postgres = Self { server, addr };
        postgres.wait_until_ours()?;
        Ok(postgres)
    }

    fn wait_until_ours(&mut self) -> Result<(), Error> {
        let (addr, url) = (self.addr, self.url());
        let expected = data(self.server.directory()).display().to_string();
        self.server.wait_until(|| {
            let found = psql(&url, "SHOW data_directory").ok()?;
            let ours = found == expected;
            Some(if ours { Ok(()) } else { Err(Error::NotOurs { addr, expected: expected.clone(), found }) })
        })
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

    /// Process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// A fresh database, dropped with the handle.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database(&self, hint: &str) -> Result<Database, Error> {
        Database::create(&self.url(), hint)
    }

    /// `SIGKILL` to the postmaster; its children end when they notice.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// `SIGSTOP` to the postmaster and every process it started: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.server.freeze(); // first, so that it starts no further child
        self.signal_all(Signal::STOP);
    }

    /// `SIGCONT`: ends a [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Kills the server if it still runs, and starts it again at the same port from the same data.
    ///
    /// # Errors
    /// As [`start`](Self::start); the port may have been taken meanwhile.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let directory = self.server.directory().to_owned();
        let started = std::time::Instant::now();
        loop {
            self.server.start_again(command(&directory)?)?;
            match self.wait_until_ours() {
                // Children of the killed postmaster may still hold the shared memory for a moment.
                Err(Error::Exited { .. }) if started.elapsed().as_secs() < 20 => {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                decided => return decided,
            }
        }
    }

    fn signal_all(&self, signal: Signal) {
        self.server.signal(signal);
        for pid in children_of(self.server.pid()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// A database of a test's own, dropped (with whoever is still connected) when the handle is.
#[derive(Debug)]
pub struct Database {
    admin_url: String,
    name: String,
}

impl Database {
    pub(crate) fn create(admin_url: &str, hint: &str) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let hint: String = hint.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{}_{}_{number}", hint.to_ascii_lowercase(), std::process::id());
        psql(admin_url, &format!("CREATE DATABASE {name}"))?;
        Ok(Self { admin_url: admin_url.to_owned(), name })
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://postgres@127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        let server = self.admin_url.rsplit_once('/').map_or(self.admin_url.as_str(), |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// Runs SQL through `psql`; rows as lines, columns separated by `|`.
    ///
    /// # Errors
    /// When the server refuses the statement.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        psql(&self.url(), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = psql(&self.admin_url, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

pub(crate) fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn initialise(directory: &Path, addr: SocketAddr, options: &PostgresOptions) -> Result<(), Error> {
    if let Some((user, group)) = other_user() {
        chown(directory, Some(user), Some(group)).map_err(Error::io("hand over PostgreSQL's directory"))?;
    }
    let mut initdb = as_other_user(Command::new(binary::find("initdb", PACKAGE)?));
    initdb.arg("-D").arg(data(directory)).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]);
    output("initdb", initdb.args(["--no-sync", "--no-instructions"]).current_dir(directory))?;
    let conf = data(directory).join("postgresql.conf");
    let defaults = fs::read_to_string(&conf).map_err(Error::io("read postgresql.conf"))?;
    let ours = configuration(directory, addr, options);
    fs::write(&conf, defaults + &ours).map_err(Error::io("write postgresql.conf"))
}

fn configuration(directory: &Path, addr: SocketAddr, options: &PostgresOptions) -> String {
    let port = addr.port().to_string();
    let socket_folder = directory.display().to_string();
    let defaults = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", &socket_folder),
        ("fsync", "off"),
        ("shared_buffers", "64MB"),
        ("max_connections", "200"),
        ("logging_collector", "off"),
    ];
    let chosen = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let line = |(name, value): (&str, &str)| format!("{name} = '{}'\n", value.replace('\'', "''"));
    std::iter::once("\n".to_owned()).chain(defaults.into_iter().chain(chosen).map(line)).collect()
}

pub(crate) fn command(directory: &Path) -> Result<Command, Error> {
    let mut command = as_other_user(Command::new(binary::find("postgres", PACKAGE)?));
    command.arg("-D").arg(data(directory)).current_dir(directory);
    Ok(command)
}

pub(crate) fn other_user() -> Option<(u32, u32)> {
    geteuid().is_root().then(binary::unprivileged_user).flatten()
}

pub(crate) fn as_other_user(mut command: Command) -> Command {
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

fn children_of(parent: u32) -> Vec<rustix::process::Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)).collect()
}

pub(crate) fn psql(url: &str, sql: &str) -> Result<String, Error> {
    let client = binary::find(CLIENT, "postgresql-client")?;
    let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql];
    output(CLIENT, Command::new(client).env("PGCONNECT_TIMEOUT", "5").args(options))
}
