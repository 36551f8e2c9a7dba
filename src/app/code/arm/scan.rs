//! aarch64: references and entries into the kernel, found without much decoding.

use super::super::ir::{At, Flow};
use super::super::lift::Led;
use super::{Place, field, immediate, rd, rn, svc, words};

/// Tells of every instruction where it leads.
pub fn flows(bytes: &[u8], at: At, base: u64, len: u32, mut see: impl FnMut(At, Led)) {
    for (place, word) in words(bytes, at) {
        let flow = Place {
            at: place,
            base,
            len,
        }
        .flow(word);
        let call = word >> 26 == 0x25 || word & 0xfffe_0000 == 0xd63e_0000;
        see(
            place,
            Led {
                open: matches!(flow, Flow::Next | Flow::Branch(_)) && !call,
                padding: super::padding(word),
                jump: match flow {
                    Flow::Jump(to) | Flow::Branch(to) => Some(to),
                    _ => None,
                },
            },
        );
    }
}

/// Finds where `svc` is.
pub fn entries(bytes: &[u8], at: At, places: &mut Vec<At>) {
    places.extend(
        words(bytes, at)
            .filter(|(_, word)| svc(*word))
            .map(|(at, _)| at),
    );
}

/// Finds what the instructions in `bytes` refer to: where from, where to as distance
/// from the base, and whether that is read as an address of a function.
pub fn references(bytes: &[u8], at: At, base: u64, len: u32, mut see: impl FnMut(At, u64, Seen)) {
    // the page that each register had last
    let mut pages = [None; 32];
    for (place, word) in words(bytes, at) {
        let here = Place {
            at: place,
            base,
            len,
        };
        if word >> 26 & 0x1f == 0x05 {
            let call = word >> 31 == 1;
            let seen = if call { Seen::Call } else { Seen::Jump };
            see(place, here.relative(field(word, 0, 26)), seen);
        } else if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
            see(place, here.relative(field(word, 5, 19)), Seen::Jump);
        } else if word & 0x7e00_0000 == 0x3600_0000 {
            see(place, here.relative(field(word, 5, 14)), Seen::Jump);
        } else if word & 0x1f00_0000 == 0x1000_0000 {
            let address = here.address(word);
            pages[usize::from(rd(word))] = (word >> 31 == 1).then_some(address);
            if word >> 31 == 0 {
                see(place, address, Seen::Taken);
            }
        } else if word & 0xff80_0000 == 0x9100_0000 {
            if let Some(page) = pages[usize::from(rn(word))] {
                see(place, page.wrapping_add(immediate(word)), Seen::Taken);
            }
        } else if word & 0xffc0_0000 == 0xf940_0000 {
            if let Some(page) = pages[usize::from(rn(word))] {
                let slot = page.wrapping_add(u64::from(word >> 10 & 0xfff) * 8);
                see(place, slot, Seen::Through);
            }
        }
    }
}

/// Whether `bytes` are only what compilers and linkers put between functions.
pub fn padding(bytes: &[u8], at: At) -> bool {
    words(bytes, at).all(|(_, word)| super::padding(word))
}

/// What kind of reference was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A call.
    Call,
    /// A jump or branch.
    Jump,
    /// An address that is taken.
    Taken,
    /// A word that is read from memory.
    Through,
}

/// Finds what reads, writes or makes one of the addresses in `wanted`.
pub fn touches(bytes: &[u8], at: At, base: u64, wanted: &[u64], mut see: impl FnMut(At, u64)) {
    let len = u32::MAX;
    let mut known = [None; 32];
    for (place, word) in words(bytes, at) {
        let here = Place {
            at: place,
            base,
            len,
        };
        let address = if word & 0x1f00_0000 == 0x1000_0000 {
            let address = here.address(word);
            known[usize::from(rd(word))] = Some(address);
            Some(address)
        } else if word & 0xff80_0000 == 0x9100_0000 {
            let address =
                known[usize::from(rn(word))].map(|it: u64| it.wrapping_add(immediate(word)));
            known[usize::from(rd(word))] = address;
            address
        } else if word & 0x3b00_0000 == 0x3900_0000 {
            let by = u64::from(word >> 10 & 0xfff) << (word >> 30);
            known[usize::from(rn(word))].map(|it: u64| it.wrapping_add(by))
        } else {
            None
        };
        if let Some(address) = address.filter(|it| wanted.binary_search(it).is_ok()) {
            see(place, address);
        }
    }
}
