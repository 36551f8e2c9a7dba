//! What a dynamic app is linked with comes into the guest's tree.

use std::io;
use std::path::PathBuf;

use crate::app::{Kind, Shape};
use crate::closure::{self, Closure, ClosureError, HostRoot, Library, Over, Program};
use crate::initramfs::{self, Content, Tree};
use crate::need::{Confidence, Evidence, Need, NeedKind};
use crate::payload::{self, Addition};
use crate::root::{Node, Root};

use super::PipelineError;
use super::guest::{self, Owner};
use super::source::head;

/// Libraries that hold a peer's certificate against those of the public authorities.
const TLS: &[&str] = &[
    "libssl.so",
    "libgnutls.so",
    "libnss3.so",
    "libmbedtls.so",
    "libwolfssl.so",
];

/// OpenSSL's other library, which knows where it was configured to look.
const CRYPTO: &str = "libcrypto.so";
/// Bytes of it that are read; it has 5 MB.
const CRYPTO_MAX: u64 = 32 << 20;
/// What stands before that folder (crypto/info.c).
const OPENSSLDIR: &[u8] = b"OPENSSLDIR: \"";

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
    owner: &Owner<'_>,
    shape: &Shape,
    payload: &mut Vec<Addition>,
) -> Result<Brought, PipelineError> {
    let appliance = owner.appliance;
    if !is_dynamic(shape) {
        let note = |dir: &PathBuf| {
            let dir = dir.display();
            format!("the app is static: nothing of {dir} was needed")
        };
        return Ok(Brought {
            notes: appliance.libs.iter().map(note).collect(),
            ..Brought::default()
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
    let needs = needs(tree, &closure.libraries, closure.name_service)?;
    for addition in payload::plan(&needs, owner) {
        if payload.iter().all(|one| one.path != addition.path) {
            guest::add(tree, std::slice::from_ref(&addition))?;
            payload.push(addition);
        }
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

/// What the libraries need of the system around them, by what they are for.
fn needs(
    tree: &Tree,
    libraries: &[Library],
    name_service: Option<(&'static str, String)>,
) -> Result<Vec<Need>, PipelineError> {
    let need = |kind, what: String, file: String, offset| Need {
        kind,
        confidence: Confidence::Likely,
        evidence: vec![Evidence {
            section: Some(file),
            offset,
            what,
        }],
    };
    let mut needs = Vec::new();
    let named = |name: &str| {
        libraries
            .iter()
            .find(|library| library.name.starts_with(name))
    };
    if let Some(library) = TLS.iter().find_map(|name| named(name)) {
        let folder = match named(CRYPTO) {
            Some(crypto) => openssl_folder(tree, crypto)?,
            None => None,
        };
        let name = library.name.clone();
        let (what, file, offset) = match folder {
            Some((folder, file, offset)) => (format!("{folder}/cert.pem"), file, offset),
            None => (name.clone(), name, 0),
        };
        needs.push(need(NeedKind::CaCertificates, what, file, offset));
    }
    let names = name_service
        .map(|(call, caller)| need(NeedKind::NameServiceModules, call.to_owned(), caller, 0));
    needs.extend(names);
    Ok(needs)
}

/// The folder that OpenSSL was built to look for certificates in, with the file that
/// says so and the place in it: what `openssl version -d` prints is a string there.
fn openssl_folder(
    tree: &Tree,
    library: &Library,
) -> Result<Option<(String, String, u64)>, PipelineError> {
    let Some(initramfs::Node::File {
        content: Content::Host { path, .. },
        ..
    }) = tree.get(&library.path)
    else {
        return Ok(None);
    };
    let bytes = head(path, CRYPTO_MAX)?;
    let Some(at) = memchr::memmem::find(&bytes, OPENSSLDIR) else {
        return Ok(None);
    };
    let at = at + OPENSSLDIR.len();
    let folder = bytes[at..].split(|octet| *octet == b'"').next();
    let folder = folder.and_then(|folder| std::str::from_utf8(folder).ok());
    let folder = folder.filter(|folder| folder.starts_with('/'));
    // usize is at most 64 bits wide on every host
    Ok(folder.map(|folder| (folder.to_owned(), library.name.clone(), at as u64)))
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
