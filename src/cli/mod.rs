//! The command line.
use std::process::ExitCode;
/// Parses, runs, prints, and gives the exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
