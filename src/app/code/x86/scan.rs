//! x86_64: references and entries into the kernel, found without decoding.

use memchr::memmem;

use super::super::ir::At;

/// Finds where the bytes of `syscall` and of `int $0x80` are.
pub fn entries(bytes: &[u8], at: At, places: &mut Vec<At>) {
    for wanted in [[0x0f, 0x05], [0xcd, 0x80]] {
        places.extend(memmem::find_iter(bytes, &wanted).map(|index| at + index as u32));
    }
}

/// Whether `bytes` are only what compilers and linkers put between functions: nop of
/// any length, int3, zeroes.
pub fn padding(mut bytes: &[u8]) -> bool {
    while let Some((first, rest)) = bytes.split_first() {
        bytes = match (first, rest) {
            (0x66 | 0x2e | 0x90 | 0xcc | 0, rest) => rest,
            (0x0f, [0x1f, modrm, rest @ ..]) => {
                let operand = match modrm {
                    0x00 => 0,
                    0x40 => 1,
                    0x44 => 2,
                    0x80 => 4,
                    0x84 => 5,
                    _ => return false,
                };
                match rest.get(operand..) {
                    Some(rest) => rest,
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    true
}

/// What kind of reference was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A call.
    Call,
    /// A jump or branch over any distance.
    Jump,
    /// A jump over less than 128 bytes.
    Short,
    /// An address that is taken, relative to the instruction.
    Taken,
    /// A call or jump through memory at an address: bytes from the base, wrapping.
    Through,
}

const NONE: u8 = 0;
const REL32: u8 = 1;
const ESCAPE: u8 = 2;
const LEA: u8 = 3;
const REL8: u8 = 4;
const GROUP: u8 = 5;

const CLASSES: [u8; 256] = {
    let mut classes = [NONE; 256];
    classes[0xe8] = REL32;
    classes[0xe9] = REL32;
    classes[0x0f] = ESCAPE;
    classes[0x8d] = LEA;
    classes[0xeb] = REL8;
    classes[0xe3] = REL8;
    let mut condition = 0x70;
    while condition < 0x80 {
        classes[condition] = REL8;
        condition += 1;
    }
    classes[0xff] = GROUP;
    classes
};

/// Finds everything in `bytes`, at `at`, that would refer elsewhere if an instruction
/// began there. It may see what is none, and misses nothing that has these forms:
/// call, jmp, jcc, lea of an address, and call and jmp through memory.
pub fn references(bytes: &[u8], at: At, mut see: impl FnMut(At, u32, Seen)) {
    let wide = |from: usize| -> Option<u32> {
        let bytes = bytes.get(from..from + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    for (index, byte) in bytes.iter().enumerate() {
        let class = CLASSES[usize::from(*byte)];
        if class == NONE {
            continue;
        }
        let here = at.wrapping_add(index as u32);
        let relative = |from: usize| {
            let next = here.wrapping_add((from + 4) as u32);
            wide(index + from).map(|distance| next.wrapping_add(distance))
        };
        let modrm = |wanted: u8| bytes.get(index + 1).is_some_and(|it| it & 0xc7 == wanted);
        match class {
            REL32 => {
                if let Some(target) = relative(1) {
                    let call = *byte == 0xe8;
                    see(here, target, if call { Seen::Call } else { Seen::Jump });
                }
            }
            ESCAPE => {
                if bytes.get(index + 1).is_some_and(|it| it & 0xf0 == 0x80) {
                    if let Some(target) = relative(2) {
                        see(here, target, Seen::Jump);
                    }
                }
            }
            LEA => {
                // with a REX prefix that makes it 64 bits wide: addresses are
                let rex = index.checked_sub(1).and_then(|before| bytes.get(before));
                if rex.is_some_and(|it| it & 0xf8 == 0x48) && modrm(0x05) {
                    if let Some(target) = relative(2) {
                        see(here.wrapping_sub(1), target, Seen::Taken);
                    }
                }
            }
            REL8 => {
                if let Some(distance) = bytes.get(index + 1) {
                    let distance = i32::from(*distance as i8) as u32;
                    let target = here.wrapping_add(2).wrapping_add(distance);
                    see(here, target, Seen::Short);
                }
            }
            _ => {
                // call is /2, jmp is /4
                let kind = bytes.get(index + 1).copied();
                if kind == Some(0x15) || kind == Some(0x25) {
                    if let Some(target) = relative(2) {
                        see(here, target, Seen::Through);
                    }
                }
            }
        }
    }
}

/// Finds every number of 32 bits in `bytes` that lies within `len` of `low`, and tells
/// whether it stands where an instruction has one: behind the opcode of mov or push.
pub fn numbers(bytes: &[u8], at: At, low: u32, len: u32, mut see: impl FnMut(At, u32, bool)) {
    for (index, window) in bytes.windows(4).enumerate() {
        let number = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
        if number.wrapping_sub(low) < len {
            let before = index.checked_sub(1).map(|before| bytes[before]);
            let plain = before.is_some_and(|it| it & 0xf8 == 0xb8 || it == 0x68);
            see(at.wrapping_add(index as u32), number, plain);
        }
    }
}

/// Finds operands in memory, relative to the instruction or absolute, and numbers that
/// are one of the addresses in `wanted`.
pub fn touches(bytes: &[u8], at: At, base: u64, wanted: &[u64], mut see: impl FnMut(At, u64)) {
    let (Some(low), Some(high)) = (wanted.first(), wanted.last()) else {
        return;
    };
    for (index, window) in bytes.windows(4).enumerate() {
        let number = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
        let here = at.wrapping_add(index as u32);
        let within = (*low..=*high).contains(&u64::from(number));
        if within && wanted.binary_search(&u64::from(number)).is_ok() {
            see(here, u64::from(number));
        }
        let modrm = index.checked_sub(1).map(|before| bytes[before] & 0xc7);
        if modrm != Some(0x05) {
            continue;
        }
        let next = base.wrapping_add(u64::from(here)).wrapping_add(4);
        let address = next.wrapping_add_signed(i64::from(number as i32));
        // an immediate may follow, of one, two or four bytes
        if address.wrapping_add(4) >= *low && address <= *high {
            for behind in [0, 1, 2, 4] {
                let address = address.wrapping_add(behind);
                if wanted.binary_search(&address).is_ok() {
                    see(here, address);
                }
            }
        }
    }
}
