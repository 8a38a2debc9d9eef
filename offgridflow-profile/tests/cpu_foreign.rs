//! SIGPROF belongs to somebody else: in a process of its own, since a handler stays.
#![cfg(feature = "cpu-pprof")]

use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu, ProfileError};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::test]
async fn another_handler_of_sigprof_is_left_alone() {
    PprofCpu::new().start(&CpuSpec::default()).unwrap(); // and its end takes its own handler away
    let mut theirs = signal(SignalKind::from_raw(27)).unwrap();
    let refused = PprofCpu::new().start(&CpuSpec::default()).unwrap_err();
    assert!(matches!(refused, ProfileError::Conflict { .. }), "{refused}");
    assert!(refused.to_string().contains("stop the other profiler"), "{refused}");
    // Theirs still works.
    let kill = std::process::Command::new("kill").args(["-PROF", &std::process::id().to_string()]).status();
    assert!(kill.unwrap().success());
    theirs.recv().await.unwrap();
}
