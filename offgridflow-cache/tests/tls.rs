//! Redis behind TLS: an address says so, whoever signed the server's certificate must be believed, and nothing is sent in the clear.
#![cfg(all(feature = "tls", feature = "json", feature = "quick_cache"))]

use offgridflow_cache::{Cache, Json, Loaded, RedisBackend, loader_fn};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use testkit::Redis;

const URL: &str = "REDIS_BEHIND_TLS";

/// Whether a node finds what one before it has loaded, over the stores that `store` gives: the second one, unless the fill is slow.
async fn is_shared(store: impl Fn() -> RedisBackend) -> bool {
    let loads = Arc::new(AtomicU32::new(0));
    for node in 0..5 {
        let counted = Arc::clone(&loads);
        let users = Cache::builder("users")
            .shared(store(), Json)
            .build(loader_fn(move |id: u64| {
                counted.fetch_add(1, Relaxed);
                async move { Ok::<_, std::io::Error>(Loaded::value(format!("user {id}"))) }
            }))
            .unwrap();
        assert_eq!(users.get(&7).await.unwrap().as_deref(), Some(&"user 7".to_owned()));
        if loads.load(Relaxed) == node {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Run by the next test in a process whose environment names an authority, or none.
#[tokio::test]
#[ignore = "asks for a Redis that the test below starts"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let shared = is_shared(|| RedisBackend::connect(&url).unwrap()).await;
    println!("shared={shared}");
}

/// What a process says that believes whom the file names.
fn child_believing(authority: &Path, url: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", authority);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_address_with_encryption_is_enough_where_the_authority_is_believed() {
    let redis = Redis::start_encrypted(&[]).unwrap_or_else(|error| panic!("{error}"));
    let (url, authority) = (redis.tls_url().unwrap(), testkit::certificates::authority());
    assert!(child_believing(&authority, &url).contains("shared=true"));
    let said = child_believing(&authority.with_file_name("server.pem"), &url);
    assert!(
        said.contains("shared=false"),
        "a server that nobody vouches for is not used, and reads go on: {said}"
    );
}
