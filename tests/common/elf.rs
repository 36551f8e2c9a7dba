//! Small ELF files to try the verdict on, written by `object`, which the reader
//! under test does not use.

use object::elf::{self, FileType, Machine, OsAbi};
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use object::{Endianness, elf::ProgramFlags};

/// What to write. The default is a static x86_64 program.
#[derive(Clone)]
pub struct Sample {
    pub machine: Machine,
    pub is_64: bool,
    pub endian: Endianness,
    pub kind: FileType,
    pub os: OsAbi,
    pub interpreter: Option<&'static str>,
    /// `None` leaves the dynamic section out.
    pub dynamic: Option<Dynamic>,
    /// Owner, type and description.
    pub note: Option<(&'static str, u32, &'static [u8])>,
    /// Bytes of code and data.
    pub content: Vec<u8>,
    /// Where in the content the program begins; `None` for no entry at all.
    pub entry: Option<u64>,
}

/// A dynamic section.
#[derive(Clone, Default)]
pub struct Dynamic {
    pub needed: Vec<&'static str>,
    pub soname: Option<&'static str>,
    /// DF_1_PIE.
    pub pie: bool,
    /// Whether a symbol is offered.
    pub exports: bool,
    pub rpath: Option<&'static str>,
    pub runpath: Option<&'static str>,
    /// Names among the strings of symbols.
    pub names: Vec<&'static str>,
    /// Versions that are wanted, each with the library that should have it.
    pub wants: Vec<(&'static str, &'static str)>,
    /// Versions that are there.
    pub has: Vec<&'static str>,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            machine: elf::EM_X86_64,
            is_64: true,
            endian: Endianness::Little,
            kind: elf::ET_EXEC,
            os: elf::ELFOSABI_SYSV,
            interpreter: None,
            dynamic: None,
            note: None,
            // exit(0) on x86_64: mov eax, 60; xor edi, edi; syscall
            content: vec![0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05],
            entry: Some(0),
        }
    }
}

/// The tags of dynamic entries used here (gABI 5, Dynamic Section).
const NEEDED: u64 = 1;
const STRTAB: u64 = 5;
const SYMTAB: u64 = 6;
const STRSZ: u64 = 10;
const SONAME: u64 = 14;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;
const VERDEF: u64 = 0x6fff_fffc;
const VERDEFNUM: u64 = 0x6fff_fffd;
const VERNEED: u64 = 0x6fff_fffe;
const VERNEEDNUM: u64 = 0x6fff_ffff;
const FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
const RWX: u32 = 7;

impl Sample {
    /// A position-independent program without libraries.
    pub fn static_pie() -> Sample {
        Sample {
            kind: elf::ET_DYN,
            dynamic: Some(Dynamic {
                pie: true,
                ..Dynamic::default()
            }),
            ..Sample::default()
        }
    }

    /// A program for the C library of most distributions.
    pub fn dynamic() -> Sample {
        Sample {
            interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
            dynamic: Some(Dynamic {
                needed: vec!["libssl.so.3", "libc.so.6"],
                pie: true,
                ..Dynamic::default()
            }),
            ..Sample::static_pie()
        }
    }

    /// The file's bytes: headers, then one piece after the other, all in one
    /// segment that is loaded.
    pub fn bytes(&self) -> Vec<u8> {
        let base = if self.kind == elf::ET_EXEC {
            0x40_0000
        } else {
            0
        };
        let mut out = Vec::new();
        let mut writer = Writer::new(self.endian, self.is_64, &mut out);
        let pieces = self.pieces();
        writer.reserve_file_header();
        writer.reserve_program_headers(u32::try_from(pieces.len()).unwrap());
        let at: Vec<u64> = pieces
            .iter()
            .map(|(_, bytes)| writer.reserve(bytes.len() as u64, 16))
            .collect();
        let end = writer.reserved_len();
        let content = *at.last().unwrap();
        let pieces = self.with_addresses(pieces, &at, base);

        writer
            .write_file_header(&FileHeader {
                os_abi: self.os,
                abi_version: 0,
                e_type: self.kind,
                e_machine: self.machine,
                e_entry: self.entry.map_or(0, |entry| base + content + entry),
                e_flags: elf::FileFlags(0),
            })
            .unwrap();
        writer.write_align_program_headers();
        for ((kind, bytes), at) in pieces.iter().zip(&at) {
            let (at, len) = match *kind {
                elf::PT_LOAD => (0, end),
                _ => (*at, bytes.len() as u64),
            };
            writer.write_program_header(&ProgramHeader {
                p_type: *kind,
                p_flags: ProgramFlags(RWX),
                p_offset: at,
                p_vaddr: base + at,
                p_paddr: base + at,
                p_filesz: len,
                p_memsz: len,
                p_align: if *kind == elf::PT_LOAD { 4096 } else { 4 },
            });
        }
        for ((_, bytes), at) in pieces.iter().zip(&at) {
            writer.pad_until(*at);
            writer.write(bytes);
        }
        out
    }

