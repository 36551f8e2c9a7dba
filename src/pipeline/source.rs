//! What is built from: settings become an appliance, and the root that they name, a
//! directory or a container image, becomes entries of the guest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app;
use crate::root::Node;
use crate::rootfs::{self, Defaults, Limits, Rootfs};
use crate::spec::files::{Entry, Kind, LeftOut, Root};
use crate::spec::{Appliance, Settings, User, value};
use crate::units::Bytes;

use super::PipelineError;
use super::build::{Step, Watcher, directory};
use super::script;

/// Where programs are looked for when the image names no PATH (init's own default).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a file of a root is left out.
const SHELL: &str = "a shell, or a program that brings one";
const TAKEN: &str = "the place is init's, or mounted over";

/// What came from a root directory or a container image, and what did not.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// Where it lies.
    pub dir: PathBuf,
    /// How many files, links and directories came.
    pub entries: usize,
    /// The bytes in its files.
    pub size: Bytes,
    /// What of it has no place in a sealed machine.
    pub left_out: Vec<LeftOut>,
}

impl Taken {
    pub(super) fn of(root: &Root) -> Taken {
        let size = root.entries.iter().map(|entry| match entry.kind {
            Kind::File { len, .. } => len,
            _ => 0,
        });
        Taken {
            dir: root.dir.clone(),
            entries: root.entries.len(),
            size: Bytes(size.sum()),
            left_out: root.left_out.clone(),
        }
    }
}

/// An appliance, and what it needs on this machine until it is built.
#[derive(Debug)]
pub struct Source {
    /// What is built.
    pub appliance: Appliance,
    /// Holds the content of layers until this is dropped.
    _rootfs: Option<Rootfs>,
}

/// Reads the root that `settings` name, if they do, and fills in what they leave open:
/// first from its image, then with defaults.
///
/// # Errors
/// [`PipelineError`]: a value that cannot be, a root that cannot be taken, an app that
/// is not in it.
pub fn open(settings: Settings, watcher: &dyn Watcher) -> Result<Source, PipelineError> {
    let Some(dir) = settings.rootfs.clone() else {
        return Ok(Source {
            appliance: settings.resolve()?,
            _rootfs: None,
        });
    };
    watcher.step(Step::Unpack);
    read(settings, &dir, watcher).map_err(|error| match watcher.interrupted() {
        true => PipelineError::Interrupted,
        false => error,
    })
}

fn read(
    mut settings: Settings,
    dir: &Path,
    watcher: &dyn Watcher,
) -> Result<Source, PipelineError> {
    let scratch = settings.output.as_deref().map_or(Path::new("."), directory);
    let interrupted = || watcher.interrupted();
    let mut rootfs = rootfs::open(dir, scratch, &Limits::default(), &interrupted)?;
    let image = rootfs.defaults.take().unwrap_or_default();
    let finder = Finder {
        dir,
        rootfs: &rootfs,
        path: variable(&settings, &image, "PATH").unwrap_or_else(|| PATH.to_owned()),
        workdir: settings
            .workdir
            .clone()
            .or_else(|| image.workdir.clone())
            .unwrap_or_else(|| "/".to_owned()),
    };
    let (found, args) = finder.app(&settings, &image)?;
    if let Some(found) = found {
        settings.argv0 = settings.argv0.or(Some(found.argv0));
        settings.app = Some(found.host);
        settings.app_at = Some(found.guest);
    }
    if args.is_some() {
        // they are among these
        settings.args = None;
    }
    let mut appliance = settings.or(defaults(&image, args)?).resolve()?;

    let mut root = sift(&mut rootfs, appliance.allow_shell)?;
    dir.clone_into(&mut root.dir);
    if let Some(at) = &appliance.app_at {
        if let Some(left) = root.left_out.iter().find(|left| left.path == *at) {
            return Err(PipelineError::AppLeftOut {
                app: at.clone(),
                reason: left.reason.clone(),
                remedy: match left.reason == SHELL {
                    true => "name the program that it would start, or give --allow-shell",
                    false => "name another app",
                },
            });
        }
        script::refuse(&appliance.app, at, dir)?;
    }
    root.notes = notes(&rootfs, &image);
    root.entries = entries(&rootfs);
    appliance.root = Some(root);
    Ok(Source {
        appliance,
        _rootfs: Some(rootfs),
    })
}

/// A variable of the app's environment, as it will be.
fn variable(settings: &Settings, image: &Defaults, name: &str) -> Option<String> {
    let of_image = || {
        let pair = image.env.iter().rev().find(|(key, _)| key == name)?;
        Some(pair.1.clone())
    };
    settings.env.get(name).cloned().or_else(of_image)
}

