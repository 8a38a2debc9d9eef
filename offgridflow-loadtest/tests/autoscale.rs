//! The autoscaler decides as Kubernetes' own does: cases of its `horizontal_test.go` and `replica_calculator_test.go`.
#![cfg(feature = "autoscale")]

use offgridflow_loadtest::autoscale::{
    Capacity, Controller, Direction, Hpa, Load, Pod, PodState, Policy, Prediction, Replica, Resource, Select,
    Stabiliser, Target, Tolerance, Use, calculate, simulate, svg,
};
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const OLD: Tolerance = Tolerance::Within(0.1);
const NEW: Tolerance = Tolerance::Between { down: 0.1, up: 0.1 };

/// `"300,500,-"` of `"RUP"`: usage in thousandths and states; all ready where none are named, the last request for the rest.
fn pods(usage: &str, states: &str, requests: &[u64]) -> Vec<Pod> {
    let usage: Vec<Option<u64>> = usage.split(',').map(|usage| usage.parse().ok()).collect();
    let count = states.len().max(usage.len());
    (0..count)
        .map(|at| {
            let state = match states.as_bytes().get(at) {
                Some(b'U') => PodState::Unready,
                Some(b'P') => PodState::Pending,
                Some(b'F') => PodState::Gone,
                _ => PodState::Ready,
            };
            let request = *requests.get(at).or(requests.last()).unwrap();
            Pod { usage: usage.get(at).copied().flatten(), request, state }
        })
        .collect()
}

#[test]
fn usage_wants_as_many_replicas_as_kubernetes_says() {
    let cases = [
        ("300,500,700", "", 30, 3, 5),
        ("300,500,700", "URR", 30, 3, 4),
        ("400,500,700", "RUU", 30, 3, 3),
        ("500,700,-,-", "RRFF", 30, 2, 4),
        ("100,300,500,250,250", "", 50, 5, 3),
        ("100,300,500,250,250", "RRRUU", 50, 5, 2),
        ("100,-,-,-,-", "RPPPP", 50, 5, 1),
        ("400,95,-,-", "", 100, 4, 3),
        ("1900,-", "", 100, 2, 2),
        ("600,-", "", 100, 2, 2),
        ("100,450,-", "URR", 50, 3, 3),
        ("100,2000,-", "URR", 50, 3, 4),
        ("100,100,100,-", "URRR", 50, 4, 3),
        ("100,100,-", "", 50, 2, 2), // three pods while two are asked for
    ];
    for (usage, states, percent, current, replicas) in cases {
        for tolerance in [OLD, NEW] {
            let target = Target { resource: Resource::Cpu, percent };
            let found = calculate(&pods(usage, states, &[1_000]), current, target, tolerance).unwrap();
            assert_eq!(found.replicas, replicas, "{usage} {states} @{percent} {tolerance:?}");
        }
    }
    let uneven = pods("1010,1030,1020", "", &[900, 1_000, 1_100]);
    let target = Target { resource: Resource::Cpu, percent: 100 };
    assert_eq!(calculate(&uneven, 3, target, NEW).unwrap().replicas, 3);
    assert_eq!(calculate(&pods("100", "", &[0]), 1, target, NEW), None, "percent of nothing");
    assert_eq!(calculate(&pods("-", "", &[1_000]), 1, target, NEW), None, "nobody says anything");
}

/// 77 % of 70 % and 88 % of 80 % are a tenth too much, and a rounding error.
#[test]
fn the_edge_of_the_tolerance_moved_with_kubernetes_1_33() {
    for (used, percent) in [("770", 70), ("880", 80)] {
        let target = Target { resource: Resource::Cpu, percent };
        let replicas =
            |tolerance| calculate(&pods(used, "", &[1_000]), 1, target, tolerance).unwrap().replicas;
        assert_eq!((replicas(OLD), replicas(NEW)), (2, 1), "{used} @{percent}");
    }
}

