//! The newest profiles, within their bounds, whatever happens to the disk.
#![cfg(feature = "ring")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offgridflow_profile::{Frame, Profile, ProfileError, Ring, Stack, ValueKind};
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

/// Ten seconds from `seconds` on, with `stacks` stacks that do not compress to nothing.
fn profile(seconds: u64, stacks: u64) -> Profile {
    let frame = |n: u64| Frame {
        line: Some(7),
        ..Frame::named(format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    };
    Profile {
        kinds: vec![ValueKind::new("samples", "count")],
        stacks: (0..stacks)
            .map(|n| Stack {
                frames: vec![frame(n), frame(n + 1)],
                values: vec![1],
                labels: vec![("thread".to_owned(), "main".to_owned())],
            })
            .collect(),
        began: at(seconds),
        duration: Duration::from_secs(10),
        period: 1,
        period_kind: ValueKind::new("samples", "count"),
        comments: vec![format!("window {seconds}")],
        mappings: vec![],
    }
}

fn on_disk(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

#[test]
fn what_is_written_is_read_back() {
    let written = profile(0, 20);
    assert_eq!(Profile::from_pprof(&written.to_pprof()).unwrap(), written);
}

#[test]
fn the_oldest_go_first_and_the_folder_is_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let one = profile(0, 200).to_pprof().len() as u64;
    let ring = Ring::dir(folder.path(), one * 5 + one / 2, DAY).unwrap();
    for window in 0..12 {
        ring.push("cpu", &profile(window * 10, 200)).unwrap();
        assert!(on_disk(folder.path()) <= one * 5 + one / 2);
    }
    let kept: Vec<SystemTime> = ring.windows().iter().map(|window| window.began).collect();
    assert_eq!(kept, (7..12).map(|window| at(window * 10)).collect::<Vec<_>>());
}

#[test]
fn what_is_too_old_goes_whatever_room_there_is() {
    let ring = Ring::memory(1 << 20, Duration::from_secs(25));
    (0..10).for_each(|window| drop(ring.push("cpu", &profile(window * 10, 1)).unwrap()));
    assert_eq!(ring.windows().len(), 3);
    // A clock that steps back: the window is kept, and so are the others.
    ring.push("cpu", &profile(5, 1)).unwrap();
    assert_eq!(ring.windows().len(), 4);
    assert_eq!(ring.windows()[0].began, at(5));
}

/// Relative to the clock, which is what says that a window is from the future.
fn ago(seconds: i64) -> Profile {
    let now = SystemTime::now();
    let (by, began) = (Duration::from_secs(seconds.unsigned_abs()), now - Duration::from_secs(10));
    Profile { began: if seconds < 0 { began + by } else { began - by }, ..profile(0, 1) }
}

#[test]
fn a_window_from_the_future_makes_no_other_old() {
    let ring = Ring::memory(1 << 20, DAY);
    (0..5).rev().for_each(|window| drop(ring.push("cpu", &ago(600 * window)).unwrap()));
    ring.push("cpu", &ago(-80_000)).unwrap();
    ring.push("cpu", &ago(0)).unwrap();
    assert_eq!((ring.windows().len(), ring.stats().misdated), (7, 0), "it may be right: it is kept");
    let refused = ring.push("cpu", &ago(-90_000)).unwrap_err().to_string();
    assert!(refused.contains("check the clock"), "{refused}");
    assert_eq!((ring.windows().len(), ring.stats().misdated), (7, 1), "it cannot be right");
}

#[test]
fn where_bytes_are_short_windows_from_the_future_make_way_first() {
    let one = ago(0).to_pprof().len() as u64;
    let ring = Ring::memory(one * 4 + one / 2, DAY);
    (1..=4).for_each(|window| drop(ring.push("cpu", &ago(-1_000 * window)).unwrap()));
    (0..4).rev().for_each(|window| drop(ring.push("heap", &ago(60 * window)).unwrap()));
    let kept = ring.windows();
    assert!(kept.len() == 4 && kept.iter().all(|window| window.what == "heap"), "{kept:?}");
}

#[test]
fn a_file_from_the_far_future_is_counted_and_makes_no_other_old() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    (0..5).rev().for_each(|window| drop(ring.push("cpu", &ago(600 * window)).unwrap()));
    drop(ring);
    let junk = folder.path().join("cpu-00000000000000-99999999999999-1.pb.gz");
    fs::write(&junk, "junk").unwrap();
    fs::write(folder.path().join("cpu-99999999999999-00000000000000-1.pb.gz"), "ends before it begins")
        .unwrap();
    // What a clock that was a year ahead left here is a window of ours: the folder's bound holds for it.
    let ahead = SystemTime::now() + 365 * DAY;
    let millis = ahead.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let ours = folder.path().join(format!("cpu-{millis:014}-{millis:014}-2.pb.gz"));
    fs::write(&ours, profile(0, 1).to_pprof()).unwrap();
    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    assert_eq!((ring.windows().len(), ring.stats().misdated), (5, 2));
    ring.push("cpu", &ago(0)).unwrap();
    assert_eq!(ring.windows().len(), 6);
    assert!(junk.exists() && !ours.exists());
}

