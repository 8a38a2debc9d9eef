//! One suite for every [`ConnectionPool`]: ours, a wrapper, your own.
//!
//! ```
//! use offgridflow_query::{MemoryPool, conformance};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! conformance::all(async |max_open| MemoryPool::new(max_open)).await;
//! # }
//! ```
#![expect(clippy::missing_panics_doc, reason = "a suite says no by panicking")]

use crate::pool::{Acquire, ConnectionPool, Guard, Lane};
use crate::pool_error::PoolError;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Long enough for any pool to open a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short enough not to notice.
const IMPATIENCE: Duration = Duration::from_millis(20);

/// Runs every check on fresh pools; `make` builds one with the given number of connections and a fifth of them in reserve.
pub async fn all<P: ConnectionPool>(make: impl AsyncFn(usize) -> P) {
    lends_up_to_the_limit_and_times_out(&make(2).await).await;
    serves_waiters_in_order(&make(1).await).await;
    dropped_waiters_leave_nothing(&make(1).await).await;
    dropped_acquires_leave_the_pool_whole(&make(2).await).await;
    broken_connections_are_replaced(&make(1).await).await;
    used_connections_are_lent_again(&make(2).await).await;
    a_deadline_of_now_gets_what_is_free(&make(1).await).await;
    every_caller_is_counted_once(&make(1).await).await;
    background_leaves_the_reserve(&make(5).await).await;
    closing_refuses_and_waits(&make(2).await).await;
}

async fn take<P: ConnectionPool>(pool: &P, lane: Lane) -> Guard<P::Conn> {
    pool.acquire(Acquire::lane(lane).within(PATIENCE)).await.expect("a free place is lent")
}

async fn settles<P: ConnectionPool>(pool: &P) {
    // Giving back may go through a task; a lane that is whole lends all its places again.
    let mut held = Vec::new();
    for _ in 0..pool.status().max_open {
        held.push(take(pool, Lane::Interactive).await);
    }
    let status = pool.status();
    assert_eq!((status.in_use, status.waiting), (status.max_open, 0));
}

/// A pool lends `max_open` connections, not one more, and says so with the names of the holders.
pub async fn lends_up_to_the_limit_and_times_out<P: ConnectionPool>(pool: &P) {
    let (one, two) = (take(pool, Lane::Interactive).await, take(pool, Lane::Interactive).await);
    assert_eq!(pool.status().in_use, 2);
    match pool.acquire(Acquire::default().within(IMPATIENCE)).await {
        Err(PoolError::Timeout { in_use, max_open, holders, .. }) => {
            assert_eq!((in_use, max_open, holders.len()), (2, 2, 2));
            assert!(holders[0].at.contains("conformance.rs"), "the holder is named: {}", holders[0].at);
            assert!(holders[0].held >= holders[1].held, "the oldest comes first");
        }
        other => panic!("a third connection of two: {other:?}"),
    }
    assert_eq!(pool.status().timeouts, 1);
    drop(one);
    drop(take(pool, Lane::Interactive).await);
    drop(two);
    settles(pool).await;
    assert!(pool.status().wait.count >= 4, "every acquire is in the histogram");
}

/// Who came first is served first.
pub async fn serves_waiters_in_order<P: ConnectionPool>(pool: &P) {
    let held = take(pool, Lane::Interactive).await;
    let mut first = pin!(pool.acquire(Acquire::default().within(PATIENCE)));
    let mut second = pin!(pool.acquire(Acquire::default().within(PATIENCE)));
    assert!(is_pending(&mut first).await && is_pending(&mut second).await);
    assert_eq!(pool.status().waiting, 2);
    drop(held);
    let served = first.await.expect("the first waiter is served");
    assert!(is_pending(&mut second).await, "the second waits for the first");
    drop(served);
    drop(second.await.expect("then the second"));
}

/// A waiter that goes away gives up its turn, not a connection.
pub async fn dropped_waiters_leave_nothing<P: ConnectionPool>(pool: &P) {
    let held = take(pool, Lane::Interactive).await;
    for _ in 0..10 {
        let mut waiter = Box::pin(pool.acquire(Acquire::default().within(PATIENCE)));
        assert!(is_pending(&mut waiter.as_mut()).await);
    }
    let status = pool.status();
    assert_eq!((status.waiting, status.cancelled, status.in_use), (0, 10, 1));
    drop(held);
    settles(pool).await;
}

