//! What a dynamic app is linked with comes into the guest's tree.

use std::io;
use std::path::PathBuf;

use crate::app::{Kind, Shape};
use crate::closure::{self, Closure, ClosureError, HostRoot, Library, Over, Program};
use crate::initramfs::{self, Content, Tree};
use crate::root::{Node, Root};
use crate::spec::Appliance;

use super::PipelineError;

/// glibc's choice of sources for names (nsswitch.conf(5)). Without it /etc/hosts comes
/// after DNS, and `localhost` is asked of the network.
const NAME_SERVICE: (&str, &str) = (
    "/etc/nsswitch.conf",
    "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
);

/// What came in, and what should be known of it.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub libraries: Vec<Library>,
    pub notes: Vec<String>,
}

/// Brings the closure of the app, which is of this shape, out of the root that the
/// appliance names. What the tree has already goes before what is in that root.
pub(super) fn bring(
    tree: &mut Tree,
    appliance: &Appliance,
    shape: &Shape,
) -> Result<Brought, PipelineError> {
    if !is_dynamic(shape) {
        let note = |dir: &PathBuf| {
            let dir = dir.display();
            format!("the app is static: nothing of {dir} was needed")
        };
        return Ok(Brought {
            libraries: Vec::new(),
            notes: appliance.libs.iter().map(note).collect(),
        });
    }
    let open = |dir: &PathBuf| {
        HostRoot::open(dir).map_err(|source| ClosureError::Open {
            dir: dir.clone(),
            source,
        })
    };
    let host = appliance.libs.as_ref().map(open).transpose()?;
    let program = appliance.app_guest_path();
    let upper = Guest(tree);
    let inside = host.as_ref().and_then(|host| host.inside(&appliance.app));
    let wanted = Program {
        host: &appliance.app,
        guest: &program,
        inside: inside.as_deref(),
        library_path: appliance.env.get("LD_LIBRARY_PATH").map(String::as_str),
    };
    let closure = match &host {
        Some(lower) => closure::closure(
            &Over {
                upper: &upper,
                lower,
            },
            &wanted,
        )?,
        None => closure::closure(&upper, &wanted)?,
    };
    if !closure.is_complete() {
        let of_root = appliance.root.as_ref().map(|root| &root.dir);
        let dirs = of_root.into_iter().chain(&appliance.libs);
        let dirs: Vec<String> = dirs.map(|dir| dir.display().to_string()).collect();
        return Err(PipelineError::Incomplete {
            app: appliance.app_shown().to_owned(),
            lacks: closure.lacks(),
            remedy: remedy(&closure, &dirs.join(" and ")),
        });
    }
    for item in closure.items {
        if tree.get(&item.path).is_none() {
            add(tree, &item.path, item.node)?;
        }
    }
    let (path, text) = NAME_SERVICE;
    if closure.name_service.is_some() && tree.get(path).is_none() {
        tree.file(path, 0o644, Content::Bytes(text.into()))?;
    }
    let mut notes = closure.absent;
    // a root comes whole, with what is loaded by name
    if appliance.root.is_none() {
        notes.extend(closure.unknown);
    }
    Ok(Brought {
        libraries: closure.libraries,
        notes,
    })
}

fn is_dynamic(shape: &Shape) -> bool {
    match &shape.kind {
        Kind::Elf(elf) => elf.interpreter().is_some(),
        _ => false,
    }
}

fn remedy(closure: &Closure, dir: &str) -> String {
    match closure.missing.is_empty() {
        true => format!(
            "what is in {dir} is older; take libraries of the system that the app was built on"
        ),
        false => {
            format!("not found in {dir}; install it there, or put it in with --file HOST:GUEST")
        }
    }
}

fn add(tree: &mut Tree, path: &str, node: Node) -> Result<(), PipelineError> {
    match node {
        Node::Dir => tree.dir(path, 0o755)?,
        Node::Link { target } => tree.symlink(path, &target)?,
        Node::File {
            host: Some(host),
            len,
            executable,
        } => {
            let mode = if executable { 0o755 } else { 0o644 };
            tree.file(path, mode, Content::Host { path: host, len })?;
        }
        // made by us, and in the tree
        Node::File { host: None, .. } => {}
    }
    Ok(())
}

/// The guest's tree as a root.
pub(super) struct Guest<'a>(pub &'a Tree);

impl Root for Guest<'_> {
    fn node(&self, path: &str) -> io::Result<Option<Node>> {
        Ok(self.0.get(path).and_then(|node| match node {
            initramfs::Node::Dir { .. } => Some(Node::Dir),
            initramfs::Node::Symlink { target } => Some(Node::Link {
                target: target.clone(),
            }),
            initramfs::Node::File { mode, content } => Some(Node::File {
                host: match content {
                    Content::Host { path, .. } => Some(path.clone()),
                    Content::Bytes(_) => None,
                },
                len: content.len(),
                executable: mode & 0o100 != 0,
            }),
            initramfs::Node::Char { .. } => None,
        }))
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = self
            .0
            .iter()
            .filter_map(|(path, _)| path.strip_prefix(&prefix));
        let names = below.filter(|name| !name.is_empty() && !name.contains('/'));
        Ok(names.map(str::to_owned).collect())
    }
}
