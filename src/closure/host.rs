//! A directory of this machine as a root.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::root::{self, Node, Root};

/// The owner's right to execute (S_IXUSR, inode(7)).
const OWNER_EXECUTES: u32 = 0o100;

/// A directory taken for `/`. No link in it leads out of it, whoever made it.
#[derive(Debug, Clone)]
pub struct HostRoot {
    dir: PathBuf,
}

impl HostRoot {
    /// The directory at `dir`.
    ///
    /// # Errors
    /// What the system says; it must be there and be a directory.
    pub fn open(dir: &Path) -> io::Result<HostRoot> {
        // what is asked later must not depend on links on the way to the root itself
        let dir = fs::canonicalize(dir)?;
        match fs::metadata(&dir)?.is_dir() {
            true => Ok(HostRoot { dir }),
            false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        }
    }

    /// The path under which `file` of this machine is seen from inside, if it lies inside.
    #[must_use]
    pub fn inside(&self, file: &Path) -> Option<String> {
        let file = fs::canonicalize(file).ok()?;
        let rest = file.strip_prefix(&self.dir).ok()?;
        Some(format!("/{}", rest.to_str()?))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }
}

/// The root with nothing but its real directories: what [`root::walk`] asks for has
/// no link above it.
struct Plain<'a>(&'a HostRoot);

impl Root for Plain<'_> {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        let host = self.0.at(path);
        let metadata = match fs::symlink_metadata(&host) {
            Ok(metadata) => metadata,
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            return Ok(Some(Node::Dir));
        }
        if metadata.is_symlink() {
            let target = fs::read_link(&host)?.into_os_string();
            // a link that nobody can write down leads nowhere
            let target = target.into_string().ok();
            return Ok(target.map(|target| Node::Link { target }));
        }
        Ok(metadata.is_file().then(|| Node::File {
            host: Some(host),
            len: metadata.len(),
            executable: metadata.permissions().mode() & OWNER_EXECUTES != 0,
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.0.at(path)) {
            Ok(entries) => entries,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Root for HostRoot {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = root::walk(&Plain(self), parent)?;
        match above.node {
            Some(Node::Dir) => Plain(self).node(&format!("{}/{name}", above.path)),
            _ => Ok(None),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        Plain(self).names(&root::walk(&Plain(self), path)?.path)
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A root over another one: what the upper has hides what stands there below.
pub struct Over<'a> {
    /// Looked at first.
    pub upper: &'a dyn Root,
    /// Looked at where the upper has nothing.
    pub lower: &'a dyn Root,
}

impl Root for Over<'_> {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        match self.upper.node(path)? {
            Some(node) => Ok(Some(node)),
            None => self.lower.node(path),
        }
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = self.upper.names(path)?;
        names.extend(self.lower.names(path)?);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_never_lead_out_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        fs::write(base.join("secret"), "outside").unwrap();
        fs::create_dir_all(base.join("root/usr/lib")).unwrap();
        fs::write(base.join("root/usr/lib/a.so"), "inside").unwrap();
        symlink("/usr/lib", base.join("root/lib")).unwrap();
        symlink("../../../..", base.join("root/usr/up")).unwrap();
        symlink("../../secret", base.join("root/usr/s")).unwrap();
        symlink(base.join("secret"), base.join("root/usr/t")).unwrap();
        let root = HostRoot::open(&base.join("root")).unwrap();

        let found = root::walk(&root, "/lib/a.so").unwrap();
        assert_eq!(found.path, "/usr/lib/a.so");
        assert!(found.is_file());
        // asked for by the name of a link's child, too
        assert!(root.node("/lib/a.so").unwrap().is_some());
        assert_eq!(root.names("/lib").unwrap(), ["a.so"]);
        let above = root::walk(&root, "/usr/up/usr/lib/a.so").unwrap();
        assert_eq!(above.path, "/usr/lib/a.so");
        for path in ["/usr/s", "/usr/t", "/usr/up/secret"] {
            assert_eq!(root::walk(&root, path).unwrap().node, None, "{path}");
        }
        assert_eq!(
            root.inside(&base.join("root/lib/../usr/lib/a.so")),
            None,
            "the host's own way to it leads elsewhere"
        );
        let inside = root.inside(&base.join("root/usr/lib/a.so"));
        assert_eq!(inside.as_deref(), Some("/usr/lib/a.so"));
        assert_eq!(root.inside(&base.join("secret")), None);
    }
}
