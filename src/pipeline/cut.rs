//! Kernel, initrd and command line cut out of an image, for monitors that boot
//! them directly: the very bytes that BIOS and UEFI boot.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::PipelineError;
use super::open::Opened;

/// Files cut out of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectParts {
    /// The kernel as it stands in the image: a bzImage, or aarch64's Image.
    pub kernel: PathBuf,
    /// The initrd.
    pub initrd: PathBuf,
    /// The command line.
    pub cmdline: String,
}

/// Cuts the parts of the image at `path` into files in `dir`.
///
/// # Errors
/// [`PipelineError`] when the image cannot be read or is none of ours, or `dir`
/// cannot be written.
pub fn cut(path: &Path, dir: &Path) -> Result<DirectParts, PipelineError> {
    let mut image = Opened::open(path)?;
    let kernel = section(&mut image, ".linux", dir.join("kernel"))?;
    Ok(DirectParts {
        kernel,
        initrd: section(&mut image, ".initrd", dir.join("initrd"))?,
        cmdline: image.summary.cmdline.clone(),
    })
}

fn section(image: &mut Opened, name: &str, to: PathBuf) -> Result<PathBuf, PipelineError> {
    let mut reader = image.section(name)?;
    let written = |source| PipelineError::Write {
        path: to.clone(),
        source,
    };
    let mut out = File::create(&to).map_err(written)?;
    io::copy(&mut reader, &mut out).map_err(written)?;
    Ok(to)
}
