//! What `--file` and `[files]` bring: the host's files as entries of the guest.
//!
//! A directory is taken with all that is in it, in sorted order. Symbolic links
//! inside it stay as they are, wherever they lead; the path that was named is
//! itself followed. Modes become 0755 for directories and what its owner may
//! execute, 0644 for the rest; everything is root's.

use std::collections::BTreeMap;
use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SpecError, value};
use crate::root;

/// The owner's right to execute (S_IXUSR, inode(7)).
const OWNER_EXECUTES: u32 = 0o100;
/// How deep directories may be nested: Linux's PATH_MAX holds no more.
const DEEPEST: usize = 2048;

/// One file, directory or link for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its absolute path in the guest.
    pub guest: String,
    /// Where it comes from.
    pub host: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory, 0755.
    Dir,
    /// A file, whose content is [`Entry::host`]'s.
    File {
        /// 0755 or 0644.
        mode: u32,
        /// Its length in bytes.
        len: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: String,
    },
}

/// What comes from a root directory or a container image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// Where it was read.
    pub dir: PathBuf,
    /// Its files, in the order of their paths.
    pub entries: Vec<Entry>,
    /// What of it has no place in a sealed machine.
    pub left_out: Vec<LeftOut>,
    /// What its owner should know.
    pub notes: Vec<String>,
    /// Whether a shell is among its files.
    pub shell: bool,
}

