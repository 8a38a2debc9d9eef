//! Names, arguments and answers of the scripts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::{Key as RedisKey, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::shared::LONGEST;
use crate::{Change, Entry, Key, Lease, Lookup, Position};

/// A name of the namespace's own: the clock, the tags, the log.
pub(super) fn own(namespace: &str, what: &str) -> RedisKey {
    format!("ogf:{{{namespace}}}:{what}").into()
}

pub(super) fn own_keys(namespace: &str, names: [&str; 3]) -> Vec<RedisKey> {
    names.map(|name| own(namespace, name)).into()
}

/// The hash of a key, with the values and leases of all schemas.
pub(super) fn slot(key: &Key) -> RedisKey {
    let name = [b"ogf:{".as_slice(), key.namespace().as_bytes(), b"}:k:", key.name()].concat();
    RedisKey::from(Bytes::from(name))
}

pub(super) fn text(value: impl Into<String>) -> Value {
    Value::String(value.into().into())
}

pub(super) fn raw(bytes: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(bytes))
}

/// Tags by a hash of fixed length, which a script can cut apart.
pub(super) fn hashes(tags: &[Arc<str>]) -> String {
    tags.iter().map(|tag| format!("{:016x}", xxh3_64(tag.as_bytes()))).collect()
}

/// Tags by name, each with its length.
pub(super) fn names(tags: &[Arc<str>]) -> Vec<u8> {
    let mut names = Vec::new();
    for tag in tags {
        names.extend_from_slice(&u32::try_from(tag.len()).unwrap_or(u32::MAX).to_be_bytes());
        names.extend_from_slice(tag.as_bytes());
    }
    names
}

pub(super) fn tags(mut names: &[u8]) -> Option<Vec<Arc<str>>> {
    let mut tags = Vec::new();
    while let Some((length, rest)) = names.split_first_chunk::<4>() {
        let (tag, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        tags.push(std::str::from_utf8(tag).ok()?.into());
        names = rest;
    }
    names.is_empty().then_some(tags)
}

/// As Redis takes it.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// In milliseconds, of which a script counts as many as [`LONGEST`] has without a mistake.
pub(super) fn millis(duration: Duration) -> Value {
    Value::Integer(i64::try_from(duration.min(LONGEST).as_millis()).unwrap_or(i64::MAX))
}

/// As [`millis`], and at least one: none means something else.
pub(super) fn some_millis(duration: Duration) -> Value {
    millis(duration.max(Duration::from_millis(1)))
}

/// What a value's header says, as `fill.lua` packs it.
#[derive(Debug)]
pub(super) struct Header<'h> {
    pub(super) born: u64,
    /// Until when, in milliseconds of the server's clock.
    pub(super) fresh: u64,
    pub(super) epoch: &'h [u8],
    pub(super) hashes: &'h str,
    pub(super) names: &'h [u8],
}

pub(super) fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let (born, rest) = bytes.split_first_chunk::<8>()?;
    let (fresh, rest) = rest.split_first_chunk::<8>()?;
    let (_kept, rest) = rest.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (hashes, rest) = rest.split_first_chunk::<4>()?;
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let (epoch, rest) = rest.split_at_checked(length(epoch)?)?;
    let (hashes, names) = rest.split_at_checked(length(hashes)?)?;
    let hashes = std::str::from_utf8(hashes).ok()?;
    Some(Header { born: u64::from_be_bytes(*born), fresh: u64::from_be_bytes(*fresh), epoch, hashes, names })
}

/// The clock that an answer begins with, and whether it got another epoch just then, because it had been rolled back.
pub(super) fn position(clock: Value) -> Option<(Position, bool)> {
    let Value::Array(fields) = clock else { return None };
    let [epoch, sequence, rolled_back] = fields.as_slice() else { return None };
    let epoch = Bytes::copy_from_slice(epoch.as_bytes()?);
    Some((Position { epoch, sequence: sequence.as_u64()? }, rolled_back.as_u64()? == 1))
}

pub(super) fn lookup(answer: Value) -> Option<Lookup> {
    let Value::Array(fields) = answer else { return None };
    Some(match fields.as_slice() {
        [Value::Integer(0), frame, left, names] => Lookup::Fresh(entry(frame, left, names)?),
        [Value::Integer(1), token, born] => Lookup::Miss(lease(token, born)?),
        [Value::Integer(2)] => Lookup::Busy,
        [Value::Integer(3)] => Lookup::Failed,
        [Value::Integer(4), frame, left, names] => Lookup::Stale(entry(frame, left, names)?, None),
        [Value::Integer(4), frame, left, names, token, born] => {
            Lookup::Stale(entry(frame, left, names)?, Some(lease(token, born)?))
        }
        _ => return None,
    })
}

/// `left` is negative once the value is stale.
fn entry(frame: &Value, left: &Value, names: &Value) -> Option<Entry> {
    let (frame, left) = (Bytes::copy_from_slice(frame.as_bytes()?), left.as_i64()?);
    let millis = Duration::from_millis(left.unsigned_abs());
    let (left, stale) = if left > 0 { (millis, Duration::ZERO) } else { (Duration::ZERO, millis) };
    Some(Entry::new(frame, left, tags(names.as_bytes()?)?).stale_for(stale))
}

fn lease(token: &Value, born: &Value) -> Option<Lease> {
    Some(Lease::new(Bytes::copy_from_slice(token.as_bytes()?), born.as_u64()?))
}

/// A member of the log: a kind, a name, and the removal's number in 16 digits.
pub(super) fn change(member: &Value) -> Option<Change> {
    let (member, _number) = member.as_bytes()?.split_last_chunk::<16>()?;
    let (kind, rest) = member.split_first()?;
    Some(match kind {
        b'k' => Change::Key(Bytes::copy_from_slice(rest)),
        b't' => Change::Tag(std::str::from_utf8(rest).ok()?.into()),
        _ => Change::Namespace,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tags_survive_the_wire(given in proptest::collection::vec(".{0,20}", 0..8)) {
            let given: Vec<Arc<str>> = given.into_iter().map(Arc::from).collect();
            prop_assert_eq!(tags(&names(&given)), Some(given));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = tags(&bytes);
            let _ = change(&raw(&bytes));
            let _ = header(&bytes);
        }
    }
}
