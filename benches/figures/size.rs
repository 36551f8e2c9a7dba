//! Sizes of images and of what is always in them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ampoule::kit::Kit;
use ampoule::units::Arch;
use anyhow::{Context, Result, ensure};

use crate::build::Image;

/// What `zstd` does when no level is asked for.
const LEVEL: &str = "-3";

/// Prints the sizes.
pub fn measure(images: &[Image]) -> Result<()> {
    println!("| image of an app of | apparent | allocated | compressed (zstd {LEVEL}) |");
    println!("|---|---|---|---|");
    for image in images {
        let metadata = fs::metadata(&image.path)?;
        println!(
            "| {} | {} | {} | {} |",
            image.label,
            megabytes(metadata.len()),
            // st_blocks counts 512 bytes whatever the file system's block (stat(2))
            megabytes(metadata.blocks() * 512),
            megabytes(compressed(&image.path)?),
        );
    }
    let kit = Kit::open(Arch::X86_64).context("the kit")?;
    println!("\n| in every image | size |");
    println!("|---|---|");
    for (name, path) in [
        ("kernel (bzImage)", kit.kernel()),
        ("EFI stub", kit.stub()),
        ("init", kit.init()),
    ] {
        println!("| {name} | {} bytes |", fs::metadata(path)?.len());
    }
    println!();
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// How long the file is once compressed.
fn compressed(path: &Path) -> Result<u64> {
    let mut zstd = Command::new("zstd")
        .args(["-q", "-c", LEVEL])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .context("running zstd: install the package zstd")?;
    let length = io::copy(
        &mut zstd.stdout.take().context("it is piped")?,
        &mut io::sink(),
    )?;
    ensure!(zstd.wait()?.success(), "zstd failed on {}", path.display());
    Ok(length)
}
