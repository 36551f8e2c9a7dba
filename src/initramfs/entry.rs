//! What an archive holds, told the same way by the writer and the reader.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::units::Bytes;

/// What kind of node an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The absolute path in the guest.
    pub path: String,
    /// The kind of node.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// The length of a file's content; zero for all else.
    pub size: Bytes,
    /// The digest of a file's content.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Digest>,
    /// Where a symbolic link points.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<(u32, u32)>,
}

/// What was written: the archive's length before compression, and its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Length of the newc archive.
    pub len: Bytes,
    /// Every entry in the order of the archive.
    pub entries: Vec<Entry>,
}
