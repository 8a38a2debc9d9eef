//! Two processes that share a Redis: what one updates, the other sees.
//!
//! `REDIS_URL=redis://127.0.0.1:6379 cargo run -p offgridflow-cache --example two_processes --features redis`

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use offgridflow_cache::{Breaker, Cache, Json, Loaded, Loader, RedisBackend};
use tokio::{fs, time::sleep};

/// The source: a file that both processes read, and one writes.
#[derive(Debug, Clone)]
struct Price(PathBuf);

impl Loader<String, u64> for Price {
    type Error = std::io::Error;

    async fn load(&self, _: String) -> Result<Loaded<u64>, std::io::Error> {
        let text = fs::read_to_string(&self.0).await?;
        text.trim().parse().map(Loaded::value).map_err(std::io::Error::other)
    }
}

fn prices(redis: &str, source: &Price) -> Result<Cache<String, u64, Price>, Box<dyn std::error::Error>> {
    let shared = Breaker::new(RedisBackend::connect(redis)?); // a Redis that is down is left alone, and reads go on
    Ok(Cache::builder("example-prices").shared(shared, Json).build(source.clone())?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let tea = "tea".to_owned();
    if let Some(file) = env::args().nth(1) {
        return follow(&prices(&redis, &Price(file.into()))?, &tea).await;
    }
    let source = Price(env::temp_dir().join(format!("price-of-tea-{}", std::process::id())));
    fs::write(&source.0, "100").await?;
    let mut other = Command::new(env::current_exe()?).arg(&source.0).env("REDIS_URL", &redis).spawn()?;
    let cache = prices(&redis, &source)?;
    println!("one   reads {:?}", cache.get(&tea).await?);
    sleep(Duration::from_secs(2)).await;

    fs::write(&source.0, "120").await?;
    println!("one   writes 120 and invalidates: {:?}", cache.invalidate(&tea).await);
    println!("one   reads {:?}", cache.get(&tea).await?);
    let status = other.wait()?;
    fs::remove_file(&source.0).await?;
    if status.success() { Ok(()) } else { Err("the other process did not follow".into()) }
}

/// Reads until the price has changed, which it does at most Δ (2 s) after the invalidation was delivered.
async fn follow(cache: &Cache<String, u64, Price>, tea: &String) -> Result<(), Box<dyn std::error::Error>> {
    println!("other reads {:?}", cache.get(tea).await?);
    let began = Instant::now();
    while cache.get(tea).await?.as_deref() != Some(&120) {
        if began.elapsed() > Duration::from_secs(10) {
            return Err("the price has not changed".into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    println!("other reads {:?}, having loaded {} times itself", cache.get(tea).await?, cache.stats().loads);
    Ok(())
}
