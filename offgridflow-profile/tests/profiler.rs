//! The profiler as one: started by a line, captures with what was before, under a budget.
#![cfg(feature = "profiler")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offgridflow_profile::{
    Budget, Cpu, CpuCaps, CpuProfiler, CpuSpec, DirSink, Frame, Incident, IncidentSink, IncidentSummary,
    MemoryWatch, Profile, ProfileError, Profiled, Profiler, ProfilerBuilder, Ring, Stack, Support,
    TrendOptions, Trigger, TriggerState, ValueKind, wait_site,
};

const SHORT: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3_600);

fn quick() -> ProfilerBuilder {
    Profiler::builder().observe_every(SHORT).window(SHORT)
}

/// Waits for what other threads bring about.
fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The newest incident, once every sink has had it.
fn incident(profiler: &Profiler) -> IncidentSummary {
    until("an incident", || (profiler.stats().captures > 0).then_some(()));
    profiler.incidents().swap_remove(0)
}

/// An engine that says what was told.
#[derive(Debug)]
struct Told {
    function: &'static str,
    supported: bool,
}

impl CpuProfiler for Told {
    fn start(&self, _: &CpuSpec) -> Result<(), ProfileError> {
        Ok(())
    }

    fn drain(&self) -> Result<Profile, ProfileError> {
        let kind = ValueKind::new("samples", "count");
        let frames = vec![Frame::named(self.function)];
        Ok(Profile {
            kinds: vec![kind.clone()],
            stacks: vec![Stack { frames, values: vec![50], labels: vec![] }],
            began: std::time::SystemTime::now(),
            duration: Duration::from_secs(1),
            period: 10_000_000,
            period_kind: kind,
            comments: vec!["engine: told".to_owned()],
            mappings: vec![],
        })
    }

    fn caps(&self) -> CpuCaps {
        let mut caps = CpuCaps::new("told", 1_000);
        caps.supported = self.supported;
        caps
    }
}

#[test]
fn one_line_starts_it_and_says_what_works() {
    let profiler = Profiler::builder().start().unwrap();
    let caps = profiler.caps();
    assert!(caps.has("memory") && caps.has("ring") && !caps.has("cpu") && !caps.has("heap"), "{caps}");
    let table = caps.to_string();
    assert!(table.lines().count() >= 8 && table.contains("cpu       "), "{table}");
    assert!(profiler.memory().reading.rss_bytes > 0);
    assert!(profiler.incidents().is_empty() && profiler.explain().is_empty());
}

#[test]
fn a_pile_up_of_tasks_is_captured_with_what_was_before_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let profiler = quick()
        .cpu(Cpu::on_demand())
        .cpu_engine(Arc::new(Told { function: "shop::export", supported: true }))
        .capture_for(SHORT)
        .trigger(Trigger::tasks_above(1_000).lasting(SHORT))
        .sink(DirSink::new(folder.path(), 4).unwrap())
        .start()
        .unwrap();
    let few: Vec<_> = (0..10).map(|_| std::future::pending::<()>().profiled("piled up")).collect();
    until("a window from before", || {
        profiler.ring().windows().into_iter().find(|window| window.what == "tasks")
    });
    std::thread::sleep(2 * SHORT);
    let _waiting = wait_site!("exporter");
    let many: Vec<_> = (0..2_000).map(|_| std::future::pending::<()>().profiled("piled up")).collect();
    let incident = incident(&profiler);
    assert_eq!(
        (incident.kind.as_str(), incident.suspects[0].name.as_str()),
        ("tasks", "piled up"),
        "{incident:?}"
    );
    assert!(
        incident.why.starts_with("more than 1000 tasks of one place for 0.02 s: 2000 tasks of piled up ("),
        "{}",
        incident.why
    );
    let page = profiler.incident_page(&incident.id).unwrap();
    for part in ["piled up", "shop::export", "exporter", "engine: told", "heap: not watched", "<polyline"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let kept = DirSink::new(folder.path(), 4).unwrap();
    assert_eq!(kept.ids(), std::slice::from_ref(&incident.id));
    assert_eq!(kept.page(&incident.id).as_deref(), Some(&*page));
    let file = folder.path().join(format!("{}-tasks-before.pb.gz", incident.id));
    let before = Profile::from_pprof(&fs::read(file).unwrap()).unwrap();
    let count = |profile: &Profile| {
        profile
            .stacks
            .iter()
            .find(|stack| stack.frames[0].function == "piled up")
            .map(|stack| stack.values[0])
    };
    assert!(count(&before).is_none_or(|live| live < 1_000), "from before the pile-up: {before:?}");
    let explained = &profiler.explain()[0];
    assert!(matches!(explained.state, TriggerState::Rests { .. }) && explained.fired == 1, "{explained}");
    drop((few, many));
}

