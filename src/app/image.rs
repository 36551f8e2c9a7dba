//! A program's segments and what they hold: what Linux's loader maps, the path of
//! the interpreter, notes, and the dynamic section.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{
    DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMTAB,
};
use goblin::elf::header::ET_DYN;
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE};
use goblin::elf::{Header, ProgramHeader, Sym};

use super::content::{Content, HEAD};
use super::elf::{ElfKind, Linkage, PHDR_SIZE, Packed, cut, damaged, usize_of};
use super::{Damage, foreign, upx};

/// Bytes of an interpreter's path that Linux takes (PATH_MAX).
const INTERP_MAX: u64 = 4096;
/// Bytes of a dynamic section that are looked at: 4096 entries.
const DYNAMIC_MAX: u64 = 65536;
/// Bytes of one 64-bit dynamic entry (gABI 5, Elf64_Dyn).
const DYN_SIZE: usize = 16;
/// Bytes of the notes of one segment that are looked at.
const NOTES_MAX: u64 = 65536;
/// Bytes of a name in the string table that are looked at.
const NAME_MAX: usize = 256;
/// Libraries that are named in a refusal.
const NEEDED_MAX: usize = 64;
/// Dynamic symbols that are looked at to tell a library.
const SYMBOLS_MAX: usize = 256;
/// Bytes of one 64-bit symbol (gABI 4, Elf64_Sym).
const SYM_SIZE: usize = 24;
/// The end of a process's addresses on x86_64, and an upper bound on aarch64
/// (Documentation/arch/x86/x86_64/mm.rst).
const ADDRESS_MAX: u64 = 1 << 47;

/// A file with its segments, for all that needs both.
pub struct Image<'a, C: Content> {
    pub content: &'a C,
    /// The file's length in bytes.
    pub size: u64,
    pub segments: Vec<ProgramHeader>,
}

impl<C: Content> Image<'_, C> {
    fn of_type(&self, kind: u32) -> impl Iterator<Item = &ProgramHeader> {
        self.segments.iter().filter(move |s| s.p_type == kind)
    }

    /// What Linux maps must be in the file, and the entry point in what may run.
    pub fn check_loads(&self, header: &Header) -> Result<(), Damage> {
        let mut entered = false;
        for load in self.of_type(PT_LOAD) {
            let end = load.p_offset.checked_add(load.p_filesz);
            let top = load.p_vaddr.checked_add(load.p_memsz);
            let (Some(end), Some(top)) = (end, top) else {
                return Err(damaged("a segment lies beyond every address"));
            };
            if end > self.size {
                return Err(cut("a segment", end, self.size));
            }
            if load.p_filesz > load.p_memsz {
                return Err(damaged("a segment is longer in the file than in memory"));
            }
            if top > ADDRESS_MAX {
                return Err(damaged("a segment lies beyond a process's addresses"));
            }
            entered |= load.is_executable() && (load.p_vaddr..top).contains(&header.e_entry);
        }
        if self.of_type(PT_LOAD).next().is_none() {
            return Err(damaged("it has no segment to load"));
        }
        // an object that is only there to be linked with has no entry
        if !entered && header.e_entry != 0 {
            return Err(damaged(format!(
                "its entry point {:#x} is in no executable segment",
                header.e_entry
            )));
        }
        Ok(())
    }

    /// The bytes of `segment` in the file, `most` of them at most.
    fn bytes(&self, segment: &ProgramHeader, most: u64) -> Result<Vec<u8>, Damage> {
        let len = usize_of(segment.p_filesz.min(most))?;
        Ok(self.content.at_most(segment.p_offset, len)?)
    }

    pub fn interpreter(&self) -> Result<Option<String>, Damage> {
        let Some(segment) = self.of_type(PT_INTERP).next() else {
            return Ok(None);
        };
        let bytes = self.bytes(segment, INTERP_MAX)?;
        let path = bytes.split(|octet| *octet == 0).next().unwrap_or_default();
        if path.is_empty() || segment.p_filesz > INTERP_MAX {
            return Err(damaged("the path of its interpreter cannot be read"));
        }
        Ok(Some(printable(path)))
    }

    /// The system that a note names, if it is not Linux.
    pub fn os(&self) -> Result<Option<String>, Damage> {
        for segment in self.of_type(PT_NOTE) {
            let bytes = self.bytes(segment, NOTES_MAX)?;
            let align = if segment.p_align == 8 { 8 } else { 4 };
            let os = Notes {
                bytes: &bytes,
                align,
            }
            .find_map(foreign::os_of_note);
            if os.is_some() {
                return Ok(os);
            }
        }
        Ok(None)
    }

    /// What UPX packed, if it did: then there are no sections, and its mark is in
    /// the first page behind the program headers.
    pub fn packed(&self, header: &Header) -> Result<Option<Packed>, Damage> {
        if header.e_shnum != 0 {
            return Ok(None);
        }
        let page = self.content.at_most(0, HEAD)?;
        let after = header.e_phoff + u64::from(header.e_phnum) * PHDR_SIZE;
        let rest = page.get(usize_of(after)?..).unwrap_or_default();
        Ok(upx::find(rest).map(Packed::Upx))
    }

    pub fn dynamic(&self) -> Result<Option<Dynamic>, Damage> {
        let Some(segment) = self.of_type(PT_DYNAMIC).next() else {
            return Ok(None);
        };
        let entries = entries(&self.bytes(segment, DYNAMIC_MAX)?);
        let value = |tag: u64| entries.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v);
        let strings = value(DT_STRTAB).and_then(|address| self.offset_of(address));
        let len = value(DT_STRSZ).unwrap_or(0);
        let name = |index: u64| -> Result<String, Damage> {
            match strings.and_then(|at| at.checked_add(index)) {
                Some(at) if index < len => {
                    let bytes = self.content.at_most(at, NAME_MAX)?;
                    Ok(printable(
                        bytes.split(|o| *o == 0).next().unwrap_or_default(),
                    ))
                }
                _ => Ok("?".to_owned()),
            }
        };
        let mut needed = Vec::new();
        for (_, index) in entries
            .iter()
            .filter(|(tag, _)| *tag == DT_NEEDED)
            .take(NEEDED_MAX)
        {
            needed.push(name(*index)?);
        }
        Ok(Some(Dynamic {
            needed,
            soname: value(DT_SONAME).map(name).transpose()?,
            pie: value(DT_FLAGS_1).unwrap_or(0) & DF_1_PIE != 0,
            exports: match value(DT_SYMTAB).and_then(|address| self.offset_of(address)) {
                Some(symbols) => self.exports(symbols, strings)?,
                None => false,
            },
        }))
    }

    /// Where in the file the byte at `address` is.
    fn offset_of(&self, address: u64) -> Option<u64> {
        self.of_type(PT_LOAD)
            .find(|load| {
                address
                    .checked_sub(load.p_vaddr)
                    .is_some_and(|at| at < load.p_filesz)
            })
            .and_then(|load| load.p_offset.checked_add(address - load.p_vaddr))
    }

    /// Whether a symbol is offered to other files. The table says nowhere how long
    /// it is; linkers put the strings behind it.
    fn exports(&self, symbols: u64, strings: Option<u64>) -> Result<bool, Damage> {
        let until = strings.filter(|strings| *strings > symbols);
        let len = until.map_or(u64::MAX, |strings| strings - symbols);
        let most = SYMBOLS_MAX * SYM_SIZE;
        let len = usize::try_from(len).unwrap_or(most).min(most);
        let bytes = self.content.at_most(symbols, len)?;
        let ctx = Ctx::new(Container::Big, Endian::Little);
        let table = Sym::parse(&bytes, 0, bytes.len() / SYM_SIZE, ctx)
            .map_err(|_| damaged("its symbols cannot be read"))?;
        Ok(table
            .iter()
            .any(|symbol| symbol.st_shndx != 0 && symbol.st_name != 0))
    }
}

