use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// Names longer than this are replaced by their 128-bit hash; the frame then carries the name, and is checked against it.
const LONGEST: usize = 200;

/// A key as a shared tier sees it: a namespace, bytes, and the schema of the values that its reader writes. `Debug` never shows the bytes.
///
/// The schema is no part of the name: what is removed is removed in every schema.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    namespace: Arc<str>,
    name: Arc<[u8]>,
    schema: u32,
    long: Option<Arc<[u8]>>, // what `name` is the hash of
}

impl Key {
    pub(crate) fn new<K: CacheKey + ?Sized>(namespace: &Arc<str>, schema: u32, key: &K) -> Self {
        let mut parts = KeyParts(Vec::new());
        key.parts(&mut parts);
        let namespace = Arc::clone(namespace);
        if parts.0.len() <= LONGEST {
            return Self { namespace, name: parts.0.into(), schema, long: None };
        }
        // No part is so long that its length begins with this byte: hashed and other names do not meet.
        let hash = xxh3_128(&parts.0).to_be_bytes();
        let name = [[0xFF].as_slice(), &hash].concat();
        Self { namespace, name: name.into(), schema, long: Some(parts.0.into()) }
    }

    /// All of a name that was too long, to be compared with the one that a frame was written for.
    pub(crate) fn long_name(&self) -> Option<&[u8]> {
        self.long.as_deref()
    }

    /// The key of `key` in a namespace, as a cache built with this schema asks for it: for who tests a store.
    #[must_use]
    pub fn of<K: CacheKey + ?Sized>(namespace: &str, schema: u32, key: &K) -> Self {
        Self::new(&namespace.into(), schema, key)
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name within the namespace: at most 200 bytes, the same in every schema. Removals and their fences go by it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Which version of values its reader writes and can read: values and leases go by name and schema.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        self.schema
    }

    /// With the schema in the name, so that nodes of another one do not hear of its removals.
    #[cfg(feature = "sim")]
    pub(crate) fn apart(mut self) -> Self {
        self.name = [self.schema.to_be_bytes().as_slice(), &self.name].concat().into();
        self
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {} bytes)", self.namespace, self.name.len())
    }
}

/// What a key looks like on the wire: its parts, each with its length, so that no two keys run into each other.
///
/// ```
/// use offgridflow_cache::{CacheKey, KeyParts};
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Report { tenant: String, year: u16 }
/// impl CacheKey for Report {
///     fn parts(&self, parts: &mut KeyParts) {
///         self.tenant.parts(parts);
///         self.year.parts(parts);
///     }
/// }
/// ```
pub trait CacheKey {
    /// Writes the parts; equal keys write equal parts, different keys different ones, in every version of the program.
    fn parts(&self, parts: &mut KeyParts);
}

/// Collects the parts of a key.
#[derive(Debug)]
pub struct KeyParts(Vec<u8>);

impl KeyParts {
    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
    }
}

impl CacheKey for str {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self.as_bytes());
    }
}

impl CacheKey for String {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self.as_bytes());
    }
}

macro_rules! pointers {
    ($($pointer:ty),+) => {$(
        impl<K: CacheKey + ?Sized> CacheKey for $pointer {
            fn parts(&self, parts: &mut KeyParts) {
                (**self).parts(parts);
            }
        }
    )+};
}
pointers!(&K, Arc<K>, Box<K>);

impl CacheKey for [u8] {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self);
    }
}

impl CacheKey for Vec<u8> {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self);
    }
}

impl<const N: usize> CacheKey for [u8; N] {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self);
    }
}

impl CacheKey for bool {
    fn parts(&self, parts: &mut KeyParts) {
        u8::from(*self).parts(parts);
    }
}

impl CacheKey for char {
    fn parts(&self, parts: &mut KeyParts) {
        u32::from(*self).parts(parts);
    }
}

/// As `u64`, whatever the machine.
impl CacheKey for usize {
    fn parts(&self, parts: &mut KeyParts) {
        (*self as u64).parts(parts);
    }
}

/// As `i64`, whatever the machine.
impl CacheKey for isize {
    fn parts(&self, parts: &mut KeyParts) {
        (*self as i64).parts(parts);
    }
}

/// A part that says whether there is one, then those of what there is.
impl<K: CacheKey> CacheKey for Option<K> {
    fn parts(&self, parts: &mut KeyParts) {
        self.is_some().parts(parts);
        if let Some(key) = self {
            key.parts(parts);
        }
    }
}

macro_rules! integers {
    ($($integer:ty),+) => {$(
        impl CacheKey for $integer {
            fn parts(&self, parts: &mut KeyParts) {
                parts.push(&self.to_be_bytes());
            }
        }
    )+};
}
integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: CacheKey),+> CacheKey for ($($name,)+) {
            fn parts(&self, parts: &mut KeyParts) {
                $(self.$index.parts(parts);)+
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(parts: &impl CacheKey) -> Key {
        Key::new(&"test".into(), 1, parts)
    }

    #[test]
    fn keys_of_common_types_are_written_alike_everywhere() {
        assert_eq!(key(&7_usize), key(&7_u64));
        assert_eq!(key(&-7_isize), key(&-7_i64));
        assert_eq!(key(&"text"), key(&"text".to_owned()));
        assert_eq!(key(&Box::<str>::from("text")), key(&"text"));
        assert_eq!(key(&vec![1_u8, 2]), key(&[1_u8, 2]));
        assert_eq!(key(&(7_u8,)), key(&7_u8));
        assert_ne!(key(&true), key(&false));
        assert_ne!(key(&'a'), key(&'b'));
        assert_ne!(key(&None::<u8>), key(&Some(0_u8)));
    }

    proptest! {
        #[test]
        fn optional_parts_do_not_run_into_each_other(a: (Option<u8>, Option<u8>), b: (Option<u8>, Option<u8>)) {
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }

        #[test]
        fn different_parts_are_different_names(a: (String, String), b: (String, String)) {
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }

        #[test]
        fn names_are_short_and_the_long_ones_are_kept_beside(text in ".{0,300}") {
            let key = key(&text);
            prop_assert!(key.name().len() <= LONGEST);
            prop_assert_eq!(key.long_name().is_some(), text.len() + 8 > LONGEST);
            let other = Key::new(&"test".into(), 2, &text);
            prop_assert!(other.name() == key.name() && other != key);
        }
    }
}
