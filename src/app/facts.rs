//! What a program's segments, notes and sections say of it, beyond how it is linked:
//! nothing here decides whether it runs, all of it is worth telling.

use goblin::elf::Header;
use goblin::elf::dynamic::{
    DF_1_NOW, DF_BIND_NOW, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_NULL, DT_RPATH, DT_RUNPATH,
    DT_STRTAB,
};
use goblin::elf::program_header::{
    PF_X, PT_DYNAMIC, PT_GNU_RELRO, PT_GNU_STACK, PT_NOTE, ProgramHeader,
};
use memchr::memmem;
use serde::Serialize;

use super::binary::Binary;
use super::content::HEAD;
use super::elf::{PHDR_SIZE, header, segments};
use super::image::Notes;

/// Bytes of notes and of a dynamic section that are looked at.
const PART_MAX: u64 = 65536;
/// Notes that are told.
const NOTES_MAX: usize = 32;
/// Bytes of a name or path that are told.
const TEXT_MAX: usize = 4096;
/// Bytes of one 64-bit section header (gABI 4, Elf64_Shdr).
const SHDR_SIZE: u64 = 64;
/// The types of GNU's and Go's notes that hold a build id (binutils, elf/common.h;
/// cmd/internal/buildid).
const NT_GNU_BUILD_ID: u32 = 3;
const NT_GO_BUILD_ID: u32 = 4;
/// Where Go's build id stands in a program without notes, and in how many bytes of
/// its code (cmd/internal/buildid).
const GO_BUILD_ID: &[u8] = b"\xff Go build ID: \"";
const GO_BUILD_ID_WITHIN: usize = 4096;

/// Facts of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Whether it asks for a stack that can be executed. One that says nothing of its
    /// stack gets none on a 64-bit system (arch/x86/include/asm/elf.h).
    pub executable_stack: bool,
    /// Segments that can be both written and executed.
    pub writable_code: usize,
    /// How much of its data is made read-only once it is relocated.
    pub relro: Relro,
    /// GNU's build id, in hexadecimal digits.
    pub build_id: Option<String>,
    /// Go's build id.
    pub go_build_id: Option<String>,
    /// Its notes, in their order.
    pub notes: Vec<Note>,
    /// Whether the table of symbols was taken out.
    pub stripped: bool,
    /// Whether it carries data for debuggers.
    pub debug: bool,
    /// Bytes behind the end of the ELF file: bundlers put scripts and archives there.
    pub appended: u64,
    /// Where a dynamic program looks for libraries: DT_RUNPATH, else DT_RPATH.
    pub runpath: Vec<String>,
}

/// How far PT_GNU_RELRO goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relro {
    /// It has none.
    #[default]
    None,
    /// Without the table that calls go through.
    Partial,
    /// With that table, which is filled before the program starts.
    Full,
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Who defined it.
    pub owner: String,
    /// Its type, a number of the owner's.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Bytes that it holds.
    pub size: usize,
}

/// Reads the facts of `binary`.
pub(super) fn facts(binary: &Binary<'_>) -> Facts {
    let bytes = binary.bytes;
    let head = &bytes[..bytes.len().min(HEAD)];
    let parsed = header(&bytes, head).and_then(|header| {
        let segments = segments(&bytes, &header)?;
        Ok((header, segments))
    });
    // Binary::parse has read both
    let Ok((header, headers)) = parsed else {
        return Facts::default();
    };
    let of_type = |kind: u32| headers.iter().filter(move |segment| segment.p_type == kind);
    let mut facts = Facts {
        executable_stack: of_type(PT_GNU_STACK).any(|segment| segment.p_flags & PF_X != 0),
        writable_code: binary
            .segments
            .iter()
            .filter(|segment| segment.writable && segment.executable)
            .count(),
        stripped: binary.section(".symtab").is_none(),
        debug: [".debug_info", ".zdebug_info"]
            .iter()
            .any(|name| binary.section(name).is_some()),
        ..Facts::default()
    };
    let dynamic = of_type(PT_DYNAMIC).next().map(|segment| {
        let entries = part(bytes, segment).chunks_exact(16);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        entries
            .map(|entry| (word(&entry[..8]), word(&entry[8..])))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect::<Vec<_>>()
    });
    let dynamic = dynamic.unwrap_or_default();
    facts.relro = relro(of_type(PT_GNU_RELRO).next().is_some(), &dynamic);
    facts.runpath = runpath(binary, &dynamic);
    for segment in of_type(PT_NOTE) {
        facts.take_notes(part(bytes, segment), segment.p_align);
    }
    // Go's linker gives only its own note a segment
    if facts.build_id.is_none() {
        if let Some(section) = binary.section(".note.gnu.build-id") {
            facts.take_notes(binary.content(section), 4);
        }
    }
    if facts.go_build_id.is_none() {
        facts.go_build_id = go_build_id(binary);
    }
    facts.appended = appended(binary, &header);
    facts
}

