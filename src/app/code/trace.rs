//! Follows the number of a call backwards from where the kernel is entered to where it
//! is set: through moves, the stack, jumps and the callers of wrappers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::ir::{At, Callee, Flow, Insn, Op, Reg, Source, Value, within};
use super::lift::Lifter;
use super::text::{References, Unit, unit_at};
use super::unit::Decoded;

/// Steps that one entry into the kernel may take to be followed.
const STEPS_MAX: usize = 200_000;
/// Steps and decoded instructions for the whole program, against hostile ones. The largest
/// of the corpus takes a tenth of that.
const WORK_MAX: usize = 20_000_000;
/// Bytes of a function that is looked through for a way to return.
const ENDLESS_MAX: u32 = 4096;
/// Instructions that are kept decoded.
const KEPT_MAX: usize = 60_000;

/// Where a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loc {
    Reg(Reg),
    /// On the stack: bytes from where the stack pointer is at the unit's start.
    Stack(i64),
    /// In memory that a register points to, and a displacement.
    Behind(Reg, i64),
    /// In memory that a pointer on the stack points to.
    BehindStack(i64, i64),
}

/// A question: what is in a place before an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Query {
    pub unit: usize,
    pub index: usize,
    pub loc: Loc,
    /// What is added to it on the way to the kernel.
    pub add: i64,
    /// Whether only its low byte counts.
    pub low: bool,
}

/// Why a number is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It was computed or came back from a function.
    Computed,
    /// It is read from memory.
    Memory,
    /// A function takes it as an argument and is called through a pointer.
    Pointer,
    /// It came from nowhere that was seen.
    Nowhere,
    /// Following it took too long.
    Long,
    /// The numbers are those of 32-bit programs.
    Foreign,
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Reason::Computed => "number computed",
            Reason::Memory => "number read from memory",
            Reason::Pointer => "number handed to a function that is called through a pointer",
            Reason::Nowhere => "number from no way that could be followed",
            Reason::Long => "number handed on too often",
            Reason::Foreign => "32-bit call, int $0x80",
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Traced {
    /// Numbers, and the lowest place that sets each.
    pub numbers: BTreeMap<u32, At>,
    /// Places where the way back ends without a number.
    pub unknown: BTreeMap<At, Reason>,
}

impl Traced {
    pub fn number(&mut self, query: &Query, number: u64, at: At) {
        let number = number.wrapping_add_signed(query.add);
        let number = if query.low { number & 0xff } else { number } as u32;
        let place = self.numbers.entry(number).or_insert(at);
        *place = at.min(*place);
    }

    pub fn unknown(&mut self, at: At, reason: Reason) {
        self.unknown.entry(at).or_insert(reason);
    }
}

pub struct Tracer<'t, 'a> {
    pub lifter: &'t Lifter<'t, 'a>,
    pub units: &'t [Unit],
    pub references: &'t References,
    pub words: &'t References,
    /// Who touches a place in memory that a number is read from; nothing for one that
    /// was not yet looked for.
    pub touched: BTreeMap<u64, Option<Vec<At>>>,
    decoded: HashMap<usize, Rc<Decoded>>,
    /// Steps taken and instructions decoded so far.
    pub work: usize,
    /// Whether functions do not return.
    endless: HashMap<At, bool>,
    kept: usize,
}

impl<'t, 'a> Tracer<'t, 'a> {
    pub fn new(
        lifter: &'t Lifter<'t, 'a>,
        units: &'t [Unit],
        references: &'t References,
        words: &'t References,
    ) -> Tracer<'t, 'a> {
        Tracer {
            lifter,
            units,
            references,
            words,
            touched: BTreeMap::new(),
            decoded: HashMap::new(),
            work: 0,
            endless: HashMap::new(),
            kept: 0,
        }
    }

    pub fn decode(&mut self, unit: usize) -> Rc<Decoded> {
        if let Some(decoded) = self.decoded.get(&unit) {
            return Rc::clone(decoded);
        }
        let decoded = Decoded::of(self.lifter, self.units[unit], self.references, self.words);
        let decoded = Rc::new(decoded);
        self.kept += decoded.insns.len();
        self.work += decoded.insns.len();
        if self.kept > KEPT_MAX {
            self.decoded.clear();
            self.kept = decoded.insns.len();
        }
        self.decoded.insert(unit, Rc::clone(&decoded));
        decoded
    }

    /// Follows the number of the call at `at`, if the kernel is entered there at all.
    pub fn entry(&mut self, at: At, traced: &mut Traced) {
        if self.work > WORK_MAX {
            // one place stands for all that are left
            if traced.unknown.is_empty() {
                traced.unknown(at, Reason::Long);
            }
            return;
        }
        let Some(unit) = unit_at(self.units, at) else {
            return;
        };
        let decoded = self.decode(unit);
        let Some(index) = decoded.index(at) else {
            return;
        };
        let index = index as usize;
        match decoded.insns[index].op {
            Op::Kernel if self.alive(unit) => {}
            Op::Foreign if self.alive(unit) => return traced.unknown(at, Reason::Foreign),
            _ => return,
        }
        let query = Query {
            unit,
            index,
            loc: Loc::Reg(self.lifter.abi().number),
            add: 0,
            low: false,
        };
        self.follow(query, at, traced);
    }

