//! Readings of this very process, and of made-up ones.
#![cfg(feature = "memory")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offgridflow_profile::{
    Limit, LimitKind, MemoryDetail, MemoryReading, MemorySource, MemoryWatch, ProcSource, ProfileError,
    memory_source,
};

#[test]
fn what_is_allocated_and_touched_is_seen() {
    let source = memory_source().unwrap();
    let before = source.read().unwrap();
    let held = std::hint::black_box(vec![1_u8; 64 << 20]);
    let after = source.read().unwrap();
    assert!(after.rss_bytes - before.rss_bytes >= 60 << 20, "{before:?} {after:?}");
    assert!(after.in_use_bytes() >= before.in_use_bytes() + (60 << 20));
    assert!(source.limit().is_some_and(|limit| limit.bytes > after.rss_bytes));
    drop(held);
}

#[test]
fn the_lowest_limit_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (proc, cgroups) = (folder.path().join("proc"), folder.path().join("cgroup"));
    fs::create_dir_all(proc.join("self")).unwrap();
    fs::create_dir_all(cgroups.join("api")).unwrap();
    fs::write(proc.join("meminfo"), "MemTotal:        8000000 kB\nMemFree: 1 kB\n").unwrap();
    fs::write(proc.join("self/cgroup"), "1:cpu:/old\n0::/api\n").unwrap();
    let source = ProcSource::at(&proc, &cgroups);
    assert_eq!(source.limit(), Some(Limit { bytes: 8_000_000 << 10, kind: LimitKind::Machine }));
    fs::write(cgroups.join("api/memory.max"), "1073741824\n").unwrap();
    assert_eq!(source.limit(), Some(Limit { bytes: 1 << 30, kind: LimitKind::Cgroup }));
    fs::write(cgroups.join("api/memory.high"), "536870912\n").unwrap();
    assert_eq!(source.limit(), Some(Limit { bytes: 512 << 20, kind: LimitKind::CgroupHigh }));
    fs::write(proc.join("self/limits"), "Limit                     Soft Limit           Hard Limit           Units     \nMax address space         268435456            unlimited            bytes     \n").unwrap();
    assert_eq!(source.limit(), Some(Limit { bytes: 256 << 20, kind: LimitKind::AddressSpace }));
    assert!(matches!(source.read(), Err(ProfileError::Read { .. })));
    fs::write(proc.join("self/status"), "Name: x\n").unwrap();
    let error = source.read().unwrap_err().to_string();
    assert!(error.contains("does not name `VmRSS`"), "{error}");
}

#[test]
fn what_stands_behind_a_reading_is_shown_where_the_system_shows_it() {
    let here = ProcSource::new().detail();
    if let Some(resident) = here.resident {
        assert!(
            resident.private_bytes > 0 && resident.proportional_bytes >= resident.private_bytes,
            "{resident:?}"
        );
    }
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(ProcSource::at(nothing.path(), nothing.path()).detail(), MemoryDetail::default());
    fs::create_dir_all(nothing.path().join("pressure")).unwrap();
    let line = "avg10=12.00 avg60=0.00 avg300=0.00 total=5";
    fs::write(nothing.path().join("pressure/memory"), format!("some {line}\nfull {line}\n")).unwrap();
    let pressure = ProcSource::at(nothing.path(), nothing.path()).detail().machine_pressure.unwrap();
    assert_eq!(pressure.full.share_10s, 0.12);
}

/// A source that fails when told to.
struct Fickle(Arc<AtomicBool>);

impl MemorySource for Fickle {
    fn read(&self) -> Result<MemoryReading, ProfileError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(ProfileError::Unsupported { what: "reading", hint: "a test" });
        }
        Ok(MemoryReading { rss_bytes: 7, ..MemoryReading::default() })
    }

    fn limit(&self) -> Option<Limit> {
        None
    }
}

#[test]
fn a_failed_reading_is_counted_and_the_watch_goes_on() {
    let fails = Arc::new(AtomicBool::new(false));
    let builder =
        MemoryWatch::builder().source(Fickle(Arc::clone(&fails))).interval(Duration::from_millis(1));
    let watch = builder.start().unwrap();
    fails.store(true, Ordering::Relaxed);
    while watch.status().failures == 0 {
        std::thread::yield_now();
    }
    fails.store(false, Ordering::Relaxed);
    let before = watch.status().samples;
    while watch.status().samples == before {
        std::thread::yield_now();
    }
    assert_eq!(watch.status().reading.rss_bytes, 7);
}

#[test]
fn a_source_that_cannot_read_is_refused_at_the_start() {
    let broken = Fickle(Arc::new(AtomicBool::new(true)));
    assert!(MemoryWatch::builder().source(broken).start().is_err());
    assert!(MemoryWatch::builder().interval(Duration::ZERO).start().is_err());
}