#[test]
fn what_an_earlier_process_left_is_taken_over_and_torn_files_are_passed_by() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    (0..3).for_each(|window| drop(ring.push("cpu", &profile(window * 10, 50)).unwrap()));
    ring.push("heap", &profile(0, 5)).unwrap();
    fs::write(folder.path().join(".unfinished-cpu-1-2-3.pb.gz"), "half").unwrap();
    fs::write(folder.path().join("notes.txt"), "somebody's").unwrap();
    let torn = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let torn = torn.filter(|path| path.to_string_lossy().contains("/cpu-")).max().unwrap();
    let half = fs::metadata(&torn).unwrap().len() / 2;
    fs::File::options().write(true).open(&torn).unwrap().set_len(half).unwrap();

    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    assert_eq!((ring.windows().len(), ring.stats().unreadable), (4, 0));
    let whole = ring.between("cpu", at(0), at(100)).unwrap().unwrap();
    assert_eq!((whole.total(0), whole.duration, ring.stats().unreadable), (100, Duration::from_secs(20), 1));
    assert!(!folder.path().join(".unfinished-cpu-1-2-3.pb.gz").exists());
    assert!(folder.path().join("notes.txt").exists());
    assert_eq!(ring.between("cpu", at(100), at(200)).unwrap(), None);
}

/// Opening a pipe waits for somebody who writes; what is no file of ours is neither read nor counted.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_no_window() {
    let folder = tempfile::tempdir().unwrap();
    let named =
        |number: u32| folder.path().join(format!("cpu-01700000000000-01700000010000-{number:x}.pb.gz"));
    fs::create_dir(named(1)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", named(2)).unwrap();
    assert!(Command::new("mkfifo").arg(named(3)).status().unwrap().success());
    fs::write(named(4), profile(0, 3).to_pprof()).unwrap();
    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    assert_eq!((ring.windows().len(), ring.stats().unreadable), (1, 0), "{:?}", ring.windows());
    assert_eq!(ring.between("cpu", at(0), at(5)).unwrap().unwrap().total(0), 3);
}

#[test]
fn what_cannot_be_kept_is_refused_in_a_sentence() {
    let ring = Ring::memory(1_000, DAY);
    assert!(matches!(ring.push("CPU/x", &profile(0, 1)), Err(ProfileError::Setting { setting: "what", .. })));
    let error = ring.push("cpu", &profile(0, 10_000)).unwrap_err().to_string();
    assert!(error.contains("larger than all that may be kept"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    for (bytes, oldest) in [(0, DAY), (1 << 20, Duration::ZERO)] {
        let refused = Ring::dir(folder.path().join("none"), bytes, oldest);
        assert!(matches!(refused, Err(ProfileError::Setting { .. })) && !folder.path().join("none").exists());
    }
    assert!(matches!(Profile::from_pprof(b"\x1f\x8bno"), Err(ProfileError::Malformed { .. })));
}

/// A folder that vanishes, or is not writable, costs no profile.
#[test]
fn without_a_folder_windows_are_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::dir(folder.path().join("ring"), 1 << 20, DAY).unwrap();
    fs::remove_dir(folder.path().join("ring")).unwrap();
    let window = ring.push("cpu", &profile(0, 3)).unwrap();
    assert!(!window.on_disk);
    assert_eq!(
        (ring.stats().kept_in_memory, ring.between("cpu", at(0), at(5)).unwrap().unwrap().total(0)),
        (1, 3)
    );
}

/// A file system of 64 KiB that somebody else fills. Needs the right to mount; says so where it is missing.
#[test]
fn on_a_full_disk_older_windows_make_way() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not run: mounting is not permitted here");
        return;
    }
    let ring = Ring::dir(folder.path().join("ring"), 1 << 20, DAY).unwrap();
    let pushed: Vec<bool> =
        (0..30).map(|window| ring.push("cpu", &profile(window * 10, 300)).unwrap().on_disk).collect();
    let newest = ring.between("cpu", at(290), at(295)).unwrap();
    let filled = fs::write(folder.path().join("others"), vec![1; 1 << 16]); // what was left of it is somebody else's now
    let nothing_to_give = Ring::dir(folder.path().join("another"), 1 << 20, DAY);
    let kept = nothing_to_give.and_then(|ring| ring.push("cpu", &profile(0, 300)));
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    assert!(pushed.iter().all(|on_disk| *on_disk) && newest.is_some_and(|newest| newest.total(0) == 300));
    assert!(filled.is_err() && kept.is_ok_and(|window| !window.on_disk));
}

