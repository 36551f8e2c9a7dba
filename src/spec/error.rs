//! What can be wrong with a description, in one line each.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, `--port`.
    Flag(&'static str),
    /// A line of a file.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Line { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A description that cannot be built from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// A key that the schema does not have.
    #[error("{origin}: there is no key `{key}`{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key with those of its tables.
        key: String,
        /// The key that was perhaps meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type, or out of bounds.
    #[error("{origin}: {reason}")]
    Value {
        /// Where.
        origin: Origin,
        /// What is wrong, with the key's name if it comes from a file.
        reason: String,
    },
    /// Neither the command line nor a file names the app.
    #[error("no app is named; give its path, or write `app = \"…\"` into ampoule.toml")]
    NoApp,
    /// The app's path does not end in a file name.
    #[error("{} does not end in a file name of plain UTF-8; name the app's file", .0.display())]
    AppName(PathBuf),
    /// No name for the image can be made from the app's.
    #[error("no name for the image can be made from `{0}`; give one with --name")]
    NoName(String),
    /// A file would replace the app.
    #[error("a file would replace the app at {0}; choose another path")]
    OverApp(String),
    /// A file or directory that was asked for is not there or cannot be read.
    #[error("cannot read {host}, wanted as {guest}", host = host.display())]
    Host {
        /// The path here.
        host: PathBuf,
        /// The path in the guest.
        guest: String,
        /// Why.
        source: io::Error,
    },
    /// A socket, device or pipe.
    #[error("{host} is a {kind}; only files, directories and symbolic links go into an image", host = host.display())]
    Special {
        /// The path here.
        host: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A name that is no UTF-8.
    #[error("{} has a name that is not UTF-8; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// Two things at one guest path.
    #[error("{guest} would be both {first} and {second}; leave one out", first = first.display(), second = second.display())]
    Twice {
        /// The path in the guest.
        guest: String,
        /// Where one comes from.
        first: PathBuf,
        /// Where the other does.
        second: PathBuf,
    },
    /// A file to put at `/`.
    #[error("{} is a file and cannot be the root; name its path in the image", .0.display())]
    FileAsRoot(PathBuf),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}