/// Bytes behind all that the ELF headers account for.
fn appended(binary: &Binary<'_>, header: &Header) -> u64 {
    let segments = binary.segments.iter().map(|part| (part.offset, part.len));
    let sections = binary.sections.iter().map(|part| (part.offset, part.len));
    let tables = [
        (header.e_phoff, u64::from(header.e_phnum) * PHDR_SIZE),
        (header.e_shoff, u64::from(header.e_shnum) * SHDR_SIZE),
    ];
    let parts = segments.chain(sections).chain(tables);
    let ends = parts.map(|(offset, len)| offset.saturating_add(len));
    let size = u64::try_from(binary.bytes.len()).unwrap_or(u64::MAX);
    size.saturating_sub(ends.max().unwrap_or(0))
}

impl Facts {
    fn take_notes(&mut self, bytes: &[u8], align: u64) {
        let align = if align == 8 { 8 } else { 4 };
        for note in (Notes { bytes, align }) {
            if self.notes.len() == NOTES_MAX {
                return;
            }
            let owner = text(note.owner);
            match (owner.as_str(), note.kind) {
                ("GNU", NT_GNU_BUILD_ID) => {
                    let id = note.description.iter().take(64);
                    self.build_id = Some(id.map(|byte| format!("{byte:02x}")).collect());
                }
                ("Go", NT_GO_BUILD_ID) => self.go_build_id = Some(text(note.description)),
                _ => {}
            }
            self.notes.push(Note {
                owner,
                kind: note.kind,
                size: note.description.len(),
            });
        }
    }
}

/// What of `segment` is in the file, as far as it is looked at.
fn part<'a>(bytes: &'a [u8], segment: &ProgramHeader) -> &'a [u8] {
    let start = usize::try_from(segment.p_offset).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let len = usize::try_from(segment.p_filesz.min(PART_MAX)).unwrap_or(usize::MAX);
    &rest[..len.min(rest.len())]
}

/// Bytes up to a NUL, as text of one line.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

fn relro(segment: bool, dynamic: &[(u64, u64)]) -> Relro {
    let now = dynamic.iter().any(|(tag, value)| match *tag {
        DT_BIND_NOW => true,
        DT_FLAGS => value & DF_BIND_NOW != 0,
        DT_FLAGS_1 => value & DF_1_NOW != 0,
        _ => false,
    });
    match (segment, now) {
        (false, _) => Relro::None,
        (true, false) => Relro::Partial,
        (true, true) => Relro::Full,
    }
}

fn runpath(binary: &Binary<'_>, dynamic: &[(u64, u64)]) -> Vec<String> {
    let value = |wanted: u64| dynamic.iter().find(|(tag, _)| *tag == wanted);
    let path = value(DT_RUNPATH).or_else(|| value(DT_RPATH));
    let (Some((_, strings)), Some((_, index))) = (value(DT_STRTAB), path) else {
        return Vec::new();
    };
    let at = strings.checked_add(*index);
    let path = text(at.map_or(&[][..], |at| binary.at(at)));
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders.map(str::to_owned).collect()
}

fn go_build_id(binary: &Binary<'_>) -> Option<String> {
    let mut code = binary.segments.iter().filter(|segment| segment.executable);
    code.find_map(|segment| {
        let code = binary.at(segment.address);
        let code = &code[..code.len().min(GO_BUILD_ID_WITHIN)];
        let rest = &code[memmem::find(code, GO_BUILD_ID)? + GO_BUILD_ID.len()..];
        let end = memchr::memchr(b'"', rest)?;
        Some(text(&rest[..end]))
    })
}
