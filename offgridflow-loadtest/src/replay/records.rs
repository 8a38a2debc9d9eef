//! Records of a log, one after the other, in bounded memory.

use std::io::{self, BufRead};

/// Reads records into a buffer that it uses again.
#[derive(Debug)]
pub(crate) struct Records<R> {
    reader: R,
    max_bytes: usize,
    quoted: bool, // a line break within quotes belongs to the record
    line: u64,
    buffer: Vec<u8>,
}

/// A record, with the number of its first line, from 1.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) line: u64,
    pub(crate) text: Result<&'a str, String>,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(reader: R, max_bytes: usize, quoted: bool) -> Self {
        Self { reader, max_bytes, quoted, line: 0, buffer: Vec::new() }
    }

    /// The line being read, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The next record that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            let Some((line, fits)) = self.fill()? else { return Ok(None) };
            if !fits {
                let text = Err(format!("is longer than {} bytes", self.max_bytes));
                return Ok(Some(Record { line, text }));
            }
            if self.buffer.iter().any(|byte| !byte.is_ascii_whitespace()) {
                let text = std::str::from_utf8(&self.buffer).map_err(|_| no_text(&self.buffer).into());
                return Ok(Some(Record { line, text }));
            }
        }
    }

    /// Fills the buffer with a record; answers its line, and whether it fits.
    fn fill(&mut self) -> io::Result<Option<(u64, bool)>> {
        self.buffer.clear();
        let first = self.line + 1;
        while let Some(fits) = self.append_line()? {
            let open = self.quoted && self.buffer.iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
            if !fits || !open {
                self.trim(first);
                return Ok(Some((first, fits)));
            }
        }
        Ok((self.line >= first).then_some((first, true))) // a quote that is never closed
    }

    /// Appends a line with its break; `None` at the end. What is beyond the limit is skipped.
    fn append_line(&mut self) -> io::Result<Option<bool>> {
        let mut fits = true;
        let mut begun = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(begun.then_some(fits));
            }
            if !begun {
                (begun, self.line) = (true, self.line + 1);
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            fits &= self.buffer.len() + used <= self.max_bytes;
            if fits {
                self.buffer.extend_from_slice(&available[..used]);
            }
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }

    /// Takes away the line break, and what some editors put before the first line.
    fn trim(&mut self, first: u64) {
        while self.buffer.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.buffer.pop();
        }
        if first == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.buffer.drain(..3);
        }
    }
}

/// What bytes are that are no text.
fn no_text(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1F, 0x8B, ..] => "is compressed (gzip): unpack the log first",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "is compressed (zstd): unpack the log first",
        _ => "is not UTF-8",
    }
}
