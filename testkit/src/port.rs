use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::Error;

/// How often a server is started again because its port was taken between the pick and the bind.
const ATTEMPTS: usize = 5;

/// Starts a server at a port the system picks; again at another while it ends at once or somebody else answers.
pub(crate) fn at_a_free_one<T>(start: impl Fn(SocketAddr) -> Result<T, Error>) -> Result<T, Error> {
    let mut attempts = 1;
    loop {
        match start(pick()?) {
            Err(Error::Exited { .. } | Error::NotOurs { .. }) if attempts < ATTEMPTS => attempts += 1,
            decided => return decided,
        }
    }
}

/// A loopback address whose port the system says is free now. Another process may still take it before the server
/// does, so whoever uses it checks that the server that answers is the one it started.
pub(crate) fn pick() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("pick a free port"))?;
    listener.local_addr().map_err(Error::io("pick a free port"))
}