/// Memory is that of every pod, ready or not.
#[test]
fn pods_that_start_count_for_memory() {
    let pods = pods("300,500,700", "URR", &[1_000]);
    let replicas = |resource| calculate(&pods, 3, Target { resource, percent: 30 }, NEW).unwrap().replicas;
    assert_eq!((replicas(Resource::Memory), replicas(Resource::Cpu)), (5, 4));
}

fn policies(policies: &[Policy], select: Select) -> Direction {
    Direction { window: Duration::ZERO, select, policies: policies.to_vec() }
}

/// What is left of `desired`, with changes (positive: added) a second ago.
fn paced(rules: Direction, current: u32, desired: u32, max: u32, changes: &[i64]) -> u32 {
    let mut hpa = Hpa::new("golden", 1, max);
    hpa.up.window = Duration::ZERO;
    hpa.down.window = Duration::ZERO;
    *(if desired > current { &mut hpa.up } else { &mut hpa.down }) = rules;
    let mut controller = Controller::new(hpa);
    let now = Duration::from_secs(3_600);
    for &change in changes {
        let by = u32::try_from(change.unsigned_abs()).unwrap();
        let (from, to) = if change > 0 { (0, by) } else { (by, 0) };
        controller.remember_change(now - Duration::from_secs(1), from, to);
    }
    controller.reconcile(now, current, desired)
}

/// Policies, replicas now and wanted, changes before, replicas then.
type Case<'a> = (&'a [Policy], u32, u32, &'a [i64], u32);

#[test]
fn policies_let_as_much_change_as_kubernetes_says() {
    let (pods, percent) = (|n| Policy::pods(n, MINUTE), |n| Policy::percent(n, MINUTE));
    let cases: &[Case<'_>] = &[
        (&[Policy::percent(100, MINUTE / 4), Policy::pods(4, MINUTE / 4)], 10, 50, &[], 20), // the default
        (&[pods(100), percent(100)], 10, 500, &[], 110),
        (&[pods(2), percent(100)], 10, 500, &[], 20),
        (&[pods(30)], 10, 50, &[], 40),
        (&[percent(200)], 10, 50, &[], 30),
        (&[percent(1)], 3, 1_000, &[], 4),
        (&[pods(20), percent(1)], 100, 2, &[], 80),
        (&[pods(2), percent(1)], 100, 2, &[], 98),
        (&[pods(5)], 10, 2, &[], 5),
        (&[percent(50)], 10, 5, &[], 5),
        (&[Policy::pods(5, 2 * MINUTE)], 100, 500, &[1, 5, 9], 100),
        (&[Policy::pods(150, 2 * MINUTE)], 100, 500, &[1, 5, 9], 235),
        (&[Policy::percent(200, 2 * MINUTE)], 100, 500, &[1, 5, 9], 255),
        (&[Policy::percent(300, 5 * MINUTE)], 6, 24, &[4, -2], 16),
        (&[Policy::pods(5, 2 * MINUTE)], 100, 1, &[-1, -5, -9], 100),
        (&[Policy::percent(50, 2 * MINUTE)], 100, 0, &[-2, -4, -6], 56),
        (&[Policy::percent(50, 3 * MINUTE)], 10, 1, &[2, -4], 6),
        (&[Policy::percent(10, 2 * MINUTE)], 100, 0, &[-10, -10, -10], 100),
        (&[Policy::percent(1_000, 2 * MINUTE)], 10, 5, &[], 5),
    ];
    for (rules, current, desired, changes, expected) in cases {
        let rules = policies(rules, Select::Max);
        let found = paced(rules.clone(), *current, *desired, 10_000, changes);
        assert_eq!(found, *expected, "{current} to {desired} by {rules:?} after {changes:?}");
    }
    assert_eq!(
        paced(policies(&[pods(300)], Select::Max), 100, 500, 200, &[1, 5, 9]),
        200,
        "no more than there may be"
    );
}

