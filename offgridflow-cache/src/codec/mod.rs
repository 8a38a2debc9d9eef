//! How values become bytes.

#[cfg(feature = "json")]
mod json;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "postcard")]
mod postcard;

use std::fmt;

use bytes::Bytes;

#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "lz4")]
pub use self::lz4::Lz4;
#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;
use crate::CodecError;

/// Turns values into bytes and back, at the wire only: a near hit never decodes.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// What tells this format from others. What was written in another counts as damaged, however much sense its bytes make here: JSON's `7` is
    /// 55 to postcard. JSON has 0. Default: 1, that of all codecs which do not say; one that may meet another such wants a number of its own, and one around another that
    /// writes what that one does has the same.
    fn format(&self) -> u64 {
        1
    }

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
