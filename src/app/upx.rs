//! What UPX packed: the headers of the program inside.
//!
//! Behind the program headers of the packed file lie `l_info`, `p_info` and the
//! first block, which holds the ELF header and program headers of the original
//! (UPX, src/stub/src/include/linux.h). Unpacking that block alone tells whether
//! the program inside needs an interpreter.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::PT_INTERP;
use goblin::elf::{Elf, ProgramHeader};

use super::lzma::{self, Properties};

/// What a UPX-packed program unpacks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// A program that needs no interpreter.
    Alone,
    /// A program that needs one.
    Interpreted,
    /// It is packed in a way that is not read here.
    Unknown,
}

/// The magic of `l_info`, its second field.
const MAGIC: &[u8] = b"UPX!";
/// Bytes from the magic to the first block: the rest of `l_info`, and `p_info`.
const TO_BLOCK: usize = 4 + 4 + 12;
/// Bytes of `b_info`: two lengths, the method, and three of filters.
const BLOCK_INFO: usize = 12;
/// The method that is LZMA (UPX, src/conf.h, M_LZMA).
const METHOD_LZMA: u8 = 14;
/// Bytes of an ELF header and all the program headers that Linux takes.
const HEADERS_MAX: usize = 64 + 65536;
/// Bytes of a 64-bit ELF header.
const HEADER: usize = 64;

/// Looks for UPX's mark in `page`, the first of the file without its headers.
pub fn find(page: &[u8]) -> Option<Inside> {
    let at = page.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
    Some(page.get(at + TO_BLOCK..).map_or(Inside::Unknown, |block| {
        headers(block).map_or(Inside::Unknown, |headers| judge(&headers))
    }))
}

/// Unpacks the first block.
fn headers(block: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| -> Option<usize> {
        let bytes = block.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (unpacked, packed) = (word(0)?, word(4)?);
    let method = *block.get(8)?;
    let data = block.get(BLOCK_INFO..)?.get(..packed)?;
    if unpacked > HEADERS_MAX || method != METHOD_LZMA {
        return None;
    }
    // two bytes of parameters (UPX, src/compress/compress_lzma.cpp)
    let (parameters, stream) = data.split_first_chunk::<2>()?;
    let properties = Properties {
        lc: u32::from(parameters[1] & 15),
        lp: u32::from(parameters[1] >> 4),
        pb: u32::from(parameters[0] & 7),
    };
    lzma::unpack(stream, properties, unpacked)
}

fn judge(headers: &[u8]) -> Inside {
    let Ok(header) = Elf::parse_header(headers) else {
        return Inside::Unknown;
    };
    let ctx = Ctx::new(Container::Big, Endian::Little);
    let count = usize::from(header.e_phnum);
    match ProgramHeader::parse(headers, HEADER, count, ctx) {
        Ok(segments) if segments.iter().any(|s| s.p_type == PT_INTERP) => Inside::Interpreted,
        Ok(segments) if !segments.is_empty() => Inside::Alone,
        _ => Inside::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_unknown() {
        assert_eq!(find(b"no mark here"), None);
        assert_eq!(find(b"UPX!"), Some(Inside::Unknown));
        let mut page = b"sum UPX!".to_vec();
        page.extend([0; 16]);
        for (unpacked, packed, method) in [
            (120_u32, 4_u32, 8_u8),
            (120, u32::MAX, 14),
            (u32::MAX, 4, 14),
        ] {
            let mut page = page.clone();
            page.extend(unpacked.to_le_bytes());
            page.extend(packed.to_le_bytes());
            page.extend([method, 0, 0, 0, 0x1a, 0x03, 0, 0]);
            assert_eq!(find(&page), Some(Inside::Unknown));
        }
    }

    #[test]
    fn the_headers_inside_decide() {
        let mut headers = vec![0; HEADER + 56];
        assert_eq!(judge(&headers), Inside::Unknown);
        headers[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(judge(&headers), Inside::Unknown);
        headers[56] = 1; // e_phnum
        assert_eq!(judge(&headers), Inside::Alone);
        headers[HEADER] = 3; // p_type: PT_INTERP
        assert_eq!(judge(&headers), Inside::Interpreted);
        headers[56] = 2;
        assert_eq!(judge(&headers), Inside::Unknown);
    }
}
