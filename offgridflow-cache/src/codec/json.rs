use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Codec;
use crate::CodecError;

/// JSON, by serde: readable with any tool, and forgiving when a field is added. Numbers come back as they were; what JSON has no word for does not:
/// NaN and infinities come back as an error or as `None`, and so does `Some(None)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn format(&self) -> u64 {
        0
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError(Box::new(error)))
    }

    fn decode(&self, bytes: Bytes) -> Result<V, CodecError> {
        serde_json::from_slice(&bytes).map_err(|error| CodecError(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By its fast path, serde_json reads one ordinary number in nine as its neighbour.
    #[test]
    fn every_number_comes_back_as_it_was() {
        for n in 0..100_000_u32 {
            let value = f64::from(n) * 0.1 / 3.0;
            let encoded = Json.encode(&value).unwrap();
            let decoded: f64 = Json.decode(Bytes::from(encoded)).unwrap();
            assert_eq!(decoded.to_bits(), value.to_bits(), "{value}");
        }
    }
}
