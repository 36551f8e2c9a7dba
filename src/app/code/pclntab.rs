//! Go's table of functions, which stands in every Go program because its runtime
//! unwinds with it. Strippers leave it.
//!
//! Layouts: `runtime/symtab.go` and `debug/gosym/pclntab.go` of Go; there have been
//! four, told apart by the magic.

use memchr::memmem;

use super::super::binary::Binary;
use crate::units::Arch;

/// Functions that are looked at. The largest program of the corpus has 200,000.
const FUNCTIONS_MAX: u64 = 1 << 22;
/// Places in the file that are tried.
const PLACES_MAX: usize = 256;
/// Bytes of a name that are kept.
const NAME_MAX: usize = 1024;
/// Where `minpc` stands in `runtime.moduledata`, in words: behind the header's
/// address, six slices and the address of `findfunctab`.
const MINPC: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Go 1.2 to 1.15: one table.
    One,
    /// Go 1.16 and 1.17: names apart.
    Names,
    /// Go 1.18 and later: offsets from the start of the text.
    Offsets,
}

const LAYOUTS: &[(u32, Layout)] = &[
    (0xffff_fff1, Layout::Offsets),
    (0xffff_fff0, Layout::Offsets),
    (0xffff_fffa, Layout::Names),
    (0xffff_fffb, Layout::One),
];

/// The table of one program.
#[derive(Debug, Clone, Copy)]
pub struct Pclntab<'a> {
    layout: Layout,
    bytes: &'a [u8],
    count: u64,
    /// What the entries are offsets from.
    text: u64,
    /// Where the names are, from the table's start.
    names: u64,
    /// Where the index of functions is, from the table's start.
    index: u64,
}

impl<'a> Pclntab<'a> {
    /// Looks for the table.
    pub fn find(binary: &Binary<'a>) -> Option<Pclntab<'a>> {
        for name in [".gopclntab", ".data.rel.ro.gopclntab"] {
            if let Some(section) = binary.section(name) {
                if let Some(table) = Pclntab::at(binary, section.address, binary.content(section)) {
                    return Some(table);
                }
            }
        }
        // the magics differ in their first byte; zero, zero, the instructions' alignment
        // and the size of a pointer follow
        let alignment = match binary.arch {
            Arch::X86_64 => 1,
            Arch::Aarch64 => 4,
        };
        memmem::find_iter(binary.bytes, &[0xff, 0xff, 0xff, 0, 0, alignment, 8])
            .filter(|behind| behind % 8 == 1)
            .take(PLACES_MAX)
            .find_map(|behind| {
                let address = binary.address_of(behind as u64 - 1)?;
                Pclntab::at(binary, address, binary.at(address))
            })
    }

    fn at(binary: &Binary<'a>, address: u64, bytes: &'a [u8]) -> Option<Pclntab<'a>> {
        let magic = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let (_, layout) = LAYOUTS.iter().find(|(known, _)| *known == magic)?;
        if bytes.get(4..6)? != [0, 0] || *bytes.get(7)? != 8 {
            return None;
        }
        let word = |index: usize| -> Option<u64> {
            let at = 8 + 8 * index;
            Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        };
        let (text, names, index) = match layout {
            Layout::One => (0, 0, 16),
            Layout::Names => (0, word(2)?, word(6)?),
            Layout::Offsets => (word(2)?, word(3)?, word(7)?),
        };
        let mut table = Pclntab {
            layout: *layout,
            bytes,
            count: word(0)?,
            text,
            names,
            index,
        };
        let plausible = table.count > 0
            && table.count <= FUNCTIONS_MAX
            && table.entry(0) < table.entry(table.count)
            && table.entry(table.count).is_some();
        if !plausible {
            return None;
        }
        if *layout == Layout::Offsets {
            table.text = table.start(binary, address)?;
        }
        Some(table)
    }

    /// Where the text begins. Since Go 1.26 the header does not say, and programs
    /// that a C linker made have other text before it.
    fn start(&self, binary: &Binary<'_>, address: u64) -> Option<u64> {
        let first = self.offset(0)?;
        let last = self.offset(self.count)?;
        let mapped = |start: &u64| {
            binary
                .segments
                .iter()
                .any(|s| s.executable && *start >= s.address && *start - s.address < s.len)
        };
        let module = binary
            .segments
            .iter()
            .filter(|s| !s.executable)
            .find_map(|s| {
                memmem::find_iter(
                    binary.at(s.address).get(..usize::try_from(s.len).ok()?)?,
                    &address.to_le_bytes(),
                )
                .take(64)
                .find_map(|at| {
                    let place = s.address.checked_add(at as u64)?;
                    let low = binary.word(place.checked_add(MINPC * 8)?)?;
                    let high = binary.word(place.checked_add(MINPC * 8 + 8)?)?;
                    let start = low.checked_sub(first)?;
                    (high.checked_sub(start)? == last).then_some(start)
                })
            });
        let section = || binary.section(".text").map(|section| section.address);
        module
            .or(Some(self.text).filter(|text| *text != 0))
            .filter(mapped)
            .or_else(section)
            .filter(mapped)
    }

    /// Whether it is a table of Go 1.18 or later.
    pub fn by_offsets(&self) -> bool {
        self.layout == Layout::Offsets
    }

    /// How many functions there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What the index has for the function: its address, or its offset in the text.
    fn offset(&self, number: u64) -> Option<u64> {
        match self.layout {
            Layout::Offsets => self
                .half(self.index.checked_add(number * 8)?)
                .map(u64::from),
            _ => self.wide(self.index.checked_add(number * 16)?),
        }
    }

    /// Where the function begins; with [`count`](Self::count), where the last ends.
    pub fn entry(&self, number: u64) -> Option<u64> {
        self.offset(number)?.checked_add(self.text)
    }

    /// The function's name, such as `internal/runtime/syscall.Syscall6`.
    pub fn name(&self, number: u64) -> Option<&'a str> {
        let (functions, record, entry) = match self.layout {
            Layout::Offsets => {
                let place = self.index.checked_add(number * 8 + 4)?;
                (self.index, u64::from(self.half(place)?), 4)
            }
            Layout::Names => {
                let place = self.index.checked_add(number * 16 + 8)?;
                (self.index, self.wide(place)?, 8)
            }
            Layout::One => (0, self.wide(self.index.checked_add(number * 16 + 8)?)?, 8),
        };
        let record = functions.checked_add(record)?.checked_add(entry)?;
        let name = self.names.checked_add(u64::from(self.half(record)?))?;
        let bytes = self.bytes.get(usize::try_from(name).ok()?..)?;
        let bytes = &bytes[..bytes.len().min(NAME_MAX)];
        let end = memchr::memchr(0, bytes)?;
        std::str::from_utf8(&bytes[..end]).ok()
    }

    fn half(&self, at: u64) -> Option<u32> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn wide(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}
