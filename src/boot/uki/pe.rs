//! PE headers, read and changed through `object`'s types.
//!
//! Field names are those of Microsoft's PE/COFF specification.

use std::mem::offset_of;

use object::LittleEndian as LE;
use object::pe::{self, ImageDosHeader, ImageNtHeaders64, ImageSectionHeader};
use object::pod;
use object::read::pe::ImageNtHeaders as _;
use serde::Serialize;

use crate::units::{Arch, Bytes};

/// A section as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The name, at most eight bytes: `.linux`.
    pub name: String,
    /// Where its bytes begin in the file.
    pub offset: Bytes,
    /// How many bytes it holds, the padding to the next section left out.
    pub size: Bytes,
}

/// The headers of a PE32+ file, all within `head`.
pub(super) struct Headers<'a> {
    /// Where the NT headers begin.
    pub(super) nt_at: usize,
    /// Where the section table begins.
    pub(super) table_at: usize,
    pub(super) nt: &'a ImageNtHeaders64,
    pub(super) sections: Vec<&'a ImageSectionHeader>,
}

impl<'a> Headers<'a> {
    /// Reads the headers out of the file's beginning, which must hold them all.
    pub(super) fn parse(head: &'a [u8]) -> Result<Headers<'a>, String> {
        let dos = ImageDosHeader::parse(head).map_err(|e| e.to_string())?;
        let nt_at = dos.nt_headers_offset();
        let mut at = u64::from(nt_at);
        let (nt, _) = ImageNtHeaders64::parse(head, &mut at).map_err(|e| e.to_string())?;
        let sections = nt.sections(head, at).map_err(|e| e.to_string())?;
        let index = |n: u64| usize::try_from(n).map_err(|e| e.to_string());
        Ok(Headers {
            nt_at: index(u64::from(nt_at))?,
            table_at: index(at)?,
            nt,
            sections: sections.iter().collect(),
        })
    }

    /// Where the section table ends.
    pub(super) fn table_end(&self) -> usize {
        self.table_at + self.sections.len() * size_of::<ImageSectionHeader>()
    }

    /// Offset of the field CheckSum in the file.
    pub(super) fn checksum_at(&self) -> usize {
        self.nt_at + offset_of!(ImageNtHeaders64, optional_header.check_sum)
    }

    pub(super) fn checksum(&self) -> u32 {
        self.nt.optional_header.check_sum.get(LE)
    }

    /// The processor that the image is for.
    pub(super) fn arch(&self) -> Option<Arch> {
        match self.nt.file_header.machine.get(LE) {
            pe::IMAGE_FILE_MACHINE_AMD64 => Some(Arch::X86_64),
            pe::IMAGE_FILE_MACHINE_ARM64 => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// Whether it is an application for EFI firmware (UAPI.5 asks for it).
    pub(super) fn is_efi(&self) -> bool {
        self.nt.optional_header.subsystem.get(LE) == pe::IMAGE_SUBSYSTEM_EFI_APPLICATION
    }

    /// The sections that have bytes in a file of `len` bytes.
    pub(super) fn placed(&self, len: u64) -> Result<Vec<Section>, String> {
        let mut placed = Vec::new();
        for header in &self.sections {
            let name = name_of(header)?;
            let offset = u64::from(header.pointer_to_raw_data.get(LE));
            let raw = u64::from(header.size_of_raw_data.get(LE));
            if raw == 0 {
                continue;
            }
            if offset + raw > len {
                return Err(format!("section {name} reaches past the end of the file"));
            }
            let size = raw.min(u64::from(header.virtual_size.get(LE)));
            placed.push(Section {
                name,
                offset: Bytes(offset),
                size: Bytes(size),
            });
        }
        Ok(placed)
    }
}

/// The section's name: up to eight bytes, fewer end at a NUL.
fn name_of(header: &ImageSectionHeader) -> Result<String, String> {
    let name = header.name.split(|&byte| byte == 0).next().unwrap_or(&[]);
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return Err("a section's name is not printable".to_owned());
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// A section header for read-only data.
pub(super) fn section_header(name: &str, len: u32, rva: u32, offset: u32, raw: u32) -> Vec<u8> {
    let mut padded = [0; 8];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    let header = ImageSectionHeader {
        name: padded,
        virtual_size: object::U32::new(LE, len),
        virtual_address: object::U32::new(LE, rva),
        size_of_raw_data: object::U32::new(LE, raw),
        pointer_to_raw_data: object::U32::new(LE, offset),
        pointer_to_relocations: object::U32::default(),
        pointer_to_linenumbers: object::U32::default(),
        number_of_relocations: object::U16::default(),
        number_of_linenumbers: object::U16::default(),
        characteristics: object::U32::new(
            LE,
            pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ,
        ),
    };
    pod::bytes_of(&header).to_vec()
}

/// The NT headers at `at`, to be changed in place.
pub(super) fn nt_mut(head: &mut [u8], at: usize) -> Result<&mut ImageNtHeaders64, String> {
    let bytes = head.get_mut(at..).ok_or("the header is cut off")?;
    let (nt, _) = pod::from_bytes_mut(bytes).map_err(|()| "the header is cut off")?;
    Ok(nt)
}

/// PE's checksum: the sum of all 16-bit words with the carries added back in,
/// and then the file's length (Microsoft's ImageNtHeader CheckSumMappedFile).
/// The field itself counts as zero.
#[derive(Default)]
pub(super) struct CheckSum {
    sum: u64,
    odd: Option<u8>,
    len: u64,
}

impl CheckSum {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if let (Some(low), Some((&high, rest))) = (self.odd, bytes.split_first()) {
            self.add(u64::from(u16::from_le_bytes([low, high])));
            self.odd = None;
            bytes = rest;
        }
        // a 32-bit word is its two 16-bit halves, once the carries are folded
        let mut words = bytes.chunks_exact(4);
        let sum: u64 = words
            .by_ref()
            .map(|w| u64::from(u32::from_le_bytes([w[0], w[1], w[2], w[3]])))
            .sum();
        self.add(sum);
        let mut halves = words.remainder().chunks_exact(2);
        for half in halves.by_ref() {
            self.add(u64::from(u16::from_le_bytes([half[0], half[1]])));
        }
        if let [last] = halves.remainder() {
            self.odd = Some(*last);
        }
    }

    pub(super) fn finish(mut self) -> u32 {
        if let Some(last) = self.odd {
            self.add(u64::from(last));
        }
        let low = u32::try_from(fold(self.sum)).unwrap_or(0);
        low.wrapping_add(u32::try_from(self.len).unwrap_or(u32::MAX))
    }

    fn add(&mut self, value: u64) {
        self.sum = fold(self.sum) + fold(value);
    }
}

/// Adds the carries back in until 16 bits are left.
fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}
