//! Processes that are started, frozen and ended, and never left behind.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// A process that ends with its owner.
pub(crate) struct Process {
    child: Child,
    output: Option<thread::JoinHandle<String>>,
}

/// What a process left.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

impl Process {
    /// Starts a command, whose standard output is read along.
    pub(crate) fn start(mut command: Command) -> Result<Self, Failure> {
        let name = format!("{:?}", command.get_program());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let output = child.stdout.take().map(|mut out| {
            thread::spawn(move || {
                let mut text = String::new();
                let _ = out.read_to_string(&mut text);
                text
            })
        });
        Ok(Self { child, output })
    }

    /// Starts a command that says something in its first line, and gives that line.
    pub(crate) fn greeting(mut command: Command) -> Result<(Self, String), Failure> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        Ok((Self { child, output: None }, line.trim().to_owned()))
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Stops the process for about `length`, and says how long it was.
    pub(crate) fn freeze(&self, length: Duration) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.signal(Signal::STOP)?;
        thread::sleep(length);
        let frozen = begun.elapsed();
        self.signal(Signal::CONT)?;
        Ok(frozen)
    }

    pub(crate) fn kill(&self) -> Result<(), Failure> {
        self.signal(Signal::KILL)
    }

    /// Waits for its end, at most until `limit`.
    pub(crate) fn end(mut self, limit: Duration) -> Result<Ended, Failure> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begun.elapsed() > limit {
                return Err(format!("no end within {limit:?}").into());
            }
            thread::sleep(Duration::from_millis(5));
        };
        let output = self.output.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ok(Ended { code: status.code(), output })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::CONT);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control group with a CPU quota, of either version; gone with its owner.
pub(crate) struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// `None` where control groups cannot be made.
    pub(crate) fn of(cores: f64) -> Option<Self> {
        let name = format!("loadtest-truth-{}", std::process::id());
        let version1 = Path::new("/sys/fs/cgroup/cpu");
        let root = if version1.join("cpu.cfs_quota_us").exists() || version1.join("tasks").exists() {
            version1
        } else {
            Path::new("/sys/fs/cgroup")
        };
        let quota = Self { folder: root.join(name) };
        std::fs::create_dir(&quota.folder).ok()?;
        let micros = cores * 100_000.0;
        let written = std::fs::write(quota.folder.join("cpu.cfs_quota_us"), format!("{micros:.0}"))
            .or_else(|_| std::fs::write(quota.folder.join("cpu.max"), format!("{micros:.0} 100000")));
        written.ok()?;
        Some(quota)
    }

    /// The same command, run inside.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("sh");
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.folder.display());
        wrapped.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        wrapped
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The kernel forgets ended processes a moment later.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs a command on one core.
pub(crate) fn pinned(core: usize, command: &Command) -> Command {
    let mut wrapped = Command::new("taskset");
    wrapped.args(["-c", &core.to_string()]).arg(command.get_program()).args(command.get_args());
    wrapped
}

/// A loop that does nothing else than use a core.
pub(crate) fn busy() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    command
}
