//! Function bounds out of `.eh_frame`, which strippers leave because unwinding
//! needs it. The format is that of the Linux Standard Base, "Exception Frames".

use super::super::binary::Binary;

/// Frames that are looked at. The largest program of the corpus has 200,000.
const FRAMES_MAX: usize = 1 << 21;
/// PT_GNU_EH_FRAME: where `.eh_frame_hdr` is (Linux Standard Base, "Program Header").
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// Low bits of an encoding: how a pointer is stored.
const FORMAT: u8 = 0x0f;
/// High bits of an encoding: what it is relative to.
const APPLICATION: u8 = 0x70;
/// Relative to the place where it is stored.
const PC_RELATIVE: u8 = 0x10;
/// Nothing is stored.
const OMITTED: u8 = 0xff;

/// The ranges of addresses that have a frame, in the order of the file: start and length.
pub fn frames(binary: &Binary<'_>) -> Vec<(u64, u64)> {
    let Some((address, bytes)) = table(binary) else {
        return Vec::new();
    };
    let mut ranges = Vec::new();
    // the last entry of common information: most frames follow the one that they use
    let mut known = (usize::MAX, OMITTED);
    let mut at = 0;
    while ranges.len() < FRAMES_MAX {
        let mut reader = Reader { bytes, at };
        let Some(len) = reader.u32() else { break };
        let len = match len {
            // the end of one object file's part; a linker may have put others behind it
            0 => {
                at += 4;
                continue;
            }
            u32::MAX => reader.u64(),
            len => Some(u64::from(len)),
        };
        let start = reader.at;
        let end = len
            .and_then(|len| usize::try_from(len).ok())
            .and_then(|len| start.checked_add(len));
        let Some(end) = end.filter(|end| *end <= bytes.len() && *end > at) else {
            break;
        };
        at = end;
        let Some(id) = reader.u32() else { break };
        // 0 marks common information, everything else points back to it
        if id == 0 {
            continue;
        }
        let common = usize::try_from(id)
            .ok()
            .and_then(|back| start.checked_sub(back));
        let Some(common) = common else { continue };
        if known.0 != common {
            known = (common, encoding(bytes, common).unwrap_or(OMITTED));
        }
        if known.1 == OMITTED {
            continue;
        }
        let place = address.wrapping_add(reader.at as u64);
        let Some(begin) = reader.pointer(known.1) else {
            continue;
        };
        let begin = match known.1 & APPLICATION {
            PC_RELATIVE => place.wrapping_add(begin),
            _ => begin,
        };
        // a length has the same size and is relative to nothing
        if let Some(len) = reader.pointer(known.1 & FORMAT & 0x07) {
            ranges.push((begin, len));
        }
    }
    ranges
}

/// Where the frames are mapped, and their bytes to the end of what holds them.
fn table<'a>(binary: &Binary<'a>) -> Option<(u64, &'a [u8])> {
    if let Some(section) = binary.section(".eh_frame") {
        return Some((section.address, binary.content(section)));
    }
    let header = Reader {
        bytes: binary.bytes,
        at: 32,
    };
    let mut at = usize::try_from(header.clone().u64()?).ok()?;
    let count = u16::from_le_bytes(binary.bytes.get(56..58)?.try_into().ok()?);
    for _ in 0..count {
        let mut entry = Reader {
            bytes: binary.bytes,
            at,
        };
        let kind = entry.u32()?;
        entry.at += 12;
        let address = entry.u64()?;
        if kind == PT_GNU_EH_FRAME {
            // version, encoding of the pointer to the frames, two more encodings
            let bytes = binary.at(address);
            let mut index = Reader { bytes, at: 4 };
            let encoding = *bytes.get(1)?;
            let pointer = index.pointer(encoding)?;
            let place = match encoding & APPLICATION {
                PC_RELATIVE => address.wrapping_add(4).wrapping_add(pointer),
                _ => pointer,
            };
            return Some((place, binary.at(place)));
        }
        at = at.checked_add(56)?;
    }
    None
}

/// How frames that use the common information at `at` store their addresses.
fn encoding(bytes: &[u8], at: usize) -> Option<u8> {
    let mut reader = Reader { bytes, at };
    if reader.u32()? == u32::MAX {
        reader.u64()?;
    }
    // 0 marks common information
    if reader.u32()? != 0 {
        return None;
    }
    let version = reader.u8()?;
    let letters = reader.at;
    while reader.u8()? != 0 {}
    let letters = &bytes[letters..reader.at - 1];
    reader.leb()?;
    reader.leb()?;
    if version == 1 {
        reader.u8()?;
    } else {
        reader.leb()?;
    }
    let Some((b'z', letters)) = letters.split_first() else {
        return Some(0);
    };
    reader.leb()?;
    for letter in letters {
        match letter {
            b'R' => return reader.u8(),
            b'P' => {
                let encoding = reader.u8()?;
                reader.pointer(encoding)?;
            }
            b'L' => {
                reader.u8()?;
            }
            _ => {}
        }
    }
    Some(0)
}

#[derive(Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let bytes = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number of seven bits a byte, which nothing here needs the value of.
    fn leb(&mut self) -> Option<()> {
        while self.u8()? & 0x80 != 0 {}
        Some(())
    }

    /// What is stored, sign-extended where the format says so.
    fn pointer(&mut self, encoding: u8) -> Option<u64> {
        match encoding & FORMAT {
            0x00 | 0x04 | 0x0c => self.u64(),
            0x02 => self.take().map(u16::from_le_bytes).map(u64::from),
            0x03 => self.u32().map(u64::from),
            0x0a => self
                .take()
                .map(i16::from_le_bytes)
                .map(|it| i64::from(it) as u64),
            0x0b => self
                .take()
                .map(i32::from_le_bytes)
                .map(|it| i64::from(it) as u64),
            _ => None,
        }
    }
}
