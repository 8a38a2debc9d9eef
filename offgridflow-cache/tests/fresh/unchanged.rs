//! Loads that find nothing new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use offgridflow_cache::{Delivery, Error, InProcess, Json, Loaded, Loader};
use tokio::time::sleep;

use crate::source::{Down, SECOND, TTL, builder, node, read, settle};

/// A source with versions, that says when the one it is shown is its newest.
#[derive(Clone, Default)]
struct Versions {
    newest: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    lies: Arc<AtomicBool>,
}

impl Loader<u64, u64> for Versions {
    type Error = Down;

    async fn load(&self, _: u64) -> Result<Loaded<u64>, Down> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        Ok(Loaded::value(self.newest.load(Ordering::SeqCst)).tag("tag"))
    }

    async fn reload_many(&self, keys: Vec<(u64, Option<Arc<u64>>)>) -> Vec<Result<Loaded<u64>, Down>> {
        let newest = self.newest.load(Ordering::SeqCst);
        let mut answers = Vec::new();
        for (key, known) in keys {
            let same = known.is_some_and(|known| *known == newest) || self.lies.load(Ordering::SeqCst);
            answers.push(if same { Ok(Loaded::not_modified()) } else { self.load(key).await });
        }
        answers
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_nothing_new_says_so_and_sends_nothing() {
    let source = Versions::default();
    let cache = builder().shared(InProcess::new(), Json).build(source.clone()).unwrap();
    settle().await;
    for _ in 0..5 {
        assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
        sleep(TTL + SECOND).await;
    }
    assert_eq!(source.sent.load(Ordering::SeqCst), 1);
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7));

    let _ = cache.invalidate(&1).await;
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7));
    assert_eq!(source.sent.load(Ordering::SeqCst), 3, "what was removed is not shown to it");
    source.lies.store(true, Ordering::SeqCst);
    assert!(matches!(cache.get(&2).await, Err(Error::NothingHeld)));
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_keeps_its_tags() {
    let (source, store) = (Versions::default(), InProcess::new());
    let node = || builder().shared(store.clone(), Json).build(source.clone()).unwrap();
    let (cache, other, late) = (node(), node(), node());
    settle().await;
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
    sleep(TTL + SECOND).await;
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&0));
    assert_eq!(source.sent.load(Ordering::SeqCst), 1, "it has not changed");
    settle().await;
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&0));
    assert_eq!(other.stats().shared_hits, 1);
    source.newest.store(7, Ordering::SeqCst);
    assert_eq!(cache.invalidate_tag("tag").await, Delivery::Delivered);
    assert_eq!(late.get(&1).await.unwrap().as_deref(), Some(&7), "in the shared tier");
    assert_eq!(cache.get(&1).await.unwrap().as_deref(), Some(&7), "near");
    sleep(SECOND * 3).await;
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&7), "near, elsewhere");
}

#[tokio::test(start_paused = true)]
async fn what_says_that_nothing_changed_puts_nothing() {
    let (node, _) = node(builder());
    assert_eq!(read(&node).await, 1);
    for leased in [false, true] {
        let delivery = if leased {
            node.lease(&1).await.put(Loaded::not_modified()).await
        } else {
            node.put(&1, Loaded::not_modified()).await
        };
        assert_eq!(delivery, Delivery::Delivered);
        assert_eq!(read(&node).await, 2 + u64::from(leased), "the source decides");
    }
}