#[test]
fn the_policy_that_changes_least_is_selected_where_that_is_asked_for() {
    let rules = policies(&[Policy::pods(2, MINUTE), Policy::percent(50, MINUTE)], Select::Min);
    assert_eq!(paced(rules.clone(), 1, 100, 100, &[]), 2);
    assert_eq!(paced(rules, 5, 1, 100, &[]), 3);
    let held = policies(&[Policy::pods(2, MINUTE)], Select::Disabled);
    assert_eq!((paced(held.clone(), 5, 9, 100, &[]), paced(held, 5, 1, 100, &[])), (5, 5));
}

#[test]
fn the_most_cautious_recommendation_of_the_window_counts() {
    let now = 10 * MINUTE;
    let mut stabiliser = Stabiliser::default();
    let mut hpa = Hpa::new("golden", 1, 100);
    assert_eq!(stabiliser.stabilise(now, 100, 5, &hpa), 5, "an empty log");
    stabiliser.note(now - 2 * MINUTE, 4);
    stabiliser.note(now - MINUTE, 5);
    hpa.down.window = 3 * MINUTE;
    assert_eq!(stabiliser.stabilise(now, 100, 3, &hpa), 5);
    hpa.up.window = 5 * MINUTE;
    assert_eq!(stabiliser.stabilise(now, 1, 7, &hpa), 4);
    hpa.up.window = Duration::ZERO;
    assert_eq!(stabiliser.stabilise(now, 1, 3, &hpa), 3);
}

fn hpa(name: &str, min: u32, max: u32, window: u64) -> Hpa {
    let direction = |percent, period, window| Direction {
        window: Duration::from_secs(window),
        select: Select::Max,
        policies: vec![Policy::percent(percent, Duration::from_secs(period))],
    };
    Hpa { up: direction(100, 30, 0), down: direction(50, 60, window), ..Hpa::new(name, min, max) }
}

/// Changes, as `replicas@seconds`, while the metrics want what `wants` says, each 15 seconds.
fn course(hpa: Hpa, mut current: u32, wants: impl Fn(u64, &Hpa) -> u32) -> String {
    let mut controller = Controller::new(hpa.clone());
    let mut changes = Vec::new();
    for at in (0..=1_800).step_by(15) {
        let next = controller.reconcile(Duration::from_secs(at), current, wants(at, &hpa));
        if next != current {
            changes.push(format!("{next}@{at}"));
        }
        current = next;
    }
    changes.join(" ")
}

#[test]
fn our_autoscalers_follow_a_rise_and_a_fall_tick_for_tick() {
    let rise_and_fall = |at, hpa: &Hpa| if at < 600 { hpa.max } else { hpa.min };
    let cases = [
        (hpa("api", 2, 10, 300), "4@0 8@30 10@60 5@885 2@945"),
        (hpa("web", 2, 8, 300), "4@0 8@30 4@885 2@945"),
        (hpa("worker", 1, 5, 600), "2@0 4@30 5@60 2@1185 1@1245"),
    ];
    for (hpa, expected) in cases {
        assert_eq!(course(hpa.clone(), hpa.min, rise_and_fall), expected, "{}", hpa.name);
    }
    let by_pods = |mut hpa: Hpa, up: Policy, down: Policy| {
        hpa.up.policies.push(up);
        hpa.down.policies = vec![down];
        course(hpa.clone(), hpa.min, rise_and_fall)
    };
    let api = by_pods(hpa("api", 2, 10, 300), Policy::pods(4, MINUTE / 2), Policy::pods(2, MINUTE));
    assert_eq!(api, "6@0 10@30 8@885 6@945 4@1005 2@1065");
    let mut worker = hpa("worker", 1, 5, 600);
    worker.up.policies.clear();
    let worker = by_pods(worker, Policy::pods(2, MINUTE), Policy::pods(1, 2 * MINUTE));
    assert_eq!(worker, "3@0 5@60 4@1185 3@1305 2@1425 1@1545");
}

