//! Hosts that reach each other, until they do not. Where network namespaces are not allowed, nothing is tried, and that is said.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use testkit::{Error, FaultProxy, Host, Lan};

const PATIENCE: Duration = Duration::from_millis(300);

fn lan(names: &[&str]) -> Option<Lan> {
    match Lan::start(names) {
        Ok(lan) => Some(lan),
        Err(error @ (Error::NoNamespaces { .. } | Error::Missing { .. })) => {
            eprintln!("SKIP {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A server on a host that answers each byte with the next one.
fn serve(host: &Host) -> SocketAddr {
    let listener = host.run(|| TcpListener::bind((host.addr(), 0)).unwrap());
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&[byte[0] + 1]).is_ok() {}
        }
    });
    addr
}

fn ask(from: &Host, addr: SocketAddr) -> Option<u8> {
    from.run(|| {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[41]).ok()?;
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        Some(byte[0])
    })
}

#[test]
fn hosts_reach_each_other_until_a_cable_is_pulled() {
    let Some(lan) = lan(&["one", "other"]) else { return };
    let (one, other) = (lan.host("one"), lan.host("other"));
    assert_ne!(one.addr(), other.addr());
    let addr = serve(other);
    assert_eq!(ask(one, addr), Some(42));
    assert_eq!(ask(lan.hub(), addr), Some(42));
    lan.unplug("one").unwrap();
    assert_eq!((ask(one, addr), ask(lan.hub(), addr)), (None, Some(42)));
    lan.plug("one").unwrap();
    let again = (0..20).find_map(|_| ask(one, addr));
    assert_eq!(
        again,
        Some(42),
        "within some seconds: who asked in vain waits before it looks for the address again"
    );
}

#[test]
fn what_is_lost_one_way_arrives_the_other() {
    let Some(lan) = lan(&["one", "other"]) else { return };
    let (one, other) = (lan.host("one"), lan.host("other"));
    let addr = serve(other);
    let mut stream = one.run(|| TcpStream::connect(addr).unwrap());
    lan.lose("other", "one").unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[41]).unwrap();
    let mut byte = [0];
    assert!(stream.read_exact(&mut byte).is_err(), "the answer is lost");
    lan.find("other", "one").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [42], "and comes when it is sent again");
}

/// What is on a host is not on another: the control of everything that calls them apart.
#[test]
fn loopback_is_a_hosts_own() {
    let Some(lan) = lan(&["one", "other"]) else { return };
    let listener = lan.host("one").run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let addr = listener.local_addr().unwrap();
    assert!(lan.host("one").run(|| TcpStream::connect_timeout(&addr, PATIENCE)).is_ok());
    assert!(lan.host("other").run(|| TcpStream::connect_timeout(&addr, PATIENCE)).is_err());
    assert!(TcpStream::connect_timeout(&addr, PATIENCE).is_err());
}

#[test]
fn a_proxy_stands_before_what_listens_on_its_host_alone() {
    let Some(lan) = lan(&["one", "other"]) else { return };
    let other = lan.host("other");
    let listener = other.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let hidden = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&[byte[0] + 1]).unwrap();
    });
    let proxy = other.run(|| FaultProxy::start_at(other.addr(), hidden).unwrap());
    assert_eq!(ask(lan.host("one"), proxy.addr()), Some(42));
}

#[test]
fn a_worse_network_says_what_it_does() {
    let Some(lan) = lan(&["one", "other"]) else { return };
    let addr = serve(lan.host("other"));
    let weather = lan.worsen(Duration::from_millis(20), 60).unwrap();
    let answered = (0..10).filter(|_| ask(lan.host("one"), addr).is_some()).count();
    assert_eq!(answered < 10, weather.loses, "{answered} of 10 under {weather:?}");
    assert_eq!(lan.host("other").name(), "other");
}
