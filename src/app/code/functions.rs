//! Where the functions of a program begin and end, and what they are called.
//!
//! Three sources, the first that names a function wins: symbols, Go's table of
//! functions, the frames of `.eh_frame` (which have no names). What none of them
//! covers is not known here: C libraries are often built without frames.

use super::super::binary::Binary;
use super::frames::frames;
use super::pclntab::Pclntab;

/// The longest function that is believed: 64 MiB.
const LENGTH_MAX: u64 = 1 << 26;
/// In [`Bound::name`]: without a name.
const NAMELESS: u32 = u32::MAX;
/// In [`Bound::name`]: the number of a function in Go's table, not of a symbol.
const GO: u32 = 1 << 31;

/// One function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'a> {
    /// Where it begins.
    pub address: u64,
    /// Bytes that it covers, no other function's among them.
    pub len: u64,
    /// Its name, not demangled.
    pub name: Option<&'a str>,
    /// Whether Go's compiler or assembler made it.
    pub go: bool,
}

#[derive(Clone, Copy)]
struct Bound {
    address: u64,
    len: u32,
    name: u32,
}

/// The functions of a program, by address.
pub struct Functions<'b, 'a> {
    binary: &'b Binary<'a>,
    table: Option<Pclntab<'a>>,
    bounds: Vec<Bound>,
}

impl<'b, 'a> Functions<'b, 'a> {
    /// Collects the functions of `binary`.
    #[must_use]
    pub fn find(binary: &'b Binary<'a>) -> Functions<'b, 'a> {
        let table = Pclntab::find(binary);
        let mut bounds = Vec::new();
        let mut add = |address: u64, len: u64, name: u32| {
            if len > 0 && len <= LENGTH_MAX && address.checked_add(len).is_some() {
                let len = u32::try_from(len).unwrap_or_default();
                bounds.push(Bound { address, len, name });
            }
        };
        for (number, symbol) in (0..GO).zip(&binary.symbols) {
            if symbol.function {
                add(symbol.address, symbol.size, number);
            }
        }
        if let Some(table) = &table {
            for (number, name) in (0..table.count()).zip(GO..NAMELESS) {
                let (Some(start), Some(end)) = (table.entry(number), table.entry(number + 1))
                else {
                    break;
                };
                add(start, end.saturating_sub(start), name);
            }
        }
        for (address, len) in frames(binary) {
            add(address, len, NAMELESS);
        }
        // at one address the first source first; of symbols there, the longest
        bounds.sort_by_key(|bound| bound.address);
        bounds.dedup_by_key(|bound| bound.address);
        bounds.shrink_to_fit();
        // a function ends where the next begins, whatever the file says
        for at in 1..bounds.len() {
            let next = bounds[at].address;
            let bound = &mut bounds[at - 1];
            let room = u32::try_from(next - bound.address).unwrap_or(u32::MAX);
            bound.len = bound.len.min(room);
        }
        Functions {
            binary,
            table,
            bounds,
        }
    }

    /// The function whose code covers `address`.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<Function<'a>> {
        let after = self.bounds.partition_point(|it| it.address <= address);
        let bound = self.bounds[..after].last()?;
        (address - bound.address < u64::from(bound.len)).then(|| self.function(bound))
    }

    /// Every function, by address.
    pub fn iter(&self) -> impl Iterator<Item = Function<'a>> + '_ {
        self.bounds.iter().map(|bound| self.function(bound))
    }

    /// Where every function begins and how many bytes it covers, by address.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.bounds.iter().map(|bound| (bound.address, bound.len))
    }

    /// Where Go's functions begin and end, if there are any.
    #[must_use]
    pub fn go(&self) -> Option<(u64, u64)> {
        let table = self.table.as_ref()?;
        Some((table.entry(0)?, table.entry(table.count())?))
    }

    /// Whether functions of Go get their arguments in registers when they are called
    /// through a pointer, as since Go 1.18.
    pub(super) fn go_in_registers(&self) -> bool {
        self.table.is_some_and(|table| table.by_offsets())
    }

    fn function(&self, bound: &Bound) -> Function<'a> {
        let number = bound.name & !GO;
        let go = self.go();
        Function {
            address: bound.address,
            len: u64::from(bound.len),
            name: match bound.name {
                NAMELESS => None,
                name if name & GO != 0 => {
                    self.table.and_then(|table| table.name(u64::from(number)))
                }
                name => {
                    let symbol = usize::try_from(name).ok();
                    symbol
                        .and_then(|symbol| self.binary.symbols.get(symbol))
                        .map(|symbol| symbol.name)
                }
            },
            go: go.is_some_and(|(start, end)| bound.address >= start && bound.address < end),
        }
    }
}
