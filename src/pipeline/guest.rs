//! What stands in the guest's root: init, its configuration, the app, the files
//! that were asked for, and the few that programs expect everywhere.

use std::collections::BTreeSet;
use std::path::Path;

use ampoule_init::seccomp;
use ampoule_init::wire::{self, Seccomp, Setting};

use crate::initramfs::{Content, Tree};
use crate::payload::{self, Addition, Brought};
use crate::root::walk;
use crate::spec::{Appliance, files};

use super::PipelineError;
use super::filter::Filter;
use super::libraries::Guest;
use super::source::head;

/// Mount points: directories that are there in every guest.
const DIRECTORIES: &[&str] = &["/dev", "/etc", "/proc", "/run", "/sys", "/tmp"];
/// `/dev/console` (Documentation/admin-guide/devices.txt: 5, 1), which the kernel
/// opens for PID 1 before init can mount anything.
const CONSOLE: (u32, u32) = (5, 1);

/// Files of a root in which the app's user must be.
const ACCOUNTS: &[&str] = &["/etc/passwd", "/etc/group"];
/// Bytes of them that are read.
const ACCOUNTS_MAX: u64 = 4 << 20;

/// The guest's tree for `appliance`, with this `init`, `files` from outside, and
/// the `payload` that they leave to us.
pub(super) fn tree(
    appliance: &Appliance,
    init: Content,
    files: &[files::Entry],
    payload: &[Addition],
) -> Result<Tree, PipelineError> {
    let mut tree = Tree::new();
    for dir in DIRECTORIES {
        tree.dir(dir, 0o755)?;
    }
    tree.char_device("/dev/console", 0o600, CONSOLE.0, CONSOLE.1)?;
    tree.file("/init", 0o755, init)?;
    let path = appliance.app_guest_path();
    if let Some(root) = &appliance.root {
        add_root(&mut tree, root, appliance, files)?;
    }
    tree.file(&path, 0o755, Content::host(&appliance.app)?)?;
    add_files(&mut tree, files)?;
    add(&mut tree, payload)?;
    tree.symlink("/etc/resolv.conf", "/run/resolv.conf")?;
    if appliance.root.is_some() {
        // container runtimes make it, too, where it is missing
        let end =
            walk(&Guest(&tree), &appliance.workdir).map_err(|source| PipelineError::Read {
                path: appliance.workdir.clone().into(),
                source,
            })?;
        if end.node.is_none() {
            tree.dir(&end.path, 0o755)?;
        }
    }
    for (path, text) in expected(appliance) {
        if tree.get(path).is_none() {
            tree.file(path, 0o644, Content::Bytes(text.into_bytes()))?;
        }
    }
    Ok(tree)
}

/// Adds init's configuration to the tree: the app's filter of system calls, and all else.
pub(super) fn configure(
    tree: &mut Tree,
    appliance: &Appliance,
    filter: &Filter,
) -> Result<(), PipelineError> {
    let configuration = configuration(appliance, filter.kind)?;
    tree.file(wire::PATH, 0o444, Content::Bytes(configuration))?;
    if let Some(file) = &filter.file {
        tree.file(seccomp::PATH, 0o444, Content::Bytes(file.clone()))?;
    }
    Ok(())
}

/// Adds what the app needs and its owner did not bring.
pub(super) fn add(tree: &mut Tree, payload: &[Addition]) -> Result<(), PipelineError> {
    for file in payload.iter().flat_map(|addition| &addition.files) {
        match &file.content {
            payload::Content::Bytes(bytes) => {
                tree.file(&file.path, 0o644, Content::Bytes(bytes.clone()))?;
            }
            payload::Content::Link(target) => tree.symlink(&file.path, target)?,
        }
    }
    Ok(())
}

/// Adds the files of a root but for those that others replace.
fn add_root(
    tree: &mut Tree,
    root: &files::Root,
    appliance: &Appliance,
    files: &[files::Entry],
) -> Result<(), PipelineError> {
    let app = appliance.app_guest_path();
    let replaced: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.kind != files::Kind::Dir)
        .map(|file| file.guest.as_str())
        .chain([app.as_str()])
        .collect();
    for entry in &root.entries {
        let is_file = matches!(entry.kind, files::Kind::File { .. });
        if replaced.contains(entry.guest.as_str()) {
            continue;
        }
        match ACCOUNTS
            .iter()
            .find(|path| **path == entry.guest && is_file)
        {
            Some(path) => {
                let text = with_the_app(&entry.host, path, appliance)?;
                tree.file(path, 0o644, Content::Bytes(text))?;
            }
            None => add_files(tree, std::slice::from_ref(entry))?,
        }
    }
    Ok(())
}

