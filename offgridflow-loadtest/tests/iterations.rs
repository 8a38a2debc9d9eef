//! A number of operations is done, neither more nor fewer, and saturation is told as what it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{Closed, Executor, LoadTest, Model, Rate, Report, WarmUp, Workload, workload_fn};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How often each operation was begun.
type Begun = Arc<Mutex<BTreeMap<u64, u32>>>;

fn work(begun: &Begun, service: Duration) -> impl Workload + use<> {
    let begun = Arc::clone(begun);
    workload_fn(move |op| {
        *begun.lock().expect("lock").entry(op.index()).or_default() += 1;
        sleep(service)
    })
}

async fn iterated(closed: Closed, service: Duration) -> (Report, Vec<u64>) {
    let begun = Begun::default();
    let test = LoadTest::new(work(&begun, service)).executor(Executor::Closed(closed));
    let report = test.run_here().await.expect("runs");
    let begun = begun.lock().expect("lock");
    assert!(begun.values().all(|&times| times == 1), "each once");
    (report, begun.keys().copied().collect())
}

fn closed(workers: usize, iterations: u64, duration: Duration) -> Closed {
    let mut closed = Closed::default();
    (closed.workers, closed.iterations, closed.duration) = (workers, Some(iterations), duration);
    closed
}

#[tokio::test(start_paused = true)]
async fn each_operation_is_done_once_and_then_the_run_is_over() {
    for (workers, iterations) in [(1, 300), (8, 1_003), (64, 500)] {
        let (report, begun) = iterated(closed(workers, iterations, SECOND * 3_600), ms(10)).await;
        assert!(begun.into_iter().eq(0..iterations), "{workers} workers");
        assert_eq!(
            (report.offered, report.total.ok, report.exit_code()),
            (iterations, iterations, 0),
            "{report}"
        );
        let rounds = iterations.div_ceil(workers as u64);
        let took = report.elapsed.as_secs_f64() / (rounds as f64 * 0.01);
        assert!(
            (0.98..1.25).contains(&took),
            "{took}: as long as it took, not as long as it might\n{report}"
        );
        let rate = workers as f64 / 0.011;
        assert!(report.total.rate_per_sec > rate * 0.8, "answers by the time it took\n{report}");
        assert_eq!(report.measured_window(), report.elapsed);
    }
}

/// Blocks for intervals are equal parts of the operations, however short a part of the longest duration they took.
#[tokio::test(start_paused = true)]
async fn intervals_are_stated_as_those_of_a_run_whose_length_is_known() {
    let (report, _) = iterated(closed(4, 6_000, SECOND * 3_600), ms(3)).await;
    let text = report.to_string();
    assert!(!text.contains("one spell"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn with_too_little_time_it_is_inconclusive() {
    let (report, begun) = iterated(closed(2, 10_000, SECOND * 5), ms(10)).await;
    assert!((900..1_001).contains(&begun.len()), "{}", begun.len());
    assert_eq!((report.verdict.name(), report.exit_code()), ("Inconclusive", 3), "{report}");
    assert!(report.verdict.cause().expect("a cause").contains("of 10000 operations were begun"), "{report}");
}

/// Who rests when the last operation is taken does not keep the run from its end.
#[tokio::test(start_paused = true)]
async fn nobody_rests_for_an_operation_that_there_is_not() {
    let mut closed = closed(8, 400, SECOND * 3_600);
    closed.think_time = SECOND;
    let begun = tokio::time::Instant::now();
    let (report, _) = iterated(closed, ms(10)).await;
    assert!(begun.elapsed() < report.elapsed + ms(200), "{:?}\n{report}", begun.elapsed());
}

/// On threads of their own, and as parts of several processes, all of them together do each operation once.
#[tokio::test]
async fn shards_and_parts_share_the_operations() {
    let begun = Begun::default();
    let test = || LoadTest::new(work(&begun, ms(1))).executor(Executor::Closed(closed(6, 601, SECOND * 60)));
    test().shards(3).run().await.expect("runs");
    for index in 0..3 {
        test().shard(index, 3).run().await.expect("runs");
    }
    let begun = begun.lock().expect("lock");
    assert!(begun.keys().copied().eq(0..601) && begun.values().all(|&times| times == 2), "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn saturation_is_told_as_a_closed_loop_and_not_corrected() {
    let run = |executor: Executor| async move {
        let work = workload_fn(move |op| sleep(ms(if op.index() % 500 == 499 { 2_000 } else { 10 })));
        LoadTest::new(work).executor(executor).threshold("throughput > 1/s").run_here().await.expect("runs")
    };
    let report = run(Executor::saturate(1, SECOND * 60)).await;
    assert_eq!((report.model, report.correction), (Model::Saturation, None));
    assert_eq!(report.total.response.count, report.total.answered, "nothing is filled in");
    let text = report.to_string();
    assert!(
        text.contains("saturation, 1 worker that never rest") && text.contains("\nclosed-loop response "),
        "{text}"
    );
    assert!(text.contains("say nothing about how long a user waits"), "{text}");
    // The control: the same workers in a closed loop are corrected, and called a response.
    let control = run(Executor::closed(1, SECOND * 60)).await;
    assert!(control.total.response.count > control.total.answered, "{control}");
    assert!(control.model == Model::Closed && control.to_string().contains("\nresponse "), "{control}");
}

fn refused(test: &LoadTest<impl Workload>) -> String {
    test.validate().map(drop).expect_err("refused").field
}

#[test]
fn what_makes_no_sense_is_refused() {
    let test = |executor: Executor| LoadTest::new(workload_fn(|_| async {})).executor(executor);

    let mut resting = closed(1, 9, SECOND);
    (resting.saturate, resting.think_time) = (true, SECOND);
    assert_eq!(refused(&test(Executor::Closed(resting))), "think_time");
    assert_eq!(refused(&test(Executor::iterations(0, 1))), "iterations");
    assert_eq!(refused(&test(Executor::iterations(9, 0))), "concurrent_workers");
    assert_eq!(refused(&test(Executor::iterations(9, 1)).warm_up(WarmUp::For(SECOND))), "warm_up");
    let judged = test(Executor::saturate(4, SECOND)).threshold("p95(response) < 1s");
    assert_eq!(refused(&judged), "thresholds");
    assert!(test(Executor::saturate(4, SECOND)).threshold("p95(service) < 1s").validate().is_ok());
    let plan = test(Executor::iterations(9, 2)).validate().expect("sound");
    assert_eq!(
        plan.load(),
        "closed loop, 2 workers until 9 operations are done, 3600s at the longest, think time 0ns"
    );
    assert!(test(Executor::open(Rate::constant(1.0, SECOND * 9))).validate().is_ok());
}
