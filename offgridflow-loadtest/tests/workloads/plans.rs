//! Plans that are refused before anything is sent.

use std::time::Duration;

use offgridflow_loadtest::{Closed, Executor, LoadTest, OnCap, Overload, Rate, Settings, workload_fn};

use super::{ms, rate};

/// `Duration::MAX` for "never" would overflow a clock half-way through the run.
#[test]
fn what_is_longer_than_any_run_is_refused() {
    let test = || LoadTest::new(workload_fn(|_| async {})).rate(rate(10.0, 1));
    let field = |test: LoadTest<_>| test.validate().expect_err("refused").field;
    assert_eq!(field(test().timeout(Duration::MAX)), "timeout");
    assert_eq!(field(test().deadline(Duration::MAX, Overload::Shed)), "deadline");
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 6] = [
        ("duration", |s| s.duration = Duration::MAX),
        ("timeout", |s| s.timeout = Duration::MAX),
        ("ramp_up", |s| s.ramp_up = Duration::MAX),
        ("ramp_down", |s| s.ramp_down = Duration::MAX),
        ("think_time", |s| s.think_time = Duration::MAX),
        ("expected_latency", |s| s.expected_latency = Duration::MAX),
    ];
    for (name, change) in cases {
        for per_sec in [None, Some(1.0)] {
            let mut settings = Settings { requests_per_second: per_sec, ..Settings::default() };
            change(&mut settings);
            assert_eq!(settings.validate().expect_err(name).field, name);
            assert_eq!(field(test().settings(&settings)), name);
        }
    }
    let mut closed = Closed::default();
    closed.ramp_up = Duration::MAX;
    assert_eq!(field(test().executor(Executor::Closed(closed))), "duration");
}

#[test]
fn plans_that_cannot_work_out_are_refused_with_the_field_to_change() {
    let test = || LoadTest::new(workload_fn(|_| async {}));
    let field = |test: LoadTest<_>| test.validate().expect_err("refused").field;
    assert_eq!(field(test().rate(Rate::constant(0.0, ms(10)))), "rate");
    let long = |per_sec| test().rate(rate(per_sec, 99 * 86_400));
    let refused = long(1e8).validate().expect_err("no process sends that").hint;
    assert!(refused.starts_with("855360000000000 operations are planned"), "{refused}");
    assert!(long(1e6).validate().is_ok());
    assert_eq!(field(test().rate(rate(10.0, 1)).timeout(Duration::ZERO)), "timeout");
    assert_eq!(field(test().rate(rate(10.0, 1)).max_in_flight(0, OnCap::Queue)), "concurrent_workers");
    assert_eq!(
        field(test().rate(rate(10.0, 1)).max_in_flight(2_000_000, OnCap::Queue)),
        "concurrent_workers"
    );
    assert_eq!(field(test().executor(Executor::closed(0, ms(10)))), "concurrent_workers");
    assert_eq!(field(test().executor(Executor::closed(1, ms(0)))), "duration");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("fast please")), "thresholds");
    assert_eq!(field(test().threshold("achieved_rate > 99%")), "thresholds");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("failure_ratio <= 200%")), "thresholds");
    assert_eq!(field(test().rate(rate(10.0, 1)).threshold("answered >= 11")), "thresholds");
    let routed = workload_fn(|_| async {}).routed(["read"], |_| 0);
    let error = LoadTest::new(routed).threshold("p95(response){reed} < 1s").validate().expect_err("refused");
    assert!(error.field == "thresholds" && error.hint.contains("there are `read`"), "{error}");
    let crowded =
        Settings { requests_per_second: Some(100.0), concurrent_workers: 10, ..Settings::default() };
    let slow = Settings { expected_latency: ms(200), ..crowded.clone() };
    assert!(test().settings(&crowded).validate().is_ok());
    assert_eq!(field(test().settings(&slow)), "concurrent_workers");
    for wrong in [f64::NAN, -1.0, 0.0, 1e12] {
        assert_eq!(
            field(test().settings(&Settings { requests_per_second: Some(wrong), ..crowded.clone() })),
            "requests_per_second"
        );
    }
    let share = Settings { failure_threshold: Some(2.0), ..crowded };
    assert_eq!(field(test().settings(&share)), "failure_threshold");
}
