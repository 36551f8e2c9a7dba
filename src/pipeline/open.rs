//! An image opened for reading: its disk, its UKI, and what it says of itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::boot::uki::{self, Uki};
use crate::digest::Digest;
use crate::disk::{self, Image, Window};
use crate::units::Arch;

use super::PipelineError;
use super::label::Label;

/// The longest `.osrel`, `.cmdline` or `.uname` that is read.
const TEXT_MAX: u64 = 64 << 10;

/// What is told of an image without unpacking it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The appliance's name.
    pub name: String,
    /// The architecture.
    pub arch: Arch,
    /// Least memory to boot it by BIOS or directly and to start the app, in MiB.
    pub memory_mib: u64,
    /// The same to boot it by UEFI.
    pub memory_uefi_mib: u64,
    /// Declared TCP ports.
    pub ports: Vec<u16>,
    /// Digest of the kit that it was made with.
    pub kit: Digest,
    /// The kit was made from other than the pinned sources.
    pub unpinned: bool,
    /// The app is, or brings, a shell.
    pub shell: bool,
    /// What `uname -r` prints in it.
    pub kernel: String,
    /// The kernel's command line.
    pub cmdline: String,
}

/// Reads what the image at `path` says of itself.
///
/// # Errors
/// [`PipelineError`] when it cannot be read, is damaged, or is none of ours.
pub fn summary(path: &Path) -> Result<Summary, PipelineError> {
    Ok(Opened::open(path)?.summary)
}

/// An image whose parts can be read.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) disk: Image,
    pub(super) uki: Uki,
    /// The UKI's bytes; its sections count from the beginning of this.
    pub(super) file: Window<File>,
    pub(super) summary: Summary,
}

impl Opened {
    pub(super) fn open(path: &Path) -> Result<Opened, PipelineError> {
        Opened::look(path).map_err(|source| in_image(path, source))
    }

    /// An error of reading this image, with its path.
    pub(super) fn error(&self, source: PipelineError) -> PipelineError {
        in_image(&self.path, source)
    }

    fn look(path: &Path) -> Result<Opened, PipelineError> {
        let (file, disk) = disk::open(path)?;
        let mut file = Window::new(file, disk.uki);
        let uki = uki::parse(&mut file)?;
        uki::verify(&mut file)?;
        let summary = summarise(&uki, &mut file)?;
        Ok(Opened {
            path: path.to_owned(),
            disk,
            uki,
            file,
            summary,
        })
    }

    /// The bytes of the section called `name`.
    pub(super) fn section(
        &mut self,
        name: &str,
    ) -> Result<io::Take<&mut Window<File>>, PipelineError> {
        let section = self.uki.require(name)?;
        Ok(uki::section_reader(&mut self.file, section)?)
    }
}

fn in_image(path: &Path, source: PipelineError) -> PipelineError {
    PipelineError::Image {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn summarise(uki: &Uki, file: &mut Window<File>) -> Result<Summary, PipelineError> {
    let label =
        Label::parse(text(uki, file, ".osrel")?.as_bytes()).ok_or(PipelineError::NotOurs)?;
    Ok(Summary {
        name: label.name,
        arch: uki.arch,
        memory_mib: label.memory_mib,
        memory_uefi_mib: label.memory_uefi_mib,
        ports: label.ports,
        kit: label.kit,
        unpinned: label.unpinned,
        shell: label.shell,
        kernel: text(uki, file, ".uname")?,
        cmdline: text(uki, file, ".cmdline")?,
    })
}

fn text(uki: &Uki, file: &mut Window<File>, name: &str) -> Result<String, PipelineError> {
    let section = uki.require(name)?;
    let reader = uki::section_reader(file, section)?;
    let mut text = String::new();
    match reader.take(TEXT_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(PipelineError::Text {
            section: section.name.clone(),
            source,
        }),
    }
}
