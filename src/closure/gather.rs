//! The search itself: breadth first, as linkers load.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use crate::root::{Node, Root, Walk, walk};

use super::loader::{Kind, Loader};
use super::object::Object;
use super::told::{self, Loads};
use super::{Closure, ClosureError, Item, Library, Missing, Outdated, Program};

/// Libraries that are followed. The largest desktop programs load some hundred.
const LIBRARIES_MAX: usize = 4096;

/// Finds what `program` needs in `root`. What is not there is told in the closure.
///
/// # Errors
/// [`ClosureError`] where a file is damaged or cannot be looked at.
pub fn closure(root: &dyn Root, program: &Program<'_>) -> Result<Closure, ClosureError> {
    let names = told::names();
    let shown = program.host.display().to_string();
    let object = Object::read(program.host, &names).map_err(look(&shown))?;
    let Some(interpreter) = object.interpreter.clone() else {
        return Err(ClosureError::NoInterpreter(program.host.to_owned()));
    };
    let found = walk(root, &interpreter).map_err(look(&interpreter))?;
    let loader = Loader::of(root, &interpreter, &found).map_err(look(&interpreter))?;
    let mut gather = Gather {
        root,
        loader,
        names,
        library_path: program.library_path.unwrap_or_default(),
        machine: object.machine,
        known: BTreeSet::new(),
        loaded: Vec::new(),
        closure: Closure::default(),
    };
    gather.interpreter(&interpreter, found)?;
    gather.loaded.push(Loaded {
        object,
        name: None,
        guest: folder(program.guest),
        source: program.inside.map(folder),
        loader: None,
    });
    gather.follow(0, program)?;
    gather.at_run_time(program)?;
    gather.versions();
    Ok(gather.closure)
}

fn look(path: &str) -> impl FnOnce(io::Error) -> ClosureError + '_ {
    move |source| ClosureError::Look {
        path: path.to_owned(),
        source,
    }
}

/// One file that the linker has loaded.
struct Loaded {
    object: Object,
    /// The name that asked for it; none for the program.
    name: Option<String>,
    /// What `$ORIGIN` is in the guest.
    guest: String,
    /// The same directory in the root, where that differs.
    source: Option<String>,
    /// Who loaded it.
    loader: Option<usize>,
}

/// A place where a library may lie.
struct Place {
    /// The path at which the guest's linker looks.
    guest: String,
    /// The path in the root.
    source: String,
    /// Whether the linker knows the place by a cache alone.
    cached: bool,
}

/// A library that was found.
struct Found {
    place: Place,
    way: Walk,
    object: Object,
}

struct Gather<'a> {
    root: &'a dyn Root,
    loader: Loader,
    names: Vec<&'static str>,
    library_path: &'a str,
    machine: u16,
    /// Names that are loaded already.
    known: BTreeSet<String>,
    loaded: Vec<Loaded>,
    closure: Closure,
}

