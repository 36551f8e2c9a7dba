//! The tree of guest files: pure, ordered, parents derived.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::units::Bytes;

use super::{InitramfsError, TreeError};

/// Bytes in a page of the guest, the unit in which its root file system grows
/// (4 KiB on x86_64 and on aarch64 as we configure it).
pub const PAGE: u64 = 4096;

/// Longest path and link target that the kernel unpacks, without the closing
/// NUL: init/initramfs.c skips silently what is longer than PATH_MAX (4096).
const MAX_PATH: usize = 4095;
/// Longest name of one node (NAME_MAX of tmpfs).
const MAX_NAME: usize = 255;
/// The name that ends a newc archive, so that no file at the root can bear it.
const TRAILER: &str = "/TRAILER!!!";
/// tmpfs keeps shorter link targets inside the inode (mm/shmem.c,
/// SHORT_SYMLINK_LEN, the closing NUL included).
const SHORT_LINK: usize = 128;
/// Mode of directories that nobody asked for by name.
const DERIVED_MODE: u32 = 0o755;

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes in memory, for small generated files.
    Bytes(Vec<u8>),
    /// A file of the host, streamed when the archive is written.
    Host {
        /// The file.
        path: PathBuf,
        /// The length that it must still have then.
        len: u64,
    },
}

