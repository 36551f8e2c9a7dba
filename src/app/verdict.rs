//! Whether a file of some shape may be the app: a pure judgement.

use super::elf::{Elf, ElfKind, Linkage, Packed};
use super::foreign::Foreign;
use super::shell::{self, Shell};
use super::{Kind, Shape};

/// What is let in although it is refused otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allow {
    /// Shells, and multi-call programs that have one.
    pub shell: bool,
    /// Programs with an interpreter: somebody else brings it, and their libraries.
    pub dynamic: bool,
}

/// A file that cannot be the app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct Refusal {
    /// The file's name.
    pub file: String,
    /// Why, with the remedy.
    #[source]
    pub reason: Reason,
}

/// Why a sound file cannot be the app, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It has no content.
    #[error("is empty; build it again")]
    Empty,
    /// It is no ELF file.
    #[error("{0}")]
    Foreign(String),
    /// It is for a processor that we have no kit for.
    #[error("is for {0}; an image runs x86_64 or aarch64: build it for one of them")]
    Machine(String),
    /// It is for another system.
    #[error("is for {0}; an image runs Linux: build it for Linux")]
    System(String),
    /// It is not linked.
    #[error("is an object file; link it, with -static")]
    Object,
    /// It is a core dump.
    #[error("is a core dump; name the program that left it")]
    Core,
    /// It is an ELF file of some rare type.
    #[error("is no program: its ELF type is {0:#x}; name the app's executable")]
    Type(u16),
    /// It is a library.
    #[error("is a shared library ({0}), not a program; name the app's executable")]
    Library(String),
    /// It needs files that an image does not have.
    #[error("{}; relink with -static (Go: CGO_ENABLED=0, Rust: a musl target), or bring them with --libs DIR", needs(interpreter.as_deref(), needed))]
    Dynamic {
        /// The interpreter.
        interpreter: Option<String>,
        /// The libraries.
        needed: Vec<String>,
    },
    /// It is packed, and what is inside cannot be told.
    #[error("is packed by UPX, and may need libraries that nothing shows; unpack it with `upx -d`")]
    Upx,
    /// It is packed around a program that needs files that an image does not have.
    #[error(
        "is packed by UPX around a program that needs an interpreter; unpack it with `upx -d` to see which, and relink with -static"
    )]
    UpxDynamic,
    /// It hides how it is linked.
    #[error(
        "does not say how it is linked, as packed programs do not; give the program as its linker made it"
    )]
    Hidden,
    /// It is a shell.
    #[error("{}; give --allow-shell if that is meant", is_shell(.0))]
    Shell(Shell),
}

fn needs(interpreter: Option<&str>, needed: &[String]) -> String {
    let libraries = needed.join(", ");
    match (interpreter, needed) {
        (Some(interpreter), []) => format!("needs the interpreter {interpreter}"),
        (Some(interpreter), [_]) => {
            format!("needs the interpreter {interpreter} and the library {libraries}")
        }
        (Some(interpreter), _) => {
            format!("needs the interpreter {interpreter} and the libraries {libraries}")
        }
        (None, _) => format!("needs {libraries} and names no interpreter to load it"),
    }
}

fn is_shell(shell: &Shell) -> String {
    match shell.sign {
        Some(sign) => format!(
            "is a shell or brings one: it holds \"{sign}\", as {} does",
            shell.name
        ),
        None => format!("is a shell or brings one: it is named like {}", shell.name),
    }
}

/// Judges a file of this shape and name.
///
/// # Errors
/// [`Refusal`] with the first reason, in the order in which one would mend them.
pub fn admit(shape: &Shape, file_name: &str, allow: &Allow) -> Result<(), Refusal> {
    let reason = match &shape.kind {
        Kind::Empty => Some(Reason::Empty),
        Kind::Foreign(foreign) => Some(Reason::Foreign(told(foreign))),
        Kind::Elf(elf) => unfit(elf, allow).or_else(|| shell_in(elf, file_name, allow)),
    };
    match reason {
        None => Ok(()),
        Some(reason) => Err(Refusal {
            file: file_name.to_owned(),
            reason,
        }),
    }
}

fn unfit(elf: &Elf, allow: &Allow) -> Option<Reason> {
    if elf.machine.arch().is_none() {
        return Some(Reason::Machine(elf.machine.name()));
    }
    if let Some(os) = &elf.foreign_os {
        return Some(Reason::System(os.clone()));
    }
    match &elf.kind {
        ElfKind::Object => Some(Reason::Object),
        ElfKind::Core => Some(Reason::Core),
        ElfKind::Other(kind) => Some(Reason::Type(*kind)),
        ElfKind::Library(sign) => Some(Reason::Library(sign.clone())),
        ElfKind::Program(linkage) => unlinked(linkage, elf.packed, allow),
        // for another processor or system, which is told above
        ElfKind::Unread => None,
    }
}

fn unlinked(linkage: &Linkage, packed: Option<Packed>, allow: &Allow) -> Option<Reason> {
    match linkage {
        Linkage::Static | Linkage::StaticPie => None,
        Linkage::Dynamic { .. } if packed.is_some() => Some(Reason::UpxDynamic),
        Linkage::Dynamic {
            interpreter: Some(_),
            ..
        } if allow.dynamic => None,
        Linkage::Dynamic {
            interpreter,
            needed,
        } => Some(Reason::Dynamic {
            interpreter: interpreter.clone(),
            needed: needed.clone(),
        }),
        Linkage::Hidden => Some(match packed {
            Some(Packed::Upx(_)) => Reason::Upx,
            None => Reason::Hidden,
        }),
    }
}

fn shell_in(elf: &Elf, file_name: &str, allow: &Allow) -> Option<Reason> {
    if allow.shell {
        return None;
    }
    let shell = elf.shell.clone().or_else(|| shell::by_name(file_name));
    shell.map(Reason::Shell)
}

fn told(foreign: &Foreign) -> String {
    match foreign {
        Foreign::Script { interpreter } => format!(
            "is a script for `{interpreter}`, and an image has no interpreters; give a static Linux executable"
        ),
        Foreign::Pe => "is a Windows or EFI program; build it for Linux".to_owned(),
        Foreign::MachO => "is a macOS program; build it for Linux".to_owned(),
        Foreign::Archive(what) => format!("is {what}; unpack it and name the executable"),
        Foreign::Wasm => {
            "is a WebAssembly module; give a static Linux executable that runs it".to_owned()
        }
        Foreign::JavaClass => {
            "is Java byte code; compile it to a static Linux executable".to_owned()
        }
        Foreign::Text => "is text; give a static Linux executable".to_owned(),
        Foreign::Unknown => {
            "is no program that is known here; give a static Linux executable".to_owned()
        }
    }
}
