//! A gate's packets leave at once, also towards a proxy: the server then sees the proxy's port, and the writer's own socket is known
//! only by where it leads.
#![cfg(all(feature = "postgres", target_os = "linux"))]

use std::net::SocketAddr;

use offgridflow_query::sqlx::{Connection, PgConnection};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, PgGate};
use rustix::net::getpeername;
use rustix::net::sockopt::tcp_nodelay;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use testkit::{FaultProxy, Postgres};

/// Of the sockets of this process that are connected to `peer`, whether each has the option; `None` where the system lends none.
fn prompt(peer: SocketAddr) -> Option<Vec<bool>> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    pidfd_getfd(&this, 0, PidfdGetfdFlags::empty()).ok()?;
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let sockets = entries.filter_map(|entry| {
        let socket =
            pidfd_getfd(&this, entry.file_name().to_str()?.parse().ok()?, PidfdGetfdFlags::empty()).ok()?;
        (SocketAddr::try_from(getpeername(&socket).ok()??).ok()? == peer).then_some(socket)
    });
    Some(sockets.map(|socket| tcp_nodelay(&socket).unwrap()).collect())
}

#[tokio::test]
async fn a_gate_leaves_nothing_back_on_the_way_to_a_proxy() {
    let server = Postgres::start().unwrap();
    let proxy = FaultProxy::start(server.addr()).unwrap();
    let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());

    let bare = PgConnection::connect(&url).await.unwrap(); // the control: what sqlx 0.9.0 does by itself
    let Some(sockets) = prompt(proxy.addr()) else {
        eprintln!("skipped: this system does not lend descriptors (pidfd_getfd)");
        return;
    };
    assert_eq!(sockets, [false]);
    bare.close().await.unwrap();

    let gate = PgGate::from_url(&url, GateConfig::default()).unwrap();
    let held =
        [gate.acquire(Acquire::default()).await.unwrap(), gate.acquire(Acquire::default()).await.unwrap()];
    assert_eq!(prompt(proxy.addr()).unwrap(), [true, true]);
    drop(held);
}
