//! From a log to its arrivals.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Duration,
};

use super::{
    clf,
    csv::Columns,
    entry::{Entry, Interner},
    error::{RefusedLine, ReplayError},
    format::{Fields, LogFormat, Parsed},
    records::{Record, Records},
    trace::{Arrival, Replay, ReplaySummary},
    visits::UNKNOWN,
};
use crate::error::ConfigError;

/// Speeds are held in millionths.
pub(super) const SPEED_UNIT: u64 = 1_000_000;
const SPEEDS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;
const MAX_TEXT_BYTES: usize = 512 << 20;
const EXAMPLES: usize = 5;
const COLUMNS: usize = 20;

/// How a log is read; from [`Replay::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ReplayBuilder {
    format: LogFormat,
    speed: f64,
    max_refused: f64,
    max_entries: usize,
    max_line_bytes: usize,
    visits: Option<Duration>,
}

impl ReplayBuilder {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            speed: 1.0,
            max_refused: 0.01,
            max_entries: 50_000_000,
            max_line_bytes: 64 << 10,
            visits: None,
        }
    }

    /// How many times faster than it was: 2 takes half the time, 0.5 twice. Default 1; from 0.000001 to a
    /// million, rounded to millionths.
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// Replays visits, for users that think: what one client asked with no pause above `longest_pause` (30 minutes is usual) is one operation. Its first request is due when the log has it; each
    /// further one is asked as long after the answer of the one before as it came after it in the log, so that a slow answer holds its own user back and nobody else. At most
    /// [`MAX_STEPS_AN_OPERATION`](crate::MAX_STEPS_AN_OPERATION) requests are a visit, more begin another; who is not told is a visitor of one request.
    ///
    /// The speed divides pauses too. Clients are the first word of a server's log (those behind one address are one), or what
    /// [`Fields::client`] names.
    pub fn visits(mut self, longest_pause: Duration) -> Self {
        self.visits = Some(longest_pause);
        self
    }

    /// The share of lines that may be unusable, from 0 to 1, before the log is refused. Default 0.01.
    pub fn max_refused(mut self, share: f64) -> Self {
        self.max_refused = share;
        self
    }

    /// The most entries to hold; each takes 16 bytes, and up to twice as much while the log is read and sorted.
    /// Default 50 million.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// The longest line, or CSV record, in bytes; longer ones count as unusable. Default 64 KiB.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`read`](Self::read); also a file that cannot be opened.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Replay, ReplayError> {
        let path = path.as_ref();
        let opened = match path.is_dir() {
            true => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a log")),
            false => File::open(path),
        };
        let file = opened.map_err(|source| ReplayError::Open { path: path.to_owned(), source })?;
        self.read(BufReader::with_capacity(1 << 18, file))
    }

    /// Reads a log to its end.
    ///
    /// # Errors
    /// An impossible setting; a log that cannot be read, is empty, longer than the limits, or of another
    /// format: nothing or too little of it parses.
    pub fn read(self, log: impl BufRead) -> Result<Replay, ReplayError> {
        let speed = self.speed_micros()?;
        let mut reading = Reading::new(&self);
        let mut records = Records::new(log, self.max_line_bytes, matches!(self.format, LogFormat::Csv(_)));
        loop {
            let record = records.next();
            match record {
                Ok(Some(record)) => reading.take(&record)?,
                Ok(None) => break,
                Err(source) => return Err(ReplayError::Read { line: records.line(), source }),
            }
        }
        let entries = std::mem::take(&mut reading.entries).into_entries();
        reading.refuse_pathless(&entries);
        reading.check()?;
        Replay::new(reading.arrivals, entries, speed, reading.settings.visits, reading.summary)
    }

    fn speed_micros(&self) -> Result<u64, ConfigError> {
        if !(0.0..=1.0).contains(&self.max_refused) {
            return Err(ConfigError::new("max_refused", "must be a share from 0 to 1, for example 0.01"));
        }
        if !SPEEDS.contains(&self.speed) {
            let hint = format!("must be a number from 0.000001 to 1000000, not {}", self.speed);
            return Err(ConfigError::new("speed", hint));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10^12")]
        Ok(libm::round(self.speed * 1e6) as u64)
    }
}

/// Clients by number.
#[derive(Default)]
struct Clients {
    ids: HashMap<Box<str>, u32>,
    bytes: usize,
}

impl Clients {
    /// The number of a client; `None` if its text does not fit `max_bytes` any more.
    fn id(&mut self, client: &str, max_bytes: usize) -> Option<u32> {
        if let Some(&id) = self.ids.get(client) {
            return Some(id);
        }
        self.bytes += client.len();
        let id = u32::try_from(self.ids.len()).ok().filter(|_| self.bytes <= max_bytes)?;
        self.ids.insert(client.into(), id);
        Some(id)
    }
}

/// What was read so far.
struct Reading<'a> {
    settings: &'a ReplayBuilder,
    columns: Option<Columns>, // of CSV, once the first record is known
    arrivals: Vec<Arrival>,
    entries: Interner,
    clients: Clients,
    latest_ns: i64,
    pathless: Vec<u64>, // the first lines without a path
    summary: ReplaySummary,
}

