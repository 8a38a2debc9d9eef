//! The `offgridflow-loadtest` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    offgridflow_loadtest::command::main()
}
