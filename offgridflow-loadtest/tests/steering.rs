//! A run that is steered keeps its schedule, as altered from the instant of the change on, and says what was done to it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{
    ArrivalProcess, Closed, Control, ControlError, Ending, Event, Executor, LoadTest, Rate, Report, RunState,
    Schedule, ThresholdStatus, WarmUp, Workload, workload_fn,
};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What was begun: which operation, and when it was due.
type Begun = Arc<Mutex<Vec<(u64, Duration)>>>;

fn work(begun: &Begun, service: Duration) -> impl Workload + use<> {
    let begun = Arc::clone(begun);
    workload_fn(move |op| {
        begun.lock().expect("lock").push((op.index(), op.intended()));
        sleep(service)
    })
}

/// Runs it in virtual time while `steer` does what it does, and says what was begun in the order of the plan.
async fn steered<F: Future<Output = ()>>(
    executor: impl Into<Executor>,
    steer: impl FnOnce(Control) -> F,
) -> (Report, Vec<(u64, Duration)>) {
    let begun = Begun::default();
    let test = LoadTest::new(work(&begun, ms(5))).executor(executor).threshold("p95(response) < 1s");
    let (test, control) = test.steerable();
    let (report, ()) = tokio::join!(test.run_here(), steer(control));
    let mut begun = begun.lock().expect("lock").clone();
    begun.sort_unstable();
    (report.expect("runs"), begun)
}

fn steady(per_sec: f64, seconds: u32) -> Schedule {
    Schedule::steady(Rate::constant(per_sec, SECOND * seconds))
}

