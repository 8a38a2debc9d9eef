//! Two nodes over one shared tier; `cargo run -p offgridflow-cache --example two_nodes`. In production the shared tier is
//! `RedisBackend::connect("redis://…")?` (feature `redis`) and the nodes are processes.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, InProcess, Json, Loaded, loader_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (price, store) = (Arc::new(AtomicU64::new(100)), InProcess::new());
    let node = || {
        let price = Arc::clone(&price);
        let source = loader_fn(move |_: String| {
            let price = price.load(Ordering::SeqCst);
            async move { Ok::<_, std::io::Error>(Loaded::value(price)) }
        });
        let builder = Cache::<String, u64>::builder("prices").shared(store.clone(), Json);
        builder.max_staleness(Duration::from_millis(500)).build(source)
    };
    let (a, b, key) = (node()?, node()?, "tea".to_owned());
    println!("a reads {:?}, b reads {:?}: one load", a.get(&key).await?, b.get(&key).await?);
    assert_eq!(a.stats().loads + b.stats().loads, 1);

    price.store(120, Ordering::SeqCst);
    println!("a invalidates: {:?}", a.invalidate(&key).await);
    let delivered = Instant::now();
    println!("a reads {:?} at once", a.get(&key).await?);
    while b.get(&key).await?.as_deref() != Some(&120) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("b follows after {:?}, at most 500 ms", delivered.elapsed());
    Ok(())
}
