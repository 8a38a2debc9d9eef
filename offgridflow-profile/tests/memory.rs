//! Readings of this very process, and of made-up ones.
#![cfg(feature = "memory")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use offgridflow_profile::{
    AllocatorStats, Limit, LimitKind, MemoryDetail, MemoryReading, MemorySource, MemoryWatch, ProcSource,
    ProfileError, Shape, TrendOptions, memory_source,
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
fn a_source_that_panics_is_a_failed_reading_and_the_watch_goes_on() {
    struct Panics(AtomicU64);
    impl MemorySource for Panics {
        fn read(&self) -> Result<MemoryReading, ProfileError> {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 3, "the fourth reading");
            Ok(MemoryReading { rss_bytes: 7, ..MemoryReading::default() })
        }
        fn limit(&self) -> Option<Limit> {
            None
        }
    }
    let builder = MemoryWatch::builder().source(Panics(0.into())).interval(Duration::from_millis(1));
    let watch = builder.start().unwrap();
    while watch.status().samples < 6 {
        std::thread::yield_now();
    }
    assert_eq!(watch.status().failures, 1);
}

#[test]
fn a_source_that_cannot_read_is_refused_at_the_start() {
    let broken = Fickle(Arc::new(AtomicBool::new(true)));
    assert!(MemoryWatch::builder().source(broken).start().is_err());
    assert!(MemoryWatch::builder().interval(Duration::ZERO).start().is_err());
}

/// Files that are there and cannot be read, or hold what no kernel writes: what they would have said is not known, and the rest is.
#[test]
fn unreadable_and_spoilt_files_leave_the_rest_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (proc, cgroups) = (folder.path().join("proc"), folder.path().join("cgroup"));
    fs::create_dir_all(proc.join("self")).unwrap();
    fs::create_dir_all(proc.join("pressure/memory")).unwrap(); // reading a folder fails, for root too
    fs::write(proc.join("self/status"), "VmRSS: 10 kB\nVmSize: 20 kB\nRssAnon: lots kB\n").unwrap();
    fs::write(proc.join("self/cgroup"), b"0::/api\xff\n").unwrap();
    fs::write(proc.join("meminfo"), "MemTotal: 99999999999999999999 kB\n").unwrap();
    fs::create_dir_all(cgroups.join("api/memory.max")).unwrap();
    fs::create_dir_all(cgroups.join("memory.high")).unwrap();
    fs::write(cgroups.join("memory.max"), "-1\n").unwrap();
    fs::write(cgroups.join("memory.current"), b"\xff\xfe").unwrap();
    fs::write(cgroups.join("memory.stat"), "anon\nfile 7 8\nkernel 5\n").unwrap();
    fs::write(cgroups.join("memory.pressure"), "some avg10=NaN\n").unwrap();
    let source = ProcSource::at(&proc, &cgroups);
    let reading = source.read().unwrap();
    assert_eq!((reading.rss_bytes, reading.anon_bytes, reading.in_use_bytes()), (10 << 10, None, 10 << 10));
    assert_eq!((source.limit(), source.pressure()), (None, None));
    let group = source.detail().group.unwrap();
    assert_eq!((group.current_bytes, group.anon_bytes, group.kernel_bytes), (None, None, Some(5)));
}

/// The program's memory jumps between two answers of its allocator: nothing of it lies past the allocator.
#[test]
fn memory_is_split_by_what_was_read_at_one_moment() {
    struct Process(Arc<AtomicU64>);
    impl MemorySource for Process {
        fn read(&self) -> Result<MemoryReading, ProfileError> {
            let anon = (10 << 20) + self.0.load(Ordering::SeqCst);
            Ok(MemoryReading { rss_bytes: anon, anon_bytes: Some(anon), ..MemoryReading::default() })
        }
        fn limit(&self) -> Option<Limit> {
            None
        }
    }
    let heap = Arc::new(AtomicU64::new(100 << 20));
    let held = Arc::clone(&heap);
    let stats = move || {
        let held_bytes = Some(held.load(Ordering::SeqCst));
        Some(AllocatorStats { name: "test", allocated_bytes: 1, free_bytes: None, held_bytes })
    };
    let builder = MemoryWatch::builder().source(Process(Arc::clone(&heap))).allocator(stats);
    let watch = builder.interval(Duration::from_millis(1)).start().unwrap();
    assert_eq!(watch.status().split.age, Duration::ZERO);
    heap.store(500 << 20, Ordering::SeqCst);
    while watch.status().reading.rss_bytes != 510 << 20 {
        std::thread::yield_now();
    }
    let (split, reading) = (watch.status().split, watch.status().reading);
    assert_eq!(split.anon_bytes, Some(10 << 20), "{split:?} of {reading:?}");
    assert!(split.heap_bytes == Some(500 << 20) || split.age > Duration::ZERO, "{split:?} tells its age");
}

#[test]
fn what_an_allocator_says_of_itself_is_shown_beside_the_reading() {
    struct Grows(AtomicU64);
    impl MemorySource for Grows {
        fn read(&self) -> Result<MemoryReading, ProfileError> {
            let reading = self.0.fetch_add(1, Ordering::Relaxed);
            Ok(MemoryReading { rss_bytes: (100 << 20) + (reading << 16), ..MemoryReading::default() })
        }
        fn limit(&self) -> Option<Limit> {
            None
        }
    }
    let stats = AllocatorStats {
        name: "test",
        allocated_bytes: 7 << 20,
        free_bytes: None,
        held_bytes: Some(90 << 20),
    };
    let watch = MemoryWatch::builder()
        .source(Grows(0.into()))
        .allocator(move || Some(stats))
        .interval(Duration::from_millis(1))
        .start()
        .unwrap();
    let status = watch.status();
    assert_eq!((status.allocator, status.split.heap_bytes), (Some(stats), Some(90 << 20)));
    assert_eq!(status.split.anon_bytes, None);
}

/// Grows by a mebibyte a reading, on a system that knows no limit.
struct Grows(AtomicU64);

impl MemorySource for Grows {
    fn read(&self) -> Result<MemoryReading, ProfileError> {
        let readings = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(MemoryReading { rss_bytes: (1 << 30) + (readings << 20), ..MemoryReading::default() })
    }

    fn limit(&self) -> Option<Limit> {
        None
    }
}

#[test]
fn a_limit_of_the_callers_own_holds_for_every_reading() {
    let window = Duration::from_millis(60);
    let own = TrendOptions {
        min_window: window,
        leak_window: window,
        limit_bytes: Some(1 << 50),
        ..TrendOptions::default()
    };
    let builder = MemoryWatch::builder().source(Grows(0.into())).interval(Duration::from_millis(1));
    let watch = builder.trend(own).start().unwrap();
    let leak = loop {
        let verdict = watch.status().verdict;
        if verdict.shape == Shape::Leak {
            break verdict;
        }
        std::thread::yield_now();
    };
    assert!(leak.time_to_limit.is_some(), "{leak}");
}
