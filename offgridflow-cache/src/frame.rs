//! What a value looks like on the wire: a header that says what it is and whether it arrived whole, then the payload.
//!
//! ```text
//! 0      4        5       9                17
//! "OGF1" presence schema  xxh3-64 of all else  payload
//! ```

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 4] = b"OGF1";
const HEADER: usize = 17;

/// Why bytes are no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Another format or another schema: somebody else's, and perhaps fine for them.
    Foreign,
    /// Ours, and damaged.
    Corrupt,
}

/// The frame of a payload; `None` is a key that is known to be absent.
pub(crate) fn encode(schema: u32, payload: Option<&[u8]>) -> Bytes {
    let (presence, payload) = (u8::from(payload.is_some()), payload.unwrap_or_default());
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend_from_slice(MAGIC);
    frame.push(presence);
    frame.extend_from_slice(&schema.to_be_bytes());
    frame.extend_from_slice(&checksum(presence, schema, payload).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.into()
}

/// The payload of a frame, sharing its bytes.
pub(crate) fn decode(schema: u32, frame: &Bytes) -> Result<Option<Bytes>, FrameError> {
    let header: &[u8; HEADER] = frame.first_chunk().ok_or(FrameError::Foreign)?;
    let [m0, m1, m2, m3, presence, s0, s1, s2, s3, sum @ ..] = *header;
    if [m0, m1, m2, m3] != *MAGIC || u32::from_be_bytes([s0, s1, s2, s3]) != schema {
        return Err(FrameError::Foreign);
    }
    let payload = frame.slice(HEADER..);
    if checksum(presence, schema, &payload) != u64::from_be_bytes(sum) || presence > 1 {
        return Err(FrameError::Corrupt);
    }
    Ok((presence == 1).then_some(payload))
}

fn checksum(presence: u8, schema: u32, payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&[presence]);
    hash.update(&schema.to_be_bytes());
    hash.update(payload);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_gives_its_payload_back(schema: u32, payload: Option<Vec<u8>>) {
            let frame = encode(schema, payload.as_deref());
            let decoded = decode(schema, &frame).unwrap();
            prop_assert_eq!(decoded.as_deref(), payload.as_deref());
        }

        #[test]
        fn no_flipped_bit_gives_a_value(schema: u32, payload in proptest::collection::vec(any::<u8>(), 0..100), bit in 0_usize..10_000) {
            let mut frame = encode(schema, Some(&payload)).to_vec();
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(schema, &Bytes::from(frame)).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(schema: u32, bytes: Vec<u8>) {
            let _ = decode(schema, &Bytes::from(bytes));
        }

        #[test]
        fn another_schema_is_a_miss(payload: Vec<u8>, schema: u32, other: u32) {
            prop_assume!(schema != other);
            prop_assert_eq!(decode(other, &encode(schema, Some(&payload))), Err(FrameError::Foreign));
        }
    }

    /// Written by the first version; every later one must read it, or change the magic.
    #[test]
    fn the_golden_frame_is_read() {
        let golden =
            [b"OGF1\x01\x00\x00\x00\x07".as_slice(), &checksum(1, 7, b"hi").to_be_bytes(), b"hi"].concat();
        assert_eq!(encode(7, Some(b"hi")), golden);
        assert_eq!(checksum(1, 7, b"hi"), GOLDEN);
    }

    const GOLDEN: u64 = 8_379_595_663_769_880_055;
}
