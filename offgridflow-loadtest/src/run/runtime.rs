//! A thread and a runtime of their own, for what must not wait for the caller's.

use std::{io, thread};

use tokio::runtime::LocalOptions;

/// Runs what `future` makes on a thread and a runtime of its own, in real time; returns once the runtime stands.
pub(crate) fn on_a_thread<F: Future<Output = ()>>(
    name: &str,
    future: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let (stands, standing) = std::sync::mpsc::sync_channel(1);
    let body = move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = stands.send(Ok(()));
                runtime.block_on(future());
            }
            Err(error) => drop(stands.send(Err(error))),
        }
    };
    thread::Builder::new().name(name.into()).spawn(body)?;
    standing.recv().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
}
