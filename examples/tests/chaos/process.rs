//! A role in a process of its own, at an address that stays its own over restarts.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::Host;

/// How long a role may take to start, and to end after SIGTERM.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(40);

/// A running role; killed with the handle.
pub struct Process {
    child: Child,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: std::path::PathBuf,
    host: Option<Host>,
    pub base: String,
}

impl Process {
    pub fn start(role: &str, name: &str, folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_on(None, role, name, folder, environment)
    }

    /// On a host of a network within this machine.
    pub fn start_on(
        host: Option<&Host>,
        role: &str,
        name: &str,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let address = host.map_or(Ipv4Addr::LOCALHOST, Host::addr);
        let arguments = vec![role.to_owned(), "--listen".to_owned(), format!("{address}:0")];
        let log = folder.join(format!("{name}.log"));
        let (child, base) = spawn(host, &arguments, &environment, &log).expect("a role starts");
        Self { child, arguments, environment, log, host: host.cloned(), base }
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.kill();
        self.arguments[2] = self.base.strip_prefix("http://").unwrap().to_owned();
        let began = Instant::now();
        loop {
            match spawn(self.host.as_ref(), &self.arguments, &self.environment, &self.log) {
                Ok((child, base)) => {
                    assert_eq!(base, self.base);
                    self.child = child;
                    return;
                }
                Err(error) => assert!(began.elapsed() < START, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < END, "a role did not end after SIGTERM");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn spawn(
    host: Option<&Host>,
    arguments: &[String],
    environment: &[(String, String)],
    log: &Path,
) -> Result<(Child, String), String> {
    let log = File::options().create(true).append(true).open(log).map_err(|error| error.to_string())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow"));
    command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("OFFGRIDFLOW_LOG", "warn")
        .stdout(Stdio::piped())
        .stderr(log);
    let mut spawn = || command.spawn().map_err(|error| error.to_string());
    let mut child = match host {
        Some(host) => host.run(spawn)?,
        None => spawn()?,
    };
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).map_err(|error| error.to_string())?;
    match line.trim().strip_prefix("listening on ") {
        Some(base) => Ok((child, base.to_owned())),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err("it did not say where it listens".to_owned())
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
