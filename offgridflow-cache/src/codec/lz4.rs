use bytes::Bytes;
use lz4_flex::block::{compress, decompress};

use super::Codec;
use crate::CodecError;

const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

/// Another codec, with what is longer than a threshold compressed by LZ4 where that makes it shorter.
///
/// Bytes are a flag, 0 or 1, and what the other codec wrote; compressed, its length (32 bits, little endian) and an LZ4 block. A length
/// above [`at_most`](Self::at_most) is refused before anything is reserved. Thresholds may differ between nodes.
///
/// ```
/// use offgridflow_cache::{Codec, Json, Lz4};
///
/// let codec = Lz4::over(Json).above(256);
/// let bytes = codec.encode(&vec!["Kiruna".to_owned(); 100])?;
/// assert!(bytes.len() < 60);
/// let towns: Vec<String> = codec.decode(bytes.into())?;
/// assert_eq!(towns.len(), 100);
/// # Ok::<(), offgridflow_cache::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Lz4<C> {
    codec: C,
    threshold: usize,
    longest: usize,
}

impl<C> Lz4<C> {
    /// Compresses what `codec` writes from 1 KiB on, and accepts up to 256 MiB.
    pub const fn over(codec: C) -> Self {
        Self { codec, threshold: 1 << 10, longest: 256 << 20 }
    }

    /// Compresses from so many bytes on.
    #[must_use]
    pub fn above(self, bytes: usize) -> Self {
        Self { threshold: bytes, ..self }
    }

    /// Refuses to write or to unpack more.
    #[must_use]
    pub fn at_most(self, bytes: usize) -> Self {
        Self { longest: bytes, ..self }
    }

    fn unpack(&self, block: &[u8]) -> Result<Vec<u8>, CodecError> {
        let (length, block) = block.split_first_chunk::<4>().ok_or_else(|| refuse("no length"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| refuse("too long"))?;
        if length > self.longest {
            return Err(refuse("longer than `at_most`"));
        }
        let bytes = decompress(block, length).map_err(|error| CodecError(Box::new(error)))?;
        if bytes.len() == length { Ok(bytes) } else { Err(refuse("another length than it says")) }
    }
}

fn refuse(what: &'static str) -> CodecError {
    CodecError(what.into())
}

impl<V, C: Codec<V>> Codec<V> for Lz4<C> {
    fn format(&self) -> u64 {
        u64::from_be_bytes(*b"LZ4 over") ^ self.codec.format()
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        let mut plain = self.codec.encode(value)?;
        let length = u32::try_from(plain.len()).map_err(|_| refuse("longer than LZ4 can hold"))?;
        if plain.len() > self.longest {
            return Err(refuse("longer than `at_most`"));
        }
        if plain.len() >= self.threshold {
            let block = compress(&plain);
            if block.len() + 4 < plain.len() {
                return Ok([&[COMPRESSED], length.to_le_bytes().as_slice(), &block].concat());
            }
        }
        plain.insert(0, PLAIN);
        Ok(plain)
    }

    fn decode(&self, bytes: Bytes) -> Result<V, CodecError> {
        match bytes.first() {
            Some(&PLAIN) => self.codec.decode(bytes.slice(1..)),
            Some(&COMPRESSED) => self.codec.decode(self.unpack(&bytes[1..])?.into()),
            _ => Err(refuse("neither plain nor compressed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes as they are.
    #[derive(Debug, Clone, Copy)]
    struct Raw;

    impl Codec<Vec<u8>> for Raw {
        fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
            Ok(value.clone())
        }

        fn decode(&self, bytes: Bytes) -> Result<Vec<u8>, CodecError> {
            Ok(bytes.into())
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(runs in proptest::collection::vec((any::<u8>(), 1_usize..200), 0..50), threshold in 0_usize..2_000) {
            let value: Vec<u8> = runs.iter().flat_map(|(byte, times)| vec![*byte; *times]).collect();
            let bytes = Lz4::over(Raw).above(threshold).encode(&value).unwrap();
            prop_assert!(bytes.len() <= value.len() + 1, "never longer than a flag more");
            prop_assert_eq!(Lz4::over(Raw).decode(bytes.into()).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Lz4::over(Raw).at_most(1 << 20).decode(Bytes::from([vec![COMPRESSED], bytes].concat()));
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_reserved() {
        let bomb = [&[COMPRESSED], u32::MAX.to_le_bytes().as_slice(), &[0; 16]].concat();
        assert!(Lz4::over(Raw).decode(bomb.into()).is_err());
        assert!(Lz4::over(Raw).at_most(10).encode(&vec![0; 11]).is_err());
    }
}