/// What the image says, in the form that a file or the flags have.
fn defaults(image: &Defaults, args: Option<Vec<String>>) -> Result<Settings, PipelineError> {
    let odd = |reason: String| PipelineError::Rootfs(rootfs::RootfsError::Configuration(reason));
    let mut env = BTreeMap::new();
    for (key, text) in &image.env {
        let key = value::env_key(key).map_err(odd)?;
        env.insert(key, value::argument(text).map_err(odd)?);
    }
    let args = args.map(|args| args.iter().map(|arg| value::argument(arg)).collect());
    let workdir = image.workdir.as_deref();
    Ok(Settings {
        args: args.transpose().map_err(odd)?,
        env,
        user: image.user.map(|user| User {
            uid: user.uid,
            gid: user.gid,
        }),
        workdir: workdir.map(value::guest_path).transpose().map_err(odd)?,
        ..Settings::default()
    })
}

/// An app that stands in the root.
struct Found {
    host: PathBuf,
    guest: String,
    /// The name by which it was asked for: programs with many look at it.
    argv0: String,
}

struct Finder<'a> {
    dir: &'a Path,
    rootfs: &'a Rootfs,
    path: String,
    workdir: String,
}

impl Finder<'_> {
    /// The app, and its arguments where the image has some: those that were asked for,
    /// an app of one's own, or what the image runs. No app for one of this machine.
    fn app(
        &self,
        settings: &Settings,
        image: &Defaults,
    ) -> Result<(Option<Found>, Option<Vec<String>>), PipelineError> {
        if let Some(app) = &settings.app {
            let text = app.to_str().unwrap_or_default();
            let inside = match text.contains('/') {
                true if text.starts_with('/') => self.at(text),
                true => None,
                false => self.program(text),
            };
            return match inside {
                None if !app.exists() => Err(PipelineError::NoProgram {
                    dir: self.dir.to_owned(),
                    program: text.to_owned(),
                }),
                inside => Ok((inside, None)),
            };
        }
        let (program, first, rest) = match (&image.entrypoint[..], &image.cmd[..]) {
            ([program, first @ ..], rest) => (program, first, rest),
            ([], [program, rest @ ..]) => (program, &[][..], rest),
            ([], []) => return Err(PipelineError::NoEntrypoint(self.dir.to_owned())),
        };
        let found = self
            .program(program)
            .ok_or_else(|| PipelineError::NoProgram {
                dir: self.dir.to_owned(),
                program: program.clone(),
            })?;
        // what was asked for replaces the command, as `docker run IMAGE ARGS` does
        let rest = settings.args.as_deref().unwrap_or(rest);
        Ok((Some(found), Some([first, rest].concat())))
    }

    /// The program of this name, by its path or through PATH, as execvp(3) finds it.
    fn program(&self, name: &str) -> Option<Found> {
        if name.starts_with('/') {
            return self.at(name);
        }
        if name.contains('/') {
            return self.at(&format!("{}/{name}", self.workdir));
        }
        let folders = self.path.split(':').filter(|dir| dir.starts_with('/'));
        folders
            .filter_map(|folder| self.at(&format!("{folder}/{name}")))
            .next()
    }

    fn at(&self, path: &str) -> Option<Found> {
        let end = self.rootfs.tree.walk(path);
        match end.node {
            Some(Node::File {
                host: Some(host), ..
            }) => Some(Found {
                host,
                guest: end.path,
                argv0: path.rsplit('/').next().unwrap_or(path).to_owned(),
            }),
            _ => None,
        }
    }
}

