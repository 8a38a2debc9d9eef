use std::io;
use std::time::Duration;

/// Why a profile or a reading could not be had; each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// This system or build cannot do it.
    #[error("{what} is not supported here: {hint}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What would make it work.
        hint: &'static str,
    },
    /// Another capture is under way: there is one CPU profiler a process, and a bound on everything else.
    #[error("another capture is under way; try again in {retry_in:?}")]
    Busy {
        /// When the one under way should be done.
        retry_in: Duration,
    },
    /// Something else has what is needed.
    #[error("{what}: {hint}")]
    Conflict {
        /// What is in the way.
        what: &'static str,
        /// What would clear it.
        hint: &'static str,
    },
    /// A setting that makes no sense.
    #[error("{setting} = {value}: {hint}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What it was set to.
        value: String,
        /// What would make sense.
        hint: &'static str,
    },
    /// What was asked for is empty.
    #[error("there is nothing {what}; {hint}")]
    Nothing {
        /// What for.
        what: &'static str,
        /// When there would be something.
        hint: &'static str,
    },
    /// Nothing is being profiled that could be drained.
    #[error("no CPU profile is being taken: call `start` first")]
    NotStarted,
    /// What was under way ended early: nobody waits for it, or the profiler stops.
    #[error("the capture was ended early")]
    Ended,
    /// Code that was called from a thread of this crate's panicked; the thread goes on.
    #[error("the thread {thread} panicked: {message}; it goes on, what it was at is left out")]
    Panicked {
        /// Which thread.
        thread: &'static str,
        /// What the panic said.
        message: String,
    },
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the system's could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the system's does not say what was expected.
    #[error("{path} does not name `{field}`")]
    Field {
        /// Which file.
        path: String,
        /// What was looked for.
        field: &'static str,
    },
    /// What was read is not a profile.
    #[error("not a profile: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The engine failed.
    #[error("the {engine} engine failed")]
    Engine {
        /// Which one.
        engine: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ProfileError {
    /// A setting that makes no sense, with what would.
    #[cfg(any(feature = "memory", feature = "ring"))]
    pub(crate) fn setting(setting: &'static str, value: impl ToString, hint: &'static str) -> Self {
        Self::Setting { setting, value: value.to_string(), hint }
    }
}
