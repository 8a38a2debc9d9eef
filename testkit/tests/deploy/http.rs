//! HTTP/1.1 as far as kubectl speaks it: one thread a connection, kept open.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

pub struct Request {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

pub enum Answer {
    Json(u16, Value),
    Text(String),
    /// Events until this returns false, each as it comes.
    Events(Box<NextEvents>),
}

/// Sends what is new, and says whether there may be more.
type NextEvents = dyn FnMut(&mut dyn FnMut(&Value) -> io::Result<()>) -> io::Result<bool> + Send;

pub fn serve(listener: TcpListener, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(&stream, answer.as_ref()));
        }
    });
}

/// Until the other side hangs up.
fn converse(stream: &TcpStream, answer: &dyn Fn(&Request) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        write(stream, answer(&request)).ok()?;
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request { method, path: path.to_owned(), query, body })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write(mut stream: &TcpStream, answer: Answer) -> io::Result<()> {
    let whole = |status: u16, kind: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    match answer {
        Answer::Json(status, body) => {
            stream.write_all(whole(status, "application/json", &body.to_string()).as_bytes())
        }
        Answer::Text(text) => stream.write_all(whole(200, "text/plain", &text).as_bytes()),
        Answer::Events(mut next) => {
            let head =
                "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            let mut send = |event: &Value| {
                let line = format!("{event}\n");
                (&mut stream).write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
            };
            while next(&mut send)? {}
            stream.write_all(b"0\r\n\r\n")
        }
    }
}