    /// The pieces behind the headers; the content is the last, and stands for the
    /// segment that loads everything.
    fn pieces(&self) -> Vec<(elf::ProgramType, Vec<u8>)> {
        let mut pieces = Vec::new();
        if let Some(path) = self.interpreter {
            pieces.push((elf::PT_INTERP, [path.as_bytes(), b"\0"].concat()));
        }
        if let Some((owner, kind, description)) = self.note {
            pieces.push((elf::PT_NOTE, note(owner, kind, description)));
        }
        if let Some(dynamic) = &self.dynamic {
            pieces.push((elf::PT_DYNAMIC, dynamic.bytes(0)));
        }
        pieces.push((elf::PT_LOAD, self.content.clone()));
        pieces
    }

    /// The dynamic section again, now that its address is known.
    fn with_addresses(
        &self,
        mut pieces: Vec<(elf::ProgramType, Vec<u8>)>,
        at: &[u64],
        base: u64,
    ) -> Vec<(elf::ProgramType, Vec<u8>)> {
        for ((kind, bytes), at) in pieces.iter_mut().zip(at) {
            if let (&mut elf::PT_DYNAMIC, Some(dynamic)) = (kind, &self.dynamic) {
                *bytes = dynamic.bytes(base + at);
            }
        }
        pieces
    }
}

impl Dynamic {
    /// Entries, then symbols, then strings, for the address that they lie at.
    fn bytes(&self, address: u64) -> Vec<u8> {
        let mut strings = b"\0offered\0".to_vec();
        let mut name = |text: &str| {
            let at = strings.len() as u64;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let mut entries: Vec<(u64, u64)> = Vec::new();
        entries.extend(self.needed.iter().map(|text| (NEEDED, name(text))));
        entries.extend(self.soname.map(|text| (SONAME, name(text))));
        entries.extend(self.rpath.map(|text| (RPATH, name(text))));
        entries.extend(self.runpath.map(|text| (RUNPATH, name(text))));
        entries.extend(self.pie.then_some((FLAGS_1, DF_1_PIE)));
        for text in &self.names {
            name(text);
        }
        let wanted: Vec<(u64, u64)> = self
            .wants
            .iter()
            .map(|(library, version)| (name(library), name(version)))
            .collect();
        let own: Vec<u64> = self.has.iter().map(|version| name(version)).collect();
        let mut symbols = vec![0; 24];
        if self.exports {
            let mut symbol = [0; 24];
            symbol[0] = 1; // st_name: "offered"
            symbol[4] = 0x12; // st_info: a global function
            symbol[6] = 1; // st_shndx: defined
            symbols.extend_from_slice(&symbol);
        }
        let (wants, has) = (verneed(&wanted), verdef(&own));
        let versions = [!wants.is_empty(), !has.is_empty()];
        let further = 4 + 2 * versions.iter().filter(|there| **there).count();
        let entries_len = (entries.len() + further) as u64 * 16;
        let wants_at = address + entries_len + symbols.len() as u64;
        let has_at = wants_at + wants.len() as u64;
        let strings_at = has_at + has.len() as u64;
        if !wants.is_empty() {
            entries.push((VERNEED, wants_at));
            entries.push((VERNEEDNUM, wanted.len() as u64));
        }
        if !has.is_empty() {
            entries.push((VERDEF, has_at));
            entries.push((VERDEFNUM, own.len() as u64));
        }
        entries.push((SYMTAB, address + entries_len));
        entries.push((STRTAB, strings_at));
        entries.push((STRSZ, strings.len() as u64));
        entries.push((0, 0));
        let words = entries.iter().flat_map(|(tag, value)| [*tag, *value]);
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        bytes.extend(symbols);
        bytes.extend(wants);
        bytes.extend(has);
        bytes.extend(strings);
        bytes
    }
}

/// Elf64_Verneed with one Elf64_Vernaux each (Linux Standard Base, Symbol Versioning),
/// out of places in the strings.
fn verneed(wanted: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, (library, version)) in wanted.iter().enumerate() {
        let next = if number + 1 == wanted.len() { 0 } else { 32 };
        bytes.extend([1, 0, 1, 0]); // vn_version, vn_cnt
        bytes.extend(words(&[*library, 16, next])); // vn_file, vn_aux, vn_next
        // vna_hash, vna_flags and vna_other, vna_name, vna_next
        bytes.extend(words(&[0, 0, *version, 0]));
    }
    bytes
}

/// Elf64_Verdef with one Elf64_Verdaux each.
fn verdef(own: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, version) in own.iter().enumerate() {
        let next = if number + 1 == own.len() { 0 } else { 28 };
        bytes.extend([1, 0, 0, 0, 2, 0, 1, 0]); // vd_version, vd_flags, vd_ndx, vd_cnt
        bytes.extend(words(&[0, 20, next])); // vd_hash, vd_aux, vd_next
        bytes.extend(words(&[*version, 0])); // vda_name, vda_next
    }
    bytes
}

fn words(all: &[u64]) -> Vec<u8> {
    let word = |word: &u64| u32::try_from(*word).unwrap().to_le_bytes();
    all.iter().flat_map(word).collect()
}

/// A note with the padding that gABI 5 wants.
fn note(owner: &str, kind: u32, description: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let owner = [owner.as_bytes(), b"\0"].concat();
    for word in [owner.len(), description.len()] {
        bytes.extend(u32::try_from(word).unwrap().to_le_bytes());
    }
    bytes.extend(kind.to_le_bytes());
    for part in [&owner[..], description] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
