//! The program's text: its bytes without what merely lies beside them, the units
//! that are decoded at a time, and every reference from one unit to another.

use std::thread;

use super::super::binary::Binary;
use super::functions::Functions;
use super::ir::At;
use super::lift::Lifter;
use super::{arm, x86};
use crate::units::Arch;

/// Bytes of a unit that is decoded at once; longer functions are cut.
const UNIT_MAX: u32 = 1 << 18;
/// Bytes of the header of an ELF file of 64 bits, and of one program header.
const HEADERS: u64 = 64 + 56;
/// Bytes that may lie between two sections.
const ALIGNMENT: u64 = 63;
/// Text shorter than this is looked through by one thread.
const ALONE: usize = 1 << 20;

/// Executable bytes in one piece.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub at: At,
    pub bytes: &'a [u8],
}

impl Part<'_> {
    fn end(&self) -> At {
        self.at + self.bytes.len() as u32
    }
}

/// All executable bytes.
pub struct Text<'a> {
    /// The lowest address.
    pub base: u64,
    /// Bytes from there to the last.
    pub len: u32,
    /// By address.
    pub parts: Vec<Part<'a>>,
    /// Whether some of it is too far away to be looked at.
    pub cut: bool,
}

/// Code that is decoded at once: a function, a part of one, or code of which nobody
/// says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    pub start: At,
    pub end: At,
    /// Whether its bounds are known to be those of a function.
    pub known: bool,
}

/// References: who refers in the low half, to what in the high half, sorted.
pub struct References {
    pub pairs: Vec<u64>,
    /// Whether there were too many to be kept.
    pub cut: bool,
}

impl References {
    /// Who refers to places between `low` and `high`, the latter not included: the
    /// place and who.
    pub fn between(&self, low: u32, high: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let from = |at: u32| {
            self.pairs
                .partition_point(|pair| ((pair >> 32) as u32) < at)
        };
        self.pairs[from(low)..from(high).max(from(low))]
            .iter()
            .map(|pair| ((pair >> 32) as u32, *pair as u32))
    }

    pub fn any(&self, low: u32, high: u32) -> bool {
        self.between(low, high).next().is_some()
    }
}

pub fn pair(to: u32, from: u32) -> u64 {
    u64::from(to) << 32 | u64::from(from)
}

impl<'a> Text<'a> {
    /// Takes what Linux maps executable, without sections that hold something else.
    pub fn of(binary: &Binary<'a>) -> Text<'a> {
        let mut ranges = pieces(binary, true);
        if !ranges
            .iter()
            .any(|(start, len)| binary.entry.wrapping_sub(*start) < *len)
        {
            // sections that do not know where the program begins are not believed
            ranges = pieces(binary, false);
        }
        ranges.sort_unstable();
        let base = ranges.first().map_or(0, |(start, _)| *start);
        let mut text = Text {
            base,
            len: 0,
            parts: Vec::new(),
            cut: false,
        };
        for (start, len) in ranges {
            let bytes = binary.at(start);
            let bytes = &bytes[..bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
            let at = u32::try_from(start - base)
                .ok()
                .filter(|at| *at >= text.len);
            let end = at.and_then(|at| at.checked_add(u32::try_from(bytes.len()).ok()?));
            match (at, end) {
                (Some(at), Some(end)) if end < u32::MAX / 2 => {
                    text.parts.push(Part { at, bytes });
                    text.len = end;
                }
                _ => text.cut = true,
            }
        }
        text
    }

    /// The place of `address`.
    pub fn place(&self, address: u64) -> Option<At> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        (at < self.len).then_some(at)
    }

    /// Whether there is code at `address`.
    pub fn holds(&self, address: u64) -> bool {
        self.place(address)
            .is_some_and(|at| !self.bytes(at, at + 1).is_empty())
    }

    /// The address of a place.
    pub fn address(&self, at: At) -> u64 {
        self.base.wrapping_add(u64::from(at))
    }

    /// The bytes between two places, as far as they are in one part.
    pub fn bytes(&self, start: At, end: At) -> &'a [u8] {
        let after = self.parts.partition_point(|part| part.at <= start);
        let Some(part) = self.parts[..after].last() else {
            return &[];
        };
        let from = (start - part.at) as usize;
        let to = (end.saturating_sub(part.at) as usize).min(part.bytes.len());
        part.bytes.get(from..to).unwrap_or_default()
    }

