use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Codec;
use crate::CodecError;

/// [Postcard](https://postcard.jamesmunns.com), by serde: small and fast. It writes no field names, so any change of the type needs
/// another [`schema`](crate::CacheBuilder::schema); types that look at what comes (`#[serde(untagged)]`, `flatten`) need JSON.
///
/// ```
/// use offgridflow_cache::{Codec, Postcard};
///
/// let bytes = Postcard.encode(&("Kiruna".to_owned(), 67.86_f32))?;
/// assert_eq!(bytes.len(), 11);
/// let (town, _): (String, f32) = Postcard.decode(bytes.into())?;
/// assert_eq!(town, "Kiruna");
/// # Ok::<(), offgridflow_cache::CodecError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn format(&self) -> u64 {
        u64::from_be_bytes(*b"postcard")
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        postcard::to_allocvec(value).map_err(|error| CodecError(Box::new(error)))
    }

    fn decode(&self, bytes: Bytes) -> Result<V, CodecError> {
        match postcard::take_from_bytes(&bytes).map_err(|error| CodecError(Box::new(error)))? {
            (value, []) => Ok(value),
            _ => Err(CodecError("bytes are left over: the type has changed without another schema".into())),
        }
    }
}
