//! A thread that does what takes long, so that neither a runtime's worker nor the profiler's clock waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ProfileError;

type Job = Box<dyn FnOnce() + Send>;

/// Does one job after the other, and refuses those for which there is no room.
#[derive(Debug)]
pub(crate) struct Desk {
    pid: u32,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// Starts the thread; at most `waiting` jobs wait.
    pub(crate) fn start(name: &str, waiting: usize) -> Result<Self, ProfileError> {
        let (jobs, queue) = sync_channel::<Job>(waiting);
        let work = move || {
            for job in queue {
                // A job that panics drops what it would have answered with, which its caller sees; the next one is done.
                drop(catch_unwind(AssertUnwindSafe(job)));
            }
        };
        Ok(Self { pid: process::id(), jobs: Some(jobs), thread: Some(spawn(name, work)?) })
    }

    /// Puts a job behind those that wait.
    ///
    /// # Errors
    /// [`ProfileError::Busy`] when there is no room, [`ProfileError::Conflict`] in a forked child.
    pub(crate) fn put(&self, job: impl FnOnce() + Send + 'static) -> Result<(), ProfileError> {
        here(self.pid)?;
        let jobs = self.jobs.as_ref().ok_or(ProfileError::Ended)?;
        jobs.try_send(Box::new(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => ProfileError::Busy { retry_in: Duration::from_secs(1) },
            TrySendError::Disconnected(_) => ProfileError::Ended,
        })
    }
}

impl Drop for Desk {
    /// Waits for the job under way, and for those that wait; in a forked child there is no thread that does them.
    fn drop(&mut self) {
        if here(self.pid).is_err() {
            std::mem::forget((self.jobs.take(), self.thread.take()));
            return;
        }
        drop(self.jobs.take());
        join(self.thread.take());
    }
}

/// Whether the threads of process `pid` run in this one: a forked child has none of them.
///
/// # Errors
/// [`ProfileError::Conflict`] where they do not.
pub(crate) fn here(pid: u32) -> Result<(), ProfileError> {
    if pid == process::id() {
        return Ok(());
    }
    Err(ProfileError::Conflict {
        what: "this process was forked, and the profiler's threads stayed with its parent",
        hint: "ask the parent, or start a profiler in the child",
    })
}

/// What `work` gives; a panic of it as an error, so that the thread goes on and says so.
///
/// # Errors
/// [`ProfileError::Panicked`], or those of `work`.
pub(crate) fn guarded<T>(
    thread: &'static str,
    work: impl FnOnce() -> Result<T, ProfileError>,
) -> Result<T, ProfileError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(ProfileError::Panicked { thread, message: text.unwrap_or("no message").to_owned() })
    })
}

/// A thread of the profiler's.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ProfileError> {
    let failed = |source: io::Error| ProfileError::Engine { engine: "thread", source: Box::new(source) };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
}

/// Waits for a thread, unless this is it: the last owner of a profiler may be one of its own jobs.
pub(crate) fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_job_too_many_is_refused_and_a_panic_ends_only_its_own() {
        let desk = Desk::start("desk", 1).unwrap();
        let (begun, begins) = channel();
        let (go, gone) = channel::<()>();
        let first = move || {
            begun.send(()).unwrap();
            let _ = gone.recv();
            panic!("meant");
        };
        desk.put(first).unwrap();
        begins.recv().unwrap();
        let (done, dones) = channel();
        desk.put(move || done.send(7).unwrap()).unwrap();
        assert!(matches!(desk.put(|| {}), Err(ProfileError::Busy { .. })));
        go.send(()).unwrap();
        assert_eq!(dones.recv().unwrap(), 7);
    }
}
