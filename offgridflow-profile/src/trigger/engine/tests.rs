use proptest::prelude::*;

use super::*;
use crate::{Place, TaskCount, TrendOptions, TriggerState, WaitTime};

const PLACE: Place = Place { name: "export", file: "src/export.rs", line: 7 };

fn at(second: u64) -> Observation {
    Observation::new(Duration::from_secs(second))
}

fn wall(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn run(
    engine: &mut TriggerEngine,
    seconds: std::ops::Range<u64>,
    see: impl Fn(&mut Observation),
) -> Vec<(u64, Fired)> {
    let step = |second| {
        let mut seen = at(second);
        see(&mut seen);
        engine.step(&seen, wall(second)).into_iter().map(move |fired| (second, fired)).collect::<Vec<_>>()
    };
    seconds.flat_map(step).collect()
}

#[test]
fn a_level_must_hold_without_a_break() {
    let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
    let fired = run(&mut engine, 0..100, |seen| {
        seen.cpu_cores = Some(if seen.at.as_secs() % 10 == 9 { 0.5 } else { 1.9 });
    });
    assert!(fired.is_empty(), "{fired:?}");
    let fired = run(&mut engine, 100..120, |seen| seen.cpu_cores = Some(1.9));
    assert_eq!(fired.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [110]);
}

fn busy(engine: &mut TriggerEngine, seconds: std::ops::Range<u64>) -> Vec<u64> {
    let fired = run(engine, seconds, |seen| seen.cpu_cores = Some(1.9));
    fired.into_iter().map(|(second, _)| second).collect()
}

/// A process that is not given CPU time observes late, and shows less than it wants.
#[test]
fn a_gap_is_neither_for_nor_against_a_level() {
    let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
    assert!(busy(&mut engine, 0..6).is_empty());
    let mut late = at(11);
    (late.cpu_cores, late.late) = (Some(0.4), Duration::from_secs(5));
    assert!(engine.step(&late, wall(11)).is_empty());
    // Five seconds held before the gap, and five must hold after it.
    assert_eq!(busy(&mut engine, 12..30), [17]);
}

#[test]
fn what_was_wanted_and_not_given_does_not_break_a_level() {
    let starved = |waited: f64| {
        let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
        let fired = run(&mut engine, 0..60, |seen| {
            let given = if seen.at.as_secs() % 4 == 3 { 0.4 } else { 1.9 };
            (seen.cpu_cores, seen.cpu_waited) = (Some(given), Some(1.9 - given).map(|less| less * waited));
        });
        fired.into_iter().map(|(second, fired)| (second, fired.held)).next()
    };
    assert_eq!(starved(0.0), None, "the control: it did not want more");
    let (second, held) = starved(1.0).unwrap();
    assert!((18..=26).contains(&second) && held >= Duration::from_secs(10), "{second} {held:?}");
    // What is wanted and never given does not hold: nothing was busy.
    let mut engine = TriggerEngine::new(vec![Trigger::cpu_above(1.0)], Budget::default());
    let fired = run(&mut engine, 0..60, |seen| (seen.cpu_cores, seen.cpu_waited) = (Some(0.4), Some(1.5)));
    assert!(fired.is_empty(), "{fired:?}");
    let words = engine.explain(wall(60)).remove(0).to_string();
    assert!(words.contains("1.50 more were wanted and not given"), "{words}");
}

#[test]
fn a_gap_that_is_too_long_starts_over() {
    let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
    let slow = |seen: &mut Observation| seen.latency_p99 = Some(Duration::from_secs(1));
    assert!(run(&mut engine, 0..9, slow).is_empty());
    assert!(run(&mut engine, 9..20, |_| {}).is_empty(), "nobody answered: not known");
    let fired = run(&mut engine, 20..40, slow);
    assert_eq!(fired[0].0, 30, "ten seconds from the start");
    let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
    let known = |seen: &mut Observation| {
        if seen.at.as_secs() % 3 < 2 {
            slow(seen);
        }
    };
    assert!(!run(&mut engine, 0..40, known).is_empty(), "now and then nobody answered");
}

#[test]
fn each_kind_fires_and_names_its_place() {
    let second = Duration::from_secs(1);
    let triggers = vec![
        Trigger::latency_above(second),
        Trigger::pressure_above(0.2),
        Trigger::tasks_above(100),
        Trigger::wait_above(second),
    ];
    let mut engine = TriggerEngine::new(triggers, Budget::new(10, second));
    let fired = run(&mut engine, 0..30, |seen| {
        seen.latency_p99 = Some(2 * second);
        seen.pressure = Some(0.5);
        seen.tasks = vec![TaskCount { place: PLACE, live: 101 }];
        seen.waits = vec![WaitTime { place: PLACE, waiting: 3, mean: 2 * second }];
    });
    let words: Vec<&str> = fired.iter().map(|(_, fired)| fired.why.as_str()).collect();
    assert_eq!(
        words,
        [
            "latency p99 above 1s for 10 s: p99 of 2.0s",
            "memory pressure above 20.0 % for 10 s: stalled 50.0 % of the time",
            "more than 100 tasks of one place for 10 s: 101 tasks of export (src/export.rs:7)",
            "waits of one place above 1s for 10 s: 2.0s at export (src/export.rs:7), 3 waiting",
        ]
    );
    assert_eq!(fired[2].1.place, Some(PLACE));
}

#[test]
fn after_a_capture_it_rests_and_then_fires_again() {
    let trigger = Trigger::cpu_above(1.0).cooldown(Duration::from_secs(60));
    let mut engine = TriggerEngine::new(vec![trigger], Budget::default());
    let fired = run(&mut engine, 0..100, |seen| seen.cpu_cores = Some(1.9));
    assert_eq!(fired.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [10, 70]);
    let rests = engine.explain(wall(99))[0].state;
    assert_eq!(rests, TriggerState::Rests { left: Duration::from_secs(31) });
}

#[test]
fn a_spent_budget_withholds_and_survives_a_restart() {
    let hour = Duration::from_secs(3_600);
    let triggers = || vec![Trigger::cpu_above(1.0).cooldown(Duration::ZERO)];
    let mut engine = TriggerEngine::new(triggers(), Budget::new(2, hour));
    assert_eq!(run(&mut engine, 0..100, |seen| seen.cpu_cores = Some(1.9)).len(), 2);
    let explained = engine.explain(wall(99)).remove(0);
    assert_eq!((explained.state, explained.fired, explained.withheld), (TriggerState::OutOfBudget, 2, 1));
    let budget = Budget::new(2, hour).resume(&engine.budget().to_text());
    let mut again = TriggerEngine::new(triggers(), budget);
    assert!(run(&mut again, 0..100, |seen| seen.cpu_cores = Some(1.9)).is_empty());
}

#[test]
fn what_is_not_known_never_holds_and_is_said() {
    let mut engine = TriggerEngine::new(vec![Trigger::latency_above(Duration::ZERO)], Budget::default());
    assert!(run(&mut engine, 0..50, |_| {}).is_empty());
    let explained = engine.explain(wall(50)).remove(0);
    assert_eq!(explained.state, TriggerState::Blind);
    assert!(explained.to_string().contains("is not known"), "{explained}");
}

#[test]
fn a_leak_towards_a_limit_fires_both_of_memory_s() {
    let minute = Duration::from_secs(60);
    let options = TrendOptions { min_window: minute, ..TrendOptions::default() };
    let triggers = vec![Trigger::leak_within(minute, options), Trigger::time_to_limit(60 * minute)];
    let mut engine = TriggerEngine::new(triggers, Budget::default());
    let leaks = |seen: &mut Observation| {
        seen.memory_bytes = Some((100 << 20) + (seen.at.as_secs() << 17));
        seen.limit_bytes = Some(300 << 20); // reached after 1 600 s
    };
    let fired = run(&mut engine, 0..1_200, leaks);
    let kinds: Vec<&str> = fired.iter().map(|(_, fired)| fired.kind).collect();
    assert!(kinds.contains(&"leak") && kinds.contains(&"limit"), "{fired:?}");
    assert!(fired.iter().all(|(_, fired)| fired.verdict.is_some()));
}

/// The control: where no limit is known, 32 MiB matter.
#[test]
fn a_limit_of_the_triggers_own_counts_where_the_system_knows_none() {
    let fired = |limit_bytes: Option<u64>| {
        let options = TrendOptions { limit_bytes, ..TrendOptions::default() };
        let half_hour = Duration::from_secs(1_800);
        let mut engine =
            TriggerEngine::new(vec![Trigger::leak_within(half_hour, options)], Budget::default());
        let noise = |s: u64| s.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46;
        run(&mut engine, 0..9_000, |seen| {
            let s = seen.at.as_secs();
            seen.memory_bytes = Some((50 << 20) + 1_024 * s + noise(s));
        })
    };
    assert_eq!(fired(None).len(), 0);
    assert!(!fired(Some(70 << 20)).is_empty(), "a quarter of what is left");
}

#[test]
fn what_the_allocator_keeps_does_not_fire_the_leak_trigger() {
    let grown = |allocated: u64, held: u64| {
        let mut engine = TriggerEngine::new(vec![Trigger::leak()], Budget::default());
        let noise = |s: u64, salt: u64| (s ^ salt << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46;
        let fired = run(&mut engine, 0..9_000, |seen| {
            let s = seen.at.as_secs();
            let bytes = |slope: u64, salt: u64| (100 << 20) + slope * s + noise(s, salt);
            seen.memory_bytes = Some((50 << 20) + bytes(16_384, 1));
            (seen.allocated_bytes, seen.held_bytes) = (Some(bytes(allocated, 2)), Some(bytes(held, 3)));
        });
        (fired.len(), engine.explain(wall(9_000)).remove(0).to_string())
    };
    let (fired, words) = grown(0, 16_384);
    assert_eq!(fired, 0, "{words}");
    assert!(words.contains("retention, not leak"), "{words}");
    assert!(grown(16_384, 16_384).0 > 0, "the control: the program allocates");
}

proptest! {
    /// Clocks step, both of them, and figures are whatever they are.
    #[test]
    fn arbitrary_observations_never_panic(
        steps in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<f64>(), any::<u64>(), 0_u64..1 << 40), 0..60)
    ) {
        let triggers = vec![
            Trigger::leak(),
            Trigger::time_to_limit(Duration::MAX),
            Trigger::cpu_above(1.0).lasting(Duration::from_secs(1)).cooldown(Duration::MAX),
            Trigger::latency_above(Duration::ZERO).lasting(Duration::MAX),
            Trigger::pressure_above(0.1).lasting(Duration::ZERO).cooldown(Duration::ZERO),
        ];
        let mut engine = TriggerEngine::new(triggers, Budget::default());
        for (at, late, figure, bytes, clock) in steps {
            let mut seen = Observation::new(Duration::from_nanos(at));
            seen.late = Duration::from_secs(late);
            (seen.memory_bytes, seen.limit_bytes) = (Some(bytes), Some(bytes / 2));
            (seen.cpu_cores, seen.cpu_waited, seen.pressure) = (Some(figure), Some(-figure), Some(figure));
            seen.latency_p99 = Some(Duration::from_nanos(late));
            engine.step(&seen, wall(clock));
            let _ = engine.explain(wall(0));
        }
    }
}

#[test]
fn explanations_are_sentences() {
    let engine = TriggerEngine::new(vec![Trigger::leak()], Budget::default());
    let words = engine.explain(wall(0))[0].to_string();
    assert!(words.starts_with("leak in three windows of 1800 s or more: nothing seen yet; "), "{words}");
}
