use std::io;

/// Why a server, a database or the proxy could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is neither on the `PATH` nor in the folders Debian uses.
    #[error("`{program}` was not found; install Debian's `{package}` or put it on the PATH")]
    Missing {
        /// The program looked for.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// The server ended instead of starting to listen.
    #[error("{server} exited before it was ready ({status}):\n{log}")]
    Exited {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        log: String,
    },
    /// The server did not answer in time.
    #[error("{server} was not ready after {waited:?}:\n{log}")]
    NotReady {
        /// Which server.
        server: &'static str,
        /// How long it was given.
        waited: std::time::Duration,
        /// The end of what it printed.
        log: String,
    },
    /// Something answers at the port, but it is not the server that was started.
    #[error("another server answers at {addr}: expected {expected}, found {found}")]
    NotOurs {
        /// The address asked.
        addr: std::net::SocketAddr,
        /// What our server would have said.
        expected: String,
        /// What was said.
        found: String,
    },
    /// A client program reported failure.
    #[error("`{program}` failed: {message}")]
    Client {
        /// The client program.
        program: &'static str,
        /// What it printed.
        message: String,
    },
    /// This user may not make network namespaces.
    #[error("this user may not make network namespaces here: {message}")]
    NoNamespaces {
        /// What was said.
        message: String,
    },
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