/// What the owner of the app brings.
pub(super) struct Owner<'a> {
    pub(super) appliance: &'a Appliance,
    pub(super) files: &'a [files::Entry],
}

impl Brought for Owner<'_> {
    fn file(&self, path: &str) -> bool {
        let under = format!("{path}/");
        let inside = |place: &str| place == path || place.starts_with(&under);
        let of_root = |root: &files::Root| {
            let end = walk(root, path);
            end.is_ok_and(|end| end.node.is_some())
        };
        self.files.iter().any(|entry| inside(&entry.guest))
            || self.appliance.root.as_ref().is_some_and(of_root)
    }

    fn variable(&self, name: &str) -> bool {
        self.appliance.env.contains_key(name)
    }
}

/// A root's own passwd(5) or group(5), with the app's user in it.
fn with_the_app(host: &Path, path: &str, appliance: &Appliance) -> Result<Vec<u8>, PipelineError> {
    let mut text = head(host, ACCOUNTS_MAX)?;
    let (uid, gid) = (appliance.user.uid, appliance.user.gid);
    let (id, line) = match path {
        "/etc/passwd" => (uid, format!("app:x:{uid}:{gid}:app:/tmp:/nonexistent\n")),
        _ => (gid, format!("app:x:{gid}:\n")),
    };
    let lines = String::from_utf8_lossy(&text);
    let known = lines
        .lines()
        .filter_map(|line| line.split(':').nth(2))
        .any(|field| field.parse() == Ok(id));
    if !known {
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend(line.into_bytes());
    }
    Ok(text)
}

fn add_files(tree: &mut Tree, files: &[files::Entry]) -> Result<(), PipelineError> {
    for entry in files {
        let path = &entry.guest;
        match &entry.kind {
            files::Kind::Dir => tree.dir(path, 0o755)?,
            files::Kind::Symlink { target } => tree.symlink(path, target)?,
            files::Kind::File { mode, len } => {
                let content = Content::Host {
                    path: entry.host.clone(),
                    len: *len,
                };
                tree.file(path, *mode, content)?;
            }
        }
    }
    Ok(())
}

/// Files that static programs look for in every system, unless they were brought
/// along: without passwd(5) some fall over before their first line.
fn expected(appliance: &Appliance) -> [(&'static str, String); 3] {
    let (uid, gid) = (appliance.user.uid, appliance.user.gid);
    let (mut passwd, mut group) = (
        "root:x:0:0:root:/:/nonexistent\n".to_owned(),
        "root:x:0:\n".to_owned(),
    );
    if uid != 0 {
        passwd += &format!("app:x:{uid}:{gid}:app:/tmp:/nonexistent\n");
    }
    if gid != 0 {
        group += &format!("app:x:{gid}:\n");
    }
    let host = &appliance.hostname;
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host}\n");
    [
        ("/etc/passwd", passwd),
        ("/etc/group", group),
        ("/etc/hosts", hosts),
    ]
}

/// Init's configuration file.
fn configuration(appliance: &Appliance, seccomp: Seccomp) -> Result<Vec<u8>, PipelineError> {
    let app = appliance.app_guest_path();
    let argv0 = appliance.argv0();
    let env: Vec<String> = appliance
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut settings = vec![Setting::App(app.as_bytes()), Setting::Arg(argv0.as_bytes())];
    settings.extend(
        appliance
            .args
            .iter()
            .map(|arg| Setting::Arg(arg.as_bytes())),
    );
    settings.extend(env.iter().map(|env| Setting::Env(env.as_bytes())));
    settings.extend([
        Setting::Workdir(appliance.workdir.as_bytes()),
        Setting::Uid(appliance.user.uid),
        Setting::Gid(appliance.user.gid),
        Setting::Hostname(appliance.hostname.as_bytes()),
        Setting::Network(appliance.network),
    ]);
    settings.extend(appliance.dns.iter().copied().map(Setting::Nameserver));
    settings.extend(appliance.ports.iter().copied().map(Setting::Port));
    settings.extend([
        Setting::OnExit(appliance.on_exit),
        Setting::Grace(appliance.grace),
        Setting::DhcpWait(appliance.dhcp_wait),
        Setting::Seccomp(seccomp),
    ]);
    let mut file = wire::HEADER.to_vec();
    for setting in &settings {
        wire::encode(setting, &mut |bytes| file.extend_from_slice(bytes))?;
    }
    Ok(file)
}
