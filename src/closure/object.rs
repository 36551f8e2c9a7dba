//! What a dynamic linker reads of an ELF file: its dynamic section, and the versions
//! of symbols that it wants and has.
//!
//! Names are those of the System V ABI, chapter 5 (gABI), and of the GNU extensions
//! in the Linux Standard Base, "Symbol Versioning". Every length that a file gives is
//! held against a limit before memory is taken for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{
    DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB,
    DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM,
};
use goblin::elf::header::{EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB, ELFMAG, ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_LOAD};
use goblin::elf::{Header, ProgramHeader};

/// Bytes of an ELF header of 64 bits (gABI 4, Elf64_Ehdr).
const HEADER_LEN: usize = 64;
/// Bytes of one program header (gABI 5, Elf64_Phdr), and how many are read.
const PHDR_LEN: u64 = 56;
const PHDRS_MAX: u64 = 1024;
/// Bytes of a dynamic section that are read; the largest known have some kilobytes.
const DYNAMIC_MAX: u64 = 1 << 20;
/// Bytes of one dynamic entry (gABI 5, Elf64_Dyn).
const DYN_LEN: usize = 16;
/// Bytes of the dynamic strings that are read. A browser's library has 20 MB.
const STRINGS_MAX: u64 = 64 << 20;
/// Bytes of the tables of versions that are read.
const VERSIONS_MAX: u64 = 1 << 20;
/// Longest path of an interpreter (PATH_MAX; fs/binfmt_elf.c refuses longer ones).
const INTERPRETER_MAX: u64 = 4096;
/// DF_1_NODEFLIB of DT_FLAGS_1: the default directories are not searched.
const DF_1_NODEFLIB: u64 = 0x800;
/// VER_FLG_WEAK of `vna_flags`: the version may be missing.
const VER_FLG_WEAK: u16 = 2;
/// VER_FLG_BASE of `vd_flags`: the name of the file itself, not a version.
const VER_FLG_BASE: u16 = 1;

/// A program or library as its dynamic linker sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// `e_machine`.
    pub machine: u16,
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// DT_NEEDED, in order.
    pub needed: Vec<String>,
    /// DT_SONAME.
    pub soname: Option<String>,
    /// DT_RPATH, not split.
    pub rpath: Option<String>,
    /// DT_RUNPATH, not split.
    pub runpath: Option<String>,
    /// DF_1_NODEFLIB.
    pub no_default_directories: bool,
    /// Versions that it wants, by the library that should have them.
    pub wants: BTreeMap<String, BTreeSet<String>>,
    /// Versions that it has.
    pub has: BTreeSet<String>,
    /// Those of the names asked for that stand among its dynamic symbols' names.
    pub names: BTreeSet<&'static str>,
}

impl Object {
    /// Reads the file at `path`, looking for `names` among those of its symbols.
    ///
    /// # Errors
    /// What the system says; `InvalidData` when it is no ELF file of 64 bits and low
    /// byte first that a linker could load.
    pub fn read(path: &Path, names: &[&'static str]) -> io::Result<Object> {
        Reader::open(path)?.object(names)
    }
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

struct Reader {
    file: File,
    header: Header,
    segments: Vec<ProgramHeader>,
}

impl Reader {
    fn open(path: &Path) -> io::Result<Reader> {
        let file = File::open(path)?;
        let head = at_most(&file, 0, HEADER_LEN as u64)?;
        let ours = head.starts_with(ELFMAG)
            && head.get(EI_CLASS) == Some(&ELFCLASS64)
            && head.get(EI_DATA) == Some(&ELFDATA2LSB);
        if !ours || head.len() < HEADER_LEN {
            return Err(damaged("is no ELF file of 64 bits"));
        }
        let header = goblin::elf::Elf::parse_header(&head)
            .map_err(|_| damaged("has a header that cannot be read"))?;
        if !matches!(header.e_type, ET_EXEC | ET_DYN) {
            return Err(damaged("is no program or shared library"));
        }
        let count = u64::from(header.e_phnum);
        if u64::from(header.e_phentsize) != PHDR_LEN || count > PHDRS_MAX {
            return Err(damaged("has program headers that cannot be read"));
        }
        let table = at_most(&file, header.e_phoff, count * PHDR_LEN)?;
        let ctx = Ctx::new(Container::Big, Endian::Little);
        let segments = ProgramHeader::parse(&table, 0, usize::from(header.e_phnum), ctx)
            .map_err(|_| damaged("ends before its program headers do"))?;
        Ok(Reader {
            file,
            header,
            segments,
        })
    }

    fn of_type(&self, kind: u32) -> Option<&ProgramHeader> {
        self.segments.iter().find(|segment| segment.p_type == kind)
    }

    /// Up to `len` bytes from the mapped `address`.
    fn mapped(&self, address: u64, len: u64) -> io::Result<Vec<u8>> {
        let loads = self.segments.iter().filter(|one| one.p_type == PT_LOAD);
        for load in loads {
            let within = address.checked_sub(load.p_vaddr);
            if let Some(within) = within.filter(|within| *within < load.p_filesz) {
                let offset = load.p_offset.saturating_add(within);
                return at_most(&self.file, offset, len.min(load.p_filesz - within));
            }
        }
        Err(damaged("points to what it does not load"))
    }

    fn object(&self, names: &[&'static str]) -> io::Result<Object> {
        let mut object = Object {
            machine: self.header.e_machine,
            ..Object::default()
        };
        if let Some(segment) = self.of_type(PT_INTERP) {
            let len = segment.p_filesz.min(INTERPRETER_MAX);
            let bytes = at_most(&self.file, segment.p_offset, len)?;
            object.interpreter =
                Some(text(&bytes).ok_or_else(|| damaged("names an interpreter that is no UTF-8"))?);
        }
        let Some(segment) = self.of_type(PT_DYNAMIC) else {
            return Ok(object);
        };
        let len = segment.p_filesz.min(DYNAMIC_MAX);
        let entries = entries(&at_most(&self.file, segment.p_offset, len)?);
        let value = |tag: u64| entries.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v);
        let strings = match (value(DT_STRTAB), value(DT_STRSZ)) {
            (Some(address), Some(len)) => self.mapped(address, len.min(STRINGS_MAX))?,
            _ => Vec::new(),
        };
        let string = |at: u64| {
            let at = usize::try_from(at).ok()?;
            text(strings.get(at..)?)
        };
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
        object.needed = needed
            .map(|(_, at)| string(*at))
            .collect::<Option<_>>()
            .ok_or_else(|| damaged("needs a library whose name cannot be read"))?;
        object.soname = value(DT_SONAME).and_then(string);
        object.rpath = value(DT_RPATH).and_then(string);
        object.runpath = value(DT_RUNPATH).and_then(string);
        object.no_default_directories = value(DT_FLAGS_1).unwrap_or(0) & DF_1_NODEFLIB != 0;
        if let (Some(at), Some(count)) = (value(DT_VERNEED), value(DT_VERNEEDNUM)) {
            let table = self.mapped(at, VERSIONS_MAX)?;
            object.wants = wanted(&table, count, &string);
        }
        if let (Some(at), Some(count)) = (value(DT_VERDEF), value(DT_VERDEFNUM)) {
            let table = self.mapped(at, VERSIONS_MAX)?;
            object.has = offered(&table, count, &string);
        }
        let wanted: BTreeSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let found: BTreeSet<&[u8]> = strings
            .split(|octet| *octet == 0)
            .filter(|string| wanted.contains(string))
            .collect();
        let found = |name: &&&str| found.contains(name.as_bytes());
        object.names = names.iter().filter(found).copied().collect();
        Ok(object)
    }
}

/// Up to `len` bytes from `offset`: fewer where the file ends.
fn at_most(file: &File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let len = usize::try_from(len.min(left)).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The string up to the first NUL.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|octet| *octet == 0)?;
    String::from_utf8(bytes[..end].to_vec()).ok()
}

fn entries(bytes: &[u8]) -> Vec<(u64, u64)> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    bytes
        .chunks_exact(DYN_LEN)
        .map(|entry| (word(&entry[..8]), word(&entry[8..])))
        .take_while(|(tag, _)| *tag != DT_NULL)
        .collect()
}

