//! The sampling allocator, installed in this very program.
#![cfg(feature = "heap")]
#![expect(clippy::vec_box, reason = "many small objects are what is tried")]

use std::alloc::System;
use std::hint::black_box;
use std::sync::Mutex;

use offgridflow_profile::{Frame, HeapProfiler, HeapSite, HeapSnapshot, ProfileError, SampledHeap, Tracked};

#[global_allocator]
static ALLOCATOR: Tracked<System> = Tracked::system();

const RATE: u64 = 16 << 10;

/// One test at a time: figures are the process's.
static ALONE: Mutex<()> = Mutex::new(());

fn heap() -> SampledHeap {
    SampledHeap::start(RATE).unwrap()
}

/// Bytes in use and ever allocated below a function, whose vectors and their contents are sites of their own.
fn bytes_below(name: &str) -> (f64, f64) {
    let named = |site: &HeapSite| site.frames.iter().take(10).any(|frame| frame.function.contains(name));
    let sites = heap().snapshot().unwrap().sites;
    let sum = |of: fn(&HeapSite) -> f64| sites.iter().filter(|site| named(site)).map(of).sum();
    (sum(|site| site.in_use.bytes.value), sum(|site| site.allocated.bytes.value))
}

#[inline(never)]
fn leaks_here(count: usize) -> Vec<Box<[u8; 1_000]>> {
    black_box((0..count).map(|_| black_box(Box::new([7; 1_000]))).collect()) // not a tail call: the frame stays
}

#[test]
fn a_site_is_named_and_its_bytes_estimated() {
    let _alone = ALONE.lock();
    let heap = heap();
    let kept = leaks_here(20_000);
    let snapshot = heap.snapshot().unwrap();
    let first = &snapshot.sites[0];
    assert!(
        first.frames.iter().take(10).any(|frame| frame.function.contains("leaks_here")),
        "{:?}",
        first.frames
    );
    let bytes = first.in_use.bytes;
    assert!(bytes.low * 0.9 < 2e7 && 2e7 < bytes.high * 1.1, "{bytes:?}");
    assert!(first.bytes_by_age.iter().sum::<f64>() > 1e7);
    let profile = snapshot.to_profile();
    assert!(profile.total(3) > 10_000_000 && profile.total(1) >= profile.total(3));
    drop(kept);
}

/// Every object is sampled here, so nothing is left to chance.
#[test]
fn what_is_freed_is_no_longer_in_use() {
    let _alone = ALONE.lock();
    let _heap = heap();
    #[inline(never)]
    fn large(count: usize) -> Vec<Vec<u8>> {
        black_box((0..count).map(|_| vec![1_u8; 1 << 20]).collect())
    }
    let kept = large(40);
    let all = (40 << 20) as f64;
    let (in_use, _) = bytes_below("what_is_freed_is_no_longer_in_use::large");
    assert!((in_use / all - 1.0).abs() < 0.01, "{in_use}");
    drop(kept);
    let (in_use, allocated) = bytes_below("what_is_freed_is_no_longer_in_use::large");
    assert!(in_use < 1.0 && (allocated / all - 1.0).abs() < 0.01, "{in_use} of {allocated}");
}

/// Growing vectors move between sampled and other places; what they hold must not change.
#[test]
fn reallocated_objects_keep_their_contents() {
    let _alone = ALONE.lock();
    let _heap = heap();
    let mut grown: Vec<Vec<u32>> = (0..200).map(|_| Vec::new()).collect();
    for round in 0..5_000_u32 {
        for (index, vector) in (0..).zip(&mut grown) {
            vector.push(round ^ index);
        }
    }
    grown.iter_mut().for_each(|vector| vector.truncate(2_500));
    grown.iter_mut().for_each(Vec::shrink_to_fit);
    for (index, vector) in (0_u32..).zip(&grown) {
        assert!((0..).zip(vector).all(|(round, held)| *held == round ^ index));
    }
    let zeroed: Vec<Vec<u64>> = (0..200).map(|_| black_box(vec![0_u64; 10_000])).collect();
    assert!(zeroed.iter().flatten().all(|word| *word == 0));
}

/// Threads that end free what others allocated, and allocate while they end.
#[test]
fn threads_hand_objects_to_each_other() {
    struct AtTheEnd(Vec<Box<[u8; 700]>>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0 = (0..500).map(|_| Box::new([3; 700])).collect();
        }
    }
    thread_local! { static LAST: std::cell::RefCell<Option<AtTheEnd>> = const { std::cell::RefCell::new(None) }; }
    let _alone = ALONE.lock();
    let _heap = heap();
    let (send, receive) = std::sync::mpsc::channel::<Vec<Box<[u8; 1_000]>>>();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let send = send.clone();
            std::thread::spawn(move || {
                LAST.with(|last| *last.borrow_mut() = Some(AtTheEnd(Vec::new())));
                (0..50).for_each(|_| send.send(leaks_here(100)).unwrap());
            })
        })
        .collect();
    drop(send);
    let received = receive.iter().map(|boxes| boxes.iter().filter(|one| one[0] == 7).count()).sum::<usize>();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(received, 20_000);
}

