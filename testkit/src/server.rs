use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::reaper::Reaper;

/// How long a server may take to answer; generous, because the machine may be busy building.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What the servers differ in.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The signal that ends it at once, and its name for the reaper's shell.
    pub(crate) stop: (Signal, &'static str),
}

/// A child process with a directory of its own, guarded by a reaper.
#[derive(Debug)]
pub(crate) struct Server {
    kind: &'static Kind,
    directory: PathBuf,
    child: Child,
    reaper: Reaper,
}

impl Server {
    /// A fresh directory that only its owner can enter, and the reaper that removes it.
    pub(crate) fn prepare(kind: &Kind) -> Result<(PathBuf, Reaper), Error> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("offgridflow-{}-", kind.name))
            .tempdir()
            .map_err(Error::io("make a server's directory"))?
            .keep();
        let reaper = Reaper::start(&directory, kind.stop.1)?;
        Ok((directory, reaper))
    }

    /// Starts `command` in a process group of its own, its output going to `log` in `directory`.
    pub(crate) fn start(
        kind: &'static Kind,
        directory: PathBuf,
        mut reaper: Reaper,
        command: Command,
    ) -> Result<Self, Error> {
        let child = spawn(&directory, command)?;
        reaper.watch(child.id())?;
        Ok(Self { kind, directory, child, reaper })
    }

    /// Starts `command` in place of the process that was killed.
    pub(crate) fn start_again(&mut self, command: Command) -> Result<(), Error> {
        self.kill();
        self.child = spawn(&self.directory, command)?;
        self.reaper.watch(self.child.id())
    }

    /// Waits until `probe` answers; fails as soon as the child exits.
    pub(crate) fn wait_until<T>(
        &mut self,
        mut probe: impl FnMut() -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait().map_err(Error::io("wait for a server"))? {
                return Err(Error::Exited {
                    server: self.kind.name,
                    status: status.to_string(),
                    log: self.log(),
                });
            }
            if let Some(answer) = probe() {
                return answer;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(Error::NotReady { server: self.kind.name, waited: READY_WITHIN, log: self.log() })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `SIGKILL`, then waits; a server that has already ended is left as it is.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reaper.watch(0);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// `SIGSTOP`, then waits until the system calls the process stopped: the signal itself only asks.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let patience = Instant::now();
        while !is_stopped(self.pid()) && patience.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(self.kind.stop.0);
        let patience = Instant::now();
        while patience.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

/// The state is the first field after the command's closing parenthesis (`proc(5)`).
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
}

fn spawn(directory: &Path, mut command: Command) -> Result<Child, Error> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .map_err(Error::io("open a server's log"))?;
    let errors = log.try_clone().map_err(Error::io("open a server's log"))?;
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(Error::io("start a server"))
}

/// Runs a client program to its end; its standard output, or its complaint as an error.
pub(crate) fn output(program: &'static str, command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::io("run a client program"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Client { program, message })
}