fn half(table: &[u8], at: usize) -> Option<u16> {
    let bytes = table.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn word(table: &[u8], at: usize) -> Option<u32> {
    let bytes = table.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The places of linked entries: `first`, then on by what `next` says, until that is 0,
/// the table ends, or there were `count`. An entry lies behind the one before it, so
/// that no list runs in circles.
fn chain(
    table: &[u8],
    first: usize,
    count: u64,
    next: impl Fn(usize) -> Option<u32>,
) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = Some(first).filter(|at| *at < table.len());
    while let Some(here) = at {
        // usize is at most 64 bits wide on every host
        if places.len() as u64 >= count {
            break;
        }
        places.push(here);
        let step = next(here).and_then(|step| usize::try_from(step).ok());
        at = step
            .filter(|step| *step > 0)
            .and_then(|step| here.checked_add(step))
            .filter(|at| *at < table.len());
    }
    places
}

/// Elfxx_Verneed: vn_version, vn_cnt (halves), vn_file, vn_aux, vn_next (words), and
/// Elfxx_Vernaux: vna_hash (word), vna_flags, vna_other (halves), vna_name, vna_next.
fn wanted(
    table: &[u8],
    count: u64,
    string: &impl Fn(u64) -> Option<String>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut wants: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for at in chain(table, 0, count, |at| word(table, at + 12)) {
        let file = word(table, at + 4).and_then(|name| string(u64::from(name)));
        let aux = word(table, at + 8).and_then(|aux| at.checked_add(usize::try_from(aux).ok()?));
        let (Some(file), Some(aux)) = (file, aux) else {
            continue;
        };
        let versions = wants.entry(file).or_default();
        let count = half(table, at + 2).map_or(0, u64::from);
        for at in chain(table, aux, count, |at| word(table, at + 12)) {
            let weak = half(table, at + 4).is_some_and(|flags| flags & VER_FLG_WEAK != 0);
            let name = word(table, at + 8).and_then(|name| string(u64::from(name)));
            versions.extend(name.filter(|_| !weak));
        }
    }
    wants
}

/// Elfxx_Verdef: vd_version, vd_flags, vd_ndx, vd_cnt (halves), vd_hash, vd_aux, vd_next
/// (words); the first Elfxx_Verdaux is the version's own name: vda_name, vda_next.
fn offered(table: &[u8], count: u64, string: &impl Fn(u64) -> Option<String>) -> BTreeSet<String> {
    let own = |at: usize| {
        let base = half(table, at + 2)? & VER_FLG_BASE != 0;
        let aux = at.checked_add(usize::try_from(word(table, at + 12)?).ok()?)?;
        let name = string(u64::from(word(table, aux)?))?;
        (!base).then_some(name)
    };
    chain(table, 0, count, |at| word(table, at + 16))
        .into_iter()
        .filter_map(own)
        .collect()
}