impl Gather<'_> {
    fn interpreter(&mut self, path: &str, found: Walk) -> Result<(), ClosureError> {
        self.known
            .extend(path.rsplit('/').next().map(str::to_owned));
        let Some(Node::File {
            host: Some(host),
            len,
            ..
        }) = &found.node
        else {
            self.closure.missing.push(Missing {
                name: path.to_owned(),
                by: None,
            });
            return Ok(());
        };
        let object = Object::read(host, &[]).map_err(look(path))?;
        self.known.extend(object.soname);
        self.closure.libraries.push(Library {
            name: path.to_owned(),
            path: found.path.clone(),
            reason: "the app's interpreter".to_owned(),
        });
        let node = Node::File {
            host: Some(host.clone()),
            len: *len,
            // the kernel executes it (fs/exec.c, open_exec)
            executable: true,
        };
        self.bring(found.passed, &found.path, node);
        if let Some(file) = self.loader.configuration.take() {
            if let Some(node) = file.node {
                self.bring(file.passed, &file.path, node);
            }
        }
        Ok(())
    }

    /// Loads what the object `first` and those that it brings need.
    fn follow(&mut self, first: usize, program: &Program<'_>) -> Result<(), ClosureError> {
        let mut queue = VecDeque::from([first]);
        while let Some(by) = queue.pop_front() {
            for name in self.loaded[by].object.needed.clone() {
                if self.known.contains(&name) || self.loader.is_own(&name) {
                    continue;
                }
                let who = self.loaded[by].name.clone();
                let reason = match &who {
                    Some(who) => format!("{who} needs it"),
                    None => "the app needs it".to_owned(),
                };
                match self.load(&name, by, reason)? {
                    true => queue.push_back(self.loaded.len() - 1),
                    false => self.closure.missing.push(Missing {
                        name: name.clone(),
                        by: who,
                    }),
                }
                self.known.insert(name);
            }
            if self.loaded.len() > LIBRARIES_MAX {
                return Err(ClosureError::TooMany {
                    program: program.host.to_owned(),
                    limit: LIBRARIES_MAX,
                });
            }
        }
        Ok(())
    }

    /// Looks for the library and takes it. Whether it is there.
    fn load(&mut self, name: &str, by: usize, reason: String) -> Result<bool, ClosureError> {
        let found = self.find(name, by).map_err(look(name))?;
        let Some(Found { place, way, object }) = found else {
            return Ok(false);
        };
        self.known.extend(object.soname.clone());
        self.known.insert(name.to_owned());
        let mut library = Library {
            name: name.to_owned(),
            path: way.path.clone(),
            reason,
        };
        if let Some(node) = way.node {
            if place.guest == place.source {
                self.bring(way.passed, &way.path, node);
            } else {
                library.path.clone_from(&place.guest);
                self.bring(Vec::new(), &place.guest, node);
            }
        }
        let linked = place.cached && !self.loader.caches(&place.guest);
        if let Some(default) = self.loader.defaults.first().filter(|_| linked) {
            // the directory may be reached through a link, /lib for one
            let way = walk(self.root, default).map_err(look(default))?;
            let target = library.path.clone();
            let path = format!("{}/{name}", way.path);
            self.bring(way.passed, &path, Node::Link { target });
        }
        self.closure.libraries.push(library);
        self.loaded.push(Loaded {
            object,
            name: Some(name.to_owned()),
            guest: folder(&place.guest),
            source: Some(folder(&place.source)),
            loader: Some(by),
        });
        Ok(true)
    }

    fn find(&self, name: &str, by: usize) -> io::Result<Option<Found>> {
        for place in self.places(name, by) {
            let way = walk(self.root, &place.source)?;
            let Some(Node::File {
                host: Some(host), ..
            }) = &way.node
            else {
                continue;
            };
            match Object::read(host, &self.names) {
                Ok(object) if object.machine == self.machine => {
                    return Ok(Some(Found { place, way, object }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
            // glibc passes over what is for another machine (elf/dl-load.c,
            // open_verify); musl stops at it
            if self.loader.kind == Kind::Musl {
                break;
            }
        }
        Ok(None)
    }

    /// Where the linker looks for `name` on behalf of the object `by`, in its order.
    fn places(&self, name: &str, by: usize) -> Vec<Place> {
        let same = |path: String, cached: bool| Place {
            guest: path.clone(),
            source: path,
            cached,
        };
        if name.contains('/') {
            let path = self.loader.expand(name, &self.loaded[by].guest);
            return path.map(|path| same(path, false)).into_iter().collect();
        }
        let mut places = Vec::new();
        let mut add = |list: &str, of: &Loaded| {
            for entry in list.split(':') {
                let guest = self.loader.expand(entry, &of.guest);
                let source = of.source.as_ref();
                let source = source.and_then(|origin| self.loader.expand(entry, origin));
                let Some(guest) = guest.map(|dir| format!("{dir}/{name}")) else {
                    continue;
                };
                let source = source.map(|dir| format!("{dir}/{name}"));
                places.push(same(guest.clone(), false));
                if let Some(source) = source.filter(|source| *source != guest) {
                    places.push(Place {
                        guest: plain(&guest),
                        source,
                        cached: false,
                    });
                }
            }
        };
        let object = &self.loaded[by].object;
        let chain = || {
            std::iter::successors(Some(by), |by| self.loaded[*by].loader)
                .map(|place| &self.loaded[place])
        };
        let environment = Loaded {
            object: Object::default(),
            name: None,
            guest: self.loaded[0].guest.clone(),
            source: None,
            loader: None,
        };
        if self.loader.kind == Kind::Musl {
            // both tags mean the same to it, and both are inherited
            add(self.library_path, &environment);
            for of in chain() {
                let path = of.object.runpath.as_ref().or(of.object.rpath.as_ref());
                add(path.map_or("", String::as_str), of);
            }
        } else {
            if object.runpath.is_none() {
                for of in chain().filter(|of| of.object.runpath.is_none()) {
                    add(of.object.rpath.as_deref().unwrap_or_default(), of);
                }
            }
            add(&self.library_path.replace(';', ":"), &environment);
            add(
                object.runpath.as_deref().unwrap_or_default(),
                &self.loaded[by],
            );
        }
        if !object.no_default_directories {
            let of = |dirs: &[String], cached| {
                let all = dirs.iter().map(|dir| same(format!("{dir}/{name}"), cached));
                all.collect::<Vec<_>>()
            };
            // a configured directory that is a default one needs no cache
            let defaults = &self.loader.defaults;
            let configured: Vec<String> = self.loader.configured.clone();
            let (known, cached): (Vec<_>, Vec<_>) = configured
                .into_iter()
                .partition(|dir| defaults.contains(dir));
            places.extend(of(&known, false));
            places.extend(of(&cached, true));
            places.extend(of(defaults, false));
        }
        places
    }

    /// Adds what functions of the C library load when they are called.
    fn at_run_time(&mut self, program: &Program<'_>) -> Result<(), ClosureError> {
        for (calls, loads) in told::CALLS {
            let callers = self.callers(calls);
            let Some((name, caller)) = callers.first().cloned() else {
                continue;
            };
            let glibc = self.loader.kind == Kind::Glibc;
            match loads {
                Loads::Libraries(libraries) if glibc => {
                    self.load_late(libraries, name, &caller, program)?;
                }
                Loads::NameService if glibc => {
                    let libc = self.loaded.iter().find(|one| one.is("libc.so.6"));
                    let within =
                        |libc: &Loaded| libc.object.has.contains(told::NAME_SERVICE_WITHIN);
                    if !libc.is_some_and(within) {
                        self.load_late(told::NAME_SERVICE, name, &caller, program)?;
                    }
                    self.closure.name_service = Some((name, caller));
                }
                Loads::Unknown(what) if glibc || calls.contains(&"dlopen") => {
                    let all: Vec<&str> = callers.iter().map(|(_, who)| who.as_str()).collect();
                    let verb = if all.len() == 1 { "calls" } else { "call" };
                    let note = format!("{} {verb} {name}: {what}", all.join(", "));
                    self.closure.unknown.push(note);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Files that call one of these functions, with its name; the C library, which has
    /// them, is none.
    fn callers(&self, calls: &[&'static str]) -> Vec<(&'static str, String)> {
        let caller = |one: &Loaded| {
            let name = calls
                .iter()
                .find(|name| one.object.names.contains(**name))?;
            let who = one.name.clone().unwrap_or_else(|| "the app".to_owned());
            Some((*name, who))
        };
        let has_them = |one: &&Loaded| !C_LIBRARIES.iter().any(|name| one.is(name));
        self.loaded
            .iter()
            .filter(has_them)
            .filter_map(caller)
            .collect()
    }

    fn load_late(
        &mut self,
        libraries: &[&str],
        call: &str,
        caller: &str,
        program: &Program<'_>,
    ) -> Result<(), ClosureError> {
        for name in libraries {
            if self.known.contains(*name) {
                continue;
            }
            // glibc's own loads go by the C library's search path
            let by = self.loaded.iter().position(|one| one.is("libc.so.6"));
            let reason = format!("{call}, which {caller} calls, loads it");
            if self.load(name, by.unwrap_or(0), reason)? {
                self.follow(self.loaded.len() - 1, program)?;
            } else {
                self.closure.absent.push(format!(
                    "{caller} calls {call}, which loads {name}, and that is not there"
                ));
            }
        }
        Ok(())
    }

    /// Holds the versions that are wanted against those that are there, as glibc does
    /// before it starts a program (elf/dl-version.c). musl does not know versions.
    fn versions(&mut self) {
        if self.loader.kind != Kind::Glibc {
            return;
        }
        let mut outdated = Vec::new();
        for one in &self.loaded {
            for (library, versions) in &one.object.wants {
                let has = self.loaded.iter().find(|other| other.is(library));
                // one without any is let through with a warning
                let Some(has) = has.filter(|other| !other.object.has.is_empty()) else {
                    continue;
                };
                let lacking = versions.difference(&has.object.has);
                outdated.extend(lacking.map(|version| Outdated {
                    library: library.clone(),
                    version: version.clone(),
                    by: one.name.clone(),
                }));
            }
        }
        self.closure.outdated = outdated;
    }

    /// Notes what must stand in the guest.
    fn bring(&mut self, passed: Vec<(String, Node)>, path: &str, node: Node) {
        let passed = passed.into_iter().chain([(path.to_owned(), node)]);
        for (path, node) in passed {
            let item = Item { path, node };
            if !self.closure.items.contains(&item) {
                self.closure.items.push(item);
            }
        }
    }
}

/// Files of the C library, which have the functions that others call.
const C_LIBRARIES: &[&str] = &[
    "libc.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "libresolv.so.2",
];

impl Loaded {
    /// Whether this is the library that others know by `name`.
    fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.object.soname.as_deref() == Some(name)
    }
}

fn folder(path: &str) -> String {
    path.rsplit_once('/')
        .map_or("", |(folder, _)| folder)
        .to_owned()
}

/// An absolute path without `.`, `..` and empty parts.
fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
