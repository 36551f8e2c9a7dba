//! ELF files, as far as Linux's loader and our verdict look at them.
//!
//! The reader follows fs/binfmt_elf.c: program headers decide, sections are not
//! looked at. Every length is bounded before memory is taken for it. Offsets and
//! names are those of the System V ABI, chapters 4 and 5 (gABI).

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_OSABI, ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_386, EM_AARCH64,
    EM_RISCV, EM_X86_64, ET_CORE, ET_DYN, ET_EXEC, ET_REL,
};
use goblin::elf::{Header, ProgramHeader};

use super::content::Content;
use super::image::Image;
use super::shell::Shell;
use super::upx::Inside;
use super::{Damage, foreign};
use crate::units::Arch;

/// Bytes of all program headers that Linux takes (`load_elf_phdrs`).
const PHDRS_MAX: u64 = 65536;
/// Bytes of one 64-bit program header (gABI 5, Elf64_Phdr).
pub(super) const PHDR_SIZE: u64 = 56;

/// What an ELF file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// The processor, with width and byte order.
    pub machine: Machine,
    /// The system, when it is another than Linux.
    pub foreign_os: Option<String>,
    /// Program, library, object file.
    pub kind: ElfKind,
    /// What packed it, if something did.
    pub packed: Option<Packed>,
    /// The shell in it, told by its strings.
    pub shell: Option<Shell>,
}

/// A processor as `e_machine`, `EI_CLASS` and `EI_DATA` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// `e_machine`.
    pub code: u16,
    /// 32 or 64.
    pub bits: u8,
    /// Whether the low byte comes first.
    pub little: bool,
}

/// What an ELF file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElfKind {
    /// A program, linked in this way.
    Program(Linkage),
    /// A shared library, with the sign that tells.
    Library(String),
    /// An object file, not linked yet.
    Object,
    /// A dead program's memory.
    Core,
    /// None of these.
    Other(u16),
    /// Not looked at, since it is for another processor or system.
    Unread,
}

/// How a program is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linkage {
    /// At fixed addresses, without libraries.
    Static,
    /// At any address, without libraries.
    StaticPie,
    /// With an interpreter, or libraries that only one could load.
    Dynamic {
        /// The interpreter's path.
        interpreter: Option<String>,
        /// The libraries.
        needed: Vec<String>,
    },
    /// It is loaded at any address and does not say how it is linked; packed
    /// programs are so.
    Hidden,
}

/// A program that unpacks itself when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// The Ultimate Packer for eXecutables.
    Upx(Inside),
}

impl Elf {
    /// Whether it is a program, however it is linked.
    #[must_use]
    pub fn is_program(&self) -> bool {
        matches!(self.kind, ElfKind::Program(_))
    }

    /// The interpreter that the kernel would start it with.
    #[must_use]
    pub fn interpreter(&self) -> Option<&str> {
        match &self.kind {
            ElfKind::Program(Linkage::Dynamic { interpreter, .. }) => interpreter.as_deref(),
            _ => None,
        }
    }
}

