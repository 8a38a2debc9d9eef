//! A program that takes the place of one that profiles: the timer outlives `exec`, the handler does not.
#![cfg(all(feature = "cpu-pprof", feature = "profiler", target_os = "linux"))]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use offgridflow_profile::{Cpu, CpuProfiler, CpuSpec, PprofCpu, Profiler};

const CHILD: &str = "OFFGRIDFLOW_EXEC_CHILD";
const SIGPROF: i32 = 27;
/// A second or so of CPU time.
const BUSY: &str = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";

/// Not a test of its own: what the next one starts.
#[test]
fn child_that_takes_another_program_s_place() {
    let Some(stops) = std::env::var_os(CHILD) else { return };
    let cpu = Cpu::always().window(Duration::from_millis(50));
    let profiler = Profiler::builder().cpu(cpu).start().unwrap();
    let handle = profiler.clone();
    // After the first window the next one is under way: they keep one run of the engine.
    while profiler.ring().windows().iter().all(|window| window.what != "cpu") {
        std::thread::sleep(Duration::from_millis(5));
    }
    if stops == "yes" {
        profiler.stop_cpu();
        profiler.stop_cpu(); // nothing is left to stop
        assert!(PprofCpu::new().capture(&CpuSpec::default(), Duration::ZERO).is_ok(), "sampling has stopped");
    }
    let error = Command::new("sh").args(["-c", BUSY]).exec();
    drop(handle);
    panic!("{error}");
}

fn ends(stops: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_that_takes_another_program_s_place"]).env(CHILD, stops);
    child.output().unwrap().status
}

#[test]
fn a_program_that_follows_by_exec_lives_once_sampling_was_stopped() {
    assert!(ends("yes").success());
    assert_eq!(ends("no").signal(), Some(SIGPROF), "the control");
}
