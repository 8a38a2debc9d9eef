//! Speaking with the shared tier: keys, and values as frames.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::frame::{self, Kind};
use crate::{CacheBackend, Codec, Key};

/// Makes the wire key of a namespace, a schema and a key.
pub(crate) type WireKey<K> = fn(&Arc<str>, u32, &K) -> Key;

/// What is needed to speak with a shared tier.
pub(crate) struct Wire<K, V> {
    pub(crate) backend: Arc<dyn CacheBackend>,
    pub(crate) name: &'static str, // the backend's
    pub(crate) codec: Arc<dyn Codec<V>>,
    pub(crate) key: WireKey<K>,
    pub(crate) namespace: Arc<str>,
    pub(crate) schema: u32,
    #[cfg(feature = "sim")]
    pub(crate) mutant: Option<crate::sim::Mutant>,
}

impl<K, V> Wire<K, V> {
    pub(super) fn key(&self, key: &K) -> Key {
        let key = (self.key)(&self.namespace, self.schema, key);
        #[cfg(feature = "sim")]
        if self.mutant == Some(crate::sim::Mutant::SchemasApart) {
            return key.apart();
        }
        key
    }
}

impl<K, V: 'static> Wire<K, V> {
    fn kind(&self) -> Kind {
        Kind { schema: self.schema, format: self.codec.format() }
    }

    /// The frame of a value, if it can be written. A codec that panics could not write it.
    pub(super) fn encode(&self, key: &Key, value: Option<&V>) -> Option<Bytes> {
        let encode = |value| catch_unwind(AssertUnwindSafe(|| self.codec.encode(value))).ok()?.ok();
        let payload = match value {
            Some(value) => Some(encode(value)?),
            None => None,
        };
        Some(frame::encode(self.kind(), key.long_name(), payload.as_deref()))
    }

    /// The value of a frame, `Some(None)` for an absence; `None` when it is none.
    pub(super) fn decode(&self, key: &Key, frame: &Bytes) -> Option<Option<Arc<V>>> {
        match frame::decode(self.kind(), key.long_name(), frame).ok()? {
            None => Some(None),
            Some(bytes) => {
                let value = catch_unwind(AssertUnwindSafe(|| self.codec.decode(bytes))).ok()?.ok()?;
                Some(Some(Arc::new(value)))
            }
        }
    }
}
