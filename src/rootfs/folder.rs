//! A directory of this machine, taken whole.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::root::Node;

use super::{Limits, Rootfs, RootfsError};

/// The owner's right to execute, and the bits that make a program another user's
/// (S_IXUSR, S_ISUID, S_ISGID; inode(7)).
pub(super) const OWNER_EXECUTES: u32 = 0o100;
pub(super) const SET_ID: u32 = 0o6000;

/// Why something is left out.
pub(super) const DEVICE: &str = "a device; init makes those that there are";
pub(super) const PIPE: &str = "a named pipe";
pub(super) const SOCKET: &str = "a socket";
pub(super) const NOT_UTF8: &str = "its name or target is not UTF-8";
/// What a file has no more.
pub(super) const SET_ID_BIT: &str = "its setuid or setgid bit";
pub(super) const CAPABILITIES: &str = "its capabilities";

pub(super) fn read(
    dir: &Path,
    limits: &Limits,
    interrupted: &dyn Fn() -> bool,
) -> Result<Rootfs, RootfsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RootfsError::Read { path, source }
    };
    if !fs::metadata(dir).map_err(failed(dir))?.is_dir() {
        return Err(RootfsError::NotADirectory(dir.to_owned()));
    }
    let mut root = Rootfs::new();
    let mut hard_links: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut todo = vec![(dir.to_owned(), String::new())];
    let mut seen = 0;
    while let Some((host, guest)) = todo.pop() {
        if interrupted() {
            let source = io::Error::other("interrupted");
            return Err(failed(&host)(source));
        }
        for entry in fs::read_dir(&host).map_err(failed(&host))? {
            let host = entry.map_err(failed(&host))?.path();
            seen += 1;
            if seen > limits.entries {
                return Err(RootfsError::TooMany {
                    path: dir.to_owned(),
                    limit: limits.entries,
                });
            }
            let name = host.file_name().unwrap_or_default();
            let path = format!("{guest}/{}", name.to_string_lossy());
            if name.to_str().is_none() {
                root.left_out.insert(path, NOT_UTF8);
                continue;
            }
            let metadata = fs::symlink_metadata(&host).map_err(failed(&host))?;
            let node = match node(&host, &metadata).map_err(failed(&host))? {
                Ok(node) => node,
                Err(why) => {
                    root.left_out.insert(path, why);
                    continue;
                }
            };
            let node = first(node, &metadata, &mut hard_links);
            if matches!(node, Node::File { .. }) && metadata.mode() & SET_ID != 0 {
                root.stripped.insert(path.clone(), SET_ID_BIT);
            }
            if node == Node::Dir {
                todo.push((host, path.clone()));
            }
            // its parent is a directory: it was just read
            let _ = root.tree.put(&path, node, 0);
        }
    }
    Ok(root)
}

/// What stands at `host`, or why it is left out.
fn node(host: &Path, metadata: &Metadata) -> io::Result<Result<Node, &'static str>> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        Ok(Node::Dir)
    } else if kind.is_symlink() {
        let target = fs::read_link(host)?.into_os_string().into_string();
        target
            .map(|target| Node::Link { target })
            .map_err(|_| NOT_UTF8)
    } else if kind.is_file() {
        // told now, by its name, and not when half of the image is written
        fs::File::open(host)?;
        Ok(Node::File {
            host: Some(host.to_owned()),
            len: metadata.len(),
            executable: metadata.mode() & OWNER_EXECUTES != 0,
        })
    } else if kind.is_fifo() {
        Err(PIPE)
    } else if kind.is_socket() {
        Err(SOCKET)
    } else {
        Err(DEVICE)
    })
}

/// The same node, with one path on this machine for all hard links of a file.
fn first(node: Node, metadata: &Metadata, known: &mut HashMap<(u64, u64), PathBuf>) -> Node {
    match node {
        Node::File {
            host: Some(host),
            len,
            executable,
        } if metadata.nlink() > 1 => {
            let inode = (metadata.dev(), metadata.ino());
            let host = known.entry(inode).or_insert(host).clone();
            Node::File {
                host: Some(host),
                len,
                executable,
            }
        }
        other => other,
    }
}
