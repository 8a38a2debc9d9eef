//! What the profiler itself takes (promise P7): a process of its own, since memory is counted over all of it.
#![cfg(feature = "profiler")]

use std::time::{Duration, SystemTime};

use offgridflow_profile::{
    Frame, MemorySource, ProcSource, Profile, Profiled, Ring, Stack, ValueKind, tasks,
};

const MIB: u64 = 1 << 20;

fn in_use() -> u64 {
    ProcSource::new().read().unwrap().in_use_bytes()
}

fn profile(second: u64, samples: i64) -> Profile {
    let kind = ValueKind::new("samples", "count");
    let stack = |at: i64| Stack {
        frames: vec![Frame::named(format!("shop::function_{at}"))],
        values: vec![samples + at],
        labels: vec![],
    };
    Profile {
        kinds: vec![kind.clone()],
        stacks: (0..40).map(stack).collect(),
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second),
        duration: Duration::from_secs(1),
        period: 1,
        period_kind: kind,
        comments: vec![],
        mappings: vec![],
    }
}

/// The futures are there before the first reading, wrapped or not; the difference is what is kept of them elsewhere.
#[test]
fn p7_a_million_tasks_and_ten_thousand_windows_take_no_more_than_4_mib() {
    const TASKS: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut held = Vec::with_capacity(TASKS);
    held.extend((0..TASKS).map(|_| None));
    drop(std::hint::black_box(profile(0, 1).to_pprof())); // what encoding takes once
    let before = in_use();
    for place in &mut held {
        *place = Some(std::future::pending::<()>().profiled("bounds"));
    }
    assert_eq!(tasks().iter().find(|site| site.name == "bounds").unwrap().live, TASKS as u64);
    let with_tasks = in_use();
    let cap = MIB / 2;
    let ring = Ring::dir(folder.path(), cap, Duration::from_secs(3_600)).unwrap();
    let mut most = 0;
    for window in 0..10_000 {
        ring.push("cpu", &profile(window, 7)).unwrap();
        if window % 50 == 0 {
            let files = std::fs::read_dir(folder.path()).unwrap().flatten();
            most = most.max(files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>());
        }
    }
    let after = in_use();
    println!(
        "P7 tasks={} windows={} disk={most} cap={cap}",
        with_tasks.saturating_sub(before),
        after.saturating_sub(with_tasks)
    );
    assert!(after.saturating_sub(before) <= 4 * MIB, "{before} {with_tasks} {after}");
    assert!(most <= cap, "{most}");
    // The control: what is not bounded by age and bytes grows on the same windows.
    let unbounded = tempfile::tempdir().unwrap();
    let control = Ring::dir(unbounded.path(), u64::MAX, Duration::MAX).unwrap();
    (0..1_000).for_each(|window| drop(control.push("cpu", &profile(window, 7)).unwrap()));
    assert!(control.stats().bytes > most / 4 && control.stats().windows == 1_000);
    println!("P7 control: an unbounded ring keeps {} of 1000 windows", control.stats().windows);
    drop(held);
}
