//! A root as somebody else made it: a directory, or a container image in the OCI
//! image layout (opencontainers/image-spec, image-layout.md).
//!
//! Layers never become files under their own names on this machine: the tree is kept
//! in memory, and content goes into a spool of numbered files. So no path and no link
//! in a layer can reach anything here.

mod config;
mod error;
mod folder;
mod layer;
mod layout;
mod readers;
mod trades;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

pub use config::{Defaults, Identity};
pub use error::RootfsError;
pub use trades::trade;
pub use tree::Tree;

use crate::units::Arch;

/// A root, read.
#[derive(Debug)]
pub struct Rootfs {
    /// Its files.
    pub tree: Tree,
    /// What its image says of how it is run; a directory says nothing.
    pub defaults: Option<Defaults>,
    /// The architecture that its image is for; a directory does not say.
    pub arch: Option<Arch>,
    /// What could not be taken over, by path.
    pub left_out: BTreeMap<String, &'static str>,
    /// What files had beside their content and have no more, by path.
    pub stripped: BTreeMap<String, &'static str>,
    /// Holds the content of layers until this is dropped.
    spool: Option<TempDir>,
}

/// How much is read before it is called a bomb.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all layers, unpacked.
    pub bytes: u64,
    /// Entries of all layers, or of the directory.
    pub entries: u64,
}

impl Default for Limits {
    /// What no machine would want in its memory.
    fn default() -> Limits {
        Limits {
            bytes: 16 << 30,
            entries: 1 << 20,
        }
    }
}

/// Reads the root at `dir`. Content of layers goes into a folder in `scratch`, which
/// goes away with what is returned. Ends early once `interrupted` says so.
///
/// # Errors
/// [`RootfsError`] in one line.
pub fn open(
    dir: &Path,
    scratch: &Path,
    limits: &Limits,
    interrupted: &dyn Fn() -> bool,
) -> Result<Rootfs, RootfsError> {
    match layout::Layout::at(dir)? {
        Some(layout) => layout.unpack(scratch, limits, interrupted),
        None => folder::read(dir, limits, interrupted),
    }
}

impl Rootfs {
    fn new() -> Rootfs {
        Rootfs {
            tree: Tree::default(),
            defaults: None,
            arch: None,
            left_out: BTreeMap::new(),
            stripped: BTreeMap::new(),
            spool: None,
        }
    }
}

#[cfg(test)]
mod tests;
