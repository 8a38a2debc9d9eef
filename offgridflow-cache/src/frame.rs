//! What a value looks like on the wire: a header that says what it is and whether it arrived whole, then the payload. A key that
//! is stored under its hash is written out, so that a value found under the same hash is not taken for another's.
//!
//! ```text
//! 0      4     5      9                      17
//! "OGF1" flags schema xxh3-64 of all the rest [key's length, key] payload
//! ```
//!
//! Flags: 1 there is a value (else the key is known to be absent), 2 the key is written out. The hash is seeded by the codec's format, so
//! that what one codec wrote is damaged to another, which may well make sense of it.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 4] = b"OGF1";
const HEADER: usize = 17;
const VALUE: u8 = 1;
const KEY: u8 = 2;

/// What a payload is written in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) schema: u32,
    pub(crate) format: u64, // of the codec
}

/// Why bytes are no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Another format, schema or key: somebody else's, and perhaps fine for them.
    Foreign,
    /// Ours, and damaged.
    Corrupt,
}

/// The frame of a payload; `None` is a key that is known to be absent.
pub(crate) fn encode(kind: Kind, key: Option<&[u8]>, payload: Option<&[u8]>) -> Bytes {
    let mut body = Vec::new();
    if let Some(key) = key {
        body.extend_from_slice(&(key.len() as u64).to_be_bytes());
        body.extend_from_slice(key);
    }
    body.extend_from_slice(payload.unwrap_or_default());
    let flags = if payload.is_some() { VALUE } else { 0 } | if key.is_some() { KEY } else { 0 };
    let sum = checksum(flags, kind, &body).to_be_bytes();
    [MAGIC.as_slice(), &[flags], &kind.schema.to_be_bytes(), &sum, &body].concat().into()
}

