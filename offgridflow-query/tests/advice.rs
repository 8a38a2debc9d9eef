//! What a pool says about itself, in virtual time: leaks, hopeless waits, and advice from Little's law.

use offgridflow_query::{Acquire, ConnectionPool, Lane, MemoryPool, PoolError, Sizing};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);
const PATIENT: Duration = Duration::from_secs(3_600);

/// Holds a connection for `hold`, `times` times, each after `pause`.
async fn work(pool: MemoryPool, times: u32, hold: Duration, pause: Duration) {
    for _ in 0..times {
        let guard = pool.acquire(Acquire::default().within(PATIENT)).await.unwrap();
        sleep(hold).await;
        drop(guard);
        sleep(pause).await;
    }
}

async fn together(pool: &MemoryPool, tasks: u32, times: u32, hold: Duration, pause: Duration) {
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        set.spawn(work(pool.clone(), times, hold, pause));
    }
    while let Some(done) = set.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leak_is_named_once_and_again_when_it_comes_back() {
    let pool = MemoryPool::new(2);
    let guard = pool.acquire(Acquire::lane(Lane::Background)).await.unwrap();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(pool.status().leaks.suspected, 0, "a minute is allowed");
    sleep(Duration::from_secs(2)).await;
    for _ in 0..3 {
        let leaks = pool.status().leaks;
        assert_eq!((leaks.suspected, leaks.returned, leaks.recent.len()), (1, 0, 1), "named once");
        let holder = &leaks.recent[0].holder;
        assert!(holder.at.contains("advice.rs:"), "{}", holder.at);
        assert_eq!((holder.lane, holder.held.as_secs()), (Lane::Background, 61));
    }
    sleep(Duration::from_secs(9)).await;
    drop(guard);
    let leaks = pool.status().leaks;
    assert_eq!((leaks.suspected, leaks.returned), (1, 1));
    let back = leaks.recent.last().unwrap();
    assert!(back.returned && back.holder.held.as_secs() == 70, "{back:?}");

    let quick = pool.acquire(Acquire::default()).await.unwrap();
    drop(quick);
    assert_eq!(pool.status().leaks.recent.len(), 2, "who is quick is not named");
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_in_vain_is_refused_at_once() {
    let pool = MemoryPool::new(2);
    together(&pool, 2, 50, 100 * MS, Duration::ZERO).await; // 100 ms each is what the pool has seen
    let _held =
        [pool.acquire(Acquire::default()).await.unwrap(), pool.acquire(Acquire::default()).await.unwrap()];
    let mut queue = JoinSet::new();
    for _ in 0..3 {
        queue.spawn(work(pool.clone(), 1, 100 * MS, Duration::ZERO));
    }
    while pool.status().waiting < 3 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    // Four turns of 100 ms by two places: 200 ms. Half of that is hopeless, a little more is not.
    match pool.acquire(Acquire::default().within(90 * MS)).await {
        Err(error @ PoolError::Shed { expected, left, max_open, waiting, .. }) => {
            assert!((180 * MS..=200 * MS).contains(&expected), "{expected:?}");
            assert_eq!((left, max_open, waiting), (90 * MS, 2, 3));
            assert!(error.is_transient() && error.to_string().contains("advice.rs:"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "at once");
    let waited = pool.acquire(Acquire::default().within(110 * MS)).await;
    assert!(matches!(waited, Err(PoolError::Timeout { .. })), "worth a try: {waited:?}");
    assert_eq!(began.elapsed(), 110 * MS);
    assert_eq!((pool.status().shed, pool.status().timeouts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_short_queue_is_waited_in_whatever_the_forecast() {
    let pool = MemoryPool::new(2);
    together(&pool, 2, 50, 100 * MS, Duration::ZERO).await;
    let _held =
        [pool.acquire(Acquire::default()).await.unwrap(), pool.acquire(Acquire::default()).await.unwrap()];
    let waited = pool.acquire(Acquire::default().within(MS)).await;
    assert!(matches!(waited, Err(PoolError::Timeout { .. })), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_too_small_should_be_raised() {
    let pool = MemoryPool::new(2);
    together(&pool, 8, 300, 10 * MS, 10 * MS).await; // each 20 ms were there no waiting: 4 busy
    let advice = pool.advice();
    let evidence = advice.evidence;
    assert_eq!((evidence.checkouts, evidence.peak, evidence.refused), (2_400, 2, 0));
    assert!(evidence.utilisation() > 0.95, "{advice}");
    assert!((evidence.occupied_secs() - 0.010).abs() < 0.001, "{advice}");
    assert!((evidence.load() - 2.0).abs() < 0.1, "a closed loop hides what it would do: {advice}");
    assert_eq!(advice.sizing, Sizing::Raise { to: 5 }, "{advice}");
    // As advised, once more: now it is enough, as queueing theory has it.
    let pool = MemoryPool::new(8);
    together(&pool, 8, 600, 10 * MS, 10 * MS).await;
    assert!((pool.advice().evidence.load() - 4.0).abs() < 0.3, "{}", pool.advice());
    assert_eq!(pool.advice().sizing, Sizing::Fits, "{}", pool.advice());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_hardly_used_can_be_lowered() {
    let pool = MemoryPool::new(25);
    together(&pool, 2, 700, 10 * MS, 10 * MS).await;
    let advice = pool.advice();
    assert_eq!(advice.sizing, Sizing::Lower { to: 3 }, "{advice}");
    assert_eq!(advice.evidence.waited, 0);
}

#[tokio::test(start_paused = true)]
async fn bursts_are_not_a_reason_to_grow() {
    let pool = MemoryPool::new(4);
    for _ in 0..60 {
        together(&pool, 20, 1, 10 * MS, Duration::ZERO).await; // 50 ms of queueing…
        sleep(Duration::from_millis(950)).await; // …and then nothing
    }
    let advice = pool.advice();
    assert!(advice.evidence.waited_share() > 0.5, "{advice}");
    assert_eq!(advice.sizing, Sizing::Uneven, "{advice}");
}

#[tokio::test(start_paused = true)]
async fn little_is_said_on_little_evidence() {
    let pool = MemoryPool::new(2);
    together(&pool, 8, 100, 10 * MS, Duration::ZERO).await; // 800 checkouts in 4 s
    let advice = pool.advice();
    assert_eq!(advice.sizing, Sizing::NotEnoughData, "{advice}");
    assert!(advice.to_string().starts_with("not enough data: 800 checkouts in 4 s"), "{advice}");
}

/// What happened long ago is no evidence, and what is going on is: holders that have not returned count.
#[tokio::test(start_paused = true)]
async fn evidence_is_recent_and_includes_who_is_out() {
    let pool = MemoryPool::new(4);
    together(&pool, 4, 1_000, 10 * MS, Duration::ZERO).await;
    for _ in 0..4 {
        sleep(Duration::from_secs(60)).await;
        let _ = pool.advice();
    }
    assert_eq!(pool.advice().evidence.checkouts, 0);
    let _out = pool.acquire(Acquire::default()).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(pool.advice().evidence.occupied, Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn waiting_is_counted_for_those_that_give_up_too() {
    let pool = MemoryPool::new(1);
    let held = pool.acquire(Acquire::default()).await.unwrap();
    let refused = pool.acquire(Acquire::default().within(50 * MS)).await;
    assert!(matches!(refused, Err(PoolError::Timeout { .. })));
    let gone = tokio::time::timeout(70 * MS, pool.acquire(Acquire::default())).await;
    assert!(gone.is_err());
    drop(held);
    let status = pool.status();
    assert_eq!((status.wait.count, status.wait.max_ns, status.cancelled), (3, 70_000_000, 1));
    assert_eq!(status.wait.sum_ns, 120_000_000);
}