/// Left by an earlier process, which had more of everything: next to that, nothing has grown.
#[test]
fn what_an_earlier_process_left_in_the_ring_is_not_taken_for_before() {
    let folder = tempfile::tempdir().unwrap();
    let ring = || Ring::dir(folder.path().join("ring"), 1 << 20, HOUR).unwrap();
    let kind = ValueKind::new("goroutine", "count");
    let earlier = Profile {
        kinds: vec![kind.clone()],
        stacks: vec![Stack {
            frames: vec![Frame::named("piles up again")],
            values: vec![5_000],
            labels: vec![],
        }],
        began: std::time::SystemTime::now() - Duration::from_secs(300),
        duration: Duration::ZERO,
        period: 1,
        period_kind: kind,
        comments: vec![],
        mappings: vec![],
    };
    ring().push("tasks", &earlier).unwrap();
    let sink = || DirSink::new(folder.path().join("incidents"), 4).unwrap();
    let profiler = quick()
        .ring(ring())
        .trigger(Trigger::tasks_above(1_000).lasting(SHORT))
        .sink(sink())
        .start()
        .unwrap();
    assert_eq!(
        profiler.ring().first("tasks", earlier.began - HOUR).unwrap().stacks,
        earlier.stacks,
        "it is kept"
    );
    let task = || std::future::pending::<()>().profiled("piles up again");
    let mut many = vec![task()];
    let windows = || profiler.ring().windows().iter().filter(|window| window.what == "tasks").count();
    until("a window of its own", || (windows() > 1).then_some(()));
    many.extend((0..2_000).map(|_| task()));
    let incident = incident(&profiler);
    let suspect = &incident.suspects[0];
    assert_eq!((suspect.name.as_str(), suspect.what.as_str()), ("piles up again", "tasks"));
    assert_eq!(suspect.grew, "2000 more tasks");
    let page = profiler.incident_page(&incident.id).unwrap();
    assert!(!page.contains("<td class=\"n\">5000</td>"), "{page}");
    drop(many);
}

/// All hold from the same observation on, and a capture takes longer than it takes to fire.
#[test]
fn triggers_of_one_kind_that_fire_at_once_are_an_incident_each() {
    let folder = tempfile::tempdir().unwrap();
    let trigger = || Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO);
    let sink = DirSink::new(folder.path(), 8).unwrap();
    let four = (0..4).fold(quick(), |builder, _| builder.trigger(trigger()));
    let profiler = four.sink(sink).start().unwrap();
    let _waiting = wait_site!("four times");
    let stats =
        until("four captures", || Some(profiler.stats()).filter(|stats| stats.captures + stats.missed == 4));
    assert_eq!((stats.captures, stats.missed), (4, 0));
    let mut ids: Vec<String> = profiler.incidents().into_iter().map(|incident| incident.id).collect();
    ids.reverse();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(DirSink::new(folder.path(), 8).unwrap().ids(), ids);
}

