use std::io::{self, Read};

use super::{Format, Intake, csv, json};

/// Bytes that a portion has at least, unless the file ends.
const SIZE: usize = 4 << 20;
/// Bytes beyond a portion that a row may reach.
const ROW: usize = 16 << 20;

/// Reads a file of any length portion by portion, cut where rows end; lines are counted through the whole file.
///
/// Holds a portion and a row in memory. NDJSON and CSV only: a JSON array has no end before its last byte.
#[derive(Debug)]
pub struct Portions<R> {
    from: R,
    format: Format,
    size: usize,
    header: Option<Vec<u8>>, // of CSV, once it was read
    buffer: Vec<u8>,         // begins where a row does
    lines: u64,              // before the buffer
    seen: Seen,
    ended: bool,
}

/// How far the buffer was searched for ends of rows.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    quoted: bool,       // whether a quote is open there
    end: Option<usize>, // of the last whole row
}

impl<R: Read> Portions<R> {
    /// Portions of about 4 MiB.
    ///
    /// # Panics
    /// For [`Format::Json`].
    pub fn new(format: Format, from: R) -> Self {
        Self::sized(SIZE, format, from)
    }

    /// Portions of at least `size` bytes.
    ///
    /// # Panics
    /// For [`Format::Json`].
    pub fn sized(size: usize, format: Format, from: R) -> Self {
        assert!(format != Format::Json, "a JSON array is read as a whole");
        Self {
            from,
            format,
            size,
            header: None,
            buffer: Vec::new(),
            lines: 0,
            seen: Seen::default(),
            ended: false,
        }
    }

    /// Reads until the buffer has a whole row and `size` bytes, or the file ends; where the last whole row ends.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = vec![0; self.size.clamp(1, 64 << 10)];
        loop {
            if self.ended {
                return Ok(self.buffer.len());
            }
            self.look();
            if self.buffer.len() >= self.size
                && let Some(end) = self.seen.end
            {
                return Ok(end);
            }
            if self.buffer.len() > self.size + ROW {
                let what =
                    format!("line {}: a row of more than 16 MiB; is a quote left open?", self.lines + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let read = self.from.read(&mut chunk)?;
            self.ended = read == 0;
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// Searches what is new in the buffer. In CSV a line that ends between quotes goes on.
    fn look(&mut self) {
        let Seen { bytes, quoted, end } = &mut self.seen;
        for (at, byte) in self.buffer.iter().enumerate().skip(*bytes) {
            match byte {
                b'"' if self.format == Format::Csv => *quoted = !*quoted,
                b'\n' if !*quoted => *end = Some(at + 1),
                _ => {}
            }
        }
        *bytes = self.buffer.len();
    }

    fn stop(&mut self) {
        (self.ended, self.buffer) = (true, Vec::new());
        self.header.get_or_insert_default();
    }

    /// The body of the next portion with the header line in front, and what to add to the lines in it.
    fn body(&mut self, end: usize) -> (Vec<u8>, u64) {
        let rest = self.buffer.split_off(end);
        let taken = std::mem::replace(&mut self.buffer, rest);
        let before = self.lines;
        self.seen = Seen::default();
        self.lines += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
        match &self.header {
            _ if self.format != Format::Csv => (taken, before),
            None => {
                let length = taken.iter().position(|byte| *byte == b'\n').map_or(taken.len(), |at| at + 1);
                self.header = Some(taken[..length].to_vec());
                (taken, before)
            }
            Some(header) => ([header.as_slice(), &taken].concat(), before - 1),
        }
    }
}

impl<R: Read> Iterator for Portions<R> {
    type Item = io::Result<Intake>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = match self.fill() {
            Ok(end) => end,
            Err(error) => {
                self.stop();
                return Some(Err(error));
            }
        };
        if end == 0 && (self.header.is_some() || self.format != Format::Csv) {
            return None;
        }
        let first = self.header.is_none();
        let (body, before) = self.body(end);
        let intake = match self.format {
            Format::Csv => csv::read(&body, before),
            _ => shifted(json::read_lines(&body), before),
        };
        if first && self.header.as_ref().is_some_and(|header| !csv::read(header, 0).rejections.is_empty()) {
            self.stop(); // a header line that cannot be right refuses the whole file
        }
        Some(Ok(intake))
    }
}

fn shifted(mut intake: Intake, before: u64) -> Intake {
    intake.drafts.iter_mut().for_each(|draft| draft.line += before);
    intake.rejections.iter_mut().for_each(|rejection| rejection.line += before);
    intake
}
