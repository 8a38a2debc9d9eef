//! A cache in front of a slow source; `cargo run -p offgridflow-cache --example read_through`.
use std::time::{Duration, Instant};

use offgridflow_cache::{Cache, Loaded, loader_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = loader_fn(|id: u64| async move {
        tokio::time::sleep(Duration::from_millis(50)).await; // a query
        let user = (id < 100).then(|| format!("user {id}"));
        Ok::<_, std::io::Error>(Loaded::maybe(user).tag(format!("team:{}", id % 7)))
    });
    let users = Cache::<u64, String>::builder("users").ttl(Duration::from_secs(60)).build(source)?;

    let began = Instant::now();
    let readers: Vec<_> = (0..1_000)
        .map(|_| {
            let users = users.clone();
            tokio::spawn(async move { users.get(&1).await.map(|user| user.is_some()) })
        })
        .collect();
    for reader in readers {
        assert!(reader.await??);
    }
    println!("1 000 readers of one cold key: {} load, {:?}", users.stats().loads, began.elapsed());

    assert_eq!(users.get(&100).await?, None);
    assert_eq!(users.get(&100).await?, None);
    println!("an absent key, asked twice: {} loads in all", users.stats().loads);

    let _ = users.invalidate_tag("team:1").await;
    println!("after its tag was invalidated, near has {:?}", users.peek(&1));
    println!("{:?}", users.stats());
    Ok(())
}
