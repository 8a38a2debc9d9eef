//! The schedules S1–S6 of the protocol, each played twice: as it is, and without the mechanism that it is about.
//! S3 is beside its mutant, in `src/sim/unfenced.rs`: it needs nodes that send messages.

mod gated;

use std::sync::atomic::Ordering;
use std::time::Duration;

use gated::{DELTA, Gated, Node, PATIENCE, Source, read, reading};
use offgridflow_cache::sim::{Mutant, Notice, Store};
use offgridflow_cache::{Cache, Delivery, InProcess, Json};
use tokio::time::sleep;

fn node(shared: &Gated, source: &Source, mutant: Option<Mutant>, patience: Duration) -> Node {
    let builder = Cache::builder("schedules").shared(shared.clone(), Json).mutant(mutant);
    builder.max_staleness(DELTA).shared_timeout(patience).build(source.clone()).unwrap()
}

/// The store as a node has it that remembers how far its sequence had come.
fn connected(store: &InProcess) -> Gated {
    Gated { link: store.connect(), ..Gated::over(store) }
}

/// A schedule, and whether its last read saw the new value.
async fn with_and_without<F: Future<Output = bool>>(mutant: Mutant, schedule: impl Fn(Option<Mutant>) -> F) {
    assert!(schedule(None).await, "the promise is kept");
    assert!(!schedule(Some(mutant)).await, "and without {mutant:?} it is not");
}

/// S1: while the removal is under way, a read finds the old value still in the shared tier.
#[tokio::test(start_paused = true)]
async fn s1_what_is_read_while_a_removal_is_under_way_is_not_kept() {
    with_and_without(Mutant::FenceOnce, async |mutant| {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let a = node(&shared, &source, mutant, DELTA * 10);
        let b = node(&Gated::over(&shared.store), &source, None, PATIENCE);
        assert_eq!(read(&b).await, 0, "the shared tier has the old value");
        source.set(1);
        shared.remove.close();
        let invalidating = a.clone();
        let invalidation = tokio::spawn(async move { invalidating.invalidate(&1).await });
        shared.remove.reached().await;
        read(&a).await; // it may see either
        shared.remove.release();
        assert_eq!(invalidation.await.unwrap(), Delivery::Delivered);
        read(&a).await == 1
    })
    .await;
}

/// S2: the reply with the old value arrives after a gap in the sequence was found.
#[tokio::test(start_paused = true)]
async fn s2_what_was_asked_for_before_a_gap_is_not_trusted_after_it() {
    with_and_without(Mutant::BornAtLanding, async |mutant| {
        let store = InProcess::new();
        let (shared, source) = (Gated::over(&store), Source::new());
        let b = node(&shared, &source, mutant, DELTA * 100);
        let a = node(&Gated::over(&store), &source, None, PATIENCE);
        assert_eq!(read(&a).await, 0);
        sleep(DELTA).await; // b has followed the sequence
        shared.told.close();
        let early = reading(&b);
        shared.told.reached().await;
        source.set(1);
        assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
        for key in 10..2_000 {
            let _ = a.invalidate(&key).await; // more than is remembered
        }
        while b.stats().gaps == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        shared.told.release();
        early.await.unwrap();
        read(&b).await == 1
    })
    .await;
}

/// S4: the polling task gets nowhere while hits go on.
#[tokio::test(start_paused = true)]
async fn s4_what_nobody_vouches_for_is_not_served_however_the_polling_task_fares() {
    with_and_without(Mutant::TickedTrust, async |mutant| {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let b = node(&shared, &source, mutant, DELTA * 100);
        let a = node(&Gated::over(&shared.store), &source, None, PATIENCE);
        sleep(DELTA).await;
        assert_eq!(read(&b).await, 0);
        shared.silent.store(true, Ordering::SeqCst); // its next look for news hangs
        source.set(1);
        assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
        sleep(DELTA).await;
        b.peek(&1).is_none_or(|value| *value == 1)
    })
    .await;
}

