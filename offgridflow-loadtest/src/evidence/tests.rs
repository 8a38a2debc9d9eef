//! Each verdict from its evidence.

use super::*;

fn healthy() -> Evidence {
    Evidence {
        offered: 10_000,
        dispatched: 10_000,
        ok: 10_000,
        answered: 10_000,
        in_time: Some(10_000),
        lag_p95: Some(Duration::from_micros(70)),
        lag_p99: Some(Duration::from_micros(90)),
        p95: Some(Duration::from_millis(5)),
        ..Evidence::default()
    }
}

fn name(change: impl FnOnce(&mut Evidence)) -> (&'static str, String) {
    let mut evidence = healthy();
    change(&mut evidence);
    let verdict = evidence.judge();
    (verdict.name(), verdict.cause().unwrap_or_default().to_owned())
}

#[test]
fn every_reason_has_its_verdict_and_its_cause() {
    let ms = Duration::from_millis;
    type Case = (&'static str, &'static str, fn(&mut Evidence));
    let cases: [Case; 32] = [
        ("Valid", "", |_| {}),
        ("GeneratorBound", "panicked on shard 1 after 2.00s: out of step; the run ends there", |e| {
            e.stuck = vec![Stuck::default()];
            e.fault = Some(Fault { shard: 1, at: Duration::from_secs(2), said: "out of step".into() });
        }),
        ("GeneratorBound", "blocks its thread", |e| e.stuck = vec![Stuck::default()]),
        ("GeneratorBound", "paused", |e| e.lag_p99 = Some(Duration::from_millis(11))),
        ("GeneratorBound", "; and none of 10000 operations succeeded, mostly: status 503", |e| {
            (e.lag_p99, e.ok) = (Some(Duration::from_millis(11)), 0);
            e.commonest = Some("status 503".into());
        }),
        ("GeneratorBound", "sent only 9000", |e| e.dispatched = 9_000),
        ("GeneratorBound", "quota", |e| e.generator.throttled_share = Some(0.03)),
        ("GeneratorBound", "lag p95 3.00ms is more than a tenth of the response time's p95 of 5.00ms", |e| {
            e.lag_p95 = Some(Duration::from_millis(3));
        }),
        ("TargetDown", "4870 of 10000 operations were answered", |e| {
            (e.lag_p95, e.ok, e.answered) = (Some(Duration::from_millis(3)), 4_870, 4_870);
        }),
        ("GeneratorBound", "; and 5130 of 10000 operations failed, mostly: connect", |e| {
            (e.lag_p99, e.ok, e.answered) = (Some(Duration::from_millis(11)), 4_870, 4_870);
            e.commonest = Some("connect".into());
        }),
        ("GeneratorBound", "; and 4000 of 10000 operations failed", |e| {
            (e.lag_p95, e.ok, e.answered) = (Some(Duration::from_millis(3)), 6_000, 6_000);
        }),
        ("GeneratorBound", "alone", |e| e.blamed = Some("p99(response) < 1ms".into())),
        ("CapBound", "cap on operations", |e| (e.dispatched, e.capped) = (9_900, 100)),
        ("CapBound", "on this machine", |e| e.local = 100),
        ("Inconclusive", "contradict", |e| e.generator.littles_residual = Some(0.06)),
        ("TargetBound", "did not keep up", |e| e.in_time = Some(9_800)),
        ("Valid", "", |e| (e.answered, e.in_time, e.broke) = (9_000, Some(9_000), 1_000)),
        ("CapBound", "100 of 10000 operations waited for the cap of 10 in flight", |e| {
            (e.in_time, e.held, e.cap) = (Some(9_000), 100, 10);
        }),
        ("CapBound", "keeps 40 in flight); if more", |e| {
            (e.in_time, e.held, e.wanted) = (Some(9_000), 100, Some(40));
        }),
        ("TargetBound", "the target did not keep up", |e| (e.in_time, e.held) = (Some(9_000), 99)),
        ("Valid", "", |e| e.held = 9_000),
        ("TargetBound", "200 were shed", |e| {
            (e.dispatched, e.shed, e.answered, e.in_time) = (9_800, 200, 9_800, Some(9_800));
        }),
        ("TargetDown", "none of 10000 operations was answered", |e| e.answered = 0),
        ("TargetDown", "none of 10000 operations was answered to the end, though 40 answers began", |e| {
            (e.answered, e.begun_answers) = (0, 40);
        }),
        ("Inconclusive", "9 operations, at least 299 are needed; none of 9 operations was answered", |e| {
            (e.interrupted, e.in_time) = (true, None);
            (e.offered, e.dispatched, e.answered) = (9, 9, 0);
        }),
        ("TargetDown", "none of 300 operations was answered", |e| {
            (e.interrupted, e.in_time) = (true, None);
            (e.offered, e.dispatched, e.answered) = (300, 300, 0);
        }),
        ("Inconclusive", "the workload panicked in 10000 of 10000 operations, a fault of its own", |e| {
            (e.panicked, e.ok, e.answered) = (10_000, 0, 0);
        }),
        ("TargetDown", "none of 6000 operations was answered", |e| {
            (e.panicked, e.ok, e.answered) = (4_000, 0, 0);
        }),
        (
            "GeneratorBound",
            "1 operation in flight counted as unfinished; the workload blocks its thread, use non-blocking calls",
            |e| {
                e.stuck = vec![Stuck { in_flight: 1, ..Stuck::default() }];
                (e.dispatched, e.cut, e.ok, e.answered) = (1, 1, 0, 0);
            },
        ),
        ("CapBound", "100 of 10000", |e| (e.dispatched, e.waiting) = (9_900, 100)),
        ("Inconclusive", "at least", |e| {
            (e.offered, e.dispatched, e.cut, e.answered, e.in_time) = (25, 25, 25, 0, None);
        }),
        ("Inconclusive", "at least", |e| {
            (e.offered, e.dispatched, e.answered, e.in_time) = (1, 1, 1, Some(1));
            e.lag_p95 = Some(Duration::from_millis(5));
        }),
    ];
    for (verdict, cause, change) in cases {
        let (name, said) = name(change);
        assert_eq!(name, verdict, "{said}");
        assert!(said.contains(cause), "{said:?} does not say {cause:?}");
        assert!(!said.contains(" 1 operations") && !said.contains("none of 0"), "{said}");
    }
    let slight = |e: &mut Evidence| {
        (e.p95, e.lag_p95) = (Some(ms(5)), Some(Duration::from_micros(1_900)));
        e.generator.unseen_p95 = Some(ms(3));
    };
    assert_eq!(
        name(slight).0,
        "Valid",
        "two milliseconds are a coarse timer's own, and guesses decide nothing"
    );
}

