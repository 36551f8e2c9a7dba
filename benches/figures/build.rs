//! Build time and memory, by size of the app.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Bench;
use crate::run::Run;

/// Sizes of the apps, in MB.
const SIZES: [u64; 3] = [1, 10, 100];
/// Each is built so often; the median counts.
const RUNS: usize = 5;

/// An image and the app in it.
pub struct Image {
    pub label: String,
    pub path: PathBuf,
}

/// Builds each app's image and prints how long and with how much memory.
pub fn measure(bench: &Bench) -> Result<Vec<Image>> {
    println!("| app | `ampoule build`, median of {RUNS} | fastest | peak memory |");
    println!("|---|---|---|---|");
    let mut images = Vec::new();
    for megabytes in SIZES {
        let app = app(bench, megabytes)?;
        let label = format!("{:.1} MB", fs::metadata(&app)?.len() as f64 / 1e6);
        let image = app.with_extension("img");
        let mut runs = (0..RUNS)
            .map(|_| build(bench, &app, &image))
            .collect::<Result<Vec<_>>>()?;
        runs.sort_by_key(|run| run.time);
        let peak = runs
            .iter()
            .map(|run| run.peak_kib)
            .max()
            .unwrap_or_default();
        println!(
            "| {label} | {:.2} s | {:.2} s | {:.1} MiB |",
            runs[RUNS / 2].time.as_secs_f64(),
            runs[0].time.as_secs_f64(),
            peak as f64 / 1024.0
        );
        images.push(Image { label, path: image });
    }
    println!("\nThe apps are static ELF programs, all but their first megabyte incompressible.\n");
    Ok(images)
}

/// A static program of so many MB (10⁶ bytes): the example server and, behind it, what no compressor makes smaller. One
/// that is larger than asked for stays as it is.
fn app(bench: &Bench, megabytes: u64) -> Result<PathBuf> {
    let path = bench.folder.path().join(format!("app-{megabytes}"));
    let length = fs::copy(&bench.hello, &path).context("copying the example server")?;
    let mut file = BufWriter::new(File::options().append(true).open(&path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..(megabytes * 1_000_000).saturating_sub(length) / 8 {
        // xorshift64: Marsaglia, "Xorshift RNGs", 2003
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    Ok(path)
}

/// One build.
fn build(bench: &Bench, app: &Path, image: &Path) -> Result<Run> {
    let mut build = bench.timed();
    build
        .arg("build")
        .arg(app)
        .args(["--port", "8080", "--output"])
        .arg(image);
    bench.run(build)
}