impl Content {
    /// The regular file at `path`, with its present length.
    ///
    /// # Errors
    /// The file cannot be examined, or is no regular file.
    pub fn host(path: &Path) -> Result<Content, InitramfsError> {
        let meta = fs::metadata(path).map_err(|source| InitramfsError::Host {
            path: path.to_owned(),
            source,
        })?;
        if !meta.is_file() {
            return Err(InitramfsError::NotAFile(path.to_owned()));
        }
        Ok(Content::Host {
            path: path.to_owned(),
            len: meta.len(),
        })
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            // usize is at most 64 bits wide on every host
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Host { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One node of the tree. Modes are the twelve permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, absolute or relative, and unchecked.
        target: String,
    },
    /// A character device.
    Char {
        /// Permission bits.
        mode: u32,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A node, and whether somebody asked for it by name.
#[derive(Debug, Clone)]
struct Place {
    node: Node,
    derived: bool,
}

/// The guest's files, by path. The root is there from the start, mode 0755:
/// an archive that leaves it out leaves the guest with a world-writable one.
#[derive(Debug, Clone)]
pub struct Tree {
    places: BTreeMap<String, Place>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// A tree of nothing but its root.
    #[must_use]
    pub fn new() -> Tree {
        let root = Place {
            node: Node::Dir { mode: DERIVED_MODE },
            derived: true,
        };
        Tree {
            places: BTreeMap::from([("/".to_owned(), root)]),
        }
    }

    /// Adds a directory. Asking twice for the same one with the same mode is
    /// allowed, and so is giving a mode to one that was derived.
    ///
    /// # Errors
    /// The path or the mode is invalid or taken.
    pub fn dir(&mut self, path: &str, mode: u32) -> Result<(), TreeError> {
        self.add(path, Node::Dir { mode })
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// The path or the mode is invalid or taken, or the content is 4 GiB or longer.
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> Result<(), TreeError> {
        if u32::try_from(content.len()).is_err() {
            return Err(TreeError::TooLong {
                path: path.to_owned(),
                len: Bytes(content.len()),
            });
        }
        self.add(path, Node::File { mode, content })
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// The path is invalid or taken, or the target is empty, holds a NUL or is
    /// longer than 4095 bytes.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), TreeError> {
        let reason = match target {
            "" => Some("is empty"),
            t if t.contains('\0') => Some("holds a NUL"),
            t if t.len() > MAX_PATH => Some("is longer than 4095 bytes"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(TreeError::Target {
                path: path.to_owned(),
                reason,
            });
        }
        let target = target.to_owned();
        self.add(path, Node::Symlink { target })
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// The path or the mode is invalid or taken.
    pub fn char_device(
        &mut self,
        path: &str,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> Result<(), TreeError> {
        self.add(path, Node::Char { mode, major, minor })
    }

    /// The node at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.places.get(path).map(|place| &place.node)
    }

    /// Every node in byte order of the paths, so that parents come first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.places
            .iter()
            .map(|(path, place)| (path.as_str(), &place.node))
    }

    /// The number of nodes, the root included: the inodes that the guest needs.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.places.len()
    }

    /// What the files take in the guest's root file system (tmpfs): content in
    /// whole pages, long link targets a page each. Inodes are not counted.
    #[must_use]
    pub fn unpacked_size(&self) -> Bytes {
        let pages = self.places.values().map(|place| match &place.node {
            Node::File { content, .. } => content.len().next_multiple_of(PAGE),
            Node::Symlink { target } if target.len() >= SHORT_LINK => PAGE,
            _ => 0,
        });
        Bytes(pages.sum())
    }

    /// Links of a directory: its name, its own `.`, and each child's `..`.
    pub(super) fn links(&self, dir: &str) -> u32 {
        let prefix = if dir == "/" {
            dir.to_owned()
        } else {
            format!("{dir}/")
        };
        let children = self
            .places
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .filter(|(path, place)| {
                let name = &path[prefix.len()..];
                !name.is_empty() && !name.contains('/') && matches!(place.node, Node::Dir { .. })
            })
            .count();
        u32::try_from(children).unwrap_or(u32::MAX - 2) + 2
    }

    fn add(&mut self, path: &str, node: Node) -> Result<(), TreeError> {
        check_path(path)?;
        check_mode(path, &node)?;
        self.derive_parents(path)?;
        match self.places.get_mut(path) {
            None => {}
            Some(old) if old.node == node && matches!(node, Node::Dir { .. }) => {}
            Some(old) if old.derived && matches!(node, Node::Dir { .. }) => {}
            Some(_) => return Err(TreeError::Taken(path.to_owned())),
        }
        let derived = false;
        self.places.insert(path.to_owned(), Place { node, derived });
        Ok(())
    }

    /// Makes the directories above `path` that are not there yet.
    fn derive_parents(&mut self, path: &str) -> Result<(), TreeError> {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]).skip(1);
        for parent in parents {
            match self.places.get(parent).map(|place| &place.node) {
                Some(Node::Dir { .. }) => {}
                Some(_) => {
                    return Err(TreeError::Through {
                        path: path.to_owned(),
                        through: parent.to_owned(),
                    });
                }
                None => {
                    let node = Node::Dir { mode: DERIVED_MODE };
                    let derived = true;
                    self.places
                        .insert(parent.to_owned(), Place { node, derived });
                }
            }
        }
        Ok(())
    }
}

/// Whether `path` is absolute, plain and short enough.
pub(super) fn check_path(path: &str) -> Result<(), TreeError> {
    let bad = |reason| {
        let path = path.to_owned();
        Err(TreeError::Path { path, reason })
    };
    if path == "/" {
        return Ok(());
    }
    let Some(names) = path.strip_prefix('/') else {
        return bad("is not absolute; begin it with /");
    };
    if path.len() > MAX_PATH {
        return bad("is longer than 4095 bytes");
    }
    if path == TRAILER {
        return bad("is the mark that ends an archive; choose another name");
    }
    if path.contains('\0') {
        return bad("holds a NUL");
    }
    for name in names.split('/') {
        match name {
            "" => return bad("has an empty part (// or a closing /)"),
            "." | ".." => return bad("has a part . or ..; write it out"),
            _ if name.len() > MAX_NAME => return bad("has a part longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

fn check_mode(path: &str, node: &Node) -> Result<(), TreeError> {
    match *node {
        Node::Dir { mode } | Node::File { mode, .. } | Node::Char { mode, .. } if mode > 0o7777 => {
            Err(TreeError::Mode {
                path: path.to_owned(),
                mode,
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Content {
        Content::Bytes(vec![b'x'; len])
    }

    #[test]
    fn parents_are_derived_and_can_be_given_a_mode_later() {
        let mut tree = Tree::new();
        tree.file("/a/b/c", 0o644, bytes(1)).unwrap();
        assert_eq!(tree.get("/a"), Some(&Node::Dir { mode: 0o755 }));
        tree.dir("/a/b", 0o1777).unwrap();
        tree.dir("/a/b", 0o1777).unwrap();
        assert_eq!(tree.get("/a/b"), Some(&Node::Dir { mode: 0o1777 }));
        let taken = TreeError::Taken("/a/b".to_owned());
        assert_eq!(tree.dir("/a/b", 0o700), Err(taken));
        let order: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(order, ["/", "/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn conflicts_are_refused() {
        let mut tree = Tree::new();
        tree.file("/a", 0o644, bytes(0)).unwrap();
        let taken = || Err(TreeError::Taken("/a".to_owned()));
        assert_eq!(tree.file("/a", 0o644, bytes(0)), taken());
        assert_eq!(tree.dir("/a", 0o755), taken());
        let through = tree.symlink("/a/b/c", "x").unwrap_err();
        assert_eq!(
            through.to_string(),
            "guest path /a/b/c leads through /a, which is not a directory"
        );
        tree.dir("/d", 0o755).unwrap();
        assert!(tree.char_device("/d", 0o600, 5, 1).is_err());
        assert_eq!(
            tree.file("/", 0o644, bytes(0)),
            Err(TreeError::Taken("/".to_owned()))
        );
    }

    #[test]
    fn paths_that_the_guest_cannot_have_are_refused() {
        let long_name = format!("/{}", "n".repeat(256));
        let long_path = "/d".repeat(2048);
        for path in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/./a",
            "/a/..",
            "/a\0b",
            "/TRAILER!!!",
            &long_name,
            &long_path,
        ] {
            assert!(Tree::new().dir(path, 0o755).is_err(), "{path:?}");
        }
        for path in ["/...", "/a b", "/é", "/a/TRAILER!!!", "/"] {
            Tree::new().dir(path, 0o755).unwrap();
        }
    }

    #[test]
    fn lengths_and_modes_are_bounded() {
        let mut tree = Tree::new();
        let huge = Content::Host {
            path: "/x".into(),
            len: 1 << 32,
        };
        assert_eq!(
            tree.file("/big", 0o644, huge).unwrap_err().to_string(),
            "/big is 4.0 GiB long; a file in an initramfs is at most 4 GiB - 1 B"
        );
        assert!(tree.dir("/m", 0o10000).is_err());
        assert!(tree.symlink("/l", "").is_err());
        assert!(tree.symlink("/l", "a\0").is_err());
        assert!(tree.symlink("/l", &"t".repeat(4096)).is_err());
    }

    #[test]
    fn the_size_counts_pages_and_links_count_children() {
        let mut tree = Tree::new();
        tree.file("/a/one", 0o644, bytes(1)).unwrap();
        tree.file("/a/two", 0o644, bytes(4097)).unwrap();
        tree.dir("/a/d/e", 0o755).unwrap();
        tree.dir("/a-b", 0o755).unwrap();
        tree.symlink("/short", "t").unwrap();
        tree.symlink("/long", &"t".repeat(128)).unwrap();
        assert_eq!(tree.unpacked_size(), Bytes(4 * PAGE));
        assert_eq!(tree.links("/"), 4);
        assert_eq!(tree.links("/a"), 3);
        assert_eq!(tree.links("/a/d/e"), 2);
    }
}