    /// All of the text as units: functions, and what is between them.
    pub fn units(&self, arch: Arch, functions: &Functions<'_, '_>) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut bounds = functions.bounds().peekable();
        for part in &self.parts {
            let mut at = part.at;
            while let Some((address, len)) = bounds.peek().copied() {
                let start = address.checked_sub(self.base).map(u32::try_from);
                let Some(Ok(start)) = start else {
                    if start.is_some() {
                        break;
                    }
                    bounds.next();
                    continue;
                };
                if start >= part.end() {
                    break;
                }
                bounds.next();
                let end = start.saturating_add(len).min(part.end());
                if start < at || end <= start {
                    continue;
                }
                self.between(arch, at, start, &mut units);
                let known = end - start <= UNIT_MAX;
                units.push(Unit { start, end, known });
                at = end;
            }
            self.between(arch, at, part.end(), &mut units);
        }
        units
    }

    /// What lies between two functions as a unit, unless it only fills space.
    fn between(&self, arch: Arch, start: At, end: At, units: &mut Vec<Unit>) {
        let bytes = self.bytes(start, end);
        let empty = match arch {
            Arch::X86_64 => x86::scan::padding(bytes),
            Arch::Aarch64 => arm::scan::padding(bytes, start),
        };
        if !empty {
            let known = false;
            units.push(Unit { start, end, known });
        }
    }

    /// Every reference from a unit to another, and all within units that are not known.
    pub fn references(&self, lifter: &Lifter<'_, '_>, units: &[Unit]) -> References {
        let most = (1 << 20) + self.len as usize / 16;
        let look = |some: &[Unit]| {
            let mut pairs = Vec::new();
            for unit in some {
                lifter.references(units, *unit, |from, to| {
                    if pairs.len() <= most {
                        pairs.push(pair(to, from));
                    }
                });
            }
            pairs.sort_unstable();
            pairs.shrink_to_fit();
            pairs
        };
        let pairs = if (self.len as usize) < ALONE {
            look(units)
        } else {
            let half = units.partition_point(|unit| unit.start < self.len / 2);
            let (low, high) = units.split_at(half);
            thread::scope(|scope| {
                let other = scope.spawn(|| look(high));
                let mut pairs = look(low);
                // a thread that could not be joined has panicked, and nothing here panics
                pairs.append(&mut other.join().unwrap_or_default());
                pairs.sort();
                pairs
            })
        };
        let cut = pairs.len() > most;
        References { pairs, cut }
    }

    /// Every word in the data that holds the address of a place in the text: the place,
    /// and where in the file the word is.
    pub fn words(&self, binary: &Binary<'_>, units: &[Unit]) -> References {
        let most = (1 << 20) + binary.bytes.len() / 64;
        let mut pairs = Vec::new();
        for segment in &binary.segments {
            let bytes = binary.at(segment.address);
            let bytes = &bytes[..bytes.len().min(usize::try_from(segment.len).unwrap_or(0))];
            let aligned = (segment.address.wrapping_neg() & 7) as usize;
            for (index, word) in bytes
                .get(aligned..)
                .unwrap_or_default()
                .chunks_exact(8)
                .enumerate()
            {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                let within = word.wrapping_sub(self.base);
                // inside a function it is a number, or a table of jumps; but frames may begin
                // a byte before their function, for the sake of unwinders
                let begins = |at: u32| {
                    unit_at(units, at)
                        .is_some_and(|it| !units[it].known || at - units[it].start < 2)
                };
                if within < u64::from(self.len) && begins(within as u32) {
                    let place = segment.offset + (aligned + 8 * index) as u64;
                    let code = binary.address_of(place).is_some_and(|at| self.holds(at));
                    if let (false, Ok(place)) = (code || pairs.len() > most, u32::try_from(place)) {
                        pairs.push(pair(within as u32, place));
                    }
                }
            }
        }
        pairs.sort_unstable();
        let cut = pairs.len() > most;
        References { pairs, cut }
    }
}