impl Machine {
    /// The architecture, if it is one of ours.
    #[must_use]
    pub fn arch(self) -> Option<Arch> {
        match (self.code, self.bits, self.little) {
            (EM_X86_64, 64, true) => Some(Arch::X86_64),
            (EM_AARCH64, 64, true) => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> String {
        let order = if self.little { "" } else { ", big endian" };
        match self.code {
            EM_386 => format!("i386{order}"),
            EM_X86_64 if self.bits == 32 => "x32 (32-bit x86_64)".to_owned(),
            EM_X86_64 => format!("x86_64{order}"),
            EM_AARCH64 => format!("aarch64, {} bits{order}", self.bits),
            EM_RISCV => format!("riscv{}{order}", self.bits),
            code => {
                let name = goblin::elf::header::machine_to_str(code);
                let name = name.to_ascii_lowercase();
                format!("{name}, {} bits{order}", self.bits)
            }
        }
    }
}

/// Whether a file that begins so is an ELF file.
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(ELFMAG)
}

/// Reads `content`, whose first bytes are `head`.
pub fn read(content: &impl Content, head: &[u8]) -> Result<Elf, Damage> {
    let header = header(content, head)?;
    let machine = Machine {
        code: header.e_machine,
        bits: if header.e_ident[EI_CLASS] == ELFCLASS64 {
            64
        } else {
            32
        },
        little: header.e_ident[EI_DATA] == ELFDATA2LSB,
    };
    let mut elf = Elf {
        machine,
        foreign_os: foreign::os_of_abi(header.e_ident[EI_OSABI]),
        kind: ElfKind::Unread,
        packed: None,
        shell: None,
    };
    elf.kind = match header.e_type {
        ET_REL => ElfKind::Object,
        ET_CORE => ElfKind::Core,
        ET_EXEC | ET_DYN => {
            if machine.arch().is_some() && elf.foreign_os.is_none() {
                program(content, &header, &mut elf)?
            } else {
                ElfKind::Unread
            }
        }
        other => ElfKind::Other(other),
    };
    Ok(elf)
}

pub(super) fn damaged(reason: impl Into<String>) -> Damage {
    Damage::Elf(reason.into())
}

pub(super) fn header(content: &impl Content, head: &[u8]) -> Result<Header, Damage> {
    let class = head.get(EI_CLASS).copied();
    let needs = match class {
        Some(ELFCLASS32) => 52,
        Some(ELFCLASS64) => 64,
        _ => return Err(damaged("its class is neither 32 nor 64 bits")),
    };
    if head.len() < needs {
        return Err(cut("its header", needs as u64, content.size()?));
    }
    goblin::elf::Elf::parse_header(head)
        .map_err(|_| damaged("its byte order is neither little nor big"))
}

pub(super) fn cut(what: &'static str, needs: u64, has: u64) -> Damage {
    Damage::CutShort { what, needs, has }
}

/// Reads a program or library of one of our architectures.
fn program(content: &impl Content, header: &Header, elf: &mut Elf) -> Result<ElfKind, Damage> {
    let image = Image {
        size: content.size()?,
        segments: segments(content, header)?,
        content,
    };
    image.check_loads(header)?;
    if let Some(os) = image.os()? {
        elf.foreign_os = Some(os);
        return Ok(ElfKind::Unread);
    }
    elf.packed = image.packed(header)?;
    let dynamic = image.dynamic()?;
    if let Some(interpreter) = image.interpreter()? {
        return Ok(ElfKind::Program(Linkage::Dynamic {
            interpreter: Some(interpreter),
            needed: dynamic.map(|d| d.needed).unwrap_or_default(),
        }));
    }
    Ok(match (dynamic, elf.packed) {
        (Some(dynamic), _) => dynamic.judge(header),
        (None, Some(Packed::Upx(Inside::Interpreted))) => ElfKind::Program(Linkage::Dynamic {
            interpreter: None,
            needed: Vec::new(),
        }),
        (None, Some(Packed::Upx(Inside::Alone))) if header.e_type == ET_DYN => {
            ElfKind::Program(Linkage::StaticPie)
        }
        (None, _) if header.e_type == ET_DYN => ElfKind::Program(Linkage::Hidden),
        (None, _) => ElfKind::Program(Linkage::Static),
    })
}

pub(super) fn segments(
    content: &impl Content,
    header: &Header,
) -> Result<Vec<ProgramHeader>, Damage> {
    let table = u64::from(header.e_phnum) * PHDR_SIZE;
    if header.e_phnum == 0 {
        return Err(damaged("it has no program headers"));
    }
    if u64::from(header.e_phentsize) != PHDR_SIZE {
        return Err(damaged(format!(
            "its program headers have {} bytes instead of {PHDR_SIZE}",
            header.e_phentsize
        )));
    }
    if table > PHDRS_MAX {
        return Err(damaged(format!(
            "it has {} program headers",
            header.e_phnum
        )));
    }
    let end = header
        .e_phoff
        .checked_add(table)
        .ok_or_else(|| damaged("its program headers lie beyond every file"))?;
    let size = content.size()?;
    if end > size {
        return Err(cut("its table of program headers", end, size));
    }
    let bytes = content.at_most(header.e_phoff, usize_of(table)?)?;
    let ctx = Ctx::new(Container::Big, Endian::Little);
    ProgramHeader::parse(&bytes, 0, usize::from(header.e_phnum), ctx)
        .map_err(|_| damaged("its program headers cannot be read"))
}

pub(super) fn usize_of(len: u64) -> Result<usize, Damage> {
    usize::try_from(len).map_err(|_| damaged("a length in it is beyond this machine"))
}
