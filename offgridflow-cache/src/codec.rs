use std::fmt;

use bytes::Bytes;

use crate::CodecError;

/// Turns values into bytes and back, at the wire only: a near hit never decodes.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// The bytes of a value.
    ///
    /// # Errors
    /// When the value cannot be written; it is then cached in this process only.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// The value of bytes.
    ///
    /// # Errors
    /// When the bytes are none; the read then counts as a miss.
    fn decode(&self, bytes: Bytes) -> Result<V, CodecError>;
}

/// JSON, by serde.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

#[cfg(feature = "json")]
impl<V: serde::Serialize + serde::de::DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError(Box::new(error)))
    }

    fn decode(&self, bytes: Bytes) -> Result<V, CodecError> {
        serde_json::from_slice(&bytes).map_err(|error| CodecError(Box::new(error)))
    }
}
