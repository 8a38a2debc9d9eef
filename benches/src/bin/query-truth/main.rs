//! Measures batched writes on servers of its own: promises Q1, Q2, Q3, Q4 and Q8.
//!
//! `query-truth q1|q2|q3|q4|q8` prints a table on standard error and, as its last line on standard output,
//! `PASS|FAIL measured=… control=… n=… note`.
//!
//! `VERIFY_SIZE=quick|full`, `VERIFY_SEED` as in `scripts/verify.sh`.

mod dice;
mod poison;
mod programs;
mod q1;
mod q1_rivals;
mod q2;
mod q3;
mod q4;
mod q4_child;
mod q8;
mod rows;

use std::process::ExitCode;

/// Why a measurement could not be made.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["q1"] => runtime.block_on(q1::main()),
        ["q2"] => runtime.block_on(q2::main()),
        ["q3"] => runtime.block_on(q3::main()),
        ["q4"] => runtime.block_on(q4::main()),
        ["q4-child", url] => runtime.block_on(q4_child::main(url)),
        ["q8"] => runtime.block_on(q8::main()),
        _ => Err("usage: query-truth q1|q2|q3|q4|q8".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Failure) -> ExitCode {
    println!("FAIL measured=none {error}");
    ExitCode::FAILURE
}
