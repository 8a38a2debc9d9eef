//! Measures the load tester against arithmetic, a bare timer and its rivals: promises L1 to L4.
//!
//! `loadtest-truth l1|l2|l3|l4|think|null` prints a table on standard error and, as its last line on standard output,
//! `PASS|FAIL|SKIP measured=… control=… n=… note`. `loadtest-truth serve` is the server they load. Tools are found by
//! `OURS` (the `offgridflow-loadtest` command) and `OHA`; `wrk` and `hey` on the path.
//!
//! `VERIFY_SIZE=quick|full`, `VERIFY_SEED`, `VERIFY_FOR` as in `scripts/verify.sh`.
#![forbid(unsafe_code)]

mod bare;
mod child;
mod l1;
mod l2;
mod l3;
mod l4;
mod serve;
mod size;
mod think;
mod tools;
mod units;

use std::process::ExitCode;

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("serve") => serve::main(&arguments.collect::<Vec<_>>()),
        Some("l1") => l1::main(),
        Some("l2") => l2::main(),
        Some("l3") => l3::main(),
        Some("l4") => l4::main(),
        Some("think") => think::main(),
        Some("null") => l4::null(),
        _ => Err("usage: loadtest-truth serve|l1|l2|l3|l4|think|null".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAIL measured=none {error}");
            ExitCode::FAILURE
        }
    }
}
