//! What becomes of a function's address that a register got: compilers keep the address
//! of a function that is called often in a register and call through that.

use std::collections::HashSet;

use super::ir::{self, Abi, Callee, Flow, Insn, Op, Reg, Source, Value};
use super::unit::Decoded;

/// Steps that one address may be followed.
const STEPS_MAX: usize = 20_000;

/// Where the address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Loc {
    Reg(Reg),
    Stack(i64),
}

/// What is done with an address.
pub struct Uses {
    /// The instructions that call through it.
    pub calls: Vec<usize>,
    /// The calls that get it as their first argument.
    pub handed: Vec<usize>,
}

/// Follows the address that the instruction at `index` puts into `reg`. Nothing
/// comes back if it gets out of sight. `ends` tells
/// whether an instruction calls a function that does not return.
pub fn calls_through(
    decoded: &Decoded,
    abi: &Abi,
    index: usize,
    reg: Reg,
    mut ends: impl FnMut(&Insn) -> bool,
) -> Option<Uses> {
    let mut seen = HashSet::new();
    let mut todo = Vec::new();
    let mut calls = Vec::new();
    let mut handed = Vec::new();
    let mut go = |todo: &mut Vec<(usize, Loc)>, index: usize, loc: Loc| {
        if index < decoded.insns.len() && seen.insert((index, loc)) {
            todo.push((index, loc));
        }
        seen.len() <= STEPS_MAX
    };
    go(&mut todo, index + 1, Loc::Reg(reg));
    while let Some((index, loc)) = todo.pop() {
        let insn = decoded.insns[index];
        let slot = |base: Reg, by: i64| decoded.slot(abi, index, base, by);
        let holds = |reg: Reg| loc == Loc::Reg(reg);
        if within(insn.reads, loc) {
            return None;
        }
        // where else it is after this, and whether it still is where it was
        let mut copy = None;
        let mut stays = true;
        match insn.op {
            Op::Set(to, value) => {
                stays = !holds(to);
                match value {
                    Value::Copy(from, by) if holds(from) && by != 0 => return None,
                    Value::Copy(from, _) | Value::Either(from) if holds(from) => {
                        copy = Some(Loc::Reg(to));
                    }
                    Value::Choice(one, other, _) if holds(one) || holds(other) => {
                        copy = Some(Loc::Reg(to));
                    }
                    Value::Load(base, by) => {
                        let slot = slot(base, by).map(Loc::Stack);
                        if slot == Some(loc) {
                            copy = Some(Loc::Reg(to));
                        }
                    }
                    _ => {}
                }
                if let Value::Either(_) = value {
                    stays = true;
                }
            }
            Op::SetLow(to, _) => stays = !holds(to),
            Op::Store(base, by, size, source) => {
                if holds(base) {
                    return None;
                }
                let slot = slot(base, by).map(Loc::Stack);
                stays = slot.is_none() || slot != Some(loc);
                // an address is stored whole: on this way the register has something else
                if size >= 8 && matches!(source, Source::Reg(from) if holds(from)) {
                    copy = Some(slot?);
                }
            }
            Op::StoreGlobal(_, Source::Reg(from)) if holds(from) => return None,
            Op::Clobber(mask) => stays = !within(mask, loc),
            Op::Kernel | Op::Foreign => stays = !within(abi.kernel, loc),
            Op::Call(callee) => {
                let through = match callee {
                    Callee::Reg(reg) => holds(reg),
                    Callee::Behind(base, by) => slot(base, by).map(Loc::Stack) == Some(loc),
                    _ => false,
                };
                if through {
                    calls.push(index);
                } else if ends(&insn) {
                    continue;
                } else if holds(abi.first) {
                    handed.push(index);
                } else if within(abi.arguments, loc) {
                    return None;
                }
                stays = !within(abi.volatile, loc);
            }
            Op::StoreGlobal(..) | Op::Nothing => {}
        }
        let next: Vec<usize> = match insn.flow {
            Flow::Next => vec![index + 1],
            Flow::Jump(to) | Flow::Branch(to) => {
                let mut next = Vec::from_iter(decoded.index(to).map(|to| to as usize));
                // control leaves with it
                if next.is_empty() && stays && matches!(loc, Loc::Reg(_)) {
                    return None;
                }
                if insn.falls_through() {
                    next.push(index + 1);
                }
                next
            }
            Flow::Indirect(Some(reg)) if holds(reg) => {
                calls.push(index);
                continue;
            }
            Flow::Indirect(_) | Flow::Table(_) => {
                let next: Vec<usize> = decoded.table_of(index).collect();
                if next.is_empty() && within(abi.arguments, loc) {
                    return None;
                }
                next
            }
            Flow::Return if holds(abi.result) => return None,
            Flow::Tail(_) if within(abi.arguments, loc) => return None,
            Flow::Return | Flow::Tail(_) | Flow::Stop => continue,
        };
        for to in next {
            for loc in copy.into_iter().chain(stays.then_some(loc)) {
                if !go(&mut todo, to, loc) {
                    return None;
                }
            }
        }
    }
    for places in [&mut calls, &mut handed] {
        places.sort_unstable();
        places.dedup();
    }
    Some(Uses { calls, handed })
}

fn within(mask: u32, loc: Loc) -> bool {
    matches!(loc, Loc::Reg(reg) if ir::within(mask, reg))
}
