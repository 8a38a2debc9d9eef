//! Where Redis is.

use offgridflow_cache::RedisBackend;

#[test]
fn an_address_that_cannot_be_read_is_refused() {
    let error = RedisBackend::connect("http://somewhere").unwrap_err().to_string();
    assert!(error.contains("address of Redis"), "{error}");
}
