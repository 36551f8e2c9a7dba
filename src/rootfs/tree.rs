//! The files of a root in memory: layer upon layer, whiteouts, links.

use std::collections::BTreeMap;
use std::io;

use crate::root::{Node, Root, Walk, walk};

/// What stands at each path, and the layer that put it there.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    node: Node,
    layer: usize,
}

impl Tree {
    /// Every node in byte order of the paths, so that parents come first; the root
    /// itself is not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.places
            .iter()
            .map(|(path, place)| (path.as_str(), &place.node))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Goes to `path` and follows every link.
    #[must_use]
    pub fn walk(&self, path: &str) -> Walk {
        // a tree in memory never fails to answer
        walk(self, path).unwrap_or(Walk {
            passed: Vec::new(),
            path: path.to_owned(),
            node: None,
        })
    }

    /// Puts a node of `layer` where `path` leads, its last part not followed. What was
    /// there goes, and all below it, unless both are directories. Gives the place.
    ///
    /// # Errors
    /// The parent that is a file, or a link that leads nowhere.
    pub(super) fn put(&mut self, path: &str, node: Node, layer: usize) -> Result<String, String> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(parent, layer)?;
        let path = format!("{parent}/{name}");
        if node != Node::Dir {
            self.clear(&path, usize::MAX);
        }
        self.places.insert(path.clone(), Place { node, layer });
        Ok(path)
    }

    /// Where the directory `path` is, links followed; it is made if it is not there.
    fn directory(&mut self, path: &str, layer: usize) -> Result<String, String> {
        let end = self.walk(path);
        match end.node {
            Some(Node::Dir) if end.path == "/" => return Ok(String::new()),
            Some(Node::Dir) => return Ok(end.path),
            Some(_) => return Err(end.path),
            None => {}
        }
        // make what is missing; a file or a circle of links on the way stops it
        let mut made = String::new();
        for part in end.path.split('/').skip(1) {
            made = format!("{made}/{part}");
            match self.places.get(&made).map(|place| &place.node) {
                Some(Node::Dir) => {}
                Some(_) => return Err(made),
                None => {
                    let node = Node::Dir;
                    self.places.insert(made.clone(), Place { node, layer });
                }
            }
        }
        Ok(made)
    }

    /// Takes away what stands at `path`, its last part not followed, and all below it,
    /// as far as layers before `layer` put it there (image-spec, layer.md, Whiteouts).
    pub(super) fn whiteout(&mut self, path: &str, layer: usize) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let end = self.walk(parent);
        if end.node != Some(Node::Dir) {
            return;
        }
        let path = format!("{}/{name}", end.path.trim_end_matches('/'));
        self.clear(&path, layer);
        let older = self
            .places
            .get(&path)
            .is_some_and(|place| place.layer < layer);
        if older && !self.has_children(&path) {
            self.places.remove(&path);
        }
    }

    /// Takes away what is in the directory at `path`, as far as layers before `layer`
    /// put it there (image-spec, layer.md, Opaque Whiteout).
    pub(super) fn opaque(&mut self, path: &str, layer: usize) {
        let end = self.walk(path);
        if end.node == Some(Node::Dir) {
            self.clear(end.path.trim_end_matches('/'), layer);
        }
    }

    /// Takes away what stands at `path`, and all below it.
    pub fn remove(&mut self, path: &str) {
        self.clear(path, usize::MAX);
        self.places.remove(path);
    }

    /// What stands at `path`, whose parents may be links.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.walk(parent).path;
        let path = format!("{}/{name}", parent.trim_end_matches('/'));
        self.places.get(&path).map(|place| &place.node)
    }

    /// Takes away what is below `path` and older than `layer`; a directory stays where
    /// something in it does.
    fn clear(&mut self, path: &str, layer: usize) {
        let mut stays: Vec<String> = Vec::new();
        let mut goes: Vec<String> = Vec::new();
        // from the end, so that what is in a directory comes before it
        for (below, place) in self.below(path).rev() {
            let holds =
                |stay: &String| stay.strip_prefix(below).is_some_and(|s| s.starts_with('/'));
            if place.layer >= layer || stays.last().is_some_and(holds) {
                stays.push(below.to_owned());
            } else {
                goes.push(below.to_owned());
            }
        }
        for path in goes {
            self.places.remove(&path);
        }
    }

    fn has_children(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    /// What is below `path`, at any depth.
    fn below(&self, path: &str) -> impl DoubleEndedIterator<Item = (&str, &Place)> {
        // '0' follows '/'
        let range = format!("{path}/")..format!("{path}0");
        self.places
            .range(range)
            .map(|(path, place)| (path.as_str(), place))
    }
}

