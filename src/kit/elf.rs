//! Program headers of 64-bit little-endian ELF files (System V gABI, chapter 5):
//! the kernel's load segments as text, and the limits that init keeps to.

use std::fmt::Write as _;

use super::error::KitError;
use crate::digest::Digest;

/// The largest init, in bytes.
pub(super) const INIT_LIMIT: usize = 96 * 1024;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// PT_GNU_STACK (elf.h): its flags are those of the stack.
const PT_GNU_STACK: u32 = 0x6474_e551;
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
/// Size of an Elf64_Ehdr and of an Elf64_Phdr.
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
}

fn segments(file: &[u8]) -> Result<Vec<Segment>, &'static str> {
    let header = file
        .get(..HEADER)
        .ok_or("it is shorter than an ELF header")?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is no 64-bit little-endian ELF file");
    }
    let table = usize::try_from(number(header, 32, 8)).map_err(|_| "its headers are far away")?;
    if number(header, 54, 2) != PROGRAM_HEADER as u64 {
        return Err("its program headers have a strange size");
    }
    let count = usize::try_from(number(header, 56, 2)).unwrap_or_default();
    file.get(table..)
        .and_then(|rest| rest.get(..count * PROGRAM_HEADER))
        .ok_or("its program headers are cut off")?
        .chunks_exact(PROGRAM_HEADER)
        .map(|entry| {
            Ok(Segment {
                kind: u32::try_from(number(entry, 0, 4)).unwrap_or_default(),
                flags: u32::try_from(number(entry, 4, 4)).unwrap_or_default(),
                offset: number(entry, 8, 8),
                vaddr: number(entry, 16, 8),
                paddr: number(entry, 24, 8),
                filesz: number(entry, 32, 8),
                memsz: number(entry, 40, 8),
            })
        })
        .collect()
}

/// The little-endian number of `width` bytes at `at`, which the caller knows to be there.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width]
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// One line per load segment: addresses and lengths in hexadecimal, flags, and the
/// SHA-256 of the bytes in the file. What is unpacked from a bzImage is held
/// against it.
pub(super) fn load_segments(vmlinux: &[u8]) -> Result<String, KitError> {
    let mut text = String::from("# vaddr paddr filesz memsz flags sha256\n");
    for segment in segments(vmlinux).map_err(KitError::Elf)? {
        if segment.kind != PT_LOAD {
            continue;
        }
        let bytes = contents(vmlinux, &segment).map_err(KitError::Elf)?;
        let _ = writeln!(
            text,
            "{:#x} {:#x} {:#x} {:#x} {:#x} {}",
            segment.vaddr,
            segment.paddr,
            segment.filesz,
            segment.memsz,
            segment.flags,
            Digest::of(bytes)
        );
    }
    Ok(text)
}

fn contents<'a>(file: &'a [u8], segment: &Segment) -> Result<&'a [u8], &'static str> {
    let cut = "a load segment is cut off";
    let start = usize::try_from(segment.offset).map_err(|_| cut)?;
    let length = usize::try_from(segment.filesz).map_err(|_| cut)?;
    file.get(start..)
        .and_then(|rest| rest.get(..length))
        .ok_or(cut)
}

/// Holds init against what is promised of it: small, static, and no memory that is
/// both writable and executable.
pub(super) fn check_init(file: &[u8]) -> Result<(), KitError> {
    let wrong = |reason: String| KitError::Init(reason);
    if file.len() > INIT_LIMIT {
        return Err(wrong(format!(
            "has {} bytes, more than {INIT_LIMIT}",
            file.len()
        )));
    }
    let segments = segments(file).map_err(|reason| wrong(format!("is unusable: {reason}")))?;
    for segment in &segments {
        match segment.kind {
            PT_INTERP | PT_DYNAMIC => return Err(wrong("is not static".into())),
            PT_LOAD if segment.flags & (WRITE | EXECUTE) == WRITE | EXECUTE => {
                return Err(wrong(format!(
                    "has a segment both writable and executable at {:#x}",
                    segment.vaddr
                )));
            }
            PT_GNU_STACK if segment.flags & EXECUTE != 0 => {
                return Err(wrong("asks for an executable stack".into()));
            }
            _ => {}
        }
    }
    if segments.iter().any(|segment| segment.kind == PT_LOAD) {
        return Ok(());
    }
    Err(wrong("has nothing to load".into()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An ELF file of these program headers, 16 bytes of contents each.
    pub(in crate::kit) fn elf(headers: &[(u32, u32)]) -> Vec<u8> {
        let mut file = vec![0; HEADER];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = HEADER as u8;
        file[54] = PROGRAM_HEADER as u8;
        file[56] = headers.len() as u8;
        let data = HEADER + headers.len() * PROGRAM_HEADER;
        for (index, (kind, flags)) in headers.iter().enumerate() {
            let mut entry = [0; PROGRAM_HEADER];
            entry[..4].copy_from_slice(&kind.to_le_bytes());
            entry[4..8].copy_from_slice(&flags.to_le_bytes());
            entry[8..16].copy_from_slice(&((data + index * 16) as u64).to_le_bytes());
            entry[16] = 0x40;
            entry[24] = 0x10;
            entry[32] = 16;
            entry[40] = 32;
            file.extend(entry);
        }
        for index in 0..headers.len() {
            file.extend([u8::try_from(index).unwrap(); 16]);
        }
        file
    }

    #[test]
    fn load_segments_are_told_with_their_digests() {
        let text = load_segments(&elf(&[(PT_LOAD, 5), (4, 4), (PT_LOAD, 6)])).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            lines[1],
            format!("0x40 0x10 0x10 0x20 0x5 {}", Digest::of(&[0; 16]))
        );
        assert!(lines[2].ends_with(&Digest::of(&[2; 16]).to_string()));
    }

    #[test]
    fn a_cut_file_is_an_error_wherever_it_is_cut() {
        let whole = elf(&[(PT_LOAD, 5), (PT_LOAD, 6)]);
        for length in 0..whole.len() {
            assert!(load_segments(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn init_keeps_to_its_limits() {
        let reason = |headers: &[(u32, u32)]| check_init(&elf(headers)).map_err(|e| e.to_string());
        assert_eq!(
            reason(&[(PT_LOAD, 5), (PT_LOAD, 6), (PT_GNU_STACK, 6)]),
            Ok(())
        );
        assert!(
            reason(&[(PT_LOAD, 7)])
                .unwrap_err()
                .contains("both writable and executable")
        );
        assert!(
            reason(&[(PT_LOAD, 5), (PT_INTERP, 4)])
                .unwrap_err()
                .contains("not static")
        );
        assert!(
            reason(&[(PT_LOAD, 5), (PT_GNU_STACK, 7)])
                .unwrap_err()
                .contains("stack")
        );
        assert!(reason(&[]).unwrap_err().contains("nothing to load"));
        let mut large = elf(&[(PT_LOAD, 5)]);
        large.resize(INIT_LIMIT + 1, 0);
        assert!(
            check_init(&large)
                .unwrap_err()
                .to_string()
                .contains(&format!("{} bytes", INIT_LIMIT + 1))
        );
    }
}
