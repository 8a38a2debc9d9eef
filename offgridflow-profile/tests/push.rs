//! Incidents go to a server that takes what Pyroscope takes; here one that was written for the test.
#![cfg(feature = "push")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use offgridflow_profile::{Profile, Profiler, PyroscopeSink, Trigger, wait_site};

/// Answers every request with a status; the requests.
fn server(status: &'static str) -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (requests, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut part = [0; 4_096];
            while !request.ends_with(b"--\r\n") {
                match stream.read(&mut part).unwrap() {
                    0 => break,
                    read => request.extend_from_slice(&part[..read]),
                }
            }
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            if requests.send(request).is_err() {
                return;
            }
        }
    });
    (base, received)
}

fn profiler(base: &str) -> Profiler {
    Profiler::builder()
        .observe_every(Duration::from_millis(20))
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO))
        .sink(PyroscopeSink::new(base, "shop").unwrap())
        .start()
        .unwrap()
}

fn until_captured(profiler: &Profiler) {
    let began = Instant::now();
    while profiler.stats().captures == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn find(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).position(|window| window == part).unwrap()
}

#[test]
fn a_profile_arrives_as_pprof_in_a_form() {
    let (base, received) = server("200 OK");
    let profiler = profiler(&format!("{base}/tenant/"));
    let _waiting = wait_site!("pushed");
    let request = received.recv_timeout(Duration::from_secs(60)).unwrap();
    until_captured(&profiler);
    let head = String::from_utf8_lossy(&request[..find(&request, b"\r\n\r\n")]).into_owned();
    let line = head.lines().next().unwrap();
    assert!(
        line.starts_with("POST /tenant/ingest?name=shop%7Bwhat%3D%22waits%22%2Cincident%3D%22"),
        "{line}"
    );
    assert!(line.contains("&format=pprof&") && line.contains("&from=") && line.contains("&until="), "{line}");
    let body = &request[find(&request, b"\r\n\r\n") + 4..];
    let file = &body[find(body, b"\r\n\r\n") + 4..];
    let file = &file[..find(file, b"\r\n--offgridflow")];
    let profile = Profile::from_pprof(file).unwrap();
    assert!(profile.stacks.iter().any(|stack| stack.frames[0].function == "pushed"));
    assert_eq!(profiler.stats().not_kept, 0);
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_counted_and_nothing_else() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (refuses, _received) = server("503 Service Unavailable");
    let (nonsense, _received_too) = server("");
    let _waiting = wait_site!("refused");
    for base in [gone, refuses, nonsense] {
        let profiler = profiler(&base);
        until_captured(&profiler);
        assert_eq!(profiler.stats().not_kept, 1, "{base}");
        assert_eq!(profiler.incidents().len(), 1);
    }
}

#[test]
fn addresses_and_names_that_make_no_request_are_refused() {
    for base in
        ["https://host", "host:4040", "http://", "http://user@host", "http://ho st", "http://host\r\nX: y"]
    {
        assert!(PyroscopeSink::new(base, "shop").is_err(), "{base:?}");
    }
    for name in ["", "a{b}", "a b", "a\r\n"] {
        assert!(PyroscopeSink::new("http://host", name).is_err(), "{name:?}");
    }
}
