//! Heads among what comes.

use super::{Asked, Buffer, Head, Malformed, head::Parsed};

/// The most interim answers before a final one.
const INTERIM: u32 = 1_000;

/// Finds the head of a final answer, however small the pieces are in which it comes.
#[derive(Debug, Default)]
pub(in crate::target::http) struct Heads {
    tried: usize,   // so many bytes were too few
    scanned: usize, // among so many is no empty line
    interim: u32,
}

impl Heads {
    /// The next head, if it is there; it is consumed, and interim answers before it are.
    pub(in crate::target::http) fn next(
        &mut self,
        came: &mut Buffer,
        asked: Asked,
    ) -> Result<Option<Head>, Malformed> {
        while self.is_worth_a_look(came.unused()) {
            match Parsed::of(came.unused(), asked)? {
                Parsed::Unfinished => {
                    (self.tried, self.scanned) = (came.unused().len(), came.unused().len());
                    break;
                }
                Parsed::Interim(_) if self.interim == INTERIM => {
                    return Err("more than 1000 answers came that are not final".into());
                }
                Parsed::Interim(length) => {
                    self.interim += 1;
                    self.take(came, length);
                }
                Parsed::Final(head, length) => {
                    self.interim = 0;
                    self.take(came, length);
                    return Ok(Some(head));
                }
            }
        }
        if came.is_full() {
            return Err("the answer's head is longer than 256 KiB".into());
        }
        Ok(None)
    }

    fn take(&mut self, came: &mut Buffer, length: usize) {
        came.consume(length);
        (self.tried, self.scanned) = (0, 0);
    }

    /// If an empty line came, or twice as much as at the last look: looks at every byte that comes alone would take a square of time.
    fn is_worth_a_look(&mut self, bytes: &[u8]) -> bool {
        let fresh = &bytes[self.scanned.saturating_sub(2).min(bytes.len())..];
        let ends = fresh.windows(3).any(|three| matches!(three, b"\n\r\n" | [_, b'\n', b'\n']));
        self.scanned = bytes.len();
        !bytes.is_empty() && (ends || bytes.len() >= self.tried * 2)
    }
}
