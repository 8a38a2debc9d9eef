//! What the HTTP client allocates for a request, since the engine has none.
//!
//! A counting allocator sees the whole process, so this file holds one test, and its server allocates nothing.
#![cfg(feature = "http")]

mod counting;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use counting::allocations_so_far;
use offgridflow_loadtest::{Executor, HttpTarget, LoadTest};

/// How many the promise allows.
const MOST: f64 = 6.0;

fn serve(mut stream: TcpStream) {
    let mut request = [0; 4_096];
    while stream.read(&mut request).is_ok_and(|read| read > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").is_err() {
            return;
        }
    }
}

/// Allocations and requests of a run on one connection.
async fn run(url: &str, length: Duration) -> (u64, u64) {
    let target = HttpTarget::new(url).expect("url");
    let test = LoadTest::new(target).executor(Executor::closed(1, length)).calibrate(false);
    let before = allocations_so_far();
    let report = test.run().await.expect("runs");
    assert_eq!(report.total.failed, 0, "{report}");
    (allocations_so_far() - before, report.total.ok)
}

#[tokio::test]
async fn a_request_allocates_a_few_times() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream);
        }
    });
    run(&url, Duration::from_millis(200)).await;
    let (few, fewer) = run(&url, Duration::from_secs(1)).await;
    let (many, more) = run(&url, Duration::from_secs(3)).await;
    assert!(more > fewer + 1_000, "{fewer} requests, then {more}");
    let each = (many.saturating_sub(few)) as f64 / (more - fewer) as f64;
    println!("allocations a request: {each:.2}");
    assert!(each <= MOST, "{few} allocations for {fewer} requests, {many} for {more}: {each:.2} each");
}
