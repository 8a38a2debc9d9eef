//! A process that is forked while it is profiled: a process of its own, since the child has what the parent had.
#![cfg(all(feature = "heap", feature = "cpu-pprof", feature = "profiler", target_os = "linux"))]
#![expect(unsafe_code, reason = "a fork is C's")]

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use offgridflow_profile::{
    Cpu, CpuProfiler, CpuSpec, HeapProfiler, MemorySource, MemoryWatch, PprofCpu, ProcSource, ProfileError,
    Profiled, Profiler, SampledHeap, Tracked, tasks, wait_site, waits,
};

#[global_allocator]
static ALLOCATOR: Tracked<System> = Tracked::system();

/// What a child does with what it has inherited; its exit code says how far it came.
fn child(profiler: Profiler, heap: SampledHeap, watch: MemoryWatch) -> i32 {
    // It allocates: the sampler's tables are its own copies now.
    let kept: Vec<Vec<u8>> = (0..2_000).map(|size| black_box(vec![1; size])).collect();
    let Ok(snapshot) = heap.snapshot() else { return 11 };
    if snapshot.samples == 0 || snapshot.sites.is_empty() {
        return 12;
    }
    drop(kept);
    // Counters go on.
    drop(wait_site!("in the child"));
    drop(async {}.profiled("in the child"));
    if !waits().iter().any(|site| site.name == "in the child") || tasks().is_empty() {
        return 13;
    }
    if ProcSource::new().read().is_err() {
        return 14;
    }
    // A profile is under way in the parent: here it never ends, so there is nothing to come back for.
    let refused = PprofCpu::new().start(&CpuSpec::default());
    if !matches!(refused, Err(ProfileError::Conflict { .. })) {
        return 15;
    }
    if !refused.is_err_and(|error| error.to_string().contains("was forked while its parent")) {
        return 16;
    }
    #[cfg(feature = "http")]
    if asked(&profiler) != Some(true) {
        return 17;
    }
    drop(profiler); // its threads are not here: it leaks
    drop(watch); // and so does this
    0
}

/// Whether an inherited profiler's captures are refused by a conflict, without a time to come back.
#[cfg(feature = "http")]
fn asked(profiler: &Profiler) -> Option<bool> {
    use tower_service::Service;
    let mut service = profiler.service(offgridflow_profile::Access::open()).build().ok()?;
    let request =
        http::Request::get("/profile?seconds=1").body(http_body_util::Full::<bytes::Bytes>::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    let answer = runtime.block_on(service.call(request.ok()?)).ok()?;
    Some(answer.status() == http::StatusCode::CONFLICT && !answer.headers().contains_key("retry-after"))
}

#[test]
fn a_forked_child_allocates_counts_and_ends() {
    let heap = SampledHeap::start(4 << 10).unwrap();
    let cpu = Cpu::always().window(Duration::from_millis(500));
    let profiler = Profiler::builder().cpu(cpu).heap(heap).start().unwrap();
    // After the first window the next one is under way: they keep one run of the engine.
    while profiler.ring().windows().iter().all(|window| window.what != "cpu") {
        std::thread::sleep(Duration::from_millis(5));
    }
    for round in 0..10 {
        let running = profiler.clone();
        let watch = MemoryWatch::builder().interval(Duration::from_millis(5)).start().unwrap();
        #[cfg(feature = "http")]
        let service = profiler.service(offgridflow_profile::Access::open()).build().unwrap();
        // SAFETY: the child runs Rust code of its own copy of this thread, and ends without unwinding into the test's harness.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            #[cfg(feature = "http")]
            drop(service);
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| child(running, heap, watch)));
            let code = code.unwrap_or(18);
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(code) };
        }
        assert!(pid > 0, "no fork");
        assert_eq!(ended(pid), Some(0), "child {round}");
    }
    assert!(profiler.memory().reading.rss_bytes > 0, "and the parent goes on");
}

/// How a child ended; `None` when it hangs, or was killed by a signal.
fn ended(pid: i32) -> Option<i32> {
    let began = Instant::now();
    let mut status = 0;
    while began.elapsed() < Duration::from_secs(30) {
        // SAFETY: it writes into `status` alone.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: it is our own child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    None
}
