//! Values that cannot be encoded.

use offgridflow_cache::{Codec, CodecError, InProcess, Json};

use crate::source::{builder, node, read, settle};

/// JSON that cannot write odd numbers.
#[derive(Debug)]
struct EvenJson;

impl Codec<u64> for EvenJson {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        if value.is_multiple_of(2) { Json.encode(value) } else { Err(CodecError("odd".into())) }
    }

    fn decode(&self, bytes: bytes::Bytes) -> Result<u64, CodecError> {
        Json.decode(bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_encoded_is_counted_and_lives_near() {
    let (node, source) = node(builder().shared(InProcess::new(), EvenJson));
    settle().await;
    assert_eq!((read(&node).await, read(&node).await), (1, 1));
    assert_eq!((source.loads(), node.stats().encode_errors), (1, 1));
    let _ = node.lease(&1).await.put(7).await;
    assert_eq!(node.stats().encode_errors, 2);
}
