//! What the app is, and whether it can run in an image.
//!
//! [`inspect`] tells a file's [`Shape`] from its bytes, [`admit`] judges it, and
//! [`analyse`] tells all else. [`screen`] looks at a file's headers alone, [`load`]
//! takes all of it into memory.

mod analysis;
pub mod binary;
pub mod code;
mod content;
mod elf;
mod facts;
mod foreign;
mod image;
mod lzma;
pub mod make;
pub mod needs;
mod shell;
mod traces;
mod upx;
mod verdict;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use analysis::{Analysis, analyse};
pub use content::Content;
pub use elf::{Elf, ElfKind, Linkage, Machine, Packed};
pub use facts::{Facts, Note, Relro};
pub use foreign::Foreign;
pub use shell::Shell;
pub use upx::Inside;
pub use verdict::{Allow, Reason, Refusal, admit};

use crate::units::{Arch, Bytes};

/// What a file is, without a judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The file's length.
    pub size: Bytes,
    /// What is in it.
    pub kind: Kind,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Empty,
    /// An ELF file.
    Elf(Box<Elf>),
    /// Something else that is known by its first bytes.
    Foreign(Foreign),
}

impl Shape {
    /// The architecture that the app is for, if it is one of ours.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        match &self.kind {
            Kind::Elf(elf) => elf.machine.arch(),
            _ => None,
        }
    }

    /// Whether it is a program for Linux, however it is linked.
    #[must_use]
    pub fn is_program(&self) -> bool {
        matches!(&self.kind, Kind::Elf(elf) if elf.is_program())
    }

    /// Whether it is for another system than Linux.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(&self.kind, Kind::Elf(elf) if elf.foreign_os.is_some())
    }

    /// What packed the app.
    #[must_use]
    pub fn packed(&self) -> Option<Packed> {
        match &self.kind {
            Kind::Elf(elf) => elf.packed,
            _ => None,
        }
    }

    /// Takes the file's name for a sign, where its content gave none: a program that is
    /// named like a shell is one.
    pub fn named(&mut self, file_name: &str) {
        if let Kind::Elf(elf) = &mut self.kind {
            if elf.is_program() && elf.shell.is_none() {
                elf.shell = shell::by_name(file_name);
            }
        }
    }

    /// The shell that the app is, or brings.
    #[must_use]
    pub fn shell(&self) -> Option<&Shell> {
        match &self.kind {
            Kind::Elf(elf) => elf.shell.as_ref(),
            _ => None,
        }
    }
}

/// How a file's content contradicts itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It ends before what its header promises.
    #[error(
        "is cut short: {what} reaches to byte {needs}, the file has {has}; fetch or build it again"
    )]
    CutShort {
        /// What is cut.
        what: &'static str,
        /// The file's length as promised, in bytes.
        needs: u64,
        /// Its length in bytes.
        has: u64,
    },
    /// Linux would refuse it, or crash in it.
    #[error("is a damaged ELF file: {0}; build it again")]
    Elf(String),
    /// It could not be read on.
    #[error("cannot be read")]
    Read(#[from] io::Error),
}

/// Why a file on this machine cannot be the app.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// It is not there.
    #[error("{}: there is no such file; name the app's executable", .0.display())]
    Missing(PathBuf),
    /// It is a directory.
    #[error("{}: is a directory; name the executable in it", .0.display())]
    Directory(PathBuf),
    /// It is a device, pipe or socket.
    #[error("{}: is no regular file; name the app's executable", .0.display())]
    Special(PathBuf),
    /// The system does not let us read it.
    #[error("{}: cannot be read", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than a file of an initramfs can be.
    #[error("{}: has {size}, and a file in an image has less than 4 GiB; strip it", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        size: Bytes,
    },
    /// Its content contradicts itself.
    #[error("{}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        damage: Damage,
    },
    /// It is sound, and cannot run in an image.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        reason: Reason,
    },
}

impl AppError {
    /// The same of a file that people know by another name.
    #[must_use]
    pub fn named(self, name: &Path) -> AppError {
        let path = name.to_owned();
        match self {
            AppError::Missing(_) => AppError::Missing(path),
            AppError::Directory(_) => AppError::Directory(path),
            AppError::Special(_) => AppError::Special(path),
            AppError::Open { source, .. } => AppError::Open { path, source },
            AppError::TooLong { size, .. } => AppError::TooLong { path, size },
            AppError::Damaged { damage, .. } => AppError::Damaged { path, damage },
            AppError::Refused { reason, .. } => AppError::Refused { path, reason },
        }
    }
}

