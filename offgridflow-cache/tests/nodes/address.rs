//! Where Redis is.

use offgridflow_cache::RedisBackend;
use offgridflow_cache::fred::types::config::Config;

#[test]
fn an_address_that_cannot_be_read_is_refused() {
    for (url, hint) in
        [("http://somewhere", "redis-cluster://"), ("redis://somewhere/users", "HOST[:PORT][/DATABASE]")]
    {
        let error = RedisBackend::connect(url).unwrap_err().to_string();
        assert!(error.contains("address of Redis") && error.contains(hint), "{error}");
    }
}

/// The password would be sent in plain sight.
#[tokio::test]
async fn an_address_that_asks_for_encryption_is_refused_where_there_is_none() {
    for scheme in ["rediss", "rediss-cluster", "rediss-sentinel", "valkeys"] {
        let url = format!("{scheme}://node:secret@127.0.0.1:6379?sentinelServiceName=name");
        let encrypted = Config::from_url(&url).unwrap().uses_tls();
        match RedisBackend::connect(&url) {
            Ok(_) => assert!(encrypted, "{scheme}"),
            Err(error) => {
                let said = error.to_string();
                assert!(!encrypted && said.contains("feature `tls`") && !said.contains("secret"), "{said}");
            }
        }
    }
}
