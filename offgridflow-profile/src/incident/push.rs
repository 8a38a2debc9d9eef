use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Incident, IncidentSink};
use crate::deadline::Deadline;
use crate::{Profile, ProfileError};

/// Sends the profiles of each incident to a server that takes what Pyroscope takes: `POST /ingest`, pprof in a form.
///
/// Over plain HTTP: for TLS, send to an agent beside (Grafana Alloy takes the same). Each profile is one connection, which has ten seconds for each
/// step and thirty in all; the profiler goes on meanwhile. Labels say which incident it was.
///
/// ```no_run
/// use offgridflow_profile::{Profiler, PyroscopeSink, Trigger};
///
/// let profiler = Profiler::builder()
///     .trigger(Trigger::leak())
///     .sink(PyroscopeSink::new("http://127.0.0.1:4040", "shop")?)
///     .start()?;
/// # Ok::<(), offgridflow_profile::ProfileError>(())
/// ```
#[derive(Debug)]
pub struct PyroscopeSink {
    host: String,
    prefix: String,
    application: String,
    patience: Duration,
}

/// A connection has so many times the patience of a step.
const STEPS: u32 = 3;
/// Longest line of an answer that is read.
const LINE: u64 = 8 << 10;
const BOUNDARY: &str = "offgridflow-8f14e45fceea167a";

impl PyroscopeSink {
    /// To the server at `base`, `http://HOST:PORT` with or without a path, under the name of an application: letters, digits, `.`, `-` and `_`.
    ///
    /// # Errors
    /// [`ProfileError::Setting`] for another base or name. Whether the server is there shows at the first incident.
    pub fn new(base: &str, application: &str) -> Result<Self, ProfileError> {
        let refuse =
            |setting, value: &str, hint| ProfileError::Setting { setting, value: value.to_owned(), hint };
        let rest =
            base.strip_prefix("http://").filter(|rest| !rest.contains(['@', '?', '#', ' ', '\r', '\n']));
        let rest = rest.ok_or_else(|| refuse("base", base, "is http://HOST:PORT, with or without a path"))?;
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(refuse("base", base, "has no host"));
        }
        let plain = |one: char| one.is_ascii_alphanumeric() || ".-_".contains(one);
        if application.is_empty() || !application.chars().all(plain) {
            return Err(refuse("application", application, "has letters, digits, `.`, `-` and `_` only"));
        }
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let patience = Duration::from_secs(10);
        Ok(Self { host, prefix, application: application.to_owned(), patience })
    }

    fn path(&self, what: &str, incident: &Incident, profile: &Profile) -> String {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (from, until) = (
            seconds(profile.began),
            seconds(profile.began.checked_add(profile.duration).unwrap_or(profile.began)),
        );
        let name = format!("{}{{what=\"{what}\",incident=\"{}\"}}", self.application, incident.id);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("name", &name)
            .append_pair("from", &from.to_string())
            .append_pair("until", &until.max(from + 1).to_string())
            .append_pair("format", "pprof")
            .append_pair("spyName", "offgridflow-profile")
            .finish();
        format!("{}/ingest?{query}", self.prefix)
    }

    /// One request on a connection of its own; the status that came back.
    fn post(&self, path: &str, body: &[u8]) -> io::Result<u16> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.host.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.patience) {
                Ok(stream) => return self.exchange(stream, path, body),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, stream: TcpStream, path: &str, body: &[u8]) -> io::Result<u16> {
        let all = Deadline::after(self.patience.saturating_mul(STEPS));
        let mut stream = Bounded { stream, step: self.patience, all };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: offgridflow-profile\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut line = String::new();
        BufReader::new(stream.take(LINE)).read_line(&mut line)?;
        let status =
            line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
    }
}

impl IncidentSink for PyroscopeSink {
    fn put(&self, incident: &Incident) -> Result<(), ProfileError> {
        for evidence in &incident.evidence {
            let Some(profile) = &evidence.after else { continue };
            let path = self.path(&evidence.what, incident, profile);
            let failed =
                |source| ProfileError::Write { path: format!("http://{}{}", self.host, self.prefix), source };
            let status = self.post(&path, &form(&profile.to_pprof())).map_err(failed)?;
            if !(200..300).contains(&status) {
                return Err(failed(io::Error::other(format!("the server answered {status}"))));
            }
        }
        Ok(())
    }
}

/// A connection with a time for each step, and one for all of them: a peer that is slow has both, one that never ends has not.
struct Bounded {
    stream: TcpStream,
    step: Duration,
    all: Deadline,
}

impl Bounded {
    /// What a step may take now.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.step.min(self.all.left());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(bytes)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A form with the profile as its one file.
fn form(profile: &[u8]) -> Vec<u8> {
    let mut form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"profile\"; filename=\"profile.pb.gz\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(profile);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::incident::example::incident;

    /// A server that answers a letter at a time holds the sink for a while, not for as long as it likes.
    #[test]
    fn an_answer_that_never_comes_to_its_end_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            (0..2 * LINE)
                .take_while(|_| {
                    std::thread::sleep(Duration::from_millis(5));
                    stream.write_all(b"H").is_ok()
                })
                .count() as u64
        });
        let patience = Duration::from_millis(500);
        let sink = PyroscopeSink { patience, ..PyroscopeSink::new(&base, "shop").unwrap() };
        let refused = sink.put(&incident()).unwrap_err();
        assert!(matches!(refused, ProfileError::Write { .. }), "{refused}");
        let letters = server.join().unwrap();
        assert!(letters < LINE, "the whole line was waited for: {letters}");
    }
}