    /// Whether anything leads into the unit.
    fn alive(&mut self, unit: usize) -> bool {
        let Unit { start, end, .. } = self.units[unit];
        let begins = self.lifter.text.place(self.lifter.binary.entry);
        self.references.any(start, end)
            || self.words.any(start, end)
            || begins.is_some_and(|at| at >= start && at < end)
            || self.flows_into(unit).is_some()
    }

    /// The unit before, if control can fall out of it into this one.
    fn flows_into(&mut self, unit: usize) -> Option<usize> {
        let previous = unit.checked_sub(1)?;
        if self.units[previous].end != self.units[unit].start {
            return None;
        }
        self.decode(previous).open_end().then_some(previous)
    }

    /// Whether the instruction calls a function that does not return.
    pub fn ends(&mut self, insn: &Insn) -> bool {
        let to = match insn.op {
            Op::Call(Callee::At(to)) => Some(to),
            Op::Call(Callee::Slot(slot)) => self.lifter.through(slot),
            _ => None,
        };
        let Some(to) = to else {
            return false;
        };
        if let Some(ends) = self.endless.get(&to) {
            return *ends;
        }
        let unit = unit_at(self.units, to).filter(|unit| {
            let Unit { start, end, .. } = self.units[*unit];
            start == to && end - start <= ENDLESS_MAX
        });
        let ends = unit.is_some_and(|unit| !self.decode(unit).can_end());
        self.endless.insert(to, ends);
        ends
    }

    fn follow(&mut self, first: Query, kernel: At, traced: &mut Traced) {
        let mut seen = HashSet::new();
        let mut todo = vec![first];
        seen.insert(first);
        while let Some(query) = todo.pop() {
            self.work += 1;
            if seen.len() > STEPS_MAX || self.work > WORK_MAX {
                traced.unknown(kernel, Reason::Long);
                return;
            }
            let decoded = self.decode(query.unit);
            let mut next = |query: Query| {
                if seen.insert(query) {
                    todo.push(query);
                }
            };
            let mut ways = Vec::new();
            let mut found = decoded.before(query.index, |from| ways.push(from));
            for from in ways {
                if self.ends(&decoded.insns[from]) {
                    continue;
                }
                self.back(&decoded, query, from, traced, &mut next);
            }
            let at = decoded.at(query.index);
            if decoded.entries.binary_search(&(query.index as u32)).is_ok() {
                found = true;
                self.callers(&decoded, query, at, traced, &mut next);
            }
            if query.index == 0 {
                if let Some(previous) = self.flows_into(query.unit) {
                    found = true;
                    let before = self.decode(previous);
                    let index = before.insns.len();
                    if let Some(loc) = moved(query.loc, before.depth(index)) {
                        next(Query {
                            unit: previous,
                            index,
                            loc,
                            ..query
                        });
                    }
                } else if !found {
                    // a function that nothing calls
                    found = true;
                }
            }
            let padding = decoded.insns.get(query.index).is_some_and(|it| it.padding);
            if !found && !padding {
                traced.unknown(at, Reason::Nowhere);
            }
        }
    }

