//! Libraries that come and go while CPU time is sampled: a process of its own, since what goes wrong ends it.
#![cfg(all(feature = "cpu-pprof", target_os = "linux"))]
#![expect(unsafe_code, reason = "libraries are opened by C")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offgridflow_profile::{CpuProfiler, CpuSpec, PprofCpu};

/// Opens libraries, whose beginnings and ends are sampled, and closes them.
fn open_and_close() {
    let open = |name: &std::ffi::CStr| {
        // SAFETY: C's own libraries, with constructors of their own alone.
        unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }
    };
    for library in [open(c"libresolv.so.2"), open(c"libanl.so.1"), open(c"libutil.so.1")] {
        if !library.is_null() {
            // SAFETY: the handle is from above, and is closed once.
            unsafe { libc::dlclose(library) };
        }
    }
}

/// The engine asks the unwind tables of each function that was sampled when windows are taken, also those of a library that is just being unloaded.
#[test]
fn windows_are_taken_while_libraries_are_unloaded() {
    let (engine, spec, done) =
        (PprofCpu::new(), CpuSpec { hz: 250, ..CpuSpec::default() }, AtomicBool::new(false));
    engine.start(&spec).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                open_and_close();
            }
        });
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
            engine.rotate(&spec).unwrap();
        }
        done.store(true, Relaxed);
    });
    engine.drain().unwrap();
}
