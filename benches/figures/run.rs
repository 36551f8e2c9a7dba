//! One run of the command, with its time and memory.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;

/// What a run took.
pub struct Run {
    /// By the wall's clock.
    pub time: Duration,
    /// The most memory that it had.
    pub peak_kib: u64,
}

impl Bench {
    /// The command under GNU time, which alone can say what memory a child has used at most; its arguments are to come.
    pub fn timed(&self) -> Command {
        let mut command = Command::new("/usr/bin/time");
        command
            .args(["--quiet", "--format", "%M", "--output"])
            .arg(self.report())
            .arg(&self.ampoule);
        command
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// Runs what [`Bench::timed`] began. Refusing an app is no failure (docs/exit-codes.md).
    pub fn run(&self, mut command: Command) -> Result<Run> {
        let start = Instant::now();
        let output = command
            .stdin(Stdio::null())
            .output()
            .context("running /usr/bin/time: install the package time")?;
        let time = start.elapsed();
        ensure!(
            matches!(output.status.code(), Some(0 | 3)),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        let peak_kib = fs::read_to_string(self.report())?
            .trim()
            .parse()
            .context("what /usr/bin/time wrote")?;
        Ok(Run { time, peak_kib })
    }
}
