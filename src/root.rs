//! A root directory looked at from inside, wherever its files really lie: the
//! directory of a host, the layers of a container image, the tree of a guest.
//!
//! [`walk`] is the one place where symbolic links are followed. An absolute link
//! begins at this root again and `..` at the root stays there, as it does for a
//! process that was put into the root by chroot(2).

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

/// Symbolic links on one way before Linux gives up (path_resolution(7), MAXSYMLINKS).
const LINKS_MAX: usize = 40;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// Where its bytes are on this machine; none for what is made here.
        host: Option<PathBuf>,
        /// Its length in bytes.
        len: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, absolute or relative.
        target: String,
    },
}

/// A tree of files below `/`.
///
/// Paths are absolute, without `.`, `..` and empty parts.
pub trait Root {
    /// What stands at `path`, whose parents are directories; a link is not followed.
    ///
    /// # Errors
    /// What the system says when it cannot be told.
    fn node(&self, path: &str) -> io::Result<Option<Node>>;

    /// The names in the directory at `path`, sorted; none where there is no directory.
    ///
    /// # Errors
    /// What the system says.
    fn names(&self, path: &str) -> io::Result<Vec<String>>;
}

/// A way to a path and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Directories and links on the way, in the order in which they are met.
    pub passed: Vec<(String, Node)>,
    /// Where the way ends, no link in it.
    pub path: String,
    /// What stands there. Nothing where a part is missing or no directory.
    pub node: Option<Node>,
}

impl Walk {
    /// Whether it ends at a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.node, Some(Node::File { .. }))
    }
}

/// Goes to `path` in `root` and follows every link, the last one too.
///
/// # Errors
/// What the root says.
pub fn walk(root: &dyn Root, path: &str) -> io::Result<Walk> {
    let mut todo: VecDeque<String> = parts(path).collect();
    let mut here = String::new();
    let mut passed = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            here.truncate(here.rfind('/').unwrap_or(0));
            continue;
        }
        let next = format!("{here}/{part}");
        let node = root.node(&next)?;
        match &node {
            Some(Node::Dir) => {
                passed.push((next.clone(), Node::Dir));
                here = next;
            }
            Some(Node::Link { target }) if links < LINKS_MAX => {
                links += 1;
                if target.starts_with('/') {
                    here.clear();
                }
                for part in parts(target).rev() {
                    todo.push_front(part);
                }
                passed.extend(node.map(|node| (next, node)));
            }
            Some(Node::File { .. }) if todo.is_empty() => {
                return Ok(Walk {
                    passed,
                    path: next,
                    node,
                });
            }
            _ => {
                let rest = todo.iter().map(|part| format!("/{part}"));
                return Ok(Walk {
                    passed,
                    path: rest.fold(next, |path, part| path + &part),
                    node: None,
                });
            }
        }
    }
    if here.is_empty() {
        here.push('/');
    }
    Ok(Walk {
        passed,
        path: here,
        node: Some(Node::Dir),
    })
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Paper(BTreeMap<&'static str, Node>);

    impl Root for Paper {
        fn node(&self, path: &str) -> io::Result<Option<Node>> {
            Ok(self.0.get(path).cloned())
        }

        fn names(&self, _: &str) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }
    }

    fn link(target: &str) -> Node {
        Node::Link {
            target: target.to_owned(),
        }
    }

    fn file() -> Node {
        Node::File {
            host: None,
            len: 1,
            executable: false,
        }
    }

    fn merged() -> Paper {
        Paper(BTreeMap::from([
            ("/lib", link("usr/lib")),
            ("/lib64", link("/usr/lib64")),
            ("/usr", Node::Dir),
            ("/usr/lib", Node::Dir),
            ("/usr/lib/ld.so", link("../lib64/../../../lib/ld-2.so")),
            ("/usr/lib/ld-2.so", file()),
            ("/usr/lib64", Node::Dir),
            ("/usr/lib64/ld.so", link("/lib/ld.so")),
            ("/loop", link("loop")),
        ]))
    }

    #[test]
    fn links_lead_inside_the_root_and_are_remembered() {
        let walk = walk(&merged(), "/lib64/ld.so").unwrap();
        assert_eq!(walk.path, "/usr/lib/ld-2.so");
        assert!(walk.is_file());
        let links: Vec<&str> = walk
            .passed
            .iter()
            .filter(|(_, node)| *node != Node::Dir)
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(
            links,
            [
                "/lib64",
                "/usr/lib64/ld.so",
                "/lib",
                "/usr/lib/ld.so",
                "/lib"
            ]
        );
    }

    #[test]
    fn what_is_not_there_ends_the_way() {
        let root = merged();
        for (path, end) in [
            ("/lib/a/b", "/usr/lib/a/b"),
            ("/lib/ld-2.so/x", "/usr/lib/ld-2.so/x"),
            ("/loop", "/loop"),
        ] {
            let walk = walk(&root, path).unwrap();
            assert_eq!((walk.path.as_str(), walk.node), (end, None), "{path}");
        }
        assert_eq!(walk(&root, "/../..").unwrap().path, "/");
    }
}
