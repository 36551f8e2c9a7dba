//! Time and memory of the analysis, over real programs.

use std::fs;

use anyhow::Result;

use crate::{Bench, corpus};

/// Of different make and size, from `tests/corpus.toml`, by size.
const PROGRAMS: [&str; 9] = [
    "esbuild",
    "aria2-next",
    "pagefind",
    "nats-server",
    "caddy",
    "uv",
    "biome",
    "temporal",
    "restate-server",
];
/// Each is analysed so often; the median counts.
const RUNS: usize = 5;
/// Memory that an analysis may take beside the file itself.
const BESIDE_KIB: u64 = 64 << 10;

/// Analyses each program and prints how long and with how much memory.
pub fn measure(bench: &Bench) -> Result<()> {
    println!(
        "| program | size | `ampoule analyze`, median of {RUNS} | fastest | peak memory | size and 64 MiB |"
    );
    println!("|---|---|---|---|---|---|");
    for name in PROGRAMS {
        let program = corpus::program(name);
        let size = fs::metadata(&program)?.len();
        let mut runs = (0..RUNS)
            .map(|_| {
                let mut analyze = bench.timed();
                analyze.args(["analyze", "--json"]).arg(&program);
                bench.run(analyze)
            })
            .collect::<Result<Vec<_>>>()?;
        runs.sort_by_key(|run| run.time);
        let peak = runs.iter().map(|run| run.peak_kib).max();
        println!(
            "| {name} | {:.1} MB | {:.2} s | {:.2} s | {:.0} MiB | {:.0} MiB |",
            size as f64 / 1e6,
            runs[RUNS / 2].time.as_secs_f64(),
            runs[0].time.as_secs_f64(),
            peak.unwrap_or_default() as f64 / 1024.0,
            (size / 1024 + BESIDE_KIB) as f64 / 1024.0,
        );
    }
    println!(
        "\nWanted: 10 MB within 0.15 s, 150 MB within 2 s, and less memory than in the last column.\n"
    );
    Ok(())
}
