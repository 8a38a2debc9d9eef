//! Tasks and waits by place.
#![cfg(feature = "tasks")]

use std::time::Duration;

use offgridflow_profile::{
    Profiled, TaskSite, WaitKind, WaitSite, Waited, lock_profile, task_profile, tasks, wait_profile,
    wait_site, waits,
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

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_task_that_the_profiler_spawns_is_put_down_to_the_line_that_asked() {
    let profiler = offgridflow_profile::Profiler::builder().start().unwrap();
    let line = line!() + 1;
    let seven = profiler.spawn("by the profiler", async { 7 });
    assert_eq!(seven.await.unwrap(), 7);
    let site = site("by the profiler");
    assert_eq!((site.line, site.started, site.completed, site.live), (line, 1, 1, 0));
    assert!(site.file.ends_with("tests/tasks.rs"), "{}", site.file);
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
    static FLIGHT: WaitSite = WaitSite::new("flight", WaitKind::Other, file!(), line!());
    let waiting = async {
        let _waiting = FLIGHT.enter();
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(Duration::from_millis(1), waiting).await;
    assert_eq!((waited("flight").waiting, waited("flight").waits), (0, 1));
}

/// Tasks of a place in the profile, by where they wait and by state.
fn framed(name: &str) -> Vec<(Option<String>, String, i64)> {
    let of_place = |stack: &offgridflow_profile::Stack| stack.frames.last().unwrap().function == name;
    let mut framed: Vec<_> = task_profile()
        .stacks
        .into_iter()
        .filter(of_place)
        .map(|stack| {
            let at = (stack.frames.len() > 1).then(|| stack.frames[0].function.clone());
            (at, stack.labels[0].1.clone(), stack.values[0])
        })
        .collect();
    framed.sort();
    framed
}

#[tokio::test]
async fn a_task_s_state_and_where_it_waits_are_shown() {
    let connect = || {
        async {
            let _waiting = wait_site!("connection");
            std::future::pending::<()>().await;
        }
        .profiled("states")
    };
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(connect())).collect();
    let unframed = tokio::spawn(std::future::pending::<()>().profiled("states elsewhere"));
    tokio::task::yield_now().await;
    let new = connect();
    assert_eq!(
        framed("states"),
        [(None, "new".to_owned(), 1), (Some("connection".to_owned()), "waiting".to_owned(), 3)]
    );
    assert_eq!(framed("states elsewhere"), [(None, "waiting".to_owned(), 1)]);
    assert_eq!((site("states").unpolled, site("states").running, site("states").waiting()), (1, 0, 3));

    for task in waiting.into_iter().chain([unframed]) {
        task.abort();
        let _ = task.await;
    }
    drop(new);
    assert_eq!(framed("states"), []);
    assert_eq!((site("states").unpolled, site("states").live), (0, 0));
}

#[tokio::test]
async fn a_task_that_runs_is_running_and_a_wait_outside_of_tasks_is_nobody_s() {
    let seen = async { (site("runs").running, framed("runs")) }.profiled("runs").await;
    assert_eq!(seen, (1, vec![(None, "running".to_owned(), 1)]));
    let _waiting = wait_site!("nobody's");
    assert_eq!(waited("nobody's").waiting, 1);
    let shown = task_profile().stacks.into_iter().any(|stack| stack.frames[0].function == "nobody's");
    assert!(!shown);
}

/// A task within a task, and a panic, leave the outer one as it was.
#[tokio::test]
async fn the_outer_task_is_polled_again_after_an_inner_one() {
    let inner = async {
        let panics = async { panic!("meant") }.profiled("inner that panics");
        let _ = tokio::spawn(panics).await;
        async {}.profiled("inner").await;
        let _waiting = wait_site!("after the inner");
        framed("outer")
    };
    let seen = inner.profiled("outer").await;
    // It is being polled and waits: what runs is not shown as waiting.
    assert_eq!(seen, [(None, "running".to_owned(), 1)]);
    assert_eq!((site("inner that panics").running, site("inner that panics").live), (0, 0));
}

#[tokio::test]
async fn a_future_that_need_not_wait_is_no_wait_and_a_dropped_one_has_ended() {
    let wait = |ready: bool| {
        let future = async move {
            if !ready {
                std::future::pending::<()>().await;
            }
        };
        wait_site!("maybe", future)
    };
    wait(true).await;
    assert!(waits().iter().all(|site| site.name != "maybe"));
    let _ = tokio::time::timeout(Duration::from_millis(5), wait(false)).await;
    let maybe = waited("maybe");
    assert_eq!((maybe.waiting, maybe.waits), (0, 1));
    assert!(maybe.waited >= Duration::from_millis(4), "{maybe:?}");
}

#[test]
fn waits_for_locks_are_told_apart() {
    drop(wait_site!(lock "table"));
    drop(wait_site!("answer"));
    let names = |profile: offgridflow_profile::Profile| -> Vec<String> {
        profile.stacks.into_iter().map(|stack| stack.frames[0].function.clone()).collect()
    };
    let (locks, all) = (names(lock_profile()), names(wait_profile()));
    assert!(locks.contains(&"table".to_owned()) && !locks.contains(&"answer".to_owned()), "{locks:?}");
    assert!(all.contains(&"table".to_owned()) && all.contains(&"answer".to_owned()), "{all:?}");
    assert_eq!((waited("table").kind, waited("answer").kind), (WaitKind::Lock, WaitKind::Other));
}

/// What hangs has no end that could be counted: it is what one looks for.
#[test]
fn waits_under_way_are_in_the_profiles() {
    let lock = std::sync::Mutex::new(7);
    let held = lock.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _waiting = wait_site!(lock "hangs");
            drop(lock.lock());
        });
        let of = |profile: &offgridflow_profile::Profile| {
            let hangs = |stack: &&offgridflow_profile::Stack| stack.frames[0].function == "hangs";
            profile.stacks.iter().find(hangs).map(|stack| (stack.values[0], stack.values[1]))
        };
        let began = std::time::Instant::now();
        let seen = loop {
            match of(&lock_profile()) {
                Some((1, nanos)) if nanos >= 20_000_000 => break nanos,
                _ if began.elapsed() > Duration::from_secs(20) => panic!("{:?}", lock_profile()),
                _ => std::thread::yield_now(),
            }
        };
        assert!(seen <= i64::try_from(began.elapsed().as_nanos()).unwrap() + 1_000_000_000, "{seen}");
        assert!(wait_profile().comments.iter().any(|words| words.starts_with("hangs: 1 under way, ")));
        drop(held);
    });
    assert_eq!((waited("hangs").waiting, waited("hangs").under_way), (0, Duration::ZERO));
    assert!(waited("hangs").waited >= Duration::from_millis(20));
}