impl Root for Tree {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        Ok(self.places.get(path).map(|place| place.node.clone()))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = path.trim_end_matches('/');
        let names = self
            .below(prefix)
            .map(|(below, _)| &below[prefix.len() + 1..]);
        let direct = names.filter(|name| !name.contains('/'));
        Ok(direct.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u64) -> Node {
        Node::File {
            host: None,
            len: number,
            executable: false,
        }
    }

    fn link(target: &str) -> Node {
        Node::Link {
            target: target.to_owned(),
        }
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in paths {
            tree.put(path, file(0), 0).unwrap();
        }
        tree
    }

    #[test]
    fn parents_are_reached_through_links_and_made_where_missing() {
        let mut tree = Tree::default();
        tree.put("/usr/lib", Node::Dir, 0).unwrap();
        tree.put("/lib", link("usr/lib"), 0).unwrap();
        assert_eq!(tree.put("/lib/a/b", file(1), 1).unwrap(), "/usr/lib/a/b");
        tree.put("/out", link("../../../etc"), 1).unwrap();
        assert_eq!(tree.put("/out/passwd", file(1), 1).unwrap(), "/etc/passwd");
        assert_eq!(
            tree.put("/etc/passwd/x", file(1), 1).unwrap_err(),
            "/etc/passwd"
        );
        tree.put("/loop", link("loop"), 1).unwrap();
        assert_eq!(tree.put("/loop/x", file(1), 1).unwrap_err(), "/loop");
    }

    #[test]
    fn a_whiteout_takes_what_older_layers_put_there() {
        let mut tree = tree(&["/d/old", "/d/e/old", "/d-f", "/e"]);
        tree.put("/d/e/new", file(1), 1).unwrap();
        tree.whiteout("/d", 1);
        tree.whiteout("/e", 1);
        tree.whiteout("/none", 1);
        assert_eq!(paths(&tree), ["/d", "/d-f", "/d/e", "/d/e/new"]);
        tree.whiteout("/d", 2);
        assert_eq!(paths(&tree), ["/d-f"]);
    }

    #[test]
    fn an_opaque_directory_keeps_itself_and_what_is_new() {
        let mut tree = tree(&["/d/a", "/d/b/c", "/x"]);
        tree.put("/d/new", file(1), 1).unwrap();
        tree.opaque("/d", 1);
        assert_eq!(paths(&tree), ["/d", "/d/new", "/x"]);
        tree.opaque("", 2);
        assert!(tree.is_empty());
    }

    #[test]
    fn what_comes_later_replaces_and_directories_merge() {
        let mut tree = tree(&["/d/a", "/f"]);
        tree.put("/d", Node::Dir, 1).unwrap();
        assert_eq!(paths(&tree), ["/d", "/d/a", "/f"]);
        tree.put("/d", file(2), 1).unwrap();
        tree.put("/f", Node::Dir, 1).unwrap();
        tree.put("/f/x", file(3), 1).unwrap();
        assert_eq!(paths(&tree), ["/d", "/f", "/f/x"]);
        assert_eq!(tree.names("/").unwrap(), ["d", "f"]);
    }
}
