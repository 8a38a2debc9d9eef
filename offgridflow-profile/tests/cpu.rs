//! What the CPU profile says of work whose shares are known.
#![cfg(all(feature = "cpu-pprof", feature = "flamegraph"))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu, Profile, ProfileError};

#[inline(never)]
fn multiply(rounds: u64) -> u64 {
    (0..rounds).fold(1, |product: u64, round| std::hint::black_box(product.wrapping_mul(round | 1)))
}

/// Profiles while another thread multiplies.
fn profile_of_work(spec: &CpuSpec, duration: Duration) -> Result<Profile, ProfileError> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::hint::black_box(multiply(100_000));
            }
        });
        let profile = PprofCpu::new().capture(spec, duration);
        done.store(true, Ordering::Relaxed);
        profile
    })
}

fn refused_elsewhere() -> ProfileError {
    PprofCpu::new().start(&CpuSpec::default()).unwrap_err()
}

/// One test, since there is one CPU profiler a process and tests may share one.
#[test]
fn the_busy_function_is_named_and_a_second_profile_is_refused() {
    // A second of CPU time gives about 99 samples; on a machine that others use it takes longer to have one.
    let taken = [1, 4, 16].map(Duration::from_secs).into_iter();
    let mut taken = taken.map(|duration| profile_of_work(&CpuSpec::default(), duration).unwrap());
    let profile = taken.find(|profile| profile.total(0) >= 20).expect("21 s are enough for 20 samples");
    let named = profile
        .stacks
        .iter()
        .filter(|stack| stack.frames.iter().any(|frame| frame.function.contains("multiply")));
    let share = named.map(|stack| stack.values[0]).sum::<i64>() as f64 / profile.total(0) as f64;
    assert!(share > 0.8, "{share}: {:?}", profile.top(0, 5));
    assert!(profile.comments.iter().any(|comment| comment.contains("dropped")), "{:?}", profile.comments);

    let folded = profile.to_folded(0);
    let total: i64 =
        folded.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()).sum();
    assert_eq!(total, profile.total(0));
    let svg = String::from_utf8(profile.to_svg(0, "multiply").unwrap()).unwrap();
    assert!(svg.contains("<svg") && svg.contains("multiply"));
    assert_eq!(profile.to_pprof()[..2], [0x1f, 0x8b], "gzip");

    let (first, second) = (PprofCpu::new(), PprofCpu::new());
    first.start(&CpuSpec::default()).unwrap();
    assert!(matches!(second.start(&CpuSpec::default()), Err(ProfileError::Busy { .. })));
    assert!(matches!(second.drain(), Err(ProfileError::NotStarted)));
    drop(first);
    second.start(&CpuSpec { expected: Duration::MAX, ..CpuSpec::default() }).unwrap();
    let busy = refused_elsewhere();
    assert!(matches!(busy, ProfileError::Busy { retry_in: Duration::MAX }), "{busy}");
    let idle = second.drain().unwrap();
    assert!(idle.to_svg(0, "idle").is_err() || idle.total(0) > 0, "nothing sampled, nothing drawn");

    // Windows in a row: each has what is new, together they have all of it.
    let spec = CpuSpec::default();
    second.start(&spec).unwrap();
    let done = AtomicBool::new(false);
    let windows = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::hint::black_box(multiply(100_000));
            }
        });
        let window = |_| {
            std::thread::sleep(Duration::from_millis(600));
            second.rotate(&spec).unwrap()
        };
        let windows: Vec<Profile> = (0..3).map(window).collect();
        done.store(true, Ordering::Relaxed);
        windows
    });
    let rest = second.drain().unwrap();
    for window in windows.iter().chain([&rest]) {
        assert!(window.stacks.iter().all(|stack| stack.values[0] > 0));
        // One thread is busy: what was seen before must not be in it again.
        let most = window.duration.as_secs_f64() * 99.0 * 1.3 + 10.0;
        assert!((window.total(0) as f64) <= most, "{:?} {:?}", window.duration, window.comments);
    }
    assert!(windows.iter().all(|window| window.duration >= Duration::from_millis(500)));
    assert!(windows.iter().map(|window| window.total(0)).sum::<i64>() > 0);
    assert!(matches!(second.rotate(&spec), Err(ProfileError::NotStarted)));

    for hz in [0, 251, 1_000_000] {
        let error = second.start(&CpuSpec { hz, ..CpuSpec::default() }).unwrap_err();
        assert!(error.to_string().contains("between 1 and 250"), "{error}");
    }
}
