//! Tasks and waits by place.
#![cfg(feature = "tasks")]

use std::time::Duration;

use offgridflow_profile::{
    Profiled, TaskSite, WaitSite, Waited, task_profile, tasks, wait_profile, wait_site, waits,
};

fn site(name: &str) -> TaskSite {
    tasks().into_iter().find(|site| site.name == name).unwrap()
}

fn waited(name: &str) -> Waited {
    waits().into_iter().find(|site| site.name == name).unwrap()
}

#[tokio::test]
async fn tasks_are_counted_where_they_are_started() {
    let sleepers: Vec<_> =
        (0..5).map(|_| tokio::spawn(std::future::pending::<()>().profiled("sleeper"))).collect();
    for _ in 0..3 {
        tokio::spawn(async { tokio::task::yield_now().await }.profiled("quick")).await.unwrap();
    }
    let (sleeper, quick) = (site("sleeper"), site("quick"));
    assert_eq!((sleeper.live, sleeper.started, sleeper.polls), (5, 5, 5));
    assert!(sleeper.file.ends_with("tests/tasks.rs") && sleeper.line > 0);
    assert_eq!((quick.live, quick.completed, quick.dropped, quick.polls), (0, 3, 0, 6));
    let profile = task_profile();
    let stack = profile.stacks.iter().find(|stack| stack.frames[0].function == "sleeper").unwrap();
    assert_eq!(stack.values, [5]);
    for sleeper in sleepers {
        sleeper.abort();
        let _ = sleeper.await;
    }
    assert_eq!((site("sleeper").live, site("sleeper").dropped), (0, 5));
}

#[tokio::test]
async fn a_poll_that_blocks_and_a_panic_are_seen() {
    tokio::spawn(async { std::thread::sleep(Duration::from_millis(30)) }.profiled("blocks")).await.unwrap();
    assert!(site("blocks").longest_poll >= Duration::from_millis(30));
    tokio::spawn(async { panic!("meant") }.profiled("panics")).await.unwrap_err();
    assert_eq!((site("panics").live, site("panics").dropped), (0, 1));
}

#[test]
fn ages_are_those_of_the_living() {
    let old = async {}.profiled("aging");
    std::thread::sleep(Duration::from_millis(20));
    let young = async {}.profiled("aging");
    // Two calls on two lines are two places.
    let ages: Vec<Duration> =
        tasks().into_iter().filter(|site| site.name == "aging").map(|site| site.mean_age).collect();
    assert_eq!(ages.len(), 2);
    assert!(ages.iter().any(|age| *age >= Duration::from_millis(20)), "{ages:?}");
    drop((old, young));
}

#[test]
fn waits_are_counted_even_when_they_are_cut_short() {
    for _ in 0..3 {
        let _waiting = wait_site!("lock");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(waited("lock").waiting, 1);
    }
    let lock = waited("lock");
    assert_eq!((lock.waiting, lock.waits), (0, 3));
    assert!(lock.waited >= Duration::from_millis(6) && lock.longest >= Duration::from_millis(2), "{lock:?}");
    let profile = wait_profile();
    let stack = profile.stacks.iter().find(|stack| stack.frames[0].function == "lock").unwrap();
    assert_eq!(stack.values[0], 3);
    assert!(stack.values[1] >= 6_000_000);
}

#[tokio::test]
async fn a_cancelled_wait_has_ended() {
    static FLIGHT: WaitSite = WaitSite::new("flight", file!(), line!());
    let waiting = async {
        let _waiting = FLIGHT.enter();
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(Duration::from_millis(1), waiting).await;
    assert_eq!((waited("flight").waiting, waited("flight").waits), (0, 1));
}
