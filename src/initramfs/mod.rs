//! The initramfs: a tree of guest files (pure), written as a newc archive and
//! packed with zstd, and read back.
//!
//! The archive is a function of the tree alone: entries in byte order of their
//! paths, inodes numbered from 1, every owner root, every time zero.

mod entry;
mod error;
mod newc;
mod pack;
#[cfg(test)]
mod tests;
mod tree;

pub use entry::{Entry, Kind, Written};
pub use error::{InitramfsError, TreeError};
pub use newc::{MAX_ENTRIES, MAX_UNPACKED, See, write};
pub use pack::{DEFAULT_LEVEL, Packed, pack, packs_to, read};
pub use tree::{Content, Node, PAGE, Tree};
