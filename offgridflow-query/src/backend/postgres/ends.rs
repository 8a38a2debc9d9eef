//! The two ends of a connection as the server sees them.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::net::{IpAddr, SocketAddr};

/// Asks for both ends as one text; NULL over a Unix socket.
pub(super) const ENDS: &str = "host(inet_client_addr()) || ' ' || inet_client_port() || ' ' || \
     host(inet_server_addr()) || ' ' || inet_server_port()";

/// Whoever holds a connection has a socket between exactly these two. A pooler's own is between others, even where somebody's socket has the
/// same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

impl Ends {
    /// From the answer to [`ENDS`], in a column of that name; `None` where there are none.
    pub(super) fn of(answer: &PgRow) -> Option<Self> {
        Self::read(&answer.try_get::<Option<String>, _>("ends").ok()??)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut end = || {
            let address: IpAddr = words.next()?.parse().ok()?;
            Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
        };
        Some(Self { client: end()?, server: end()? })
    }

    /// Whether a socket from `local` to `peer` is this connection's.
    pub(super) fn are(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        canonical(local) == self.client && canonical(peer) == self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_told_apart() {
        let ends = Ends::read("127.0.0.1 40000 127.0.0.1 5432").unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(ends.are(at("127.0.0.1:40000"), at("127.0.0.1:5432")));
        assert!(ends.are(at("[::ffff:127.0.0.1]:40000"), at("[::ffff:127.0.0.1]:5432")));
        assert!(!ends.are(at("127.0.0.1:40000"), at("127.0.0.1:6432")), "a pooler's port");
        assert!(!ends.are(at("127.0.0.2:40000"), at("127.0.0.1:5432")), "another address of this host");
        assert_eq!(Ends::read("::1 1 ::1 2").unwrap().server, at("[::1]:2"));
        assert_eq!(Ends::read("nonsense"), None);
    }
}