#[test]
fn a_budget_that_cannot_be_kept_is_told_and_captures_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let start = |file: &std::path::Path| {
        let trigger = Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO);
        quick().trigger(trigger).budget_file(file).start().unwrap()
    };
    let _waiting = wait_site!("kept nowhere");
    for (file, words) in
        [(folder.path().join("gone/budget"), "cannot write "), (folder.path().to_owned(), "cannot read ")]
    {
        let profiler = start(&file);
        let row = profiler.caps().rows.iter().find(|row| row.what == "budget").unwrap();
        assert!(row.support == Support::No && row.how.starts_with(words), "{row:?}");
        incident(&profiler);
        assert!(profiler.budget_failure().is_some_and(|why| why.starts_with("cannot ")));
    }
    // The control.
    let profiler = start(&folder.path().join("budget"));
    assert!(profiler.caps().has("budget"), "{}", profiler.caps());
    incident(&profiler);
    assert_eq!(profiler.budget_failure(), None);
}

#[test]
fn a_budget_survives_a_restart_and_a_spoilt_file_does_not_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("budget");
    fs::write(&file, b"\xFF\xFEnot a number\n\n").unwrap();
    let start = || {
        quick()
            .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO).cooldown(Duration::ZERO))
            .budget(Budget::new(1, HOUR))
            .budget_file(&file)
            .start()
            .unwrap()
    };
    let _waiting = wait_site!("budgeted");
    let profiler = start();
    until("a capture", || profiler.incidents().pop());
    until("the budget to be spent", || {
        (profiler.explain()[0].state == TriggerState::OutOfBudget).then_some(())
    });
    drop(profiler);
    let again = start();
    let withheld =
        until("a withheld capture", || Some(again.explain()[0].withheld).filter(|withheld| *withheld > 0));
    assert_eq!((withheld, again.explain()[0].fired), (1, 0));
}

#[test]
fn a_sink_that_cannot_write_is_counted_and_the_incident_is_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let sink = DirSink::new(folder.path().join("gone"), 1).unwrap();
    fs::remove_dir(folder.path().join("gone")).unwrap();
    let profiler = quick()
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO))
        .sink(sink)
        .start()
        .unwrap();
    let _waiting = wait_site!("no disk");
    let incident = incident(&profiler);
    assert!(profiler.incident_page(&incident.id).is_some());
    assert_eq!(profiler.stats().not_kept, 1);
    let why = profiler.sink_failure().unwrap();
    assert!(
        why.starts_with(&incident.id) && why.contains("cannot write") && why.contains("No such file"),
        "{why}"
    );
}

#[test]
fn only_the_newest_incidents_are_kept_in_a_folder_and_files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.html"), "mine").unwrap();
    let sink = DirSink::new(folder.path(), 2).unwrap();
    let profiler = quick()
        .trigger(
            Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO).cooldown(Duration::from_millis(50)),
        )
        .budget(Budget::new(4, HOUR))
        .sink(sink)
        .start()
        .unwrap();
    let _waiting = wait_site!("often");
    until("four captures", || (profiler.stats().captures == 4).then_some(()));
    drop(profiler);
    let kept = DirSink::new(folder.path(), 2).unwrap();
    let ids = kept.ids();
    assert_eq!(ids.len(), 2);
    let files =
        fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert!(
        files
            .into_iter()
            .all(|name| name == "notes.html" || ids.iter().any(|id| name.starts_with(id.as_str())))
    );
    assert!(DirSink::new(folder.path(), 0).is_err());
    assert_eq!(kept.page("../notes"), None);
}

#[test]
fn windows_of_cpu_time_go_into_the_ring() {
    let profiler = quick()
        .cpu(Cpu::always().window(SHORT))
        .cpu_engine(Arc::new(Told { function: "shop::serve", supported: true }))
        .ring(Ring::memory(1 << 20, HOUR))
        .start()
        .unwrap();
    let windows = || profiler.ring().windows().iter().filter(|window| window.what == "cpu").count();
    until("three windows", || (windows() >= 3).then_some(()));
    assert_eq!(profiler.cpu_failure(), None);
}

