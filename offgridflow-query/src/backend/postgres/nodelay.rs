//! TCP_NODELAY on a socket that sqlx keeps to itself.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (transact-rs/sqlx#4335), and COPY flushes twice before it waits: the second
//! packet then stays back until the server's delayed acknowledgement of the first, 40 ms later. Linux lends a duplicate of
//! a descriptor (`pidfd_getfd`), through which the option reaches the socket itself. Remove this when sqlx sets the option.
//!
//! Only sockets are duplicated: to close a duplicate of a file drops all locks that this process holds on it (POSIX, `fcntl(2)`),
//! SQLite's among them. What was taken for a socket and turns out to be something else is therefore never closed.
//!
//! A socket is known by the address that a gate connects to, which may be a proxy's, or by the two ends that the server sees.

use super::ends::Ends;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the sockets that gates opened leave nothing back.
static GATES: AtomicBool = AtomicBool::new(false);

/// As [`ensure`]; false where no socket of this process has these ends: somebody stands between.
pub(super) fn ensure_own(ends: &Ends) -> bool {
    system::ensure(ends)
}

/// Whether packets leave at once on the connected TCP socket of this process that has these ends; where there is none
/// (the server sees those of a proxy), on those that gates opened. False if the system refuses.
pub(super) fn ensure(ends: &Ends) -> bool {
    system::ensure(ends) || GATES.load(Relaxed)
}

/// A gate has opened a connection to `host`: has packets leave at once on every socket of this process to that address
/// and `port`. Of a host that is a name only the port is compared.
pub(super) fn opened(host: &str, port: u16) {
    GATES.store(system::towards(host.trim_matches(['[', ']']).parse().ok(), port), Relaxed);
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Ends;
    use std::net::IpAddr;

    pub(super) fn ensure(_ends: &Ends) -> bool {
        false
    }

    pub(super) fn towards(_host: Option<IpAddr>, _port: u16) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::Ends;
    use rustix::fs::{FileType, fstat};
    use rustix::net::sockopt::set_tcp_nodelay;
    use rustix::net::{getpeername, getsockname};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use std::collections::BTreeMap;
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::{OwnedFd, RawFd};
    use std::sync::{Mutex, PoisonError};

    /// Where the socket of a connection was last seen, by its client's port; no descriptor where there was none. At most one entry a port.
    static SEEN: Mutex<BTreeMap<u16, (Ends, Option<RawFd>)>> = Mutex::new(BTreeMap::new());

    pub(super) fn ensure(ends: &Ends) -> bool {
        let port = ends.client.port();
        let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(this) = pidfd_open(getpid(), PidfdFlags::empty()) else { return false };
        let is_it = |descriptor| {
            socket(&this, descriptor).is_some_and(|(socket, local, peer)| {
                ends.are(local, peer) && set_tcp_nodelay(&socket, true).is_ok()
            })
        };
        let last = seen().get(&port).copied();
        match last.filter(|(of, _)| of == ends).map(|(_, descriptor)| descriptor) {
            Some(Some(descriptor)) if is_it(descriptor) => return true,
            Some(None) => return false, // a proxy's: not looked for at every write
            _ => {}
        }
        let found = descriptors().find(|&descriptor| is_it(descriptor));
        seen().insert(port, (*ends, found));
        found.is_some()
    }

    /// Whether there is such a socket, and the option is set on all.
    pub(super) fn towards(host: Option<IpAddr>, port: u16) -> bool {
        let Ok(this) = pidfd_open(getpid(), PidfdFlags::empty()) else { return false };
        let is_there = |peer: SocketAddr| {
            peer.port() == port && host.is_none_or(|host| peer.ip().to_canonical() == host)
        };
        let sockets = descriptors().filter_map(|descriptor| socket(&this, descriptor));
        let mut set =
            sockets.filter(|(_, _, peer)| is_there(*peer)).map(|(s, _, _)| set_tcp_nodelay(&s, true).is_ok());
        set.next().is_some_and(|first| set.fold(first, |all, one| all && one))
    }

    /// Descriptors that were sockets when they were looked at.
    fn descriptors() -> impl Iterator<Item = RawFd> {
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let sockets = entries.filter(|entry| {
            let what = std::fs::read_link(entry.path());
            what.is_ok_and(|what| what.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        });
        sockets.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    fn is_socket(descriptor: &OwnedFd) -> bool {
        fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket())
    }

    /// A duplicate of a descriptor that is a connected socket, with the addresses of its ends.
    fn socket(this: &OwnedFd, descriptor: RawFd) -> Option<(OwnedFd, SocketAddr, SocketAddr)> {
        let socket = pidfd_getfd(this, descriptor, PidfdGetfdFlags::empty()).ok()?;
        if !is_socket(&socket) {
            std::mem::forget(socket); // closed and opened as a file since it was looked at: to close it would drop the file's locks
            return None;
        }
        let local = getsockname(&socket).ok()?.try_into().ok()?;
        let peer = getpeername(&socket).ok()??.try_into().ok()?;
        Some((socket, local, peer))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::net::{TcpListener, TcpStream};

        #[test]
        fn the_socket_of_a_port_gets_the_option() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let ends = Ends { client: stream.local_addr().unwrap(), server: listener.local_addr().unwrap() };
            if pidfd_open(getpid(), PidfdFlags::empty())
                .and_then(|this| pidfd_getfd(this, 0, PidfdGetfdFlags::empty()))
                .is_err()
            {
                eprintln!("skipped: this system does not lend descriptors (pidfd_getfd)");
                return;
            }
            assert!(!stream.nodelay().unwrap());
            assert!(ensure(&ends) && ensure(&ends));
            assert!(stream.nodelay().unwrap());
            let other = Ends { server: ends.client, client: ends.server };
            assert!(!ensure(&other), "a listener is not a connection");
            let pooler = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            assert!(!ensure(&Ends { server: pooler, ..ends }), "the same port to somebody else");
        }

        #[test]
        fn all_sockets_to_an_address_get_the_option_and_no_others() {
            let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let [there, elsewhere] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
            let streams = [there, there, elsewhere].map(|address| TcpStream::connect(address).unwrap());
            if !towards(Some(there.ip()), there.port()) {
                eprintln!("skipped: this system does not lend descriptors (pidfd_getfd)");
                return;
            }
            assert_eq!(streams.each_ref().map(|stream| stream.nodelay().unwrap()), [true, true, false]);
            assert!(!towards(Some([192, 0, 2, 1].into()), elsewhere.port()), "nobody is connected there");
            assert!(towards(None, elsewhere.port()), "a name stands for any address");
        }
    }
}
