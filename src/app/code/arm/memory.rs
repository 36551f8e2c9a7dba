//! aarch64: what is read from memory and written to it.

use super::super::ir::{Flow, Insn, Op, Reg, Source, Stack, Value};
use super::{Place, SP, VECTOR, clobber, field, mask, rd, rm, rn, set};

/// Loads and stores, which may do several things each.
pub fn lift(word: u32, place: Place, mut insn: Insn, insns: &mut Vec<Insn>) {
    let (base, first) = (rn(word), rd(word));
    let vector = word >> 26 & 1 == 1;
    let mut push = |insn: Insn, op: Op| {
        insns.push(Insn {
            op,
            flow: Flow::Next,
            stack: Stack::Same,
            ..insn
        })
    };
    let source = |reg: Reg| {
        if vector {
            Source::Reg(VECTOR + reg)
        } else if reg == 31 {
            Source::Const(0)
        } else {
            Source::Reg(reg)
        }
    };
    // what becomes of the base: nothing, or this is added
    let mut moved = None;
    if word & 0x3a00_0000 == 0x2800_0000 {
        // ldp and stp
        let kind = word >> 30;
        let size = match (vector, kind) {
            (true, kind) => 4i64 << kind.min(2),
            (false, 2) => 8,
            _ => 4,
        };
        let by = field(word, 15, 7) * size;
        let second = (word >> 10 & 31) as Reg;
        let at = match word >> 23 & 3 {
            1 => {
                moved = Some(by);
                0
            }
            3 => {
                moved = Some(by);
                by
            }
            _ => by,
        };
        let load = word >> 22 & 1 == 1;
        for (reg, at) in [(first, at), (second, at.wrapping_add(size))] {
            if !load {
                let size = u8::try_from(size).unwrap_or(64);
                push(insn, Op::Store(base, at, size, source(reg)));
            } else if vector {
                push(insn, Op::Set(VECTOR + reg, Value::Load(base, at)));
            } else {
                push(insn, set(reg, Value::Load(base, at)));
            }
        }
    } else if word & 0x3b00_0000 == 0x1800_0000 {
        let address = place.relative(field(word, 5, 19));
        if !vector && word >> 30 != 3 {
            push(insn, set(first, Value::Global(address)));
        }
    } else if word & 0x3b00_0000 == 0x3900_0000 || word & 0x3b20_0000 == 0x3800_0000 {
        let (scale, kind) = (word >> 30, word >> 22 & 3);
        let (size, store) = match (vector, kind) {
            (true, 0 | 1) => (1i64 << scale, kind == 0),
            (true, _) => (16, kind == 2),
            (false, kind) => (1i64 << scale, kind == 0),
        };
        let prefetch = !vector && scale == 3 && kind == 2;
        let at = if word >> 24 & 1 == 1 {
            i64::from(word >> 10 & 0xfff) * size
        } else {
            let by = field(word, 12, 9);
            match word >> 10 & 3 {
                1 => {
                    moved = Some(by);
                    0
                }
                3 => {
                    moved = Some(by);
                    by
                }
                _ => by,
            }
        };
        if store {
            let size = u8::try_from(size).unwrap_or(64);
            push(insn, Op::Store(base, at, size, source(first)));
        } else if vector {
            push(insn, Op::Set(VECTOR + first, Value::Load(base, at)));
        } else if !prefetch {
            let value = if size == 1 {
                Value::Unknown
            } else {
                Value::Load(base, at)
            };
            push(insn, set(first, value));
        }
    } else if word & 0x3b20_0c00 == 0x3820_0800 {
        // an index is added
        if word >> 22 & 3 != 0 && !vector {
            push(insn, clobber(first));
        } else if !vector {
            insn.reads = mask(first);
        }
    } else if word & 0x3b20_0c00 == 0x3820_0000 || word & 0x3f00_0000 == 0x0800_0000 {
        // atomic operations, and exclusive ones whose status goes to the third register
        let changed = mask(first) | mask(rm(word)) | mask((word >> 10 & 31) as Reg);
        insn.reads = changed;
        push(insn, Op::Clobber(changed));
    } else if vector {
        moved = None;
    }
    insn.stack = match (base, moved) {
        (SP, Some(by)) => i32::try_from(by).map_or(Stack::Lost, Stack::Move),
        _ => Stack::Same,
    };
    if let (true, Some(by)) = (base != SP, moved) {
        insn.op = Op::Set(base, Value::Copy(base, by));
    }
    insns.push(insn);
}
