//! A whole program in memory: its bytes by address and by place in the file, with
//! the sections and symbols that its linker left in it.
//!
//! Section headers are hints: Linux does not look at them and strippers break them.
//! What they say is used only where it lies inside the file.

use std::collections::BTreeSet;

use goblin::elf::header::{EM_AARCH64, EM_X86_64};
use goblin::elf::program_header::{PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, Sym as _};
use object::{Endianness, SectionIndex, elf};

use super::elf::{header, segments};
use super::{Damage, content::HEAD};
use crate::need::Evidence;
use crate::units::Arch;

/// Symbols that are looked at. The largest program of the corpus has 300,000.
const SYMBOLS_MAX: usize = 1 << 20;
/// Sections that are looked at: object files of C++ have that many, programs have dozens.
const SECTIONS_MAX: usize = 1 << 16;
/// Bytes of a symbol's name that are kept.
const NAME_MAX: usize = 4096;

/// A program with its parts.
pub struct Binary<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// The architecture.
    pub arch: Arch,
    /// The address of the first instruction, before a static-pie program is moved.
    pub entry: u64,
    /// What Linux maps, in the order of the program headers.
    pub segments: Vec<Segment>,
    /// What the linker called the parts of the file; empty where a stripper took that.
    pub sections: Vec<Section<'a>>,
    /// The symbols that have an address, by address.
    pub symbols: Vec<Symbol<'a>>,
}

/// One PT_LOAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes.
    pub address: u64,
    /// Where it lies in the file, in bytes.
    pub offset: u64,
    /// Bytes in the file.
    pub len: u64,
    /// Bytes in memory; those behind `len` are zero.
    pub memory: u64,
    /// Whether it may be written to.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
}

/// One section with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// The name, such as `.text`.
    pub name: &'a str,
    /// Where it goes; 0 when it is not mapped.
    pub address: u64,
    /// Where it lies in the file, in bytes.
    pub offset: u64,
    /// Bytes in the file.
    pub len: u64,
    /// Whether it holds instructions.
    pub executable: bool,
}

/// One symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Where it is.
    pub address: u64,
    /// Bytes that it covers; 0 when the file does not say.
    pub size: u64,
    /// Its name, not demangled.
    pub name: &'a str,
    /// Whether it is code.
    pub function: bool,
}

impl<'a> Binary<'a> {
    /// Takes the file apart.
    ///
    /// # Errors
    /// [`Damage`] where its header or program headers cannot be read, and for a file
    /// of an architecture that is not ours. Broken sections and symbols are left out.
    pub fn parse(bytes: &'a [u8]) -> Result<Binary<'a>, Damage> {
        let header = header(&bytes, &bytes[..bytes.len().min(HEAD)])?;
        let arch = match header.e_machine {
            EM_X86_64 => Arch::X86_64,
            EM_AARCH64 => Arch::Aarch64,
            other => return Err(Damage::Elf(format!("its machine {other} is none of ours"))),
        };
        let segments = segments(&bytes, &header)?
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
            .map(|segment| Segment {
                address: segment.p_vaddr,
                offset: segment.p_offset,
                len: segment.p_filesz,
                memory: segment.p_memsz,
                writable: segment.p_flags & PF_W != 0,
                executable: segment.p_flags & PF_X != 0,
            })
            .collect();
        let (sections, mut symbols) = linked(bytes).unwrap_or_default();
        symbols.sort_unstable_by_key(|symbol| (symbol.address, !symbol.size, symbol.name));
        Ok(Binary {
            bytes,
            arch,
            entry: header.e_entry,
            segments,
            sections,
            symbols,
        })
    }

    /// Where in the file the byte at `address` lies.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let held = |segment: &&Segment| {
            let within = address.checked_sub(segment.address);
            within.is_some_and(|within| within < segment.len)
        };
        let segment = self.segments.iter().find(held)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Where the byte at `offset` of the file is mapped.
    #[must_use]
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let held = |segment: &&Segment| {
            let within = offset.checked_sub(segment.offset);
            within.is_some_and(|within| within < segment.len)
        };
        let segment = self.segments.iter().find(held)?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// The bytes from `address` to the end of its segment in the file; empty where
    /// nothing is mapped.
    #[must_use]
    pub fn at(&self, address: u64) -> &'a [u8] {
        let held = |segment: &&Segment| {
            let within = address.checked_sub(segment.address);
            within.is_some_and(|within| within < segment.len)
        };
        let Some(segment) = self.segments.iter().find(held) else {
            return &[];
        };
        let end = segment.offset.saturating_add(segment.len);
        let start = segment.offset.saturating_add(address - segment.address);
        slice(self.bytes, start, end)
    }

    /// The little-endian word at `address`.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let bytes = self.at(address).get(..8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The bytes of `section`.
    #[must_use]
    pub fn content(&self, section: &Section<'_>) -> &'a [u8] {
        let end = section.offset.saturating_add(section.len);
        slice(self.bytes, section.offset, end)
    }

    /// The symbol whose code or data covers `address`.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<&Symbol<'a>> {
        let after = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols[..after].last()?;
        (symbol.size == 0 || address - symbol.address < symbol.size).then_some(symbol)
    }

    /// The names of the functions and data that it takes from libraries.
    #[must_use]
    pub fn imports(&self) -> BTreeSet<&'a str> {
        imported(self.bytes).unwrap_or_default()
    }

    /// What stands at `offset` of the file, as evidence.
    #[must_use]
    pub fn evidence(&self, offset: u64, what: impl Into<String>) -> Evidence {
        let holds = |section: &&Section<'_>| {
            let within = offset.checked_sub(section.offset);
            within.is_some_and(|within| within < section.len)
        };
        Evidence {
            section: self
                .sections
                .iter()
                .find(holds)
                .map(|section| section.name.to_owned()),
            offset,
            what: what.into(),
        }
    }
}

