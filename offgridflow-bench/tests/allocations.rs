//! The counting allocator counts each request, and nothing where nobody asks. Its parts are tests of this very program, run with the file named.
#![cfg(all(feature = "allocations", unix))]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use offgridflow_bench::allocations::{Counting, FILE};

#[global_allocator]
static ALLOCATOR: Counting = Counting::system();

const BLOCKS: u64 = 10_000;
const BYTES: usize = 48;

#[test]
#[ignore = "a part of the test below"]
fn asks_for_none() {}

#[test]
#[ignore = "a part of the test below"]
fn asks_for_many() {
    (0..BLOCKS).for_each(|_| drop(black_box(Box::new([0_u8; BYTES]))));
}

/// What the part `name` of this program leaves in a file of `length` bytes.
fn counted(folder: &Path, name: &str, length: usize) -> Vec<u64> {
    let file = folder.join(name);
    std::fs::write(&file, vec![0; length]).unwrap();
    let mut part = Command::new(std::env::current_exe().unwrap());
    part.args([name, "--exact", "--ignored", "--test-threads=1"]).env(FILE, &file);
    assert!(part.output().unwrap().status.success());
    let bytes = std::fs::read(&file).unwrap();
    bytes.chunks_exact(8).map(|number| u64::from_ne_bytes(number.try_into().unwrap())).collect()
}

#[test]
fn each_request_is_counted_and_none_where_nobody_asks() {
    let folder = tempfile::tempdir().unwrap();
    let [none, many] = ["asks_for_none", "asks_for_many"].map(|name| counted(folder.path(), name, 16));
    let (calls, bytes) = (many[0] - none[0], many[1] - none[1]);
    assert!(
        calls.abs_diff(BLOCKS) < 50,
        "{calls}: the harness has some of its own, here and there not the same"
    );
    let wanted = BLOCKS * BYTES as u64;
    assert!(bytes.abs_diff(wanted) < 50_000, "{bytes}");
    assert_eq!(counted(folder.path(), "asks_for_many", 8), [0], "a file that is too short is left alone");
}
