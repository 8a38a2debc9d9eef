use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// Names longer than this are replaced by their 128-bit hash.
const LONGEST: usize = 200;

/// A key as a shared tier sees it: a namespace and bytes. `Debug` never shows the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    namespace: Arc<str>,
    name: Arc<[u8]>,
}

impl Key {
    pub(crate) fn new<K: CacheKey + ?Sized>(namespace: &Arc<str>, schema: u32, key: &K) -> Self {
        let mut parts = KeyParts(schema.to_be_bytes().to_vec());
        key.parts(&mut parts);
        let mut name = parts.0;
        if name.len() > LONGEST {
            let hash = xxh3_128(&name);
            name = [b"#".as_slice(), &hash.to_be_bytes()].concat();
        }
        Self { namespace: Arc::clone(namespace), name: name.into() }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name within the namespace: at most 200 bytes, schema first.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
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

impl<K: CacheKey + ?Sized> CacheKey for Arc<K> {
    fn parts(&self, parts: &mut KeyParts) {
        (**self).parts(parts);
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
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
