//! Measures what the profiler costs: promise P1.
//!
//! `profile-truth p1` prints a table on standard error and, as its last line on standard output,
//! `PASS|FAIL measured=… control=… n=… note`. `profile-truth child off|on|tenfold SECONDS` is a run of it.
//!
//! `VERIFY_SIZE=quick|full` as in `scripts/verify.sh`.

mod child;
mod hook;
mod load;
mod p1;

use std::alloc::System;
use std::process::ExitCode;

use offgridflow_profile::Tracked;

#[global_allocator]
static ALLOCATOR: Tracked<System> = Tracked::system();

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["p1"] => p1::main(),
        ["child", how, seconds] => child::main(how, seconds),
        _ => Err("usage: profile-truth p1 | child off|on|tenfold SECONDS".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL measured=none {error}");
            ExitCode::FAILURE
        }
    }
}
