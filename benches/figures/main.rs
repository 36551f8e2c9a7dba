//! Measures what ampoule costs, and prints it as the tables of README.md: `scripts/bench`.
//!
//! Sizes and guest time repeat to the digit. Build time and memory are this machine's.

mod analyze;
mod boot;
mod build;
#[path = "../../tests/common/corpus.rs"]
mod corpus;
mod run;
mod size;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

/// What is measured with.
struct Bench {
    /// The command, as released.
    ampoule: PathBuf,
    /// examples/hello, linked statically.
    hello: PathBuf,
    /// A folder for apps and images, removed at the end.
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Result<Bench> {
        let hello = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/hello/x86_64-unknown-linux-gnu/release/hello");
        anyhow::ensure!(
            hello.is_file(),
            "{} is missing: run scripts/bench",
            hello.display()
        );
        Ok(Bench {
            ampoule: PathBuf::from(env!("CARGO_BIN_EXE_ampoule")),
            hello,
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
                .context("a folder to measure in")?,
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let bench = Bench::new()?;
    analyze::measure(&bench)?;
    let images = build::measure(&bench)?;
    size::measure(&images)?;
    boot::measure(&bench)
}
