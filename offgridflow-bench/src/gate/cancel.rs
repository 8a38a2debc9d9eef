use std::io;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::GateError;

/// Says that the run should end, from a signal handler or another thread.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end soon, with [`GateError::Interrupted`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The flag itself, for a signal handler to set.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn check(&self) -> Result<(), GateError> {
        if self.is_cancelled() { Err(GateError::Interrupted) } else { Ok(()) }
    }

    /// Sleeps, but not longer than until somebody asks.
    pub(crate) fn sleep(&self, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() && !self.is_cancelled() {
            let step = left.min(Duration::from_millis(50));
            std::thread::sleep(step);
            left -= step;
        }
    }

    /// Runs a program to its end, or kills it and all it started when somebody asks.
    pub(crate) fn output(&self, mut command: Command) -> io::Result<Output> {
        own_group(&mut command);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = stdout {
                io::Read::read_to_end(&mut pipe, &mut bytes)?;
            }
            Ok::<_, io::Error>(bytes)
        });
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.is_cancelled() {
                kill(&mut child);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let stdout = reader.join().map_err(|_| io::Error::other("the reader ended early"))??;
        Ok(Output { status, stdout, stderr: Vec::new() })
    }
}

/// Gives the program a process group of its own: a Ctrl-C at the terminal reaches only us, and its children can be ended with it.
pub(crate) fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Ends a program started with [`own_group`] and what it started, and takes its status.
pub(crate) fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL); // gone already: fine
    }
    let _ = child.kill();
    let _ = child.wait();
}