/// A vector that grows is allocated first and reallocated then: by different frames of the machinery, at one place.
#[test]
fn a_place_is_listed_once_however_the_allocator_was_reached() {
    let _alone = ALONE.lock();
    let heap = heap();
    #[inline(never)]
    fn grows_here(items: usize) -> Vec<[u8; 1_000]> {
        let mut grown = Vec::new();
        while grown.len() < items {
            grown.push(black_box([1; 1_000]));
        }
        grown
    }
    let many = || {
        // On a thread of its own the stack is not so deep that its outermost frames are cut off.
        let grown = || {
            let mut many = Vec::with_capacity(200);
            while many.len() < many.capacity() {
                many.push(grows_here(100));
            }
            many
        };
        std::thread::spawn(grown).join().unwrap()
    };
    let kept = many();
    let earlier = heap.snapshot().unwrap();
    let more = many();
    let later = heap.snapshot().unwrap();
    let words = |site: &HeapSite| {
        let word = |frame: &Frame| {
            (
                frame.function.clone(),
                frame.file.clone(),
                frame.line,
                frame.address.filter(|_| frame.line.is_none()),
            )
        };
        site.frames.iter().map(word).collect::<Vec<_>>()
    };
    let mut listed: Vec<_> = later.sites.iter().map(words).collect();
    let sites = listed.len();
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), sites);
    let delta = later.to_profile().since(&earlier.to_profile()).unwrap();
    let less: Vec<_> = delta.stacks.iter().filter(|stack| stack.values[1] < 0).collect();
    assert!(less.is_empty(), "what was allocated since the start never shrinks: {less:?}");
    let sum = |snapshot: &HeapSnapshot| snapshot.sites.iter().map(|site| site.samples).sum::<u64>();
    assert!(sum(&later) > sum(&earlier) && sum(&earlier) > 0);
    drop((kept, more));
}

#[test]
fn a_second_rate_is_refused() {
    let _alone = ALONE.lock();
    let _heap = heap();
    assert!(matches!(SampledHeap::start(RATE * 2), Err(ProfileError::Setting { .. })));
    assert!(matches!(SampledHeap::start(0), Err(ProfileError::Setting { .. })));
    assert_eq!(heap().caps().rate_bytes, RATE);
}

/// Bytes of this process in memory.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// `calloc` takes fresh pages from the system, which are zero until they are touched: so must a sampled object be.
#[cfg(target_os = "linux")]
#[test]
fn a_large_zeroed_object_is_not_touched_when_it_is_sampled() {
    let _alone = ALONE.lock();
    let heap = heap();
    let (before, samples) = (resident_bytes(), heap.snapshot().unwrap().samples);
    let zeroed = black_box(vec![0_u8; 1 << 30]);
    let grew = resident_bytes().saturating_sub(before);
    assert!(grew < 64 << 20, "{grew} bytes of a GiB that nobody has touched");
    assert!(heap.snapshot().unwrap().samples > samples, "it is sampled all the same");
    assert!(zeroed.iter().step_by(1 << 24).all(|byte| *byte == 0));
}

/// The system moves whole pages (`mremap`): nothing is copied, so nothing is touched, and both sizes are never there at once.
#[cfg(target_os = "linux")]
#[test]
fn a_large_object_keeps_its_pages_when_it_grows() {
    let _alone = ALONE.lock();
    let _heap = heap();
    #[inline(never)]
    fn large() -> Vec<u8> {
        black_box(vec![7_u8; 256 << 20])
    }
    let faults = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse::<u64>().unwrap()
    };
    let mut grown = large();
    let before = faults();
    grown.reserve_exact(256 << 20);
    let took = faults() - before;
    assert!(took < 100, "{took} page faults: 64 and more are a copy, in the largest pages there are");
    assert!(grown.len() == 256 << 20 && grown.iter().step_by(1 << 20).all(|byte| *byte == 7));
    grown.shrink_to(1 << 20);
    grown.truncate(1 << 20);
    grown.shrink_to_fit();
    assert!(grown.iter().all(|byte| *byte == 7));
}

/// Objects that grow and shrink across the size from which on they are not aligned keep their contents, and their samples end with them.
#[test]
fn objects_of_all_sizes_are_resized_and_end() {
    let _alone = ALONE.lock();
    let _heap = heap();
    #[inline(never)]
    fn resized(round: u16) -> Vec<u8> {
        let filling = round.to_le_bytes()[0];
        let mut bytes = black_box(vec![filling; 1_000 + 977 * usize::from(round % 90)]);
        for size in [70_000, 30_000, 200_000, 65_536, 65_535, 1_000_000, 5_000, 66_000] {
            let kept = bytes.len().min(size);
            bytes.resize(size, filling);
            bytes.shrink_to_fit();
            assert!(bytes[..kept].iter().all(|byte| *byte == filling));
        }
        black_box(bytes)
    }
    let name = "objects_of_all_sizes_are_resized_and_end::resized";
    let kept: Vec<Vec<u8>> = (0..400).map(resized).collect();
    let (in_use, _) = bytes_below(name);
    let truth = 400.0 * 66_000.0;
    assert!((in_use / truth - 1.0).abs() < 0.1, "{in_use} of {truth}");
    drop(kept);
    assert!(bytes_below(name).0 < 1.0, "{}", bytes_below(name).0);
}