#[test]
fn what_cannot_be_had_is_refused_with_a_hint() {
    let refused = |builder: ProfilerBuilder| builder.start().unwrap_err().to_string();
    assert!(refused(quick().window(Duration::ZERO)).contains("window = 0"));
    assert!(refused(quick().observe_every(Duration::ZERO)).contains("longer than zero"));
    let told = |supported| Arc::new(Told { function: "f", supported });
    let unsupported = refused(quick().cpu(Cpu::on_demand()).cpu_engine(told(false)));
    assert!(unsupported.contains("on this system") && unsupported.contains("cpu_engine"), "{unsupported}");
    assert!(refused(quick().cpu(Cpu::always().hz(0)).cpu_engine(told(true))).contains("hz = 0"));
    #[cfg(not(feature = "cpu-pprof"))]
    assert!(refused(quick().cpu(Cpu::on_demand())).contains("enable the feature `cpu-pprof`"));
    let caps = quick().start().unwrap();
    let cpu = caps.caps().rows.iter().find(|row| row.what == "cpu").unwrap();
    assert_eq!(cpu.support == Support::Off, cfg!(feature = "cpu-pprof"));
}

#[test]
fn the_longest_settings_mean_never_and_no_thread_panics() {
    let never = Duration::MAX;
    let told = || Arc::new(Told { function: "f", supported: true });
    let cpu = || Cpu::always().window(never);
    let slow = Profiler::builder().observe_every(never).cpu(cpu()).cpu_engine(told()).start().unwrap();
    let profiler = quick()
        .heap_every(never)
        .window(never)
        .capture_for(SHORT)
        .cpu(cpu())
        .cpu_engine(told())
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO).cooldown(never))
        .start()
        .unwrap();
    let _waiting = wait_site!("never");
    until("an incident", || profiler.incidents().pop());
    for profiler in [slow, profiler] {
        let (stats, failure) = (profiler.stats(), profiler.cpu_failure());
        assert_eq!((stats.panics, failure), (0, None), "{:?}", profiler.panic());
        let began = Instant::now();
        drop(profiler);
        assert!(began.elapsed() < HOUR / 60, "never does not hold up the end");
    }
}

#[test]
fn a_sink_that_panics_is_counted_and_told_and_captures_go_on() {
    #[derive(Debug)]
    struct Broken;
    impl IncidentSink for Broken {
        fn put(&self, _: &Incident) -> Result<(), ProfileError> {
            panic!("the sink is full")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let profiler = quick()
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO).cooldown(SHORT))
        .sink(Broken)
        .sink(DirSink::new(folder.path(), 9).unwrap())
        .start()
        .unwrap();
    assert!(profiler.panic().is_none());
    let _waiting = wait_site!("broken");
    until("two panics", || (profiler.stats().panics >= 2).then_some(()));
    let panic = profiler.panic().unwrap();
    assert!(profiler.stats().not_kept >= 2 && profiler.sink_failure().unwrap().contains("the sink is full"));
    assert!(!profiler.incidents().is_empty(), "they are in memory");
    assert!(!DirSink::new(folder.path(), 9).unwrap().ids().is_empty(), "and in the next sink");
    assert!(matches!(panic, ProfileError::Panicked { thread: "profiler-capture", .. }), "{panic}");
    assert!(panic.to_string().contains("panicked: the sink is full"), "{panic}");
}

