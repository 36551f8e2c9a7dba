//! What can go wrong with a tree or an archive.

use std::io;
use std::path::PathBuf;

use crate::units::Bytes;

use super::newc::{MAX_ENTRIES, MAX_UNPACKED};

/// A node cannot be put into the tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// The path is not one that the guest can have.
    #[error("guest path {path:?} {reason}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two nodes of different make want the same path.
    #[error("guest path {0} is taken twice; leave one of the two out")]
    Taken(String),
    /// A path leads through something that is not a directory.
    #[error("guest path {path} leads through {through}, which is not a directory")]
    Through {
        /// The path that was to be added.
        path: String,
        /// The node in its way.
        through: String,
    },
    /// A mode has more than the twelve permission bits.
    #[error("guest path {path} has mode {mode:o}; a mode is at most 7777")]
    Mode {
        /// The path that was to be added.
        path: String,
        /// The mode as it was given.
        mode: u32,
    },
    /// A symbolic link's target is one that the kernel would not unpack.
    #[error("symbolic link {path} has a target that {reason}")]
    Target {
        /// The link's own path.
        path: String,
        /// What is wrong with the target.
        reason: &'static str,
    },
    /// The archive's size field has 32 bits.
    #[error("{path} is {len} long; a file in an initramfs is at most 4 GiB - 1 B")]
    TooLong {
        /// The guest path.
        path: String,
        /// The file's length.
        len: Bytes,
    },
}

/// An archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A host file cannot be read.
    #[error("cannot read {}", path.display())]
    Host {
        /// The file on the host.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A host path is not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A host file's length is not what it was when the tree was made.
    #[error(
        "{} changed while it was being sealed (it had {expected}); build again when it is at rest",
        path.display()
    )]
    Changed {
        /// The file on the host.
        path: PathBuf,
        /// The length that the tree names.
        expected: Bytes,
    },
    /// The archive cannot be written.
    #[error("cannot write the initramfs")]
    Write(#[source] io::Error),
    /// The archive cannot be read or unpacked.
    #[error("cannot read the initramfs")]
    Read(#[source] io::Error),
    /// The archive breaks the format's rules.
    #[error("the initramfs is corrupt: {0}")]
    Corrupt(String),
    /// The archive unpacks to more than any image holds.
    #[error("the initramfs unpacks to more than {}", Bytes(MAX_UNPACKED))]
    TooLarge,
    /// The archive has more entries than any image holds.
    #[error("the initramfs has more than {MAX_ENTRIES} entries")]
    TooMany,
}
