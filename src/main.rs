//! The command `ampoule`: parse, run, print, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ampoule::cli::main()
}