/// What a dynamic section says.
pub struct Dynamic {
    pub needed: Vec<String>,
    soname: Option<String>,
    pie: bool,
    exports: bool,
}

impl Dynamic {
    /// What a file with this section and no interpreter is. Linkers mark programs
    /// with DF_1_PIE; those before it was invented are known by offering nothing.
    pub fn judge(self, header: &Header) -> ElfKind {
        if !self.pie && header.e_type == ET_DYN {
            if let Some(soname) = self.soname {
                return ElfKind::Library(format!("it is named {soname}"));
            }
            if self.exports || header.e_entry == 0 {
                return ElfKind::Library("it offers symbols to other programs".to_owned());
            }
        }
        ElfKind::Program(match header.e_type {
            _ if !self.needed.is_empty() => Linkage::Dynamic {
                interpreter: None,
                needed: self.needed,
            },
            ET_DYN => Linkage::StaticPie,
            _ => Linkage::Static,
        })
    }
}

/// The entries of a dynamic section up to its end, tag and value.
fn entries(bytes: &[u8]) -> Vec<(u64, u64)> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    bytes
        .chunks_exact(DYN_SIZE)
        .map(|entry| (word(&entry[..8]), word(&entry[8..])))
        .take_while(|(tag, _)| *tag != DT_NULL)
        .collect()
}

/// A name out of a file, for a message of one line.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

/// One note: owner without its NUL, type, description.
pub struct Note<'a> {
    pub owner: &'a [u8],
    pub kind: u32,
    pub description: &'a [u8],
}

/// The notes of a segment (gABI 5, Note Section); ends where they make no sense.
pub struct Notes<'a> {
    pub bytes: &'a [u8],
    pub align: usize,
}

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        let word = |at: usize| -> Option<u32> {
            let bytes = self.bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let owner_len = usize::try_from(word(0)?).ok()?;
        let len = usize::try_from(word(4)?).ok()?;
        let kind = word(8)?;
        let owner = self.bytes.get(12..)?.get(..owner_len)?;
        let start = (12 + owner_len).checked_next_multiple_of(self.align)?;
        let description = self.bytes.get(start..)?.get(..len)?;
        let end = (start + len).checked_next_multiple_of(self.align)?;
        self.bytes = self.bytes.get(end..).unwrap_or_default();
        Some(Note {
            owner: owner.strip_suffix(b"\0").unwrap_or(owner),
            kind,
            description,
        })
    }
}
