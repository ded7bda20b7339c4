//! The `pump` command with the built-in sources and sinks.

use std::process::ExitCode;

fn main() -> ExitCode {
    pump::main(pump::builtin())
}
