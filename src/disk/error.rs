//! What can go wrong with a disk image.

use std::io;

use crate::units::{Bytes, Lba};

/// A disk image cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// FAT's file size field has 32 bits.
    #[error("the unified kernel image is {0} long; a file on FAT32 is at most 4 GiB - 1 B")]
    TooLarge(Bytes),
    /// There is nothing to put on the disk.
    #[error("the unified kernel image is empty")]
    Empty,
    /// The second stage does not fit its partition.
    #[error("the BIOS loader is {len} long and its partition has {room}")]
    Loader {
        /// The loader's length.
        len: Bytes,
        /// The partition's length.
        room: Bytes,
    },
    /// Boot code was given for a plan without BIOS, or left out of one with it.
    #[error("{0}")]
    BootCode(&'static str),
    /// The unified kernel image is not as long as planned.
    #[error("the unified kernel image changed while the disk was made; build again")]
    Changed,
    /// The source of the unified kernel image cannot be read.
    #[error("cannot read the unified kernel image")]
    Source(#[source] io::Error),
    /// The image cannot be written.
    #[error("cannot write the disk image")]
    Write(#[source] io::Error),
    /// The file system maker laid the volume out in another way than planned.
    #[error("the file system was not laid out as planned: {0}")]
    Unplanned(String),
    /// The image was read back and is not what was planned.
    #[error("the disk image does not read back: the kernel image begins at block {} and not at {}", found.0, planned.0)]
    Misplaced {
        /// Where the file was found.
        found: Lba,
        /// Where it should begin.
        planned: Lba,
    },
    /// The image cannot be read.
    #[error("cannot read the disk image")]
    Read(#[source] io::Error),
    /// The file is no disk image of ampoule's.
    #[error("not a disk image made by ampoule: {0}")]
    NotAnImage(String),
    /// The image is damaged.
    #[error("the disk image is corrupt: {0}")]
    Corrupt(String),
}

impl DiskError {
    /// Tells a cut image from one that cannot be read.
    pub(super) fn reading(e: io::Error) -> DiskError {
        if e.kind() == io::ErrorKind::UnexpectedEof {
            DiskError::Corrupt("it is cut off".to_owned())
        } else {
            DiskError::Read(e)
        }
    }
}