/// Whatever point an acquire has reached when it is dropped, every place can be lent again.
pub async fn dropped_acquires_leave_the_pool_whole<P: ConnectionPool>(pool: &P) {
    for polls in 0..20 {
        let mut acquire = Box::pin(pool.acquire(Acquire::default().within(PATIENCE)));
        for _ in 0..polls {
            if !is_pending(&mut acquire.as_mut()).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(acquire);
    }
    settles(pool).await;
}

/// A connection that comes back broken is not lent again.
pub async fn broken_connections_are_replaced<P: ConnectionPool>(pool: &P) {
    let mut guard = take(pool, Lane::Interactive).await;
    guard.mark_broken();
    drop(guard);
    settles(pool).await;
    assert_eq!(pool.status().broken, 1);
    let mut guard = take(pool, Lane::Interactive).await;
    guard.mark_broken();
    guard.mark_whole();
    drop(guard);
    settles(pool).await;
    assert_eq!(pool.status().broken, 1);
}

/// A connection that was used, or whose holder vouches for it, is lent again; nothing is closed for that.
pub async fn used_connections_are_lent_again<P: ConnectionPool>(pool: &P) {
    for round in 0..20 {
        let mut guard = take(pool, Lane::Interactive).await;
        let _: &mut P::Conn = &mut guard;
        if round % 2 == 0 {
            guard.mark_whole();
        }
    }
    settles(pool).await;
    let status = pool.status();
    assert_eq!(status.broken, 0);
    assert!(status.open <= status.max_open, "{} of {} are open", status.open, status.max_open);
}

/// A deadline of now, or one that has passed, gets what is free and waits for nothing.
pub async fn a_deadline_of_now_gets_what_is_free<P: ConnectionPool>(pool: &P) {
    drop(take(pool, Lane::Interactive).await); // open, and at hand as it was not used
    let held = pool.acquire(Acquire::default().within(Duration::ZERO)).await;
    let held = held.expect("a free connection is lent whatever the deadline");
    let refused = pool.acquire(Acquire::default().within(Duration::ZERO)).await;
    assert!(matches!(refused, Err(PoolError::Timeout { .. })), "{refused:?}");
    drop(held);
}

/// Whoever asked is in the histogram of waits once: served at once, served later, refused, gone.
pub async fn every_caller_is_counted_once<P: ConnectionPool>(pool: &P) {
    let held = take(pool, Lane::Interactive).await;
    let refused = pool.acquire(Acquire::default().within(IMPATIENCE)).await;
    assert!(matches!(refused, Err(PoolError::Timeout { .. })), "{refused:?}");
    let mut gone = Box::pin(pool.acquire(Acquire::default().within(PATIENCE)));
    assert!(is_pending(&mut gone.as_mut()).await);
    drop(gone);
    let mut served = pin!(pool.acquire(Acquire::default().within(PATIENCE)));
    assert!(is_pending(&mut served).await);
    drop(held);
    drop(served.await.expect("it waited long enough"));
    let status = pool.status();
    assert_eq!((status.acquired, status.timeouts, status.cancelled, status.shed), (2, 1, 1, 0));
    assert_eq!((status.wait.count, status.waiting), (4, 0));
}

/// Background work cannot take the last places; interactive work can.
pub async fn background_leaves_the_reserve<P: ConnectionPool>(pool: &P) {
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(take(pool, Lane::Background).await);
    }
    let fifth = pool.acquire(Acquire::lane(Lane::Background).within(IMPATIENCE)).await;
    assert!(matches!(fifth, Err(PoolError::Timeout { .. })), "{fifth:?}");
    held.push(take(pool, Lane::Interactive).await);
    assert_eq!(pool.status().in_use, 5);
}

/// A closing pool refuses waiters and newcomers, and waits for what is lent.
pub async fn closing_refuses_and_waits<P: ConnectionPool>(pool: &P) {
    let (one, two) = (take(pool, Lane::Interactive).await, take(pool, Lane::Interactive).await);
    let mut waiter = pin!(pool.acquire(Acquire::default().within(PATIENCE)));
    assert!(is_pending(&mut waiter).await);
    let mut closing = pin!(pool.close());
    assert!(is_pending(&mut closing).await, "two connections are lent");
    assert!(matches!(waiter.await, Err(PoolError::Closed)), "waiters are refused");
    drop((one, two));
    closing.await;
    assert!(
        matches!(pool.acquire(Acquire::default()).await, Err(PoolError::Closed)),
        "newcomers are refused"
    );
}

async fn is_pending<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