    /// What the instruction at `from` does to the place that is asked for.
    fn back(
        &mut self,
        decoded: &Decoded,
        query: Query,
        from: usize,
        traced: &mut Traced,
        next: &mut impl FnMut(Query),
    ) {
        let abi = self.lifter.abi();
        let insn = decoded.insns[from];
        if let Some(equal) = insn.equal {
            // on the way behind it, unless it also leads there
            let behind = query.index == from + 1 && insn.flow != Flow::Branch(decoded.at(from + 1));
            if query.loc == Loc::Reg(equal.reg) && behind != equal.taken {
                return traced.number(&query, equal.number, insn.at);
            }
        }
        let here = |loc: Loc| Query {
            index: from,
            loc,
            ..query
        };
        let stack = |base: Reg, displacement: i64| -> Option<i64> {
            decoded.slot(&abi, from, base, displacement)
        };
        let changes = |reg: Reg| match insn.op {
            Op::Set(to, _) => to == reg,
            Op::Clobber(mask) => within(mask, reg),
            // every vector register is the callee's
            Op::Call(_) => within(abi.volatile, reg) || reg > 32,
            Op::Kernel | Op::Foreign => within(abi.kernel, reg),
            _ => false,
        };
        let stored =
            |source: Source, exact: bool, traced: &mut Traced, next: &mut dyn FnMut(Query)| {
                match source {
                    Source::Const(number) if exact => traced.number(&query, number, insn.at),
                    Source::Reg(reg) if exact => next(here(Loc::Reg(reg))),
                    _ => traced.unknown(insn.at, Reason::Computed),
                }
            };
        match query.loc {
            Loc::Reg(reg) if Some(reg) == abi.zero => traced.number(&query, 0, insn.at),
            Loc::Reg(reg) => match insn.op {
                Op::Set(to, value) if to == reg => match value {
                    Value::Const(number) => traced.number(&query, number, insn.at),
                    Value::Copy(from, by) if from != abi.stack => next(Query {
                        add: query.add.wrapping_add(by),
                        ..here(Loc::Reg(from))
                    }),
                    Value::Low(from) => next(Query {
                        low: true,
                        ..here(Loc::Reg(from))
                    }),
                    Value::Load(base, displacement) => {
                        next(here(match stack(base, displacement) {
                            Some(slot) => Loc::Stack(slot),
                            None => Loc::Behind(base, displacement),
                        }))
                    }
                    Value::Global(address) => {
                        self.global(query, address, None, insn.at, traced, next);
                    }
                    Value::Either(other) => {
                        next(here(Loc::Reg(reg)));
                        next(here(Loc::Reg(other)));
                    }
                    Value::Choice(one, other, by) => {
                        next(here(Loc::Reg(one)));
                        next(Query {
                            add: query.add.wrapping_add(by),
                            ..here(Loc::Reg(other))
                        });
                    }
                    Value::Copy(..) | Value::Page(_) | Value::Unknown => {
                        traced.unknown(insn.at, Reason::Computed)
                    }
                },
                Op::SetLow(to, value) if to == reg => match value {
                    Value::Const(number) if query.low => traced.number(&query, number, insn.at),
                    Value::Copy(from, 0) | Value::Low(from) if query.low => {
                        next(here(Loc::Reg(from)));
                    }
                    // xor %eax,%eax; mov $60,%al
                    Value::Const(number) if decoded.cleared(from, reg) => {
                        traced.number(&query, number & 0xff, insn.at);
                    }
                    _ => traced.unknown(insn.at, Reason::Computed),
                },
                _ if changes(reg) => traced.unknown(insn.at, Reason::Computed),
                _ => next(here(query.loc)),
            },
            Loc::Stack(slot) => match insn.op {
                Op::Store(base, displacement, size, source) => match stack(base, displacement)
                    .or_else(|| {
                        let slot = decoded.points(&abi, from, base)?;
                        Some(slot.wrapping_add(displacement))
                    }) {
                    Some(to) if to <= slot && slot < to.saturating_add(i64::from(size)) => {
                        stored(source, to == slot, traced, next);
                    }
                    _ => next(here(query.loc)),
                },
                _ => next(here(query.loc)),
            },
            Loc::Behind(reg, displacement) => match insn.op {
                Op::Store(base, to, size, source)
                    if base == reg
                        && to <= displacement
                        && displacement < to.saturating_add(i64::from(size)) =>
                {
                    stored(source, to == displacement, traced, next);
                }
                Op::Set(to, value) if to == reg => match value {
                    Value::Const(address) => {
                        let address = address.wrapping_add_signed(displacement);
                        self.global(query, address, None, insn.at, traced, next);
                    }
                    Value::Copy(base, by) => {
                        let displacement = displacement.wrapping_add(by);
                        next(here(match stack(base, displacement) {
                            Some(slot) => Loc::Stack(slot),
                            None => Loc::Behind(base, displacement),
                        }));
                    }
                    Value::Load(base, by) => match stack(base, by) {
                        Some(slot) => next(here(Loc::BehindStack(slot, displacement))),
                        None => traced.unknown(insn.at, Reason::Memory),
                    },
                    Value::Global(address) => {
                        self.global(query, address, Some(displacement), insn.at, traced, next);
                    }
                    _ => traced.unknown(insn.at, Reason::Memory),
                },
                _ if changes(reg) => traced.unknown(insn.at, Reason::Memory),
                _ => next(here(query.loc)),
            },
            Loc::BehindStack(slot, displacement) => match insn.op {
                Op::Store(base, by, size, source) => match stack(base, by) {
                    Some(to) if to <= slot && slot < to.saturating_add(i64::from(size)) => {
                        match source {
                            Source::Reg(reg) if to == slot => {
                                next(here(Loc::Behind(reg, displacement)))
                            }
                            _ => traced.unknown(insn.at, Reason::Memory),
                        }
                    }
                    _ => next(here(query.loc)),
                },
                _ => next(here(query.loc)),
            },
        }
    }
}

/// The same place from the start of another unit, in which the stack pointer is at
/// `depth` when control leaves it.
pub fn moved(loc: Loc, depth: Option<i64>) -> Option<Loc> {
    match loc {
        Loc::Stack(slot) => Some(Loc::Stack(slot.wrapping_add(depth?))),
        Loc::BehindStack(slot, by) => Some(Loc::BehindStack(slot.wrapping_add(depth?), by)),
        loc => Some(loc),
    }
}