/// A load that swings each minute moves nothing within the window, and everything without.
#[test]
fn a_swinging_load_is_ridden_out_by_the_window() {
    let swing = |at: u64, hpa: &Hpa| if (at / 60).is_multiple_of(2) { hpa.max } else { hpa.min };
    let changes = |window| {
        let mut hpa = hpa("api", 2, 10, window);
        for direction in [&mut hpa.up, &mut hpa.down] {
            direction.policies = vec![Policy::percent(1_000, Duration::from_secs(15))];
        }
        course(hpa, 10, swing).split_whitespace().count()
    };
    assert_eq!((changes(300), changes(0)), (0, 30));
}

const CPU: Use = Use { request: 500, idle: 25, full: 500, limit: None };

/// Idle replicas hold `idle` percent of their memory.
fn replica(idle: u64, starts_in: u64) -> Replica {
    let memory = Use { request: 1_000, idle: idle * 10, full: idle * 10 + 100, limit: None };
    Replica { capacity: Capacity::Each(100.0), starts_in: Duration::from_secs(starts_in), cpu: CPU, memory }
}

fn predicted(idle: u64, starts_in: u64) -> Prediction {
    let mut hpa = hpa("api", 2, 10, 300);
    hpa.targets = [(Resource::Cpu, 70), (Resource::Memory, 80)]
        .map(|(resource, percent)| Target { resource, percent })
        .to_vec();
    let load: Load = "0,100\n900,100\n930,600\n1800,600\n1830,50\n5400,50".parse().unwrap();
    let replica = replica(idle, starts_in);
    Prediction::new(&hpa, &replica, simulate(&hpa, &replica, |at| load.at(at), load.length()))
}

#[test]
fn memory_that_idle_replicas_hold_keeps_them_and_is_said() {
    let (small, large) = (predicted(40, 20), predicted(74, 20));
    let last = |prediction: &Prediction| prediction.ticks.last().unwrap().replicas;
    assert_eq!((small.is_pinned(), last(&small)), (false, 2));
    assert!(large.is_pinned() && last(&large) > 2, "{large}");
    assert!(large.waste_replica_hours > small.waste_replica_hours);
    assert!(large.to_string().contains("never fewer") && !small.to_string().contains("pinned"));
}

#[test]
fn replicas_that_start_slowly_are_missed_for_longer() {
    let breach = [10, 60, 180].map(|starts_in| predicted(40, starts_in).breach_secs);
    assert!(breach[0] < breach[1] && breach[1] < breach[2], "{breach:?}");
    assert_eq!(predicted(40, 10).peak, 8, "at 76 % of their requests, within the tolerance of 70 %");
}

#[test]
fn the_picture_is_xml_with_all_three_curves() {
    let picture = svg(&predicted(40, 60));
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
    assert_eq!((picture.matches("<path ").count(), picture.matches("<polyline ").count()), (3, 1));
    assert!(picture.matches("<rect ").count() > 1, "breaches are there");
}

#[test]
fn a_load_that_cannot_be_read_is_said_with_its_line() {
    for (text, why) in [
        ("", "no line"),
        ("0,1\n5", "line 2"),
        ("5,1\n4,1", "line 2"),
        ("0,-1", "line 1"),
        ("0,NaN", "line 1"),
    ] {
        let error = text.parse::<Load>().unwrap_err();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}

proptest! {
    /// Whatever is wanted, when: the number of replicas stays where it may be, and moves towards what was wanted within a window or not at all.
    #[test]
    fn replicas_stay_within_their_bounds(wants in proptest::collection::vec(0_u32..40, 1..200), window in 0_u64..600) {
        let mut current = 2;
        let mut controller = Controller::new(hpa("api", 2, 10, window));
        for (at, want) in (0..).step_by(15).zip(&wants) {
            let next = controller.reconcile(Duration::from_secs(at), current, *want);
            prop_assert!((2..=10).contains(&next));
            prop_assert!(next <= current || *want > current, "up to {next} though {want} were wanted");
            prop_assert!(next >= current || *want < current, "down to {next} though {want} were wanted");
            current = next;
        }
    }
}
