//! A closed loop whose target stands still asks nothing meanwhile: what its workers left out is in the response times all the same.

use std::time::Duration;

use offgridflow_loadtest::{Closed, Executor, LoadTest, Op, Quantile, Report, ThresholdStatus, workload_fn};
use tokio::time::{Instant, sleep, sleep_until};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn seconds(quantile: Quantile) -> f64 {
    quantile.value().expect("measured").as_secs_f64()
}

/// Eight workers for 8 s; answers take 50 ms, and none comes from 3 s to 5 s.
fn frozen(think_time: Duration) -> LoadTest<impl offgridflow_loadtest::Workload> {
    let origin = Instant::now();
    let work = workload_fn(move |_| async move {
        sleep(ms(50)).await;
        if (ms(3_000)..ms(5_000)).contains(&origin.elapsed()) {
            sleep_until(origin + ms(5_000)).await;
        }
    });
    let mut closed = Closed::default();
    (closed.workers, closed.duration, closed.think_time) = (8, ms(8_000), think_time);
    LoadTest::new(work).executor(Executor::Closed(closed))
}

/// 160 turns of 50 ms each, 40 of which fall into the two seconds: the slowest quarter waits evenly from 0 to 2 s, so that p95 is
/// 2 s − 8 turns and p90 2 s − 16. The service times, which nobody fills, are the control.
#[tokio::test(start_paused = true)]
async fn a_frozen_target_is_as_slow_as_arithmetic_says_in_a_closed_loop_too() {
    let test = frozen(ms(0)).threshold("p95(response) < 100ms").threshold("p95(service) < 100ms");
    let report = test.run_here().await.expect("runs");
    let response = report.total.response;
    for (measured, truth) in [(response.p90, 1.2), (response.p95, 1.6), (response.p99, 1.92)] {
        let measured = seconds(measured);
        assert!((measured / truth - 1.0).abs() < 0.04, "{measured} against {truth}\n{report}");
    }
    assert!(seconds(report.total.service.p95) < 0.06, "what was sent was answered fast\n{report}");
    let status = |at: usize| report.thresholds[at].status;
    assert_eq!((status(0), status(1)), (ThresholdStatus::Broken, ThresholdStatus::Met), "{report}");
    assert_eq!((report.verdict.name(), report.exit_code()), ("Valid", 1), "{report}");
    let correction = report.correction.expect("a closed loop's");
    assert!((ms(50)..=ms(52)).contains(&correction.interval), "{correction:?}");
    assert!((ms(1_900)..=ms(2_100)).contains(&correction.longest_silence), "{correction:?}");
    assert!((280..=330).contains(&correction.filled), "39 for each worker\n{correction:?}");
    assert_eq!(response.count, report.total.answered + correction.filled, "{report}");
    let text = report.to_string();
    assert!(text.contains("nobody was answered for 2.0") && text.contains("(`--rate`)"), "{text}");
    assert!(text.contains("(0.000%), 0 unanswered"), "{text}");
}

/// A turn is the answer and the rest: with 150 ms of think time there are 40 turns, ten of them within the freeze.
#[tokio::test(start_paused = true)]
async fn a_worker_that_rests_leaves_out_less() {
    let report = frozen(ms(150)).run_here().await.expect("runs");
    let correction = report.correction.expect("a closed loop's");
    assert!((ms(200)..=ms(202)).contains(&correction.interval), "{correction:?}");
    assert!((60..=80).contains(&correction.filled), "9 for each worker\n{report}");
    let p90 = seconds(report.total.response.p90);
    assert!((1.0..1.4).contains(&p90), "{p90} against 1.2\n{report}");
}

/// Answers of 5 to 15 ms, and a route of its own that takes twenty times as long.
#[tokio::test(start_paused = true)]
async fn a_healthy_closed_loop_is_reported_as_it_was() {
    let work = workload_fn(|op: Op| async move {
        let slow = op.index() % 20 == 7;
        op.route(if slow { "POST /import" } else { "GET /sites" });
        sleep(if slow { ms(200) } else { ms(5 + op.rng().below(11)) }).await;
    });
    let test = LoadTest::new(work).executor(Executor::closed(4, ms(30_000)));
    let report = test.run_here().await.expect("runs");
    let correction = report.correction.expect("a closed loop's");
    assert_eq!((correction.filled, report.total.response.count), (0, report.total.answered), "{report}");
    assert_eq!(report.total.response, report.total.service, "without a rest the one is the other");
    assert!(!report.to_string().contains("nobody was answered"), "{report}");
}

/// Exponential times, and rare slow ones on a route of many: beside each of them others are answered.
#[tokio::test(start_paused = true)]
async fn answers_that_are_slow_beside_others_are_no_standstill() {
    let spread = workload_fn(|op: Op| {
        let share = op.rng().unit();
        sleep(Duration::from_secs_f64(-0.02 * (1.0 - share).ln()))
    });
    let rare = workload_fn(|op: Op| sleep(if op.rng().chance(0.05) { ms(100) } else { ms(5) }));
    let closed = || Executor::closed(16, ms(30_000));
    let spread = LoadTest::new(spread).executor(closed()).run_here().await.expect("runs");
    let rare = LoadTest::new(rare).executor(closed()).run_here().await.expect("runs");
    for report in [spread, rare] {
        assert_eq!(report.correction.expect("a closed loop's").filled, 0, "{report}");
    }
}

/// What was given up after its time-out held its worker up as well, and is filled as a bound.
#[tokio::test(start_paused = true)]
async fn a_target_that_stops_answering_is_no_faster_for_being_asked_less() {
    let report = frozen(ms(0)).timeout(ms(900)).run_here().await.expect("runs");
    let Quantile::AtLeast(p95) = report.total.response.p95 else { panic!("{report}") };
    assert!(p95 > ms(300), "{p95:?}\n{report}");
    let lost = report.total.ok + report.total.failed - report.total.answered;
    assert!((16..=24).contains(&lost), "two time-outs, or three, a worker\n{report}");
    assert!(report.to_string().contains(&format!("{lost} unanswered")), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_has_nothing_to_correct() {
    let rate = offgridflow_loadtest::Rate::constant(100.0, ms(5_000));
    let report: Report =
        LoadTest::new(workload_fn(|_| sleep(ms(5)))).rate(rate).run_here().await.expect("runs");
    assert_eq!(report.correction, None);
}
