//! From the start of a function to everything that calls it.

use super::ir::{At, Callee, Flow, Insn, Op, Reg, Source, Value};
use super::text::unit_at;
use super::trace::{Loc, Query, Reason, Traced, Tracer, moved};
use super::unit::Decoded;
use super::uses::calls_through;

/// Steps that following an address through a function counts for.
const TAKEN_WORK: usize = 100;

impl Tracer<'_, '_> {
    /// Goes on at everything that leads to `at` from other units.
    pub fn callers(
        &mut self,
        callee: &Decoded,
        query: Query,
        at: At,
        traced: &mut Traced,
        next: &mut impl FnMut(Query),
    ) {
        let abi = self.lifter.abi();
        // what the function was given, relative to its own start
        let origin = callee.depth(query.index).unwrap_or_default();
        let inner = match query.loc {
            Loc::Stack(slot) => Loc::Stack(slot.wrapping_sub(origin)),
            Loc::BehindStack(slot, by) => Loc::BehindStack(slot.wrapping_sub(origin), by),
            loc => loc,
        };
        let named = matches!(inner, Loc::Stack(_)) && self.lifter.named_stack(callee.unit);
        if !named && self.pointed_at(at) {
            traced.unknown(at, Reason::Pointer);
        }
        let references = self.references;
        for (_, from) in references.between(at, at + 1) {
            let Some(unit) = unit_at(self.units, from) else {
                continue;
            };
            self.work += 1;
            let caller = self.decode(unit);
            for index in caller.covering(from) {
                let insn = caller.insns[index];
                let query = |loc| Query {
                    unit,
                    index,
                    loc,
                    ..query
                };
                // what a pointer to the stack leads to is on the caller's stack
                let here = |loc: Loc| match loc {
                    Loc::Behind(reg, by) => caller
                        .points(&abi, index, reg)
                        .map_or(loc, |slot| Loc::Stack(slot.wrapping_add(by))),
                    loc => loc,
                };
                if self.calls(&insn, at) {
                    let depth = caller.depth(index).map(|it| it.wrapping_sub(abi.pushed));
                    let below = matches!(inner, Loc::Stack(slot) | Loc::BehindStack(slot, _) if slot < abi.pushed);
                    match moved(inner, depth) {
                        Some(loc) if !below => next(query(here(loc))),
                        _ => traced.unknown(insn.at, Reason::Memory),
                    }
                } else if self.jumps(&insn, at) {
                    match moved(inner, caller.depth(index)) {
                        Some(loc) => next(query(loc)),
                        None => traced.unknown(insn.at, Reason::Memory),
                    }
                } else if let Some(reg) = self.takes(&insn, at) {
                    self.work += TAKEN_WORK;
                    let uses = reg.and_then(|reg| {
                        calls_through(&caller, &abi, index, reg, |insn| self.ends(insn))
                    });
                    let Some(uses) = uses else {
                        traced.unknown(insn.at, Reason::Pointer);
                        continue;
                    };
                    for index in uses.calls {
                        let called = matches!(caller.insns[index].op, Op::Call(_));
                        let pushed = if called { abi.pushed } else { 0 };
                        let depth = caller.depth(index).map(|it| it.wrapping_sub(pushed));
                        match moved(inner, depth) {
                            Some(loc) => next(Query {
                                index,
                                ..query(loc)
                            }),
                            None => traced.unknown(caller.insns[index].at, Reason::Memory),
                        }
                    }
                    for index in uses.handed {
                        match inner {
                            // a function that is handed over with a pointer gets that
                            Loc::Behind(reg, by) if reg == abi.first => {
                                let slot = caller.points(&abi, index, abi.second);
                                let loc = match slot {
                                    Some(slot) => Loc::Stack(slot.wrapping_add(by)),
                                    None => Loc::Behind(abi.second, by),
                                };
                                next(Query {
                                    index,
                                    ..query(loc)
                                });
                            }
                            _ => traced.unknown(caller.insns[index].at, Reason::Pointer),
                        }
                    }
                }
            }
        }
    }

    /// Whether a word in the data holds the address, but for the global offset table,
    /// whose readers are among the references.
    fn pointed_at(&self, at: At) -> bool {
        let (start, end) = self.lifter.table;
        let outside = |place: u32| {
            let word = self.lifter.binary.address_of(u64::from(place));
            // a relocation stands for what it writes to: its address is two words before
            let slot = || self.lifter.slots.written(word?);
            let inside = |address: u64| address >= start && address < end;
            !word.is_some_and(inside) && !slot().is_some_and(inside)
        };
        self.words
            .between(at, at + 1)
            .any(|(_, place)| outside(place))
    }

    fn calls(&self, insn: &Insn, at: At) -> bool {
        match insn.op {
            Op::Call(Callee::At(to)) => to == at,
            Op::Call(Callee::Slot(slot)) => self.lifter.through(slot) == Some(at),
            _ => false,
        }
    }

    fn jumps(&self, insn: &Insn, at: At) -> bool {
        match insn.flow {
            Flow::Jump(to) | Flow::Branch(to) => to == at,
            Flow::Tail(slot) => self.lifter.through(slot) == Some(at),
            _ => false,
        }
    }

    /// Whether the instruction takes the address of `at`, and into which register.
    fn takes(&self, insn: &Insn, at: At) -> Option<Option<Reg>> {
        let address = self.lifter.text.address(at);
        match insn.op {
            Op::Set(reg, Value::Const(number)) if number == address => Some(Some(reg)),
            Op::Set(reg, Value::Global(slot)) if self.lifter.through(slot) == Some(at) => {
                Some(Some(reg))
            }
            Op::Store(_, _, _, Source::Const(number))
            | Op::StoreGlobal(_, Source::Const(number))
                if number == address =>
            {
                Some(None)
            }
            _ => None,
        }
    }
}
