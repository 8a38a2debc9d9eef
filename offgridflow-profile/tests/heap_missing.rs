//! A program whose allocator is not `Tracked`.
#![cfg(feature = "heap")]

use offgridflow_profile::{ProfileError, SampledHeap};

#[test]
fn heap_profiles_need_the_allocator() {
    let error = SampledHeap::start(SampledHeap::DEFAULT_RATE).unwrap_err();
    assert!(matches!(error, ProfileError::Unsupported { .. }));
    assert!(error.to_string().contains("#[global_allocator]"), "{error}");
}
