//! What can go wrong with a unified kernel image.

use std::io;
use std::path::PathBuf;

use crate::units::Bytes;

/// A unified kernel image cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// The stub is no PE file of the expected make.
    #[error("the EFI stub cannot be used: {0}")]
    Stub(String),
    /// The stub's header has too little room for the sections to be added.
    #[error(
        "the EFI stub's header has room for {room} more sections and {needed} are needed; \
         use another version of systemd-boot-efi"
    )]
    Room {
        /// Section headers that fit.
        room: usize,
        /// Section headers to be added.
        needed: usize,
    },
    /// The sections do not fit a PE file's 32-bit addresses.
    #[error("the sections come to {0}; a unified kernel image is at most 4 GiB")]
    TooLarge(Bytes),
    /// The kernel is no file that the stub could start.
    #[error("{} is not a kernel that the EFI stub can start: {reason}", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part cannot be read.
    #[error("cannot read {}", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A part's length is not what it was when the image was laid out.
    #[error("{} changed while the image was made; build again", .0.display())]
    Changed(PathBuf),
    /// The image cannot be written.
    #[error("cannot write the unified kernel image")]
    Write(#[source] io::Error),
    /// The image cannot be read.
    #[error("cannot read the unified kernel image")]
    Read(#[source] io::Error),
    /// The image is not one, or is damaged.
    #[error("the unified kernel image is corrupt: {0}")]
    Corrupt(String),
}