/// Tells what the file of these bytes is.
///
/// # Errors
/// [`Damage`] when it is an ELF file that Linux could not load.
pub fn inspect(bytes: &[u8]) -> Result<Shape, Damage> {
    look(&bytes, Depth::Whole)
}

/// Tells what the file of these bytes is from its headers alone: all but whether a
/// shell is in it.
///
/// # Errors
/// As for [`inspect`].
pub fn glance(bytes: &[u8]) -> Result<Shape, Damage> {
    look(&bytes, Depth::Headers)
}

/// Judges the file at `path` by its headers, and gives the architecture that an
/// image for it has. What is in it still has the last word.
///
/// # Errors
/// [`AppError`] in one line with the remedy.
pub fn screen(path: &Path, allow: &Allow) -> Result<Arch, AppError> {
    let mut shape = look(&regular(path)?, Depth::Headers).map_err(|damage| AppError::Damaged {
        path: path.to_owned(),
        damage,
    })?;
    shape.named(&file_name(path));
    admit(&shape, &file_name(path), allow).map_err(|refusal| AppError::Refused {
        path: path.to_owned(),
        reason: refusal.reason,
    })?;
    shape
        .arch()
        .ok_or_else(|| AppError::Special(path.to_owned()))
}

/// The shell that the file at `path` is, or brings, where it is to stand as `guest` in
/// the image: looked for in ELF files of every kind, whether they run or not.
///
/// # Errors
/// [`AppError::Open`] when it cannot be read.
pub fn shell_in(path: &Path, guest: &Path) -> Result<Option<Shell>, AppError> {
    let found = File::open(path).and_then(|file| {
        if elf::is_elf(&file.at_most(0, content::HEAD)?) {
            let named = || {
                [path, guest]
                    .into_iter()
                    .find_map(|path| shell::by_name(&file_name(path)))
            };
            return Ok(shell::find(&file)?.or_else(named));
        }
        Ok(None)
    });
    found.map_err(|source| AppError::Open {
        path: path.to_owned(),
        source,
    })
}

/// How much of a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Headers,
    Whole,
}

/// The content of the file at `path`, for [`analyse`]: an app of any size that an
/// image can hold. Memory for it is taken once.
///
/// # Errors
/// [`AppError`] when it cannot be read, or is too long.
pub fn load(path: &Path) -> Result<Vec<u8>, AppError> {
    let refused = |source| AppError::Open {
        path: path.to_owned(),
        source,
    };
    let mut file = regular(path)?;
    let size = file.metadata().map_err(refused)?.len();
    let Ok(capacity) = u32::try_from(size) else {
        return Err(AppError::TooLong {
            path: path.to_owned(),
            size: Bytes(size),
        });
    };
    let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
    // no more than was promised: it may be growing
    let read = (&mut file).take(size).read_to_end(&mut bytes);
    read.map_err(refused)?;
    Ok(bytes)
}

/// Opens a regular file. It is looked at before: opening a pipe would wait for a writer.
fn regular(path: &Path) -> Result<File, AppError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => AppError::Missing(path.to_owned()),
        _ => AppError::Open {
            path: path.to_owned(),
            source,
        },
    };
    let metadata = fs::metadata(path).map_err(refused)?;
    if metadata.is_dir() {
        return Err(AppError::Directory(path.to_owned()));
    }
    if !metadata.is_file() {
        return Err(AppError::Special(path.to_owned()));
    }
    File::open(path).map_err(refused)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn look(content: &impl Content, depth: Depth) -> Result<Shape, Damage> {
    let size = content.size()?;
    let head = content.at_most(0, content::HEAD)?;
    let kind = if head.is_empty() {
        Kind::Empty
    } else if elf::is_elf(&head) {
        let mut elf = elf::read(content, &head)?;
        if depth == Depth::Whole && elf.is_program() {
            elf.shell = shell::find(content)?;
        }
        Kind::Elf(Box::new(elf))
    } else {
        Kind::Foreign(foreign::tell(&head))
    };
    Ok(Shape {
        size: Bytes(size),
        kind,
    })
}

#[cfg(test)]
mod tests;
