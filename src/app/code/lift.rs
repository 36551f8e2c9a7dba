//! The door to the two architectures.

use super::super::binary::Binary;
use super::functions::Functions;
use super::ir::{Abi, At, Insn};
use super::slots::Slots;
use super::text::{Text, Unit, unit_at};
use super::{arm, x86};
use crate::units::Arch;

/// e_type of a program that stays where it was linked (ELF specification).
const ET_EXEC: u8 = 2;

/// Places that enter the kernel that are looked at. The most in the corpus are 2,000.
const ENTRIES_MAX: usize = 1 << 20;

/// Where an instruction leads, as far as bounds of functions depend on it.
pub struct Led {
    /// Whether control can reach the next instruction.
    pub open: bool,
    /// Whether it only fills space.
    pub padding: bool,
    /// Where it jumps to.
    pub jump: Option<At>,
}

/// One architecture.
pub struct Lifter<'t, 'a> {
    pub text: &'t Text<'a>,
    pub binary: &'t Binary<'a>,
    pub slots: Slots<'a>,
    /// Where the global offset table is, from and to; the loader alone writes there.
    pub table: (u64, u64),
    /// Where Go's functions are, from and to.
    go: Option<(At, At)>,
    /// See [`Functions::go_in_registers`].
    in_registers: bool,
}

impl<'t, 'a> Lifter<'t, 'a> {
    pub fn new(
        text: &'t Text<'a>,
        binary: &'t Binary<'a>,
        functions: &Functions<'_, '_>,
    ) -> Lifter<'t, 'a> {
        Lifter {
            text,
            binary,
            slots: Slots::of(binary),
            in_registers: functions.go_in_registers(),
            go: functions.go().and_then(|(start, end)| {
                Some((
                    text.place(start)?,
                    text.place(end.checked_sub(1)?)?.checked_add(1)?,
                ))
            }),
            table: binary
                .section(".got")
                .map_or((0, 0), |it| (it.address, it.address.saturating_add(it.len))),
        }
    }

    pub fn abi(&self) -> Abi {
        match self.binary.arch {
            Arch::X86_64 => x86::ABI,
            Arch::Aarch64 => arm::ABI,
        }
    }

    /// Decodes what is between two places.
    pub fn lift(&self, start: At, end: At) -> Vec<Insn> {
        let bytes = self.text.bytes(start, end);
        match self.binary.arch {
            Arch::X86_64 => x86::lift(bytes, start, self.text.base, self.text.len),
            Arch::Aarch64 => arm::lift(bytes, start, self.text.base, self.text.len),
        }
    }

    /// Tells of every instruction between two places where it leads.
    pub fn flows(&self, start: At, end: At, see: impl FnMut(At, Led)) {
        let bytes = self.text.bytes(start, end);
        match self.binary.arch {
            Arch::X86_64 => x86::flows(bytes, start, self.text.base, self.text.len, see),
            Arch::Aarch64 => arm::scan::flows(bytes, start, self.text.base, self.text.len, see),
        }
    }

    /// Places where the kernel may be entered.
    pub fn entries(&self) -> Vec<At> {
        let mut places = Vec::new();
        for part in &self.text.parts {
            match self.binary.arch {
                Arch::X86_64 => x86::scan::entries(part.bytes, part.at, &mut places),
                Arch::Aarch64 => arm::scan::entries(part.bytes, part.at, &mut places),
            }
        }
        places.truncate(ENTRIES_MAX);
        places
    }

    /// Finds what `unit` refers to outside of itself; in a unit whose bounds are not
    /// known, inside too. Tells from where, and to what.
    pub fn references(&self, units: &[Unit], unit: Unit, mut see: impl FnMut(At, At)) {
        let bytes = self.text.bytes(unit.start, unit.end);
        let len = self.text.len;
        let own = |to: At| unit.known && to > unit.start && to < unit.end;
        match self.binary.arch {
            Arch::X86_64 => {
                let begins = |to: At| unit_at(units, to).is_some_and(|it| units[it].start == to);
                x86::scan::references(bytes, unit.start, |from, to, seen| match seen {
                    x86::scan::Seen::Jump if !unit.known => {}
                    x86::scan::Seen::Call | x86::scan::Seen::Jump | x86::scan::Seen::Taken => {
                        if to < len
                            && !own(to)
                            && (to != unit.start || seen == x86::scan::Seen::Taken)
                        {
                            see(from, to);
                        }
                    }
                    x86::scan::Seen::Short if !unit.known => {}
                    x86::scan::Seen::Short => {
                        if (to < unit.start || to >= unit.end) && begins(to) {
                            see(from, to);
                        }
                    }
                    x86::scan::Seen::Through => {
                        let distance = i64::from(to as i32);
                        let slot = self.text.base.wrapping_add_signed(distance);
                        if let Some(to) = self.through(slot) {
                            see(from, to);
                        }
                    }
                });
                let low = u32::try_from(self.text.base);
                let fixed = self.binary.bytes.get(16) == Some(&ET_EXEC);
                if let (Ok(low), true) = (low, fixed && !self.go(unit)) {
                    x86::scan::numbers(bytes, unit.start, low, len, |from, number, plain| {
                        let to = number - low;
                        let takes = plain
                            || unit_at(units, to)
                                .is_none_or(|it| units[it].start == to || !units[it].known);
                        if takes && !own(to) {
                            see(from, to);
                        }
                    });
                }
            }
            Arch::Aarch64 => {
                let base = self.text.base;
                arm::scan::references(bytes, unit.start, base, len, |from, address, seen| {
                    let to = match seen {
                        arm::scan::Seen::Through => self.table_slot(address),
                        _ => self.text.place(address),
                    };
                    let Some(to) = to else { return };
                    if seen == arm::scan::Seen::Jump && !unit.known {
                        return;
                    }
                    if !own(to) && (to != unit.start || seen == arm::scan::Seen::Taken) {
                        see(from, to);
                    }
                });
            }
        }
    }

    /// Whether what `unit` finds on the stack was put there by a caller that knew its name.
    pub fn named_stack(&self, unit: Unit) -> bool {
        self.in_registers && self.go(unit)
    }

    /// Whether Go's compiler made the unit, which computes every address relative to
    /// the instruction.
    fn go(&self, unit: Unit) -> bool {
        self.go
            .is_some_and(|(start, end)| unit.start >= start && unit.end <= end)
    }

    /// The function whose address the loader puts at `slot` of the global offset table.
    fn table_slot(&self, slot: u64) -> Option<At> {
        let (start, end) = self.table;
        (slot >= start && slot < end)
            .then(|| self.through(slot))
            .flatten()
    }

    /// Finds what in `unit` reads, writes or names one of the addresses in `wanted`, which
    /// is sorted. Tells from where, and which.
    pub fn touches(&self, unit: Unit, wanted: &[u64], see: impl FnMut(At, u64)) {
        let bytes = self.text.bytes(unit.start, unit.end);
        match self.binary.arch {
            Arch::X86_64 => x86::scan::touches(bytes, unit.start, self.text.base, wanted, see),
            Arch::Aarch64 => arm::scan::touches(bytes, unit.start, self.text.base, wanted, see),
        }
    }

    /// Whether an address that is put into a register is followed to what is read and
    /// written there.
    pub fn folds(&self) -> bool {
        self.binary.arch == Arch::Aarch64
    }

    /// The function whose address the loader puts at `slot`.
    pub fn through(&self, slot: u64) -> Option<At> {
        let address = self.slots.get(slot).or_else(|| self.binary.word(slot))?;
        self.text.place(address)
    }
}
