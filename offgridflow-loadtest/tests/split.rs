//! A run split over shards is the same run (promise L6). `scripts/verify/L6.sh` reads the line this prints.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{
    ArrivalProcess, Distribution, LoadTest, OpRng, Quantile, Rate, Schedule, workload_fn,
};

const WAYS: [u64; 4] = [1, 2, 4, 8];

fn schedules() -> Vec<Schedule> {
    let second = Duration::from_secs(1);
    let rate = Rate::ramp(0.0, 997.0, second * 3).hold(second * 7).then(0.3, second * 5).ramp_down(second);
    vec![Schedule::steady(rate.clone()), Schedule::poisson(rate, 42)]
}

/// What an operation took: mostly milliseconds, now and then never answered.
fn record(seen: &mut Distribution, index: u64) {
    let rng = OpRng::new(9, index);
    let octave = 10 + rng.below(20);
    let took = Duration::from_nanos((1 << octave) + rng.below(1 << octave));
    if rng.chance(0.01) {
        seen.record_unanswered(took);
    } else {
        seen.record(took);
    }
}

/// Shard after shard, whatever each has seen.
fn parts(schedule: &Schedule, shards: u64) -> Vec<Distribution> {
    let part = |shard| {
        let mut seen = Distribution::default();
        schedule.shard(shard, shards).for_each(|(index, _)| record(&mut seen, index));
        seen
    };
    (0..shards).map(part).collect()
}

fn merged(parts: &[Distribution]) -> Distribution {
    let mut whole = Distribution::default();
    parts.iter().for_each(|part| whole.merge(part));
    whole
}

#[test]
fn l6_splits_are_bit_identical_and_merges_exact() {
    let (mut instants, mut buckets, mut wrong_maxima) = (0, 0, 0);
    for schedule in schedules() {
        let whole: Vec<_> = schedule.shard(0, 1).collect();
        let expected = merged(&parts(&schedule, 1));
        for ways in WAYS {
            let mut union: Vec<_> = (0..ways).flat_map(|shard| schedule.shard(shard, ways)).collect();
            union.sort_unstable();
            assert_eq!(union, whole, "{ways} ways");
            instants += union.len();

            let parts = parts(&schedule, ways);
            assert_eq!(merged(&parts), expected, "{ways} ways");
            assert!(merged(&parts).answered().buckets().eq(expected.answered().buckets()), "{ways} ways");
            buckets += expected.answered().buckets().count();
            let truth = expected.quantile(0.95);
            let worst = parts.iter().filter_map(|part| part.quantile(0.95).value()).max();
            wrong_maxima += u32::from(ways > 1 && worst.map(Quantile::Value) != Some(truth));
        }
    }
    assert!(wrong_maxima > 0, "the control, the worst part's percentile, must be wrong");
    println!("L6 instants={instants} buckets={buckets} wrong_maxima={wrong_maxima}/6");
}

/// The engine itself, on real threads: every operation once, at the same intended instant, on any number of shards.
#[test]
fn the_engine_runs_every_operation_once_on_any_number_of_shards() {
    for ways in [1, 2, 4] {
        let schedule = Schedule::poisson(Rate::constant(2_000.0, Duration::from_millis(500)), 7);
        let expected: BTreeMap<u64, Duration> = schedule.shard(0, 1).collect();
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let shared = Arc::clone(&seen);
        let work = workload_fn(move |op| {
            let twice = shared.lock().expect("lock").insert(op.index(), op.intended()).is_some();
            async move { if twice { Err("twice") } else { Ok(()) } }
        });
        let test = LoadTest::new(work).executor(schedule).shards(ways);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let report = runtime.block_on(test.run()).expect("runs");
        assert_eq!((report.total.failed, report.offered), (0, expected.len() as u64), "{report}");
        assert_eq!(*seen.lock().expect("lock"), expected, "{ways} shards");
        assert_eq!(
            expected.len() as u64,
            Schedule::poisson(Rate::constant(2_000.0, Duration::from_millis(500)), 7).operations()
        );
    }
}
