use std::io;
use std::path::Path;

/// Why the gate could not judge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Something it needs is not there or does not work: git, a revision, a build, a folder, a disk with space.
    #[error("{0}")]
    Setup(String),
    /// The report does not agree with the rounds in it.
    #[error("{0}")]
    Invalid(String),
    /// Somebody pressed Ctrl-C or asked the process to end.
    #[error("interrupted: nothing was judged; with --resume the same command goes on from here")]
    Interrupted,
}

impl GateError {
    /// Exit status of a command that ends with this: 2 usage, 3 invalid, 4 set-up, 130 interrupted.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Invalid(_) => 3,
            Self::Setup(_) => 4,
            Self::Interrupted => 130,
        }
    }

    pub(crate) fn write(path: &Path, error: &io::Error) -> Self {
        Self::Setup(format!("cannot write {}: {error}", path.display()))
    }

    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::Setup(format!("cannot read {}: {error}", path.display()))
    }
}
