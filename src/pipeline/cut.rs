//! Kernel, initrd and command line cut out of an image, for monitors that boot
//! them directly: the very bytes that BIOS and UEFI boot.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::boot::elf::unpack_kernel;

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
    parts(&mut Opened::open(path)?, dir)
}

/// The names of what [`extract`] writes: the kernel as it stands in the image and
/// as an ELF file, the initrd, and the command line with a line end.
pub const EXTRACTED: [&str; 4] = ["vmlinuz", "vmlinux", "initrd", "cmdline"];

/// Writes the [parts](EXTRACTED) of the image at `path` into the folder `dir`, which
/// is made if it is not there. They appear whole or not at all, over older ones.
///
/// # Errors
/// [`PipelineError`] when the image cannot be read or is none of ours, or `dir`
/// cannot be written.
pub fn extract(path: &Path, dir: &Path) -> Result<[PathBuf; 4], PipelineError> {
    let mut image = Opened::open(path)?;
    let wrote = |path: &Path| {
        let path = path.to_owned();
        move |source| PipelineError::Write { path, source }
    };
    fs::create_dir_all(dir).map_err(wrote(dir))?;
    let fresh = tempfile::tempdir_in(dir).map_err(wrote(dir))?;
    let DirectParts {
        kernel,
        initrd,
        cmdline,
    } = parts(&mut image, fresh.path())?;
    let [elf, line] = ["elf", "line"].map(|name| fresh.path().join(name));
    let packed = fs::read(&kernel).map_err(|source| PipelineError::Read {
        path: kernel.clone(),
        source,
    })?;
    let unpacked = unpack_kernel(&packed).map_err(|error| image.error(error.into()))?;
    fs::write(&elf, unpacked).map_err(wrote(dir))?;
    fs::write(&line, cmdline + "\n").map_err(wrote(dir))?;
    let places = EXTRACTED.map(|name| dir.join(name));
    for (from, to) in [kernel, elf, initrd, line].iter().zip(&places) {
        fs::rename(from, to).map_err(wrote(to))?;
    }
    Ok(places)
}

pub(super) fn parts(image: &mut Opened, dir: &Path) -> Result<DirectParts, PipelineError> {
    Ok(DirectParts {
        kernel: section(image, ".linux", dir.join("kernel"))?,
        initrd: section(image, ".initrd", dir.join("initrd"))?,
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