impl root::Root for Root {
    fn node(&self, path: &str) -> io::Result<Option<root::Node>> {
        let place = |entry: &Entry| entry.guest.as_str().cmp(path);
        let Ok(at) = self.entries.binary_search_by(place) else {
            return Ok(None);
        };
        let entry = &self.entries[at];
        Ok(Some(match &entry.kind {
            Kind::Dir => root::Node::Dir,
            Kind::File { mode, len } => root::Node::File {
                host: Some(entry.host.clone()),
                len: *len,
                executable: mode & OWNER_EXECUTES != 0,
            },
            Kind::Symlink { target } => root::Node::Link {
                target: target.clone(),
            },
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = |entry: &Entry| entry.guest.strip_prefix(&prefix).map(str::to_owned);
        let below = self.entries.iter().filter_map(below);
        Ok(below.filter(|name| !name.contains('/')).collect())
    }
}

/// A file or directory that does not come along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its path in the root.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Looks at the host's files behind `wanted`, guest path to host path, and gives
/// the guest's entries in the order of their paths.
///
/// # Errors
/// [`SpecError`] naming the path: missing, unreadable, a device or socket, a name
/// that is no UTF-8, a place that is taken.
pub fn collect(wanted: &BTreeMap<String, PathBuf>) -> Result<Vec<Entry>, SpecError> {
    let mut found = Found::default();
    for (guest, host) in wanted {
        let told = |source| unreadable(host, guest, source);
        let metadata = fs::metadata(host).map_err(told)?;
        if guest == "/" && !metadata.is_dir() {
            return Err(SpecError::FileAsRoot(host.clone()));
        }
        found.visit(host, guest, &metadata, 0)?;
    }
    found.check_parents()?;
    Ok(found.0.into_values().collect())
}

fn unreadable(host: &Path, guest: &str, source: io::Error) -> SpecError {
    SpecError::Host {
        host: host.to_owned(),
        guest: guest.to_owned(),
        source,
    }
}

#[derive(Default)]
struct Found(BTreeMap<String, Entry>);

impl Found {
    fn visit(
        &mut self,
        host: &Path,
        guest: &str,
        metadata: &Metadata,
        depth: usize,
    ) -> Result<(), SpecError> {
        let told = |source| unreadable(host, guest, source);
        if depth > DEEPEST {
            return Err(told(io::Error::other("directories nested too deep")));
        }
        if metadata.is_dir() {
            self.add(host, guest, Kind::Dir)?;
            return self.descend(host, guest, depth);
        }
        let kind = if metadata.is_symlink() {
            let target = fs::read_link(host).map_err(told)?;
            let target = target.into_os_string().into_string();
            Kind::Symlink {
                target: target.map_err(|_| SpecError::NotUtf8(host.to_owned()))?,
            }
        } else if metadata.is_file() {
            // told now, by its name, and not when half of the image is written
            File::open(host).map_err(told)?;
            Kind::File {
                mode: mode(metadata),
                len: metadata.len(),
            }
        } else {
            return Err(SpecError::Special {
                host: host.to_owned(),
                kind: kind_name(metadata.file_type()),
            });
        };
        self.add(host, guest, kind)
    }

    fn descend(&mut self, host: &Path, guest: &str, depth: usize) -> Result<(), SpecError> {
        let told = |source| unreadable(host, guest, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(host).map_err(told)? {
            names.push(entry.map_err(told)?.file_name());
        }
        names.sort_unstable();
        for name in names {
            let host = host.join(&name);
            let Some(name) = name.to_str() else {
                return Err(SpecError::NotUtf8(host));
            };
            let guest = format!("{}/{name}", guest.trim_end_matches('/'));
            value::free_path(&guest)
                .map_err(|reason| unreadable(&host, &guest, io::Error::other(reason)))?;
            let metadata =
                fs::symlink_metadata(&host).map_err(|source| unreadable(&host, &guest, source))?;
            self.visit(&host, &guest, &metadata, depth + 1)?;
        }
        Ok(())
    }

    /// A directory may come from several places; anything else from one.
    fn add(&mut self, host: &Path, guest: &str, kind: Kind) -> Result<(), SpecError> {
        let entry = Entry {
            guest: guest.to_owned(),
            host: host.to_owned(),
            kind,
        };
        match self.0.get(guest) {
            Some(there) if there.kind != Kind::Dir || entry.kind != Kind::Dir => {
                Err(twice(there, host))
            }
            Some(_) => Ok(()),
            None => {
                self.0.insert(guest.to_owned(), entry);
                Ok(())
            }
        }
    }

    /// Nothing lies under what is a file or a link.
    fn check_parents(&self) -> Result<(), SpecError> {
        for entry in self.0.values() {
            let mut path = entry.guest.as_str();
            while let Some((parent, _)) = path.rsplit_once('/') {
                if let Some(above) = self.0.get(parent).filter(|above| above.kind != Kind::Dir) {
                    return Err(twice(above, &entry.host));
                }
                path = parent;
            }
        }
        Ok(())
    }
}

fn twice(there: &Entry, second: &Path) -> SpecError {
    SpecError::Twice {
        guest: there.guest.clone(),
        first: there.host.clone(),
        second: second.to_owned(),
    }
}

fn mode(metadata: &Metadata) -> u32 {
    if metadata.mode() & OWNER_EXECUTES != 0 {
        0o755
    } else {
        0o644
    }
}

fn kind_name(kind: FileType) -> &'static str {
    if kind.is_socket() {
        "socket"
    } else if kind.is_fifo() {
        "pipe"
    } else {
        "device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    fn wanted(guest: &str, host: &Path) -> BTreeMap<String, PathBuf> {
        [(guest.to_owned(), host.to_owned())].into()
    }

    #[test]
    fn a_directory_comes_sorted_with_links_and_the_execute_bit() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/b"), "bb").unwrap();
        fs::write(root.join("a"), "#").unwrap();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(root.join("sub/b"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("../../outside", root.join("sub/link")).unwrap();

        let told: Vec<_> = collect(&wanted("/srv", root))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.guest, entry.kind))
            .collect();
        let file = |mode, len| Kind::File { mode, len };
        assert_eq!(
            told,
            [
                ("/srv".to_owned(), Kind::Dir),
                ("/srv/a".to_owned(), file(0o755, 1)),
                ("/srv/sub".to_owned(), Kind::Dir),
                ("/srv/sub/b".to_owned(), file(0o644, 2)),
                (
                    "/srv/sub/link".to_owned(),
                    Kind::Symlink {
                        target: "../../outside".into()
                    }
                ),
            ]
        );
    }

    #[test]
    fn the_named_path_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        symlink("a", dir.path().join("l")).unwrap();
        let entries = collect(&wanted("/x", &dir.path().join("l"))).unwrap();
        assert!(matches!(entries[0].kind, Kind::File { len: 1, .. }));
    }

    #[test]
    fn what_cannot_go_in_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = collect(&wanted("/x", &dir.path().join("no"))).unwrap_err();
        assert!(matches!(missing, SpecError::Host { .. }), "{missing}");
        let _socket = UnixListener::bind(dir.path().join("s")).unwrap();
        let socket = collect(&wanted("/x", dir.path())).unwrap_err();
        assert!(socket.to_string().contains("is a socket"), "{socket}");
        let device = collect(&wanted("/x", Path::new("/dev/null"))).unwrap_err();
        assert!(device.to_string().contains("is a device"), "{device}");
    }

    #[test]
    fn a_tree_over_the_root_keeps_out_of_inits_places() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/x"), "").unwrap();
        let entries = collect(&wanted("/", dir.path())).unwrap();
        assert!(entries.iter().any(|entry| entry.guest == "/etc/x"));
        fs::write(dir.path().join("init"), "").unwrap();
        assert!(collect(&wanted("/", dir.path())).is_err());
        let file = dir.path().join("etc/x");
        assert!(matches!(
            collect(&wanted("/", &file)),
            Err(SpecError::FileAsRoot(_))
        ));
    }

    #[test]
    fn two_sources_of_one_path_are_refused_and_directories_merge() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a"), "").unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        let mut both = wanted("/srv", &dir.path().join("d"));
        both.insert("/srv/b".into(), dir.path().join("f"));
        assert_eq!(collect(&both).unwrap().len(), 3);
        both.insert("/srv/a".into(), dir.path().join("f"));
        assert!(matches!(collect(&both), Err(SpecError::Twice { .. })));
        let mut under = wanted("/srv", &dir.path().join("f"));
        under.insert("/srv/b".into(), dir.path().join("f"));
        assert!(matches!(collect(&under), Err(SpecError::Twice { .. })));
    }
}