/// A reason is one only if it can account for the lag that there was.
#[test]
fn the_cause_is_what_can_explain_the_lag() {
    let ms = Duration::from_millis;
    let cause = |lag: Duration, change: &dyn Fn(&mut Evidence)| {
        name(|e| {
            (e.lag_p99, e.length) = (Some(lag), Duration::from_secs(5));
            e.generator.waited_share = Some(0.102); // half a second of five
            change(e);
        })
        .1
    };
    let waited = cause(ms(300), &|_| {});
    assert!(waited.contains("without a core 10.2 % of the time"), "{waited}");
    let stopped = cause(ms(900), &|e| e.generator.longest_pause = Some(Duration::from_secs(1)));
    assert!(stopped.contains("the whole process stood still for at least 1.00s"), "{stopped}");
    let starved = cause(ms(300), &|e| e.generator.longest_pause = Some(ms(120)));
    assert!(starved.contains("without a core"), "mostly it waited: {starved}");
    let unexplained = cause(ms(600), &|_| {});
    assert!(unexplained.contains("blocks or computes"), "{unexplained}");
    let panicking = cause(ms(600), &|e| (e.panicked, e.ok, e.answered) = (10_000, 0, 0));
    assert!(panicking.contains("the workload panicked in 10000 operations"), "{panicking}");
    assert!(panicking.contains("panic hook") && !panicking.contains("other work"), "{panicking}");
}

#[test]
fn a_closed_loop_without_a_pause_is_its_own_limit() {
    let busy = |closed: bool, cpu: f64, waited: f64| {
        name(|e| {
            (e.closed, e.in_time) = (closed, None);
            (e.generator.cpu_share, e.generator.waited_share) = (Some(cpu), Some(waited));
        })
    };
    assert_eq!(busy(true, 0.97, 0.0).0, "GeneratorBound");
    assert_eq!(busy(true, 0.5, 0.5).0, "GeneratorBound");
    assert_eq!(busy(true, 0.7, 0.1).0, "Valid");
    assert_eq!(busy(false, 0.97, 0.0).0, "Valid", "an open loop has a schedule to keep: lag decides");
}
