//! What the fault proxy does to a connection, seen from both ends.
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Direction, FaultProxy};

/// A server that sends back what it gets, and the proxy in front of it.
fn echo() -> FaultProxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..read]).ok();
                }
            });
        }
    });
    FaultProxy::start(addr).unwrap()
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).map(|()| answer)
}

#[test]
fn it_counts_round_trips_and_bytes() {
    let proxy = echo();
    let mut client = connect(&proxy);
    for _ in 0..10 {
        assert_eq!(ask(&mut client, b"hello").unwrap(), b"hello");
    }
    let counters = proxy.counters();
    assert_eq!((counters.connections, counters.round_trips, counters.client_flushes), (1, 10, 10));
    assert_eq!((counters.client_bytes, counters.server_bytes), (50, 50));
}

#[test]
fn a_delay_is_paid_both_ways() {
    let proxy = echo();
    proxy.delay(Duration::from_millis(20));
    let mut client = connect(&proxy);
    let asked = Instant::now();
    ask(&mut client, b"slow").unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(40));
}

#[test]
fn what_is_frozen_goes_on_when_thawed() {
    let proxy = echo();
    let mut client = connect(&proxy);
    ask(&mut client, b"warm").unwrap();
    proxy.freeze();
    client.write_all(b"cold").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut answer = [0; 4];
    let waited = client.read(&mut answer).unwrap_err();
    assert!(matches!(waited.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waited}");
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    proxy.thaw();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"cold");
}

#[test]
fn a_cut_ends_connections_and_refuses_new_ones_until_restored() {
    let proxy = echo();
    let mut client = connect(&proxy);
    ask(&mut client, b"alive").unwrap();
    proxy.cut();
    assert!(ask(&mut client, b"dead").is_err());
    assert!(ask(&mut connect(&proxy), b"refused").is_err());
    proxy.restore();
    assert_eq!(ask(&mut connect(&proxy), b"back").unwrap(), b"back");
}

#[test]
fn it_cuts_at_the_nth_flush_before_forwarding_it() {
    let proxy = echo();
    let mut client = connect(&proxy);
    proxy.cut_at_flush(3);
    ask(&mut client, b"one").unwrap();
    ask(&mut client, b"two").unwrap();
    assert!(ask(&mut client, b"three").is_err());
    assert_eq!(proxy.counters().server_bytes, 6);
    assert_eq!(ask(&mut connect(&proxy), b"once").unwrap(), b"once", "the cut happens once");
}

#[test]
fn it_cuts_in_the_middle_of_a_message() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).unwrap();
    proxy.cut_after_bytes(7);
    let mut client = connect(&proxy);
    client.write_all(b"0123456789").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut arrived = Vec::new();
    server.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, b"0123456");
}

#[test]
fn one_direction_can_be_swallowed() {
    let proxy = echo();
    let mut client = connect(&proxy);
    ask(&mut client, b"warm").unwrap();
    proxy.drop_direction(Direction::ToClient);
    client.write_all(b"lost").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.read(&mut [0; 4]).is_err());
    assert_eq!(proxy.counters().client_bytes, 8, "the server got it");
}

#[test]
fn a_failover_leads_new_connections_elsewhere() {
    let proxy = echo();
    let mut before = connect(&proxy);
    ask(&mut before, b"old").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.redirect(other.local_addr().unwrap());
    assert!(ask(&mut before, b"old").is_err(), "who was connected hears of it");
    let mut after = connect(&proxy);
    after.write_all(b"new").unwrap();
    let mut received = [0; 3];
    other.accept().unwrap().0.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"new");
}
