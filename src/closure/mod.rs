//! What a dynamic program needs beside itself: its interpreter and its libraries,
//! found in a root as the interpreter would find them in the guest.
//!
//! The search is that of ld.so(8) and of musl's linker: DT_RPATH, LD_LIBRARY_PATH,
//! DT_RUNPATH, the directories of the configuration, the linker's own ones.
//! Directories of hardware capabilities (glibc-hwcaps) are left aside: what is found
//! runs on every processor of the architecture.

mod gather;
mod host;
mod loader;
mod object;
mod told;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use gather::closure;
pub use host::{HostRoot, Over};

use crate::root::Node;

/// The program whose closure is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its file on this machine.
    pub host: &'a Path,
    /// Where it stands in the guest.
    pub guest: &'a str,
    /// Where it stands in the root that the libraries come from, if it does; its
    /// `$ORIGIN` leads from there, too.
    pub inside: Option<&'a str>,
    /// LD_LIBRARY_PATH of its environment.
    pub library_path: Option<&'a str>,
}

/// Everything that a program needs to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// What must stand in the guest: files, and the links and directories by which
    /// the linker gets to them.
    pub items: Vec<Item>,
    /// The interpreter and the libraries, as they were met.
    pub libraries: Vec<Library>,
    /// Libraries that are not in the root.
    pub missing: Vec<Missing>,
    /// Versions that a library of the root does not have.
    pub outdated: Vec<Outdated>,
    /// The function that asks glibc for names of users or machines, and who calls it.
    pub name_service: Option<(&'static str, String)>,
    /// What the program loads at run time and is not there.
    pub absent: Vec<String>,
    /// What the program may load at run time and nothing shows.
    pub unknown: Vec<String>,
}

/// One thing in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its path there.
    pub path: String,
    /// What it is.
    pub node: Node,
}

/// A library that comes along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// The name by which it is loaded.
    pub name: String,
    /// Its path in the guest, no link in it.
    pub path: String,
    /// Why: which file needs it.
    pub reason: String,
}

/// A library that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name, or the interpreter's path.
    pub name: String,
    /// Who needs it; nothing for the program itself.
    pub by: Option<String>,
}

/// A library without a version of symbols that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// The library.
    pub library: String,
    /// The version that is wanted and not there.
    pub version: String,
    /// Who wants it; nothing for the program itself.
    pub by: Option<String>,
}

impl Closure {
    /// Whether the program can be started with it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.outdated.is_empty()
    }

    /// What is not there, in one line: `libssl.so.3, and libz.so.1 for libpng16.so.16`.
    #[must_use]
    pub fn lacks(&self) -> String {
        let by = |by: &Option<String>| {
            let by = by.as_ref();
            by.map_or_else(String::new, |by| format!(" (for {by})"))
        };
        let missing = self.missing.iter();
        let missing = missing.map(|one| format!("{}{}", one.name, by(&one.by)));
        let outdated = self.outdated.iter().map(|one| {
            let (version, library) = (&one.version, &one.library);
            format!("{version} of {library}{}", by(&one.by))
        });
        missing.chain(outdated).collect::<Vec<_>>().join(", ")
    }
}

/// The closure cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClosureError {
    /// The directory that libraries are taken from cannot be opened.
    #[error("cannot take libraries from {}", dir.display())]
    Open {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged, or the system does not let us look.
    #[error("{path}")]
    Look {
        /// The file, by its name in the root or on this machine.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A program names no interpreter.
    #[error("{} names no interpreter that could load its libraries; link it as a program", .0.display())]
    NoInterpreter(PathBuf),
    /// More libraries than any program has.
    #[error("{} needs more than {limit} libraries, which no program does", program.display())]
    TooMany {
        /// The program.
        program: PathBuf,
        /// How many are followed.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
