//! Workers of a closed loop, and how long they rest.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use offgridflow_loadtest::{
    Closed, Executor, LoadTest, Op, Outcome, Quantile, Reporter, Settings, ShardCtx, TargetError, Window,
    Workload, workload_fn,
};
use tokio::time::{Instant, sleep};

use super::{ms, rate};

#[tokio::test(start_paused = true)]
async fn think_time_paces_a_closed_loop() {
    let closed = Settings {
        concurrent_workers: 10,
        duration: Duration::from_secs(10),
        think_time: ms(90),
        ..Settings::default()
    };
    let report =
        LoadTest::new(workload_fn(|_| sleep(ms(10)))).settings(&closed).run_here().await.expect("runs");
    assert!((960..=1_010).contains(&report.total.ok), "10 workers × 10 s / 100 ms\n{report}");
}

/// What a worker's operation saw: whose, when it was due, and when its answer came, from the start of the run.
type Turn = (u64, Duration, Duration);

/// Answers after 1 to 9 ms and keeps what it saw; a session is a worker.
struct Resting(Arc<Mutex<Vec<Turn>>>);

impl Workload for Resting {
    type Session = u64;
    async fn open(&self, ctx: &ShardCtx) -> Result<u64, TargetError> {
        Ok(ctx.session())
    }
    async fn call(&self, worker: &mut u64, op: &mut Op) -> Outcome {
        let begun = Instant::now();
        sleep(ms(1 + op.rng().below(9))).await;
        self.0.lock().expect("lock").push((*worker, op.intended(), begun.elapsed()));
        Outcome::ok()
    }
}

#[tokio::test(start_paused = true)]
async fn each_worker_goes_on_a_think_time_after_its_own_answer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut closed = Closed::default();
    (closed.workers, closed.duration, closed.think_time) = (7, Duration::from_secs(3), ms(13));
    closed.ramp_up = ms(70);
    let test = LoadTest::new(Resting(Arc::clone(&seen))).executor(Executor::Closed(closed)).warm_sessions(7);
    let report = test.run_here().await.expect("runs");
    // A tick of the paused clock is a millisecond.
    assert!(report.dispatch_lag.max.and_then(Quantile::value) <= Some(ms(1)), "{report}");
    let seen = seen.lock().expect("lock");
    let mut starts: Vec<_> = Vec::new();
    for worker in 0..7 {
        let turns: Vec<_> = seen.iter().filter(|(whose, ..)| *whose == worker).collect();
        assert!(turns.len() > 100, "{}", turns.len());
        starts.push(turns[0].1);
        for pair in turns.windows(2) {
            let rest = pair[1].1 - pair[0].1 - pair[0].2;
            assert!(
                (ms(12)..=ms(13)).contains(&rest),
                "{rest:?} between {pair:?}, less what the tick made it late"
            );
        }
    }
    starts.sort_unstable();
    assert!(starts.iter().copied().eq((0..7).map(|worker| ms(10) * worker)), "{starts:?}");
}

/// Ten workers, 10 ms apart by their think time of 100 ms; once the thread stands still, for less and for more than a turn.
#[tokio::test]
async fn workers_do_not_ask_together_neither_from_the_start_nor_after_a_pause_of_the_generator() {
    for pause in [50, 230] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let work = workload_fn(move |op| {
            shared.lock().expect("lock").push(op.intended());
            if op.index() == 20 {
                std::thread::sleep(ms(pause));
            }
            async {}
        });
        let mut closed = Closed::default();
        (closed.workers, closed.duration, closed.think_time) = (10, ms(1_000), ms(100));
        LoadTest::new(work).executor(Executor::Closed(closed)).shards(1).run().await.expect("runs");
        let mut seen = seen.lock().expect("lock").clone();
        seen.sort_unstable();
        let together = |from: u64| {
            let gaps = seen.windows(2).filter(|pair| (ms(from)..ms(from + 200)).contains(&pair[0]));
            gaps.filter(|pair| pair[1] - pair[0] < ms(3)).count()
        };
        // Ten milliseconds apart each; beside other work now and then two come closer.
        assert!(together(0) <= 4 && together(700) <= 4, "{} {}: {seen:?}", together(0), together(700));
    }
}

/// Tokio's timer, which rounds up to a millisecond, is the control.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn think_time_is_paced_in_microseconds() {
    let control = async {
        let mut late: Vec<_> = Vec::new();
        for _ in 0..100 {
            let due = Instant::now() + Duration::from_micros(3_300);
            tokio::time::sleep_until(due).await;
            late.push(due.elapsed());
        }
        late.sort_unstable();
        late[50]
    };
    let control = control.await;
    let settings = Settings {
        concurrent_workers: 8,
        duration: ms(1_000),
        think_time: Duration::from_micros(3_300),
        ..Settings::default()
    };
    let report =
        LoadTest::new(workload_fn(|_| async {})).settings(&settings).shards(1).run().await.expect("runs");
    let lag = report.dispatch_lag.p50.value().expect("measured");
    assert!(lag * 2 < control, "{lag:?} late in the middle, tokio's timer {control:?}\n{report}");
}

#[tokio::test(start_paused = true)]
async fn nobody_rests_beyond_the_end_of_the_run() {
    let closed = Arc::new(AtomicU64::new(0));
    struct Closing(Arc<AtomicU64>);
    impl Workload for Closing {
        type Session = ();
        async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
            Ok(())
        }
        async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
            Outcome::ok()
        }
        async fn close(&self, (): ()) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let begun = Instant::now();
    let test = LoadTest::new(Closing(Arc::clone(&closed))).rate(rate(10.0, 5)).warm_sessions(1);
    let report = test.think_time(Duration::from_secs(60)).run_here().await.expect("runs");
    assert_eq!((report.total.ok, closed.load(SeqCst)), (50, 50), "{report}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn workers_ramp_up_and_down() {
    let busiest = Arc::new(Mutex::new(Vec::new()));
    struct Busy(Arc<Mutex<Vec<u64>>>);
    impl Reporter for Busy {
        fn on_window(&mut self, window: &Window) {
            self.0.lock().expect("lock").push(window.ok);
        }
    }
    let mut closed = Closed::default();
    (closed.workers, closed.duration) = (10, Duration::from_secs(10));
    (closed.ramp_up, closed.ramp_down) = (Duration::from_secs(10), Duration::from_secs(10));
    let test = LoadTest::new(workload_fn(|_| sleep(ms(100)))).executor(Executor::Closed(closed));
    test.reporter(Busy(Arc::clone(&busiest))).run_here().await.expect("runs");
    let done = busiest.lock().expect("lock").clone();
    assert!((28..=31).contains(&done.len()), "a window a second: {done:?}");
    assert!(done[0] < 20 && (90..=110).contains(&done[15]) && done[28] < 30, "{done:?}");
}