const CHILD: &str = "OFFGRIDFLOW_RING_CHILD";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let ring = Ring::dir(folder, 256 << 10, DAY).unwrap();
    for window in 0.. {
        ring.push("cpu", &profile(window * 10, 400)).unwrap();
    }
}

#[test]
fn p7_every_file_parses_after_kills_in_the_middle_of_writing() {
    let folder = tempfile::tempdir().unwrap();
    let kills = std::env::var("OFFGRIDFLOW_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8);
    for round in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes_until_it_is_killed"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = ring_files(folder.path());
        while ring_files(folder.path()).iter().filter(|file| !before.contains(file)).count() < 4 {
            std::thread::sleep(Duration::from_millis(1 + round % 3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let files = ring_files(folder.path());
        assert!(!files.is_empty());
        for file in files {
            Profile::from_pprof(&fs::read(&file).unwrap()).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        assert!(on_disk(folder.path()) <= 512 << 10, "the bound, and one file that was being written");
    }
}

fn ring_files(folder: &Path) -> Vec<String> {
    let names =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path().to_string_lossy().into_owned());
    names.filter(|name| name.contains("/cpu-")).collect()
}

proptest! {
    /// Damage is an error, never a panic.
    #[test]
    fn arbitrary_bytes_are_no_profile_or_one(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::from_pprof(&bytes);
    }

    #[test]
    fn a_damaged_profile_never_panics(at in 0_usize..2_000, value in any::<u8>()) {
        use std::io::Read as _;
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(profile(0, 5).to_pprof().as_slice()).read_to_end(&mut message).unwrap();
        let at = at % message.len();
        message[at] = value;
        let _ = Profile::from_pprof(&message);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let refused = Ring::dir(file.join("below"), 1 << 20, Duration::from_secs(60)).err().unwrap();
    assert!(refused.to_string().starts_with("cannot write "), "{refused}");
}

/// A pipe in the place of a file is read for as long as nobody writes: meanwhile others list what is there, and keep new windows.
#[cfg(target_os = "linux")]
#[test]
fn who_reads_old_windows_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Ring::dir(folder.path(), 1 << 20, DAY).unwrap();
    ring.push("cpu", &ago(60)).unwrap();
    let file = fs::read_dir(folder.path()).unwrap().flatten().next().unwrap().path();
    let whole = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let (said, says) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let read = scope.spawn(|| ring.between("cpu", UNIX_EPOCH, SystemTime::now()));
        std::thread::sleep(Duration::from_millis(100)); // it waits for the pipe by now; if not, this says less, and not what is wrong
        scope.spawn(|| {
            ring.push("cpu", &ago(0)).unwrap();
            said.send(ring.windows().len() + ring.stats().windows).unwrap();
        });
        let meanwhile = says.recv_timeout(Duration::from_secs(20));
        fs::write(&file, whole).unwrap();
        assert_eq!(meanwhile, Ok(4));
        assert_eq!(read.join().unwrap().unwrap().unwrap().total(0), 1);
    });
    assert_eq!(ring.stats().unreadable, 0);
}