/// What of `bytes` lies between `start` and `end`, as far as it goes.
fn slice(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(place(start)..place(end)).unwrap_or_default()
}

type Linked<'a> = (Vec<Section<'a>>, Vec<Symbol<'a>>);

/// Sections and symbols, as far as they can be read.
fn linked(bytes: &[u8]) -> Option<Linked<'_>> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let table = header.sections(endian, bytes).ok()?;
    let size = u64::try_from(bytes.len()).ok()?;
    let names = header.shstrndx(endian, bytes).ok()?;
    let names = strings(&table, endian, bytes, usize::try_from(names).ok()?);
    let mut sections = Vec::new();
    for section in table.iter().take(SECTIONS_MAX) {
        let Some((offset, len)) = section.file_range(endian) else {
            continue;
        };
        let name = name(names, section.sh_name(endian));
        let end = offset.checked_add(len);
        if let (Some(name), Some(true)) = (name, end.map(|end| end <= size)) {
            sections.push(Section {
                name,
                address: section.sh_addr(endian),
                offset,
                len,
                executable: section.sh_flags(endian).contains(elf::SHF_EXECINSTR),
            });
        }
    }
    let mut symbols = Vec::new();
    if let Ok(all) = table.symbols(endian, bytes, elf::SHT_SYMTAB) {
        let names = strings(&table, endian, bytes, all.string_section().0);
        for symbol in all.iter().take(SYMBOLS_MAX) {
            let kind = symbol.st_type();
            let placed = symbol.st_shndx(endian) != elf::SHN_UNDEF
                && matches!(
                    kind,
                    elf::STT_FUNC | elf::STT_GNU_IFUNC | elf::STT_OBJECT | elf::STT_NOTYPE
                );
            if let (true, Some(name)) = (placed, name(names, symbol.st_name(endian))) {
                // mapping symbols of the Arm ABI mark code and data, not functions
                if !name.is_empty() && !name.starts_with('$') {
                    symbols.push(Symbol {
                        address: symbol.st_value(endian),
                        size: symbol.st_size(endian),
                        name,
                        function: matches!(kind, elf::STT_FUNC | elf::STT_GNU_IFUNC),
                    });
                }
            }
        }
    }
    Some((sections, symbols))
}

/// The names of the dynamic symbols that are not defined here, as far as they can be read.
fn imported(bytes: &[u8]) -> Option<BTreeSet<&str>> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let table = header.sections(endian, bytes).ok()?;
    let all = table.symbols(endian, bytes, elf::SHT_DYNSYM).ok()?;
    let names = strings(&table, endian, bytes, all.string_section().0);
    let undefined = all
        .iter()
        .take(SYMBOLS_MAX)
        .filter(|symbol| symbol.st_shndx(endian) == elf::SHN_UNDEF);
    let imported = undefined.filter_map(|symbol| name(names, symbol.st_name(endian)));
    Some(imported.filter(|name| !name.is_empty()).collect())
}

/// The bytes of the string table that is section number `index`; empty where it is none.
fn strings<'a>(
    table: &SectionTable<'a, elf::FileHeader64<Endianness>>,
    endian: Endianness,
    bytes: &'a [u8],
    index: usize,
) -> &'a [u8] {
    let section = table.section(SectionIndex(index)).ok();
    section
        .and_then(|section| section.data(endian, bytes).ok())
        .unwrap_or_default()
}

/// The name at `at` of a string table. One that does not end soon is none: a hostile
/// table ends nowhere, and a million symbols would each be read to the end of the file.
fn name(strings: &[u8], at: u32) -> Option<&str> {
    let text = strings.get(usize::try_from(at).ok()?..)?;
    let text = &text[..text.len().min(NAME_MAX)];
    std::str::from_utf8(&text[..memchr::memchr(0, text)?]).ok()
}
