use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Kind, Server, output};
use crate::{Error, binary, certificates, port};

const KIND: Kind = Kind { name: "Redis", stop: (Signal::TERM, "TERM") };
const SERVER: &str = "redis-server";
const CLIENT: &str = "redis-cli";

/// A Redis server of one's own on loopback, stopped on drop. It keeps no snapshot unless told to `SAVE`.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    addr: SocketAddr,
    tls: Option<SocketAddr>,
    extra: Vec<String>,
}

impl Redis {
    /// Starts a server and waits until it answers as the process that was started.
    ///
    /// # Errors
    /// When Redis is not installed, ends at once, or does not answer in time.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with further arguments of `redis-server`, such as `["--maxmemory", "10mb"]`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(extra: &[&str]) -> Result<Self, Error> {
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        port::at_a_free_one(|addr| Self::start_at(addr, extra.clone()))
    }

    /// As [`start_with`](Self::start_with), listening with TLS at [`tls_url`](Self::tls_url) too, as the server of
    /// [`certificates`](crate::certificates).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_encrypted(extra: &[&str]) -> Result<Self, Error> {
        port::at_a_free_one(|tls| {
            let port = tls.port().to_string();
            let [authority, server, key] = ["authority.pem", "server.pem", "server.key"]
                .map(|name| certificates::file(name).display().to_string());
            let mut arguments =
                vec!["--tls-port", &port, "--tls-auth-clients", "no", "--tls-ca-cert-file", &authority];
            arguments.extend(["--tls-cert-file", &server, "--tls-key-file", &key]);
            arguments.extend(extra);
            Ok(Self { tls: Some(tls), ..Self::start_with(&arguments)? })
        })
    }

    fn start_at(addr: SocketAddr, extra: Vec<String>) -> Result<Self, Error> {
        let (directory, reaper) = Server::prepare(&KIND)?;
        let command = command(addr, &directory, &extra)?;
        let server = Server::start(&KIND, directory, reaper, command)?;
        let mut redis = Self { server, addr, tls: None, extra };
        redis.wait_until_ours()?;
        Ok(redis)
    }

    fn wait_until_ours(&mut self) -> Result<(), Error> {
        let (addr, pid) = (self.addr, self.server.pid());
        self.server.wait_until(|| {
            let info = cli(addr, &["INFO", "server"]).ok()?;
            let found = info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().to_owned();
            let expected = pid.to_string();
            Some(if found == expected { Ok(()) } else { Err(Error::NotOurs { addr, expected, found }) })
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// `rediss://127.0.0.1:PORT`, of one that was [started encrypted](Self::start_encrypted).
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.tls.map(|addr| format!("rediss://{addr}"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Runs one command through `redis-cli` and gives what it printed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, Error> {
        cli(self.addr, arguments)
    }

    /// `SIGKILL`: everything not saved is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// `SIGSTOP`: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// `SIGCONT`: ends a [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Kills the server if it still runs, and starts it again at the same port from the same directory.
    ///
    /// # Errors
    /// As [`start`](Self::start); the port may have been taken meanwhile.
    pub fn restart(&mut self) -> Result<(), Error> {
        let directory = self.server.directory().to_owned();
        self.server.start_again(command(self.addr, &directory, &self.extra)?)?;
        self.wait_until_ours()
    }
}

fn command(addr: SocketAddr, directory: &Path, extra: &[String]) -> Result<Command, Error> {
    let mut command = Command::new(binary::find(SERVER, "redis-server")?);
    command
        .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--dir"])
        .arg(directory)
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""])
        .args(extra);
    Ok(command)
}

pub(crate) fn cli(addr: SocketAddr, arguments: &[&str]) -> Result<String, Error> {
    let port = addr.port().to_string();
    let client = binary::find(CLIENT, "redis-tools")?;
    output(CLIENT, Command::new(client).args(["-e", "-p", &port]).args(arguments))
}
