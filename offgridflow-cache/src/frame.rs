//! What a value looks like on the wire: a header that says what it is and whether it arrived whole, then the payload. A key that
//! is stored under its hash is written out, so that a value found under the same hash is not taken for another's.
//!
//! ```text
//! 0      4     5      9                      17
//! "OGF1" flags schema xxh3-64 of all the rest [key's length, key] payload
//! ```
//!
//! Flags: 1 there is a value (else the key is known to be absent), 2 the key is written out.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 4] = b"OGF1";
const HEADER: usize = 17;
const VALUE: u8 = 1;
const KEY: u8 = 2;

/// Why bytes are no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Another format, schema or key: somebody else's, and perhaps fine for them.
    Foreign,
    /// Ours, and damaged.
    Corrupt,
}

/// The frame of a payload; `None` is a key that is known to be absent.
pub(crate) fn encode(schema: u32, key: Option<&[u8]>, payload: Option<&[u8]>) -> Bytes {
    let mut body = Vec::new();
    if let Some(key) = key {
        body.extend_from_slice(&(key.len() as u64).to_be_bytes());
        body.extend_from_slice(key);
    }
    body.extend_from_slice(payload.unwrap_or_default());
    let flags = if payload.is_some() { VALUE } else { 0 } | if key.is_some() { KEY } else { 0 };
    let sum = checksum(flags, schema, &body).to_be_bytes();
    [MAGIC.as_slice(), &[flags], &schema.to_be_bytes(), &sum, &body].concat().into()
}

/// The payload of a frame, sharing its bytes.
pub(crate) fn decode(schema: u32, key: Option<&[u8]>, frame: &Bytes) -> Result<Option<Bytes>, FrameError> {
    let header: &[u8; HEADER] = frame.first_chunk().ok_or(FrameError::Foreign)?;
    let [m0, m1, m2, m3, flags, s0, s1, s2, s3, sum @ ..] = *header;
    if [m0, m1, m2, m3] != *MAGIC || u32::from_be_bytes([s0, s1, s2, s3]) != schema {
        return Err(FrameError::Foreign);
    }
    let mut body = frame.slice(HEADER..);
    if checksum(flags, schema, &body) != u64::from_be_bytes(sum) || flags > (VALUE | KEY) {
        return Err(FrameError::Corrupt);
    }
    let written =
        if flags & KEY == 0 { None } else { Some(split_key(&mut body).ok_or(FrameError::Corrupt)?) };
    if written.as_deref() != key {
        return Err(FrameError::Foreign);
    }
    Ok((flags & VALUE != 0).then_some(body))
}

fn split_key(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(u64::from_be_bytes(*body.first_chunk()?)).ok()?;
    let rest = body.slice(8..);
    let payload = rest.get(length..)?;
    *body = rest.slice_ref(payload);
    Some(rest.slice(..length))
}

fn checksum(flags: u8, schema: u32, body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&[flags]);
    hash.update(&schema.to_be_bytes());
    hash.update(body);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_gives_its_payload_back(schema: u32, key: Option<Vec<u8>>, payload: Option<Vec<u8>>) {
            let frame = encode(schema, key.as_deref(), payload.as_deref());
            let decoded = decode(schema, key.as_deref(), &frame).unwrap();
            prop_assert_eq!(decoded.as_deref(), payload.as_deref());
        }

        #[test]
        fn no_flipped_bit_gives_a_value(schema: u32, key: Option<Vec<u8>>, payload: Vec<u8>, bit in 0_usize..10_000) {
            let mut frame = encode(schema, key.as_deref(), Some(&payload)).to_vec();
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(schema, key.as_deref(), &Bytes::from(frame)).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(schema: u32, flags in 0_u8..5, mut bytes: Vec<u8>) {
            let _ = decode(schema, None, &Bytes::from(bytes.clone()));
            let sum = checksum(flags, schema, &bytes).to_be_bytes(); // whole, and still no frame that we would write
            bytes.splice(0..0, [MAGIC.as_slice(), &[flags], &schema.to_be_bytes(), &sum].concat());
            let _ = decode(schema, Some(b"k"), &Bytes::from(bytes));
        }

        #[test]
        fn another_schema_or_key_is_a_miss(payload: Vec<u8>, key: Vec<u8>, other_key: Vec<u8>, schema: u32, other: u32) {
            prop_assume!(schema != other && key != other_key);
            let frame = encode(schema, Some(&key), Some(&payload));
            prop_assert_eq!(decode(other, Some(&key), &frame), Err(FrameError::Foreign));
            prop_assert_eq!(decode(schema, Some(&other_key), &frame), Err(FrameError::Foreign));
            prop_assert_eq!(decode(schema, None, &frame), Err(FrameError::Foreign));
        }
    }

    /// Written by the first version; every later one must read it, or change the magic.
    #[test]
    fn the_golden_frame_is_read() {
        let golden =
            [b"OGF1\x01\x00\x00\x00\x07".as_slice(), &checksum(1, 7, b"hi").to_be_bytes(), b"hi"].concat();
        assert_eq!(encode(7, None, Some(b"hi")), golden);
        assert_eq!(checksum(1, 7, b"hi"), GOLDEN);
    }

    const GOLDEN: u64 = 8_379_595_663_769_880_055;
}