/// Takes out of the root what has no place in a sealed machine.
fn sift(rootfs: &mut Rootfs, allow_shell: bool) -> Result<Root, PipelineError> {
    let mut root = Root::default();
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    // init makes the devices that there are
    let told = rootfs.left_out.iter();
    let told = told.filter(|(path, _)| value::free_path(path).is_ok());
    out.extend(told.map(|(path, why)| (path.clone(), (*why).to_owned())));

    let mut gone: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut looked: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (path, node) in rootfs.tree.iter() {
        let below_taken = value::free_path(path).is_err();
        if below_taken {
            let told = !matches!(node, Node::Dir) && path != RESOLV_CONF;
            gone.insert(path.to_owned(), told.then(|| TAKEN.to_owned()));
            continue;
        }
        if ancestors(path).any(|above| gone.contains_key(above)) {
            continue;
        }
        let program = match node {
            Node::File { executable, .. } => *executable,
            Node::Link { .. } => true,
            Node::Dir => false,
        };
        if let Some(trade) = rootfs::trade(path, program) {
            gone.insert(path.to_owned(), Some(trade.to_owned()));
        } else if let Node::File {
            host: Some(host),
            len,
            executable,
        } = node
        {
            if *executable && is_shell(host, path, &mut looked)? {
                root.shell |= allow_shell;
                if !allow_shell {
                    gone.insert(path.to_owned(), Some(SHELL.to_owned()));
                }
            } else if *len == 0 && path == HOSTS {
                // as runtimes leave it, who mount their own over it
                gone.insert(path.to_owned(), None);
            }
        }
    }
    for path in gone.keys() {
        rootfs.tree.remove(path);
    }
    for (path, why) in dangling(rootfs, &gone) {
        rootfs.tree.remove(&path);
        out.insert(path, why);
    }
    let told = gone.into_iter();
    out.extend(told.filter_map(|(path, why)| Some((path, why?))));
    let left_out = out.into_iter();
    root.left_out = left_out
        .map(|(path, reason)| LeftOut { path, reason })
        .collect();
    Ok(root)
}

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whether the program at `host`, `path` in the root, is a shell. Each file is looked
/// through once, by however many names it goes.
fn is_shell(
    host: &Path,
    path: &str,
    looked: &mut BTreeMap<PathBuf, bool>,
) -> Result<bool, PipelineError> {
    if let Some(known) = looked.get(host) {
        return Ok(*known);
    }
    let shell = app::shell_in(host, Path::new(path))?.is_some();
    looked.insert(host.to_owned(), shell);
    Ok(shell)
}

/// Links that lead to what is gone, each with the reason for that.
fn dangling(rootfs: &Rootfs, gone: &BTreeMap<String, Option<String>>) -> Vec<(String, String)> {
    let links = rootfs.tree.iter().filter_map(|(path, node)| {
        let Node::Link { .. } = node else {
            return None;
        };
        let end = rootfs.tree.walk(path);
        // a link to a place of init's leads to init's file
        if end.node.is_some() || value::free_path(&end.path).is_err() {
            return None;
        }
        let why = [end.path.as_str()].into_iter().chain(ancestors(&end.path));
        let why = why.filter_map(|above| gone.get(above)?.clone()).next()?;
        Some((path.to_owned(), why))
    });
    links.collect()
}

/// The directories above `path`, the nearest first, without the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/')
        .map(|(at, _)| &path[..at])
        .filter(|above| !above.is_empty())
}

/// What the owner of the image should know.
fn notes(rootfs: &Rootfs, image: &Defaults) -> Vec<String> {
    let mut notes = Vec::new();
    let here = |(path, what): (&String, &&'static str)| {
        rootfs.tree.get(path)?;
        Some(format!("{path} ({what})"))
    };
    let stripped: Vec<String> = rootfs.stripped.iter().filter_map(here).collect();
    if !stripped.is_empty() {
        let list = stripped.join(", ");
        notes.push(format!(
            "no program in a sealed machine becomes another user: taken away were {list}"
        ));
    }
    for volume in &image.volumes {
        notes.push(format!(
            "the image declares the volume {volume}, and only /tmp can be written to"
        ));
    }
    notes
}

/// The tree as entries of the guest. Of a file with several names, hard links, the
/// first has the content and the others lead to it.
fn entries(rootfs: &Rootfs) -> Vec<Entry> {
    let mut first: BTreeMap<&Path, &str> = BTreeMap::new();
    let mut all = Vec::new();
    for (path, node) in rootfs.tree.iter() {
        let (host, kind) = match node {
            Node::Dir => (Path::new(""), Kind::Dir),
            Node::Link { target } => (
                Path::new(""),
                Kind::Symlink {
                    target: target.clone(),
                },
            ),
            Node::File {
                host: Some(host),
                len,
                executable,
            } => {
                let name = first.entry(host).or_insert(path);
                let kind = match *name == path {
                    true => Kind::File {
                        mode: if *executable { 0o755 } else { 0o644 },
                        len: *len,
                    },
                    false => Kind::Symlink {
                        target: (*name).to_owned(),
                    },
                };
                (host.as_path(), kind)
            }
            Node::File { host: None, .. } => continue,
        };
        all.push(Entry {
            guest: path.to_owned(),
            host: host.to_owned(),
            kind,
        });
    }
    all
}

/// The first bytes of a file, as far as there are some.
pub(super) fn head(path: &Path, len: u64) -> Result<Vec<u8>, PipelineError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(len).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(PipelineError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