/// The ranges of addresses that hold code.
fn pieces(binary: &Binary<'_>, by_sections: bool) -> Vec<(u64, u64)> {
    let mut beside: Vec<(u64, u64)> = binary
        .sections
        .iter()
        .filter(|section| by_sections && !section.executable && section.address != 0)
        .map(|section| (section.address, section.address.saturating_add(section.len)))
        .collect();
    // the headers of the file are mapped with the first segment
    beside.push((
        binary.address_of(0).unwrap_or_default(),
        binary
            .address_of(0)
            .map_or(0, |start| start.saturating_add(HEADERS)),
    ));
    beside.sort_unstable();
    let mut ranges = Vec::new();
    for segment in binary.segments.iter().filter(|segment| segment.executable) {
        let mut at = segment.address;
        let end = segment.address.saturating_add(segment.len);
        for (start, stop) in &beside {
            if *stop > at && *start < end && start < stop {
                // what two sections leave between them to be aligned
                if start.saturating_sub(at) > ALIGNMENT {
                    ranges.push((at, *start - at));
                }
                at = at.max(*stop);
            }
        }
        if at < end {
            ranges.push((at, end - at));
        }
    }
    ranges
}

/// Which unit covers a place.
pub fn unit_at(units: &[Unit], at: At) -> Option<usize> {
    let after = units.partition_point(|unit| unit.start <= at);
    let index = after.checked_sub(1)?;
    (at < units[index].end).then_some(index)
}

/// Cuts the units that are not known where something refers to and nothing flows into,
/// and adds the jumps from one piece to another to `references`.
pub fn cut(
    lifter: &Lifter<'_, '_>,
    units: &[Unit],
    references: &mut References,
    words: &References,
) -> Vec<Unit> {
    let mut cut = Vec::with_capacity(units.len());
    let mut jumps = Vec::new();
    for unit in units {
        if unit.known {
            cut.push(*unit);
            continue;
        }
        let mut wanted: Vec<u32> = references
            .between(unit.start, unit.end)
            .map(|it| it.0)
            .collect();
        wanted.extend(words.between(unit.start, unit.end).map(|it| it.0));
        wanted.sort_unstable();
        wanted.dedup();
        let mut wanted = wanted.into_iter().peekable();
        let mut start = unit.start;
        let mut open = false;
        // jumps that lead forward, perhaps into another piece
        let mut forward: Vec<(At, At)> = Vec::new();
        lifter.flows(unit.start, unit.end, |at, led| {
            while wanted.peek().is_some_and(|it| *it < at) {
                wanted.next();
            }
            let named = wanted.peek() == Some(&at);
            if at > start && ((named && !open) || at - start >= UNIT_MAX) {
                cut.push(Unit {
                    start,
                    end: at,
                    known: false,
                });
                start = at;
                let over = forward.drain(..).filter(|(_, to)| *to >= at);
                jumps.extend(over.map(|(from, to)| pair(to, from)));
            }
            if !led.padding {
                open = led.open;
            }
            if let Some(to) = led.jump {
                if to < start || to >= unit.end {
                    jumps.push(pair(to, at));
                } else if to > at {
                    forward.push((at, to));
                }
            }
        });
        cut.push(Unit {
            start,
            end: unit.end,
            known: false,
        });
    }
    // both parts have an order, and to join such is what this sort does well
    jumps.sort_unstable();
    references.pairs.append(&mut jumps);
    references.pairs.sort();
    references.pairs.dedup();
    cut
}
