//! Where a name leads.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};

use crate::outcome::{FailKind, TargetError};

/// How long an address may take to show that somebody listens there, where a name has several.
const PATIENCE: Duration = Duration::from_secs(1);

/// The addresses of a name, looked up once and used in turn.
#[derive(Debug)]
pub(super) struct Addresses {
    authority: String,             // host:port
    found: Mutex<Vec<SocketAddr>>, // held only to copy one out
    turn: AtomicUsize,
}

impl Addresses {
    pub(super) fn of(authority: String) -> Self {
        Self { authority, found: Mutex::new(Vec::new()), turn: AtomicUsize::new(0) }
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The one whose turn it is; the first time, once they are known.
    pub(super) async fn next(&self) -> Result<SocketAddr, TargetError> {
        match self.known() {
            Some(address) => Ok(address),
            None => self.resolve().await,
        }
    }

    /// Looks the name up and answers its first address.
    pub(super) async fn resolve(&self) -> Result<SocketAddr, TargetError> {
        let failed =
            |why: String| TargetError::unanswered(FailKind::Connect, format!("{}: {why}", self.authority));
        let found =
            tokio::net::lookup_host(&self.authority).await.map_err(|error| failed(error.to_string()))?;
        let found = reachable(found.collect()).await;
        let first = found.first().copied().ok_or_else(|| failed("the name has no address".into()))?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(first)
    }

    fn known(&self) -> Option<SocketAddr> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Relaxed).checked_rem(found.len())?;
        found.get(turn).copied()
    }
}

/// Those of several addresses that take a connection now: `localhost` is two addresses on most machines, and most servers
/// listen on one. All of them if none does, for the connection to say why. What stops listening later on stays, and fails.
async fn reachable(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.len() < 2 {
        return found;
    }
    let tries: Vec<_> = found
        .iter()
        .map(|&address| tokio::spawn(async move { timeout(PATIENCE, TcpStream::connect(address)).await }))
        .collect();
    let mut taking = Vec::new();
    for (address, tried) in found.iter().zip(tries) {
        if matches!(tried.await, Ok(Ok(Ok(_)))) {
            taking.push(*address);
        }
    }
    if taking.is_empty() { found } else { taking }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn of_several_addresses_those_are_used_on_which_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let open = listener.local_addr().expect("address");
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
        assert_eq!(reachable(vec![closed, open]).await, [open]);
        assert_eq!(reachable(vec![open, closed, open]).await, [open, open]);
        assert_eq!(reachable(vec![closed]).await, [closed], "the only one is not tried beforehand");
        assert_eq!(reachable(vec![closed, closed]).await, [closed, closed], "the connection says why");
    }
}
