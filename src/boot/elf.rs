//! The kernel as an ELF file, for monitors that do not load a bzImage.
//!
//! A bzImage carries, compressed, the kernel's own vmlinux without its symbols,
//! and right behind that the relocations that KASLR needs (Linux 6.12,
//! arch/x86/boot/compressed/Makefile, `vmlinux.bin.all`). The setup header says
//! where the payload is; its last four bytes are the length unpacked.

use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::bzimage::{BzImageError, SetupHeader};
use crate::units::{Bytes, MIB};

/// The longest kernel that is unpacked. One with every driver built in has some 100 MiB.
const MAX_UNPACKED: u64 = 512 * MIB;
/// How compressed data begins: zstd (RFC 8878, 3.1.1), and the others that
/// a kernel can be packed with, as the kernel's scripts/extract-vmlinux knows them.
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
const OTHERS: [(&[u8], &str); 6] = [
    (&[0x1F, 0x8B, 0x08], "gzip"),
    (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz"),
    (b"BZh", "bzip2"),
    (&[0x5D, 0, 0], "lzma"),
    (&[0x89, b'L', b'Z', b'O'], "lzo"),
    (&[0x02, 0x21, b'L', 0x18], "lz4"),
];

/// Why no ELF file could be unpacked from a kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The file is no bzImage of a protocol that is read here.
    #[error(transparent)]
    Header(#[from] BzImageError),
    /// The payload ends past the file.
    #[error("the kernel ends within its payload; it is cut short")]
    Short,
    /// Packed otherwise than by zstd.
    #[error("the kernel is packed with {with}; build it with CONFIG_KERNEL_ZSTD")]
    Packed {
        /// Name of what it is packed with, as far as it is known.
        with: &'static str,
    },
    /// The payload says that it is longer than any kernel.
    #[error(
        "the kernel says that it unpacks to {said}; at most {} is believed",
        Bytes(MAX_UNPACKED)
    )]
    Large {
        /// Length by the payload's last four bytes.
        said: Bytes,
    },
    /// The payload is damaged.
    #[error("the kernel does not unpack; it is damaged")]
    Damaged(#[source] std::io::Error),
    /// The payload is whole, and not of the length that it says.
    #[error("the kernel unpacks to {has} and says {said}; it is damaged")]
    Length {
        /// Length by the payload's last four bytes.
        said: Bytes,
        /// Length unpacked.
        has: Bytes,
    },
    /// What was unpacked is no ELF file of a 64-bit kernel, or not all of one.
    #[error("what the kernel unpacks to is no ELF file for x86_64: {0}")]
    NotElf(&'static str),
}

/// Unpacks the ELF file out of a bzImage: program headers and contents are
/// those of the kernel build's own vmlinux, and the relocations are left away.
///
/// # Errors
/// [`ElfError`], on any input that is not a whole, zstd-packed bzImage.
pub fn unpack_kernel(bzimage: &[u8]) -> Result<Vec<u8>, ElfError> {
    let packed = payload(bzimage)?;
    let (frames, said) = packed.split_last_chunk().ok_or(ElfError::Short)?;
    let said = u32::from_le_bytes(*said);
    if u64::from(said) > MAX_UNPACKED {
        return Err(ElfError::Large {
            said: Bytes(said.into()),
        });
    }
    if !frames.starts_with(ZSTD) {
        let known = OTHERS.iter().find(|(magic, _)| frames.starts_with(magic));
        return Err(ElfError::Packed {
            with: known.map_or("something unknown", |(_, name)| name),
        });
    }
    let room = usize::try_from(said).map_err(|_| ElfError::Short)?;
    let mut elf = zstd::bulk::decompress(frames, room).map_err(ElfError::Damaged)?;
    if elf.len() != room {
        return Err(ElfError::Length {
            said: Bytes(said.into()),
            has: Bytes(elf.len() as u64),
        });
    }
    let end = end_of_elf(&elf)?;
    elf.truncate(end);
    elf.shrink_to_fit();
    Ok(elf)
}

/// The payload with its length behind it.
fn payload(bzimage: &[u8]) -> Result<&[u8], ElfError> {
    let header = SetupHeader::parse(bzimage)?;
    let start = header.setup_len().0 + u64::from(header.payload_offset);
    let end = start + u64::from(header.payload_length);
    let at = |n| usize::try_from(n).map_err(|_| ElfError::Short);
    bzimage.get(at(start)?..at(end)?).ok_or(ElfError::Short)
}

/// Where an ELF file ends that something else follows: past the last of its
/// headers, segments and sections.
fn end_of_elf(file: &[u8]) -> Result<usize, ElfError> {
    const CUT: ElfError = ElfError::NotElf("it is cut short");
    let not_elf = |reason| move |_| ElfError::NotElf(reason);
    let le = LittleEndian;
    let header =
        FileHeader64::<LittleEndian>::parse(file).map_err(not_elf("it has no ELF header"))?;
    if !header.is_little_endian() || header.e_machine(le) != EM_X86_64 {
        return Err(ElfError::NotElf("it is for another machine"));
    }
    let segments =
        (header.program_headers(le, file)).map_err(not_elf("it has no program headers"))?;
    let sections =
        (header.section_headers(le, file)).map_err(not_elf("it has no section headers"))?;
    if !segments.iter().any(|segment| segment.p_type(le) == PT_LOAD) {
        return Err(ElfError::NotElf("it loads nothing"));
    }
    let table = |at: u64, count: usize, size: u16| {
        let len = u64::try_from(count).ok()?.checked_mul(size.into())?;
        at.checked_add(len)
    };
    let ends = [
        table(header.e_phoff(le), segments.len(), header.e_phentsize(le)),
        table(header.e_shoff(le), sections.len(), header.e_shentsize(le)),
    ]
    .into_iter()
    .chain(segments.iter().map(|segment| {
        let (at, len) = segment.file_range(le);
        at.checked_add(len)
    }))
    // sections without bytes in the file, .bss for one, have no range
    .chain(sections.iter().filter_map(|section| {
        let (at, len) = section.file_range(le)?;
        Some(at.checked_add(len))
    }));
    let mut last = 0;
    for end in ends {
        last = last.max(end.ok_or(CUT)?);
    }
    match usize::try_from(last) {
        Ok(last) if last <= file.len() => Ok(last),
        _ => Err(CUT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::bzimage::{offset, tests as bzimage};

    /// A small ELF file with one load segment, and `tail` behind it.
    fn elf(tail: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..20].copy_from_slice(&[2, 0, 62, 0]); // EXEC, x86_64
        file[20] = 1; // version
        file[32] = 64; // program headers follow
        file[52] = 64;
        file[54] = 56;
        file[56] = 1;
        file[58] = 64;
        let mut load = [0; 56];
        load[0] = 1; // PT_LOAD
        load[8] = 120; // offset
        load[32] = 5; // length in the file
        load[40] = 9; // and in memory
        file.extend(load);
        file.extend(b"hello");
        file.extend(tail);
        file
    }

    /// A bzImage whose payload is this.
    fn around(payload: &[u8]) -> Vec<u8> {
        let mut image = bzimage::sample();
        let len = u32::try_from(payload.len()).expect("32 bits");
        bzimage::put(&mut image, offset::PAYLOAD_OFFSET, &[0; 4]);
        bzimage::put(&mut image, offset::PAYLOAD_LENGTH, &len.to_le_bytes());
        image.resize(40 * 512, 0);
        image.extend(payload);
        image
    }

    /// The payload that unpacks to these bytes and says so.
    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut payload = zstd::bulk::compress(bytes, 3).expect("packed");
        payload.extend(u32::try_from(bytes.len()).expect("32 bits").to_le_bytes());
        payload
    }

    /// The message on this bzImage.
    fn refused(bzimage: &[u8]) -> String {
        unpack_kernel(bzimage).expect_err("refused").to_string()
    }

    #[test]
    fn what_follows_the_elf_file_is_left_away() {
        let image = around(&packed(&elf(b"relocations")));
        assert_eq!(unpack_kernel(&image).expect("an ELF file"), elf(b""));
    }

    #[test]
    fn a_kernel_cut_anywhere_is_refused() {
        let image = around(&packed(&elf(b"relocations")));
        for len in 0..image.len() {
            unpack_kernel(&image[..len]).expect_err("refused");
        }
    }

    #[test]
    fn a_damaged_kernel_does_not_panic() {
        let image = around(&packed(&elf(b"relocations")));
        for at in 0..image.len() {
            let mut image = image.clone();
            image[at] ^= 0xFF;
            // in the header a change may not matter; what comes out is an ELF file then
            if let Ok(out) = unpack_kernel(&image) {
                assert!(out.starts_with(b"\x7fELF"), "byte {at}");
            }
        }
    }

    #[test]
    fn an_elf_file_damaged_before_it_was_packed_does_not_panic() {
        let file = elf(b"");
        for at in 0..120 {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut file = file.clone();
                file[at] = value;
                let _ = unpack_kernel(&around(&packed(&file)));
            }
        }
    }

    #[test]
    fn each_refusal_says_why() {
        let gzip = [&[0x1F, 0x8B, 8, 0][..], &[0; 8]].concat();
        let mut large = packed(&elf(b""));
        let mut longer = large.clone();
        let mut damaged = large.clone();
        let end = large.len();
        large[end - 1] = 0xFF;
        longer[end - 4] += 1;
        damaged.remove(end - 5);
        let no_load = {
            let mut file = elf(b"");
            file[64] = 6;
            file
        };
        let cut = elf(b"")[..122].to_vec();
        let arm = {
            let mut file = elf(b"");
            file[18] = 183;
            file
        };
        let shown = [
            refused(b"MZ"),
            refused(&around(&packed(&elf(b"")))[..40 * 512 + 3]),
            refused(&around(&gzip)),
            refused(&around(&[1; 20])),
            refused(&around(&large)),
            refused(&around(&longer)),
            refused(&around(&damaged)),
            refused(&around(&packed(b"no ELF file at all"))),
            refused(&around(&packed(&arm))),
            refused(&around(&packed(&no_load))),
            refused(&around(&packed(&cut))),
        ];
        insta::assert_snapshot!(shown.join("\n"));
    }
}
