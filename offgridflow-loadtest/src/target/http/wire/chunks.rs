//! A body in chunks (RFC 9112, section 7.1).

use super::Malformed;

/// The most bytes of extensions and trailers, which nobody reads.
const UNREAD: u32 = 16 * 1024;

/// Where in such a body one is.
#[derive(Debug)]
pub(in crate::target::http) struct Chunks {
    at: Place,
    unread: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a chunk's size, so far.
    Size(Option<u64>),
    /// Behind a size, before what may follow it.
    AfterSize(u64),
    Extension(u64),
    SizeLineFeed(u64),
    /// So many bytes are left of a chunk.
    Data(u64),
    DataReturn,
    DataLineFeed,
    TrailerBegin,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    Over,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { at: Place::Size(None), unread: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == Place::Over
    }

    /// How many of the bytes belong to the body; `data` sees its data.
    pub(super) fn decode(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut used = 0;
        while used < bytes.len() && !self.is_over() {
            if let Place::Data(left) = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - used);
                data(&bytes[used..used + here]);
                used += here;
                let left = left - crate::shard::as_u64(here);
                self.at = if left == 0 { Place::DataReturn } else { Place::Data(left) };
            } else {
                self.at = self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        Ok(match (self.at, byte) {
            (Place::Size(so_far), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                Place::Size(Some(longer(so_far.unwrap_or(0), byte)?))
            }
            (Place::Size(None), _) => return Err("the chunk size is missing".into()),
            (Place::Size(Some(size)) | Place::AfterSize(size), b' ' | b'\t') => Place::AfterSize(size),
            (Place::Size(Some(size)) | Place::AfterSize(size), b';') => Place::Extension(size),
            (Place::Size(Some(size)) | Place::AfterSize(size) | Place::Extension(size), b'\r') => {
                Place::SizeLineFeed(size)
            }
            (Place::Extension(size), 0x21..=0xff | b' ' | b'\t') => {
                self.pass_over()?;
                Place::Extension(size)
            }
            (Place::SizeLineFeed(0), b'\n') => Place::TrailerBegin,
            (Place::SizeLineFeed(size), b'\n') => Place::Data(size),
            (Place::DataReturn, b'\r') => Place::DataLineFeed,
            (Place::DataLineFeed, b'\n') => Place::Size(None),
            (Place::DataReturn | Place::DataLineFeed, _) => {
                return Err("the chunk is longer than its size".into());
            }
            (Place::TrailerBegin, b'\r') => Place::LastLineFeed,
            (Place::Trailer, b'\r') => Place::TrailerLineFeed,
            (Place::TrailerBegin | Place::Trailer, 0x20..=0xff | b'\t') => {
                self.pass_over()?;
                Place::Trailer
            }
            (Place::TrailerLineFeed, b'\n') => Place::TrailerBegin,
            (Place::LastLineFeed, b'\n') => Place::Over,
            (Place::Trailer | Place::TrailerBegin | Place::TrailerLineFeed | Place::LastLineFeed, _) => {
                return Err("the trailers behind the last chunk are malformed".into());
            }
            _ => return Err("the line of the chunk size is malformed".into()),
        })
    }

    fn pass_over(&mut self) -> Result<(), Malformed> {
        self.unread += 1;
        if self.unread <= UNREAD {
            return Ok(());
        }
        Err("extensions and trailers of chunks are longer than 16 KiB".into())
    }
}

/// A size with one more digit.
fn longer(size: u64, digit: u8) -> Result<u64, Malformed> {
    let digit = char::from(digit).to_digit(16).map_or(0, u64::from);
    let grown = size.checked_mul(16).map(|size| size | digit);
    grown.ok_or_else(|| "the chunk size is beyond 64 bits".into())
}