#[test]
fn an_engine_that_panics_is_a_failure_that_is_told_and_windows_go_on() {
    struct Breaks(AtomicU64);
    impl CpuProfiler for Breaks {
        fn start(&self, _: &CpuSpec) -> Result<(), ProfileError> {
            assert!(self.0.fetch_add(1, Relaxed) > 2, "no table");
            Ok(())
        }
        fn drain(&self) -> Result<Profile, ProfileError> {
            Told { function: "f", supported: true }.drain()
        }
        fn caps(&self) -> CpuCaps {
            CpuCaps::new("breaks", 1_000)
        }
    }
    let profiler = quick()
        .cpu(Cpu::always().window(Duration::from_millis(200)))
        .cpu_engine(Arc::new(Breaks(AtomicU64::new(0))))
        .start()
        .unwrap();
    let failure = until("a failure", || profiler.cpu_failure());
    assert!(failure.contains("profiler-cpu panicked: no table"), "{failure}");
    assert!(profiler.stats().panics >= 1);
    until("a window", || profiler.ring().windows().into_iter().find(|window| window.what == "cpu"));
    assert_eq!(profiler.cpu_failure(), None);
}

/// What could never hold, or would hold always, is a mistake: it is said before anything starts.
#[test]
fn settings_that_make_no_sense_are_refused_in_a_sentence() {
    let refused = |builder: ProfilerBuilder| match builder.start() {
        Err(error @ ProfileError::Setting { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let trend = |alpha| TrendOptions { alpha, ..TrendOptions::default() };
    let minute = Duration::from_secs(60);
    for (trigger, words) in [
        (Trigger::cpu_above(f64::NAN), "cpu_above = NaN: "),
        (Trigger::cpu_above(-1.0), "cpu_above = -1: "),
        (Trigger::cpu_above(f64::INFINITY), "cpu_above = inf: "),
        (Trigger::pressure_above(50.0), "pressure_above = 50: a share of the time"),
        (Trigger::pressure_above(1.0), "pressure_above = 1: "),
        (Trigger::pressure_above(f64::NAN), "pressure_above = NaN: "),
        (Trigger::leak_within(Duration::ZERO, trend(0.01)), "leak_within = 0: "),
        (Trigger::leak_within(minute, trend(7.0)), "alpha = 7: "),
        (Trigger::time_to_limit(Duration::ZERO), "time_to_limit = 0: "),
    ] {
        let said = refused(quick().trigger(trigger));
        assert!(said.starts_with(words), "{said}");
    }
    assert!(refused(quick().budget(Budget::new(0, HOUR))).starts_with("budget captures = 0: "));
    assert!(refused(quick().budget(Budget::new(4, Duration::ZERO))).starts_with("budget per = 0: "));
    assert!(refused(quick().ring(Ring::memory(0, HOUR))).starts_with("most_bytes = 0: "));
    assert!(refused(quick().ring(Ring::memory(1 << 20, Duration::ZERO))).starts_with("oldest = 0: "));
    let memory = |builder| refused(quick().memory(builder));
    for alpha in [7.0, 0.0, 1.0, -0.1, f64::NAN] {
        assert!(memory(MemoryWatch::builder().trend(trend(alpha))).starts_with("alpha = "), "{alpha}");
    }
    assert!(memory(MemoryWatch::builder().capacity(0)).starts_with("capacity = 0: "));
    // The control: the nearest that make sense.
    let sound = quick()
        .trigger(Trigger::cpu_above(0.0))
        .trigger(Trigger::pressure_above(0.99))
        .trigger(Trigger::leak_within(minute, trend(0.5)))
        .budget(Budget::new(1, SHORT))
        .ring(Ring::memory(1, SHORT))
        .memory(MemoryWatch::builder().capacity(2));
    assert!(sound.start().is_ok());
}

#[test]
fn it_ends_at_once_even_during_a_capture() {
    let profiler = quick()
        .cpu(Cpu::on_demand())
        .cpu_engine(Arc::new(Told { function: "f", supported: true }))
        .capture_for(HOUR)
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO))
        .start()
        .unwrap();
    let _waiting = wait_site!("ended");
    until("the trigger", || (profiler.explain()[0].fired == 1).then_some(()));
    let began = Instant::now();
    drop(profiler);
    assert!(began.elapsed() < HOUR / 60);
}
