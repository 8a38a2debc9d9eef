//! Removals on a runtime that has ended, and outside of any: nothing removed is served, and nothing is lost that can be delivered. And a
//! cache whose own runtime has ended goes on with the next.
#![cfg(all(feature = "json", feature = "quick_cache"))]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use offgridflow_cache::{
    Cache, CacheBackend, CacheBuilder, Delivery, InProcess, Json, Loaded, Loader, loader_fn,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{sleep, timeout};

const DELTA: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
struct Source(Arc<AtomicU64>);

impl Loader<u64, u64> for Source {
    type Error = Infallible;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Infallible> {
        Ok(Loaded::value(self.0.load(Ordering::SeqCst)).tag("tag"))
    }
}

type Node = Cache<u64, u64, Source>;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A runtime that has ended.
fn ended() -> Handle {
    let runtime = runtime();
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    handle
}

fn alone() -> CacheBuilder<u64, u64> {
    Cache::builder("ends").max_staleness(DELTA)
}

const WAYS: [&str; 5] = ["by key", "by tag", "with everything", "by a put", "by a put under a lease"];

async fn remove(node: &Node, way: &str) -> Delivery {
    match way {
        "by key" => node.invalidate(&1).await,
        "by tag" => node.invalidate_tag("tag").await,
        "with everything" => node.clear().await,
        "by a put" => node.put(&1, 1).await,
        _ => node.lease(&1).await.put(1).await,
    }
}

async fn read(node: &Node) -> u64 {
    *node.get(&1).await.unwrap().unwrap()
}

/// Until reads of `node` give this.
async fn reads(node: &Node, value: u64) {
    for _ in 0..1_000 {
        if read(node).await == value {
            return;
        }
        sleep(DELTA / 20).await;
    }
    panic!("{value} is not read");
}

/// Until `node` serves what is near.
async fn trusted(node: &Node) {
    for _ in 0..1_000 {
        read(node).await;
        if node.peek(&1).is_some() {
            return;
        }
        sleep(DELTA / 20).await;
    }
    panic!("nothing is served near");
}

/// What becomes of a removal that `call` makes from elsewhere; `alive` is where the cache was built.
fn is_removed(call: impl Fn(&Node, &str) -> Delivery) {
    let alive = runtime();
    for way in WAYS {
        let source = Source::default();
        let cache = alone().build(source.clone()).unwrap();
        assert_eq!(alive.block_on(read(&cache)), 0);
        source.0.store(1, Ordering::SeqCst);
        assert_eq!(call(&cache, way), Delivery::Delivered, "{way}: there is nobody else to be told");
        assert_eq!(alive.block_on(read(&cache)), 1, "{way}");

        let (source, store) = (Source::default(), InProcess::new());
        let node = || alone().shared(store.clone(), Json).build(source.clone()).unwrap();
        let (cache, other) = alive.block_on(async { (node(), node()) });
        alive.block_on(async {
            reads(&cache, 0).await;
            reads(&other, 0).await;
        });
        source.0.store(1, Ordering::SeqCst);
        assert_eq!(call(&cache, way), Delivery::Deferred, "{way}: the shared tier was not told");
        assert!(cache.peek(&1).is_none_or(|value| *value == 1), "{way}");
        assert_eq!(alive.block_on(read(&cache)), 1, "{way}");
        alive.block_on(async {
            while cache.stats().deferred > 0 {
                sleep(DELTA / 20).await;
            }
            reads(&other, 1).await;
        });
    }
}

#[test]
fn what_is_removed_on_a_runtime_that_has_ended_is_removed() {
    is_removed(|node, way| ended().block_on(remove(node, way)));
}

#[test]
fn what_is_removed_outside_of_a_runtime_is_removed() {
    is_removed(|node, way| {
        match std::pin::pin!(remove(node, way)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(delivery) => delivery,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    });
}

/// A cache that is kept in a `static`, say, and was built on the runtime of the first test.
#[test]
fn a_cache_goes_on_when_the_runtime_it_was_built_on_has_ended() {
    let (source, store) = (Source::default(), InProcess::new());
    let node = || alone().shared(store.clone(), Json).build(source.clone()).unwrap();
    let first = runtime();
    let cache = first.block_on(async { node() });
    first.block_on(trusted(&cache));
    first.shutdown_background();
    source.0.store(1, Ordering::SeqCst);
    assert_eq!(ended().block_on(cache.invalidate(&1)), Delivery::Deferred, "nobody could be told");
    let second = runtime();
    second.block_on(async {
        let other = node();
        reads(&cache, 1).await;
        trusted(&cache).await;
        let delivered = async {
            while cache.stats().deferred > 0 {
                read(&cache).await; // whoever uses the cache after the first runtime's last task has gone has it followed again
                sleep(DELTA / 20).await;
            }
        };
        timeout(Duration::from_secs(20), delivered).await.expect("what was deferred is delivered");
        trusted(&other).await;
        source.0.store(2, Ordering::SeqCst);
        assert_eq!(other.invalidate(&1).await, Delivery::Delivered);
        reads(&cache, 2).await;
    });
}

/// As where a thread has a runtime of its own, and drives it only while it waits for something.
#[test]
fn a_read_does_not_wait_for_a_load_whose_runtime_stands_still() {
    let own = || Builder::new_current_thread().enable_all().build().unwrap();
    let moment = Duration::from_millis(5);
    let slow = loader_fn(move |key: u64| async move {
        sleep(10 * moment).await;
        Ok::<_, Infallible>(Loaded::value(key))
    });
    let builder = alone().load_timeout(20 * moment).lease_wait(moment).shared_timeout(moment);
    let cache = builder.build(slow).unwrap();
    let left = own();
    let given_up = left.block_on(async { timeout(moment, cache.get(&1)).await });
    given_up.expect_err("nobody waits for it any more");
    own().block_on(async {
        let limit = Duration::from_secs(20);
        let joined = timeout(limit, cache.get(&1)).await.expect("it ends").unwrap();
        assert_eq!(joined.as_deref(), Some(&1));
        let batch = timeout(limit, cache.get_many(&[1, 2])).await.expect("it ends");
        assert!(batch.into_iter().all(|answer| answer.is_ok()));
    });
}

#[test]
fn a_cache_that_was_built_outside_of_a_runtime_begins_with_its_first_read() {
    let store = InProcess::new();
    let cache = alone().shared(store.clone(), Json).build(Source::default()).unwrap();
    runtime().block_on(async {
        trusted(&cache).await;
        let commands = store.stats().commands;
        sleep(5 * DELTA).await;
        assert!(store.stats().commands > commands + 5, "it follows what others remove");
    });
}