/// S5: the shared tier is saved, something is invalidated, and it starts again from the file. (With a real Redis: `nodes`.)
#[tokio::test(start_paused = true)]
async fn s5_what_a_restart_brings_back_is_not_served() {
    with_and_without(Mutant::TrustRollback, async |mutant| {
        let (store, source) = (InProcess::new(), Source::new());
        let a = node(&connected(&store), &source, None, PATIENCE);
        assert_eq!(read(&a).await, 0);
        sleep(DELTA).await; // it is filled
        store.save();
        source.set(1);
        assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
        store.restart(if mutant.is_some() { Notice::Never } else { Notice::ByAll });
        let b = node(&connected(&store), &source, None, PATIENCE);
        sleep(DELTA).await;
        read(&b).await == 1 && read(&a).await == 1
    })
    .await;
}

/// S5, before anybody has looked for news: the node that removed the key asks for it at once. Its look may have been sent before the
/// restart, and be answered after it.
#[tokio::test(start_paused = true)]
async fn s5_what_a_restart_brings_back_is_not_served_to_who_removed_it_before_news_either() {
    for sent_before in [false, true] {
        with_and_without(Mutant::BelieveLooks, async |mutant| {
            let (store, source) = (InProcess::new(), Source::new());
            let shared = connected(&store);
            let a = node(&shared, &source, None, DELTA * 10);
            assert_eq!(read(&a).await, 0);
            sleep(DELTA).await; // it is filled
            store.save();
            source.set(1);
            assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
            shared.news.close();
            let restart = || store.restart(if mutant.is_some() { Notice::ByNews } else { Notice::ByAll });
            if sent_before {
                shared.ask.close();
                let early = reading(&a);
                shared.ask.reached().await;
                restart();
                shared.ask.release();
                return early.await.unwrap() == 1;
            }
            restart();
            read(&a).await == 1
        })
        .await;
    }
}

/// S6: a node writes, another writes after it and invalidates, and the first puts what it wrote.
#[tokio::test(start_paused = true)]
async fn s6_a_put_under_a_lease_does_not_bring_back_what_another_node_overwrote() {
    with_and_without(Mutant::PutUnleased, async |mutant| {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let a = node(&shared, &source, mutant, PATIENCE);
        let b = node(&Gated::over(&shared.store), &source, None, PATIENCE);
        sleep(DELTA).await;
        let lease = a.lease(&1).await;
        source.set(1); // by a
        source.set(2); // by b
        assert_eq!(b.invalidate(&1).await, Delivery::Delivered);
        assert_eq!(lease.put(1).await, Delivery::Delivered);
        let c = node(&Gated::over(&shared.store), &source, None, PATIENCE);
        sleep(DELTA).await;
        read(&a).await == 2 && read(&c).await == 2
    })
    .await;
}

/// What is put under a lease, and by nobody else meanwhile, is kept: the sequence says so.
#[tokio::test(start_paused = true)]
async fn what_is_put_under_a_lease_is_read_everywhere_without_a_load() {
    let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
    let a = node(&shared, &source, None, PATIENCE);
    let b = node(&Gated::over(&shared.store), &source, None, PATIENCE);
    sleep(DELTA).await;
    assert_eq!((read(&a).await, read(&b).await), (0, 0));
    let loads = source.loads();
    let lease = a.lease(&1).await;
    let _ = b.invalidate(&7).await; // another key
    assert_eq!(lease.put(5).await, Delivery::Delivered);
    assert_eq!(read(&a).await, 5);
    sleep(DELTA).await;
    assert_eq!((read(&b).await, source.loads()), (5, loads));
}

/// A put without a lease: an invalidation on its own node that comes meanwhile wins.
#[tokio::test(start_paused = true)]
async fn an_invalidation_that_comes_meanwhile_wins_over_a_put() {
    for late in ["before the lease", "after the lease"] {
        let (shared, source) = (Gated::over(&InProcess::new()), Source::new());
        let a = node(&shared, &source, None, PATIENCE);
        let gate = if late == "before the lease" { &shared.ask } else { &shared.fill };
        gate.close();
        source.set(1);
        let putting = a.clone();
        let put = tokio::spawn(async move { putting.put(&1, 1).await });
        gate.reached().await;
        source.set(2);
        assert_eq!(a.invalidate(&1).await, Delivery::Delivered);
        gate.release();
        assert_eq!(put.await.unwrap(), Delivery::Delivered);
        assert_eq!(read(&a).await, 2, "{late}: not here");
        let other = node(&Gated::over(&shared.store), &source, None, PATIENCE);
        assert_eq!(read(&other).await, 2, "{late}: not in the shared tier");
    }
}
