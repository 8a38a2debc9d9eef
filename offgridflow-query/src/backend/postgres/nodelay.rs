//! TCP_NODELAY on a socket that sqlx keeps to itself.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (transact-rs/sqlx#4335), and COPY flushes twice before it waits: the second
//! packet then stays back until the server's delayed acknowledgement of the first, 40 ms later. Linux lends a duplicate of
//! a descriptor (`pidfd_getfd`), through which the option reaches the socket itself. Remove this when sqlx sets the option.

/// Whether packets leave at once on the connected TCP socket of this process that has the local `port`. False if there
/// is none (the server sees the port of a proxy), or if the system refuses.
#[cfg(target_os = "linux")]
pub(super) fn ensure(port: u16) -> bool {
    linux::ensure(port)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ensure(_port: u16) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::net::sockopt::set_tcp_nodelay;
    use rustix::net::{getpeername, getsockname};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::os::fd::RawFd;
    use std::sync::{Mutex, PoisonError};

    /// Where the socket of a port was last seen. At most one entry a port.
    static SEEN: Mutex<BTreeMap<u16, RawFd>> = Mutex::new(BTreeMap::new());

    pub(super) fn ensure(port: u16) -> bool {
        let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen().get(&port).copied();
        if last.is_some_and(|descriptor| set(descriptor, port)) {
            return true;
        }
        let found = descriptors().find(|&descriptor| set(descriptor, port));
        match found {
            Some(descriptor) => seen().insert(port, descriptor),
            None => seen().remove(&port),
        };
        found.is_some()
    }

    fn descriptors() -> impl Iterator<Item = RawFd> {
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// Whether `descriptor` is the socket, and the option is set.
    fn set(descriptor: RawFd, port: u16) -> bool {
        let Ok(this) = pidfd_open(getpid(), PidfdFlags::empty()) else { return false };
        let Ok(socket) = pidfd_getfd(this, descriptor, PidfdGetfdFlags::empty()) else { return false };
        let local = getsockname(&socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
        local.is_some_and(|local| local.port() == port)
            && getpeername(&socket).is_ok()
            && set_tcp_nodelay(&socket, true).is_ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        #[test]
        fn the_socket_of_a_port_gets_the_option() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let port = stream.local_addr().unwrap().port();
            if pidfd_open(getpid(), PidfdFlags::empty())
                .and_then(|this| pidfd_getfd(this, 0, PidfdGetfdFlags::empty()))
                .is_err()
            {
                eprintln!("skipped: this system does not lend descriptors (pidfd_getfd)");
                return;
            }
            assert!(!stream.nodelay().unwrap());
            assert!(ensure(port) && ensure(port));
            assert!(stream.nodelay().unwrap());
            assert!(!ensure(listener.local_addr().unwrap().port()), "a listener is not a connection");
        }
    }
}
