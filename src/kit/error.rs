//! What can go wrong with a kit, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Why there is no kit to use.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// Nothing was built or imported yet.
    #[error("there is no kit in {0}; run `ampoule kit build` (some minutes, once)")]
    Missing(PathBuf),
    /// There are kits, of other versions of the command.
    #[error(
        "the kit in {0} was made by another version of ampoule (other kernel options or other \
         init); run `ampoule kit build`"
    )]
    Stale(PathBuf),
    /// A file is not what the kit's manifest says.
    #[error(
        "the kit's file {path} is damaged: its digest is {found}, not {expected}; \
         run `ampoule kit build`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: Digest,
        /// What the file has.
        found: Digest,
    },
    /// The kit's manifest cannot be understood.
    #[error("the kit's manifest {path} is damaged: {reason}; run `ampoule kit build`")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no kit for this architecture yet.
    #[error("there is no kit for {0} yet, only for x86_64")]
    Architecture(crate::units::Arch),
    /// No place for the cache.
    #[error("no place for the kit: set AMPOULE_KIT_DIR, XDG_CACHE_HOME or HOME")]
    NoPlace,
    /// A line of a configuration fragment or of the lock is wrong.
    #[error("{file}:{line}: {reason}")]
    Fragment {
        /// The fragment.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Options that were asked for did not take effect.
    #[error("the kernel's configuration did not take: {0}")]
    Unmet(String),
    /// The lock cannot be understood.
    #[error("the lock {path} cannot be understood: {reason}")]
    Lock {
        /// The lock.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No pin fits this machine.
    #[error(
        "the lock has no pin for this system ({0}); build the kit on Debian 12 or 13 and bring it \
         here with `ampoule kit export` and `ampoule kit import`"
    )]
    NoPin(String),
    /// Programs or headers that the build needs.
    #[error("the kit's build needs {what}; install it with: apt-get install {packages}")]
    Tools {
        /// The programs and headers.
        what: String,
        /// The Debian packages that have them.
        packages: String,
    },
    /// The archive knows no version of the package.
    #[error(
        "apt knows no package {0}; run `apt-get update`, or check that the machine's sources have \
         the release's security archive"
    )]
    NoPackage(String),
    /// The archive has moved on.
    #[error(
        "{package} {version} has left the archive, which has {newest} now; move the pin with \
         `ampoule kit bump`, give a local copy with `ampoule kit build {flag} FILE`, or take \
         that one, marked, with --unpinned"
    )]
    LeftArchive {
        /// The package.
        package: String,
        /// The pinned version.
        version: String,
        /// The newest version there.
        newest: String,
        /// The option that takes a local copy.
        flag: &'static str,
    },
    /// A source is not the pinned one.
    #[error(
        "{path} is not the pinned {wanted}: its digest is {found}, not {expected}; \
         `--unpinned` takes it all the same, and marks the kit"
    )]
    WrongSource {
        /// The file.
        path: PathBuf,
        /// The pinned package and its version.
        wanted: String,
        /// The pinned digest.
        expected: Digest,
        /// What the file has.
        found: Digest,
    },
    /// The same source, configuration and tools made other bytes.
    #[error(
        "this build's kernel has the digest {found}, the lock says {expected} for the same tools: \
         scripts/prove-kernel shows what differs, `--unpinned` takes it and marks the kit"
    )]
    NotReproduced {
        /// The lock's digest.
        expected: Digest,
        /// This build's.
        found: Digest,
    },
    /// A program that was started failed.
    #[error("{command} failed ({status}): {said}")]
    Command {
        /// The program and its purpose.
        command: String,
        /// How it ended.
        status: String,
        /// The last of what it said.
        said: String,
    },
    /// Init does not keep to its limits.
    #[error("the init that was built {0}")]
    Init(String),
    /// The kernel's ELF file cannot be read.
    #[error("the kernel's vmlinux cannot be read: {0}")]
    Elf(&'static str),
    /// A file to import is no kit.
    #[error("{path} is not a kit that `ampoule kit export` wrote: {reason}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Someone asked the build to stop.
    #[error("stopped; nothing is left half-built")]
    Interrupted,
    /// A file or folder.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Names the file that an I/O error is about.
pub(super) trait OnPath<T> {
    fn on(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, KitError>;
}

impl<T> OnPath<T> for io::Result<T> {
    fn on(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, KitError> {
        self.map_err(|source| KitError::Io {
            action,
            path: path.into(),
            source,
        })
    }
}