/// The payload of a frame, sharing its bytes.
pub(crate) fn decode(kind: Kind, key: Option<&[u8]>, frame: &Bytes) -> Result<Option<Bytes>, FrameError> {
    let header: &[u8; HEADER] = frame.first_chunk().ok_or(FrameError::Foreign)?;
    let [m0, m1, m2, m3, flags, s0, s1, s2, s3, sum @ ..] = *header;
    if [m0, m1, m2, m3] != *MAGIC || u32::from_be_bytes([s0, s1, s2, s3]) != kind.schema {
        return Err(FrameError::Foreign);
    }
    let mut body = frame.slice(HEADER..);
    if checksum(flags, kind, &body) != u64::from_be_bytes(sum) || flags > (VALUE | KEY) {
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

fn checksum(flags: u8, kind: Kind, body: &[u8]) -> u64 {
    let mut hash = Xxh3::with_seed(kind.format);
    hash.update(&[flags]);
    hash.update(&kind.schema.to_be_bytes());
    hash.update(body);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A schema, in the format of which the goldens are.
    const fn of(schema: u32) -> Kind {
        Kind { schema, format: 0 }
    }

    proptest! {
        #[test]
        fn a_frame_gives_its_payload_back(schema: u32, key: Option<Vec<u8>>, payload: Option<Vec<u8>>) {
            let frame = encode(of(schema), key.as_deref(), payload.as_deref());
            let decoded = decode(of(schema), key.as_deref(), &frame).unwrap();
            prop_assert_eq!(decoded.as_deref(), payload.as_deref());
        }

        #[test]
        fn no_flipped_bit_gives_a_value(schema: u32, key: Option<Vec<u8>>, payload: Vec<u8>, bit in 0_usize..10_000) {
            let mut frame = encode(of(schema), key.as_deref(), Some(&payload)).to_vec();
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(of(schema), key.as_deref(), &Bytes::from(frame)).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(schema: u32, flags in 0_u8..5, mut bytes: Vec<u8>) {
            let _ = decode(of(schema), None, &Bytes::from(bytes.clone()));
            let sum = checksum(flags, of(schema), &bytes).to_be_bytes(); // whole, and still no frame that we would write
            bytes.splice(0..0, [MAGIC.as_slice(), &[flags], &schema.to_be_bytes(), &sum].concat());
            let _ = decode(of(schema), Some(b"k"), &Bytes::from(bytes));
        }

        #[test]
        fn another_format_is_damage(schema: u32, format: u64, other: u64, key: Option<Vec<u8>>, payload: Option<Vec<u8>>) {
            prop_assume!(format != other);
            let frame = encode(Kind { schema, format }, key.as_deref(), payload.as_deref());
            prop_assert_eq!(decode(Kind { schema, format: other }, key.as_deref(), &frame), Err(FrameError::Corrupt));
        }

        #[test]
        fn another_schema_or_key_is_a_miss(payload: Vec<u8>, key: Vec<u8>, other_key: Vec<u8>, schema: u32, other: u32) {
            prop_assume!(schema != other && key != other_key);
            let frame = encode(of(schema), Some(&key), Some(&payload));
            prop_assert_eq!(decode(of(other), Some(&key), &frame), Err(FrameError::Foreign));
            prop_assert_eq!(decode(of(schema), Some(&other_key), &frame), Err(FrameError::Foreign));
            prop_assert_eq!(decode(of(schema), None, &frame), Err(FrameError::Foreign));
        }
    }

    /// Schema, long key, payload, and the frame in hexadecimal digits.
    type Golden = (u32, Option<&'static [u8]>, Option<&'static [u8]>, &'static str);

    /// Written by the first version; every later one must read them, or change the magic.
    const GOLDENS: [Golden; 4] = [
        (7, None, Some(b"hi"), "4f474631 01 00000007 744a4ddbf46845f7 6869"),
        (7, None, None, "4f474631 00 00000007 19a9bd353370ec07"),
        (
            1,
            Some(b"a long key"),
            Some(b"{}"),
            "4f474631 03 00000001 025acba2753c9a9d 000000000000000a 61206c6f6e67206b6579 7b7d",
        ),
        (u32::MAX, Some(b""), None, "4f474631 02 ffffffff 55410dfa2dc2cb47 0000000000000000"),
    ];

    #[test]
    fn golden_frames_are_read() {
        for (schema, key, payload, golden) in GOLDENS {
            let golden = bytes(golden);
            assert_eq!(decode(of(schema), key, &golden).unwrap().as_deref(), payload);
            assert_eq!(encode(of(schema), key, payload), golden);
        }
    }

    fn bytes(hex: &str) -> Bytes {
        let hex: String = hex.split(' ').collect();
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
    }

    /// What a frame would be worth without its checksum: the same bytes, with the one that fits them.
    fn vouched_for(mut frame: Vec<u8>) -> Bytes {
        if let Some((header, body)) = frame.split_at_mut_checked(HEADER) {
            let schema = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let sum = checksum(header[4], of(schema), body);
            header[9..].copy_from_slice(&sum.to_be_bytes());
        }
        frame.into()
    }

    /// A frame as it may arrive: another's bytes, or ours with bits flipped, cut off, repeated, or with a piece of another.
    fn damaged(draw: &mut impl FnMut(usize) -> usize, frame: &[u8]) -> Vec<u8> {
        let mut bytes = frame.to_vec();
        match draw(6) {
            0 => bytes = (0..draw(80)).map(|_| u8::try_from(draw(256)).unwrap_or(0)).collect(),
            1 => bytes.truncate(draw(frame.len())),
            2 => bytes.extend_from_within(draw(frame.len())..),
            3 => (0..=draw(8)).for_each(|_| bytes[draw(frame.len())] = u8::try_from(draw(256)).unwrap_or(0)),
            _ => (0..=draw(4)).for_each(|_| bytes[draw(frame.len())] ^= 1 << draw(8)),
        }
        bytes
    }

    #[test]
    #[ignore = "a promise: scripts/verify/C7.sh"]
    fn no_damaged_frame_gives_a_wrong_value() {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let (frames, mut seed) = (number("FRAMES").unwrap_or(100_000), number("VERIFY_SEED").unwrap_or(1));
        let mut draw = |below: usize| {
            seed = seed.wrapping_add(1);
            usize::try_from(crate::random::mix(seed) >> 1).unwrap_or(0) % below.max(1)
        };
        let (mut wrong, mut unchecked, mut same) = (0_u64, 0_u64, 0_u64);
        for _ in 0..frames {
            let payload: Vec<u8> = (0..draw(64)).map(|_| u8::try_from(draw(256)).unwrap_or(0)).collect();
            let payload = (draw(5) > 0).then_some(payload.as_slice());
            let key = (draw(3) == 0).then_some(b"a key of some length".as_slice());
            let frame = encode(of(3), key, payload);
            let arrived = damaged(&mut draw, &frame);
            if frame == arrived {
                same += 1;
                continue;
            }
            let value = decode(of(3), key, &Bytes::copy_from_slice(&arrived));
            wrong += u64::from(value.is_ok_and(|value| value.as_deref() != payload));
            let value = decode(of(3), key, &vouched_for(arrived));
            unchecked += u64::from(value.is_ok_and(|value| value.as_deref() != payload));
        }
        println!("\nC7 frames={} wrong={wrong} unchecked={unchecked}", frames - same);
    }
}
