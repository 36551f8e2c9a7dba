//! What the start of a static-pie program writes into its own data: addresses, by
//! relative relocations.

use super::super::binary::Binary;

/// PT_DYNAMIC, DT_RELA and DT_RELASZ (ELF specification).
const PT_DYNAMIC: u32 = 2;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
/// Bytes of a relocation with an addend.
const RELA: usize = 24;
/// R_X86_64_RELATIVE and R_AARCH64_RELATIVE (the psABIs).
const RELATIVE: [u64; 2] = [8, 1027];
/// Entries of the dynamic section that are looked at.
const DYNAMIC_MAX: usize = 256;

/// The relocations, by address as linkers sort them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slots<'a> {
    /// Where the relocations are.
    address: u64,
    bytes: &'a [u8],
}

impl<'a> Slots<'a> {
    pub fn of(binary: &Binary<'a>) -> Slots<'a> {
        Slots::find(binary).unwrap_or_default()
    }

    fn find(binary: &Binary<'a>) -> Option<Slots<'a>> {
        let bytes = binary.bytes;
        let half = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(
                bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
            ))
        };
        let mut at = usize::try_from(word(bytes, 32)?).ok()?;
        let count = u16::from_le_bytes(bytes.get(56..58)?.try_into().ok()?);
        for _ in 0..count {
            if half(at)? == PT_DYNAMIC {
                let dynamic = binary.at(word(bytes, at.checked_add(16)?)?);
                let (mut table, mut size) = (0, 0);
                for entry in dynamic.chunks_exact(16).take(DYNAMIC_MAX) {
                    match (word(entry, 0)?, word(entry, 8)?) {
                        (0, _) => break,
                        (DT_RELA, value) => table = value,
                        (DT_RELASZ, value) => size = value,
                        _ => {}
                    }
                }
                let bytes = binary.at(table);
                let size = usize::try_from(size).ok()?.min(bytes.len());
                return Some(Slots {
                    address: table,
                    bytes: &bytes[..size / RELA * RELA],
                });
            }
            at = at.checked_add(56)?;
        }
        None
    }

    /// What the relocation writes to whose addend is at `address`.
    pub fn written(&self, address: u64) -> Option<u64> {
        let within = usize::try_from(address.checked_sub(self.address)?).ok()?;
        let entry = self.bytes.get(within / RELA * RELA..)?;
        (within % RELA == 16).then(|| word(entry, 0)).flatten()
    }

    /// What is written to `slot`, if a relative relocation does it.
    pub fn get(&self, slot: u64) -> Option<u64> {
        let entry = |index: usize| self.bytes.get(index * RELA..(index + 1) * RELA);
        let (mut low, mut high) = (0, self.bytes.len() / RELA);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = entry(middle)?;
            let at = word(entry, 0)?;
            if at == slot {
                let relative = RELATIVE.contains(&(word(entry, 8)? & 0xffff_ffff));
                return relative.then(|| word(entry, 16)).flatten();
            }
            if at < slot {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        None
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}