impl<'a> Reading<'a> {
    fn new(settings: &'a ReplayBuilder) -> Self {
        Self {
            settings,
            columns: None,
            arrivals: Vec::new(),
            entries: Interner::default(),
            clients: Clients::default(),
            latest_ns: i64::MIN,
            pathless: Vec::new(),
            summary: ReplaySummary::default(),
        }
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        let text = match &record.text {
            Ok(text) => text,
            Err(reason) => {
                self.refuse(record.line, reason.clone());
                return Ok(());
            }
        };
        let parsed = match &self.settings.format {
            LogFormat::Common => clf::parse(text),
            LogFormat::VirtualHost => clf::parse_with_host(text),
            #[cfg(feature = "serde")]
            LogFormat::Ndjson(fields) => {
                if self.summary.columns.is_empty() {
                    self.summary.columns = super::ndjson::names(text, COLUMNS);
                }
                super::ndjson::parse(text, fields)
            }
            LogFormat::Csv(fields) => match self.columns(text, fields)? {
                Some(columns) => columns.parse(text),
                None => return Ok(()),
            },
        };
        match parsed.and_then(Parsed::checked) {
            Ok(parsed) => self.keep(&parsed, record.line)?,
            Err(reason) => self.refuse(record.line, reason),
        }
        Ok(())
    }

    /// The columns to read a record by; `None` if this one is the header.
    fn columns(&mut self, record: &str, fields: &Fields) -> Result<Option<Columns>, ReplayError> {
        if self.columns.is_some() {
            return Ok(self.columns);
        }
        let (columns, is_header) = Columns::from_first(record, fields)?;
        self.columns = Some(columns);
        if is_header {
            self.summary.columns = Columns::names(record, COLUMNS);
        }
        Ok(self.columns.filter(|_| !is_header))
    }

    fn keep(&mut self, parsed: &Parsed<'_>, line: u64) -> Result<(), ReplayError> {
        self.summary.records += 1;
        if parsed.path.is_none() && self.pathless.len() < EXAMPLES {
            self.pathless.push(line);
        }
        if self.arrivals.len() >= self.settings.max_entries {
            return Err(ReplayError::TooManyEntries { limit: self.settings.max_entries });
        }
        let [method, path, host] = [&parsed.method, &parsed.path, &parsed.host].map(|part| part.as_deref());
        let entry = self.entries.id(method, path, host, MAX_TEXT_BYTES);
        let entry = entry.ok_or(ReplayError::TooMuchText { limit_bytes: MAX_TEXT_BYTES })?;
        self.summary.out_of_order += u64::from(parsed.at_ns < self.latest_ns);
        self.latest_ns = self.latest_ns.max(parsed.at_ns);
        let client = match (&parsed.client, self.settings.visits) {
            (Some(client), Some(_)) => self.clients.id(client, MAX_TEXT_BYTES),
            _ => Some(UNKNOWN),
        };
        let client = client.ok_or(ReplayError::TooMuchText { limit_bytes: MAX_TEXT_BYTES })?;
        self.arrivals.push(Arrival { at_ns: parsed.at_ns, entry, client });
        Ok(())
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.summary.records += 1;
        self.summary.refused += 1;
        if self.summary.examples.len() < EXAMPLES {
            self.summary.examples.push(RefusedLine { line, reason });
        }
    }

    /// A log that tells paths has to tell one for each entry: `/` would be a guess.
    fn refuse_pathless(&mut self, entries: &[Entry]) {
        if entries.iter().all(|entry| entry.path().is_none()) {
            return;
        }
        let has_path = |arrival: &Arrival| {
            usize::try_from(arrival.entry)
                .is_ok_and(|id| entries.get(id).is_some_and(|entry| entry.path().is_some()))
        };
        let before = self.arrivals.len();
        self.arrivals.retain(has_path);
        let refused = before - self.arrivals.len();
        self.summary.refused += u64::try_from(refused).unwrap_or(u64::MAX);
        let reason = "has no path, which other entries have";
        let lines = self.pathless.drain(..).map(|line| RefusedLine { line, reason: reason.into() });
        self.summary.examples.extend(lines);
        self.summary.examples.sort_by_key(|refused| refused.line);
        self.summary.examples.truncate(EXAMPLES);
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no exact counts")]
    fn check(&self) -> Result<(), ReplayError> {
        let ReplaySummary { records, refused, .. } = self.summary;
        let allowed = self.settings.max_refused;
        if records == 0 {
            return Err(ReplayError::Empty);
        }
        if self.settings.visits.is_some() && self.clients.ids.is_empty() && !self.arrivals.is_empty() {
            let hint = "the log says of no entry who asked: name the column or field that does";
            return Err(ConfigError::new("visits", hint).into());
        }
        if !self.arrivals.is_empty() && refused as f64 <= allowed * records as f64 {
            return Ok(());
        }
        let format = self.settings.format.to_string();
        let examples = self.summary.examples.clone();
        Err(ReplayError::Refused { format, refused, records, allowed, examples })
    }
}
