//! What a hit does for a value that is to be loaded again.

use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::{advance, sleep};

use crate::source::{SECOND, TTL, builder, node, read};

const KEYS: u64 = 1_000;

#[tokio::test(start_paused = true)]
async fn hits_start_one_task_for_all_that_is_to_be_loaded_again() {
    let (node, source) = node(builder().stale_while_revalidate(TTL));
    for key in 0..KEYS {
        node.get(&key).await.unwrap();
    }
    advance(TTL + SECOND).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for key in 0..KEYS {
        node.get(&key).await.unwrap();
    }
    assert_eq!((tasks() - before, source.loads()), (1, KEYS), "no reader starts a load");
    sleep(SECOND).await;
    assert_eq!((source.loads(), node.stats().refreshes), (2 * KEYS, KEYS));
    assert_eq!(tasks(), before, "it does not stay");
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_while_the_task_goes_on_or_ends_is_loaded_again_too() {
    let (node, source) = node(builder().stale_while_revalidate(TTL));
    for pause in 0..150 {
        let loads = source.loads();
        read(&node).await;
        advance(TTL + SECOND).await;
        read(&node).await;
        sleep(Duration::from_millis(10)).await;
        assert!(source.loads() > loads, "after a pause of {pause} ms");
        sleep(Duration::from_millis(pause)).await;
    }
}

#[test]
fn a_runtime_that_ends_takes_no_refresh_of_the_next_with_it() {
    let (ttl, pause) = (Duration::from_millis(20), Duration::from_millis(30));
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (node, source) =
        runtime().block_on(async { node(builder().ttl(ttl).stale_while_revalidate(SECOND * 600)) });
    runtime().block_on(async {
        read(&node).await;
        sleep(pause).await;
        read(&node).await; // leaves its key, and the runtime ends before anybody takes it
    });
    assert_eq!(source.loads(), 1, "the task never ran");
    for loads in 2..=3 {
        runtime().block_on(async {
            read(&node).await;
            sleep(pause).await; // the task goes on when the runtime ends
        });
        assert_eq!(source.loads(), loads);
    }
}