/// All arrivals, when they are due as planned.
fn planned(schedule: &Schedule) -> Vec<(u64, Duration)> {
    schedule.shard(0, 1).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_moves_what_follows_by_its_length_and_offers_nothing() {
    for schedule in [steady(300.0, 10), Schedule::poisson(Rate::constant(300.0, SECOND * 10), 7)] {
        let all = planned(&schedule);
        let (report, begun) = steered(schedule, |control| async move {
            sleep(ms(3_003)).await;
            let from = control.pause("anna", "failover").expect("goes on");
            assert_eq!(control.standing().state, RunState::Paused);
            sleep(SECOND * 20).await;
            let to = control.resume("anna", "").expect("is paused");
            assert_eq!(to - from, SECOND * 20);
        })
        .await;
        let (paused, resumed) = (report.annotations[0].at, report.annotations[1].at);
        let moved = |&(k, at): &(u64, Duration)| (k, if at < paused { at } else { at + (resumed - paused) });
        assert_eq!(begun, all.iter().map(moved).collect::<Vec<_>>(), "to the nanosecond, and none left out");
        assert_eq!((report.offered, report.paused), (all.len() as u64, SECOND * 20));
        assert_eq!((report.planned, report.measured_window()), (SECOND * 30, SECOND * 10));
        assert!((report.offered_per_sec() / 300.0 - 1.0).abs() < 0.1, "{report}");
        assert!((report.total.rate_per_sec / 300.0 - 1.0).abs() < 0.1, "{report}");
        assert!(report.achieved_share > Some(0.99), "{report}");
        let stretches = &report.timeline.stretches;
        assert_eq!(stretches.iter().map(|one| one.paused).sum::<Duration>(), SECOND * 20);
        assert!(stretches.iter().any(|one| one.offered == Some(0) && one.paused == one.length()));
        assert_eq!(stretches.iter().filter_map(|one| one.offered).sum::<u64>(), report.offered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_rate_is_the_schedules_from_the_instant_of_the_change() {
    let (report, begun) = steered(steady(100.0, 10), |control| async move {
        sleep(ms(4_000)).await;
        control.set_rate(400.0, "anna", "what if").expect("goes on");
        sleep(ms(1_000)).await;
        assert_eq!(control.standing().rate_per_sec, Some(400.0));
        control.scale_rate(0.125, "anna", "").expect("goes on");
    })
    .await;
    let [up, down] = [0, 1].map(|nth: usize| report.annotations[nth].at);
    assert_eq!(begun.len(), 1_000, "the plan's operations");
    let gap = |from: Duration, to: Duration, gap: Duration| {
        let within: Vec<_> = begun.iter().filter(|(_, at)| (from..=to).contains(at)).collect();
        assert!(within.len() > 50);
        assert!(within.windows(2).all(|pair| pair[1].1 - pair[0].1 == gap), "{from:?}: {gap:?}");
    };
    gap(Duration::ZERO, up - ms(1), ms(10));
    gap(up, down - ms(1), ms(1) * 5 / 2);
    gap(down + ms(20), SECOND * 100, ms(20));
    let what = |nth: usize| report.annotations[nth].what;
    assert_eq!(what(0), Event::Rate { from_per_sec: 100.0, to_per_sec: 400.0 });
    assert_eq!(what(1), Event::Rate { from_per_sec: 400.0, to_per_sec: 50.0 });
    assert!(report.to_string().contains("rate 100.0/s -> 400.0/s (what if)"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_altered_plan_is_judged_by_nobody_and_a_note_alters_nothing() {
    let (noted, _) = steered(steady(100.0, 10), |control| async move {
        sleep(SECOND).await;
        control.note("deploys", "1.4.2 is out").expect("goes on");
    })
    .await;
    assert_eq!((noted.verdict.altered.as_ref(), noted.exit_code()), (None, 0), "{noted}");
    assert_eq!(noted.thresholds[0].status, ThresholdStatus::Met);
    assert!(noted.to_string().contains("deploys: 1.4.2 is out"), "{noted}");
    let (paused, _) = steered(steady(100.0, 10), |control| async move {
        sleep(SECOND).await;
        control.pause("anna", "").expect("goes on");
        sleep(SECOND).await;
        control.resume("anna", "").expect("is paused");
    })
    .await;
    assert!(paused.verdict.is_valid(), "the numbers are the target's all the same\n{paused}");
    assert_eq!((paused.exit_code(), paused.passed()), (3, false));
    assert!(paused.thresholds.iter().all(|one| one.status == ThresholdStatus::NotJudged), "{paused}");
    let last = "verdict: Valid; the plan was altered while it ran: paused once, for 1.00s in all\n";
    assert!(paused.to_string().ends_with(last), "{paused}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_and_says_why() {
    let (report, _) = steered(steady(100.0, 10), |control| async move {
        assert_eq!(control.standing().state, RunState::NotBegun);
        assert_eq!(control.pause("a", ""), Err(ControlError::NotBegun));
        sleep(SECOND).await;
        assert_eq!(control.resume("a", ""), Err(ControlError::NotPaused));
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(matches!(control.set_rate(rate, "a", ""), Err(ControlError::Rate(_))), "{rate}");
        }
        assert_eq!(control.note("a", &"x".repeat(201)), Err(ControlError::TooMuch));
        (0..100).for_each(|_| assert!(control.note("a", "x").is_ok()));
        assert_eq!(control.note("a", "x"), Err(ControlError::TooMuch));
        control.pause("a", "").expect("goes on");
        assert_eq!(control.pause("a", ""), Err(ControlError::Paused));
        assert_eq!(control.set_rate(50.0, "a", ""), Err(ControlError::Paused));
        assert_eq!(control.standing().ends, None);
        control.resume("a", "").expect("is paused");
        let ends = control.standing().ends.expect("goes on");
        sleep(ends - control.standing().at - ms(150)).await;
        assert_eq!(control.pause("a", ""), Err(ControlError::Over), "it would take effect after the end");
        sleep(SECOND).await;
        assert_eq!(control.standing().state, RunState::Over);
        assert_eq!(control.note("a", "x"), Err(ControlError::Over));
    })
    .await;
    assert_eq!(report.ending, Ending::Completed);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_altered_before_it_is_measured() {
    let begun = Begun::default();
    let test = LoadTest::new(work(&begun, ms(5))).rate(Rate::constant(100.0, SECOND * 10));
    let (test, control) = test.warm_up(WarmUp::For(SECOND * 2)).steerable();
    let steer = async {
        sleep(SECOND).await;
        assert_eq!(control.pause("a", ""), Err(ControlError::WarmUp));
        control.note("a", "still warming up").expect("goes on");
        sleep(SECOND).await;
        control.pause("a", "").expect("goes on");
        sleep(SECOND).await;
        control.resume("a", "").expect("is paused");
    };
    let (report, ()) = tokio::join!(test.run_here(), steer);
    let report = report.expect("runs");
    assert_eq!((report.offered, report.warm_up[0], report.paused), (800, 200, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_a_pause_ends_the_run_with_what_there_is() {
    let (report, begun) = steered(steady(100.0, 60), |control| async move {
        sleep(SECOND * 5).await;
        control.pause("anna", "").expect("goes on");
        sleep(SECOND * 5).await;
        control.stop("anna", "that will do");
    })
    .await;
    assert_eq!((report.ending, report.exit_code()), (Ending::Interrupted, 130));
    // All that was due before the pause: a hundred a second from the start of the run, which is a little after that of the test.
    let due = u64::try_from(report.annotations[0].at.as_nanos().div_ceil(10_000_000)).expect("few");
    assert_eq!((report.offered, begun.len() as u64), (due, due), "{report}");
    assert!((ms(9_900)..ms(11_000)).contains(&report.elapsed), "{:?}", report.elapsed);
    assert_eq!(report.annotations.last().map(|one| one.what), Some(Event::Stopped));
    assert!((99.0..101.0).contains(&report.offered_per_sec()), "{report}");
}

/// A rule that looks for silence hears none in a pause; without one, the same rule ends a run whose target is silent.
#[tokio::test(start_paused = true)]
async fn rules_look_at_no_second_of_a_pause() {
    let run = |service: Duration, pauses: bool| async move {
        let test = LoadTest::new(work(&Begun::default(), service)).rate(Rate::constant(100.0, SECOND * 10));
        let (test, control) = test.timeout(SECOND * 5).abort_if("answered[2s] < 1").steerable();
        let steer = async {
            sleep(SECOND * 3).await;
            if pauses {
                control.pause("a", "").expect("goes on");
                sleep(SECOND * 7).await;
                control.resume("a", "").expect("is paused");
            }
        };
        tokio::join!(test.run_here(), steer).0.expect("runs").ending
    };
    assert_eq!(run(ms(5), true).await, Ending::Completed);
    assert_eq!(run(SECOND * 4, false).await, Ending::Aborted);
}

/// Workers stand still with the plan, come back apart, and the silence of a pause is no stall of the target.
#[tokio::test(start_paused = true)]
async fn a_closed_loop_pauses_and_comes_back_as_it_went() {
    let mut closed = Closed::default();
    (closed.workers, closed.duration, closed.think_time) = (8, SECOND * 10, ms(95));
    let (whole, all) = steered(Executor::Closed(closed.clone()), |_| async {}).await;
    let (report, begun) = steered(Executor::Closed(closed), |control| async move {
        assert!(matches!(control.set_rate(5.0, "a", ""), Err(ControlError::NotBegun)));
        sleep(SECOND * 4).await;
        assert!(matches!(control.set_rate(5.0, "a", ""), Err(ControlError::Rate(_))));
        control.pause("a", "").expect("goes on");
        sleep(SECOND * 20).await;
        control.resume("a", "").expect("is paused");
    })
    .await;
    let [from, to] = [0, 1].map(|nth: usize| report.annotations[nth].at);
    assert!(begun.iter().all(|(_, at)| *at < from || *at >= to), "nothing is asked in a pause");
    let back: Vec<_> =
        begun.iter().map(|(_, at)| *at).filter(|&at| (to..to + ms(95)).contains(&at)).collect();
    assert!(back.len() >= 7 && back.windows(2).all(|pair| pair[1] > pair[0]), "no herd: {back:?}");
    assert!(begun.len().abs_diff(all.len()) <= 8, "{} against {}", begun.len(), all.len());
    let correction = report.correction.expect("a closed loop's");
    assert_eq!(correction.filled, 0, "{correction:?}");
    assert!(correction.longest_silence < SECOND, "{correction:?}");
    assert!((report.total.rate_per_sec / whole.total.rate_per_sec - 1.0).abs() < 0.03, "{report}\n{whole}");
}

/// On threads of their own, which share nothing but the map of the plan's time, every operation is begun once, when the altered plan says.
#[tokio::test]
async fn shards_agree_on_an_altered_plan() {
    let (begun, schedule) = (Begun::default(), Schedule::poisson(Rate::constant(500.0, SECOND * 2), 3));
    let all = planned(&schedule);
    let (test, control) = LoadTest::new(work(&begun, ms(1))).executor(schedule).shards(2).steerable();
    let steer = async {
        sleep(ms(500)).await;
        control.set_rate(1_000.0, "a", "").expect("goes on");
        sleep(ms(400)).await;
        control.pause("a", "").expect("goes on");
        sleep(ms(500)).await;
        control.resume("a", "").expect("is paused");
    };
    let (report, ()) = tokio::join!(test.run(), steer);
    let report = report.expect("runs");
    let [up, from, to] = [0, 1, 2].map(|nth: usize| report.annotations[nth].at);
    let plan_paused = up + (from - up) * 2;
    let due = |at: Duration| match at {
        at if at < up => at,
        at if at < plan_paused => up + (at - up).div_ceil_half(),
        at => to + (at - plan_paused).div_ceil_half(),
    };
    let mut begun = begun.lock().expect("lock").clone();
    begun.sort_unstable();
    assert_eq!(begun, all.iter().map(|&(k, at)| (k, due(at))).collect::<Vec<_>>());
}

trait Half {
    fn div_ceil_half(self) -> Duration;
}

impl Half for Duration {
    /// Half of it, to the nanosecond that follows.
    fn div_ceil_half(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.as_nanos()).expect("short").div_ceil(2))
    }
}

/// Plans of every kind are made longer by a pause, and by nothing else.
#[tokio::test(start_paused = true)]
async fn the_end_is_put_off_by_a_pause_alone() {
    let ramp = Schedule::steady(Rate::ramp(0.0, 200.0, SECOND * 5).hold(SECOND * 5));
    let (all, length) = (ramp.operations(), ramp.duration());
    let (report, begun) = steered(ramp, |control| async move {
        sleep(SECOND * 2).await;
        control.pause("a", "").expect("goes on");
        sleep(ms(1_500)).await;
        control.resume("a", "").expect("is paused");
    })
    .await;
    assert_eq!((begun.len() as u64, report.planned), (all, length + ms(1_500)));
}
