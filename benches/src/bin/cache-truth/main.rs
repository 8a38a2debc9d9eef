//! Measures the cache against what it is built on: promises C3 and C8.
//!
//! `cache-truth c3|c8` prints a table on standard error and, as its last line on standard output,
//! `PASS|FAIL measured=… control=… n=… note`. C8 reads the traces of the folder `OFFGRIDFLOW_DATA` too.
//!
//! `VERIFY_SIZE=quick|full`, `VERIFY_SEED` as in `scripts/verify.sh`.

mod allocations;
mod c3;
mod c8;
mod dice;
mod requests;
mod subjects;
mod waves;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("c3") => c3::main(),
        Some("c8") => c8::main(),
        _ => Err("usage: cache-truth c3|c8".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL measured=none {error}");
            ExitCode::FAILURE
        }
    }
}
