//! aarch64: the instructions that move numbers about, as [`Insn`]. Encodings are those
//! of the Arm Architecture Reference Manual, chapter C4, "A64 Instruction Set Encoding".

mod memory;
pub mod scan;

use super::ir::{Abi, At, Callee, Equal, Flow, Insn, Op, Reg, Stack, Value};

/// The stack pointer, in instructions that mean it by 31.
const SP: Reg = 31;
/// The register that is always zero, in instructions that mean it by 31.
pub const ZERO: Reg = 32;

/// The first vector register.
const VECTOR: Reg = 64;

/// The procedure call standard of aarch64; the kernel keeps all but the result.
pub const ABI: Abi = Abi {
    number: 8,
    result: 0,
    stack: SP,
    frame: 29,
    // x0 to x18, x30
    volatile: 0x4007_ffff,
    kernel: 1,
    first: 0,
    second: 1,
    arguments: 0xff,
    pushed: 0,
    zero: Some(ZERO),
};

/// Decodes `bytes`, which are at `at` in a text of `len` bytes from `base`.
pub fn lift(bytes: &[u8], at: At, base: u64, len: u32) -> Vec<Insn> {
    let mut insns = Vec::with_capacity(bytes.len() / 4);
    let mut pages = Pages::default();
    for (place, word) in words(bytes, at) {
        let here = Place {
            at: place,
            base,
            len,
        };
        let first = insns.len();
        here.lift(word, &mut insns);
        for insn in &mut insns[first..] {
            pages.apply(insn);
        }
    }
    insns
}

fn words(bytes: &[u8], at: At) -> impl Iterator<Item = (At, u32)> + '_ {
    // instructions are aligned, wherever a part may begin
    let skip = (at.wrapping_neg() & 3) as usize;
    let aligned = bytes.get(skip..).unwrap_or_default();
    aligned
        .chunks_exact(4)
        .enumerate()
        .map(move |(index, word)| {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            (at.wrapping_add((skip + 4 * index) as u32), word)
        })
}

/// The pages that registers point to: adrp names one, the next instruction the rest.
#[derive(Default)]
struct Pages([Option<u64>; 32]);

impl Pages {
    /// Joins an instruction with the page that it builds on.
    fn apply(&mut self, insn: &mut Insn) {
        let page = |reg: Reg| self.0.get(usize::from(reg)).copied().flatten();
        match &mut insn.op {
            Op::Set(_, value) => match *value {
                Value::Copy(from, by) => {
                    if let Some(page) = page(from) {
                        *value = Value::Const(page.wrapping_add_signed(by));
                    }
                }
                Value::Load(from, by) => {
                    if let Some(page) = page(from) {
                        *value = Value::Global(page.wrapping_add_signed(by));
                    }
                }
                _ => {}
            },
            Op::Store(base, by, _, source) => {
                if let Some(page) = page(*base) {
                    insn.op = Op::StoreGlobal(page.wrapping_add_signed(*by), *source);
                }
            }
            _ => {}
        }
        let changed = match insn.op {
            Op::Set(to, Value::Page(address) | Value::Const(address)) => {
                self.0[usize::from(to & 31)] = Some(address);
                0
            }
            Op::Set(to, _) | Op::SetLow(to, _) => mask(to),
            Op::Clobber(mask) => mask,
            Op::Call(_) => ABI.volatile,
            Op::Kernel => ABI.kernel,
            _ => 0,
        };
        for (reg, page) in self.0.iter_mut().enumerate() {
            if changed >> reg & 1 == 1 {
                *page = None;
            }
        }
    }
}

/// Where an instruction stands.
#[derive(Clone, Copy)]
struct Place {
    at: At,
    base: u64,
    len: u32,
}

impl Place {
    /// The place this many instructions from here.
    fn relative(self, by: i64) -> u64 {
        self.base
            .wrapping_add(u64::from(self.at))
            .wrapping_add_signed(by << 2)
    }

    fn place(self, address: u64) -> Option<At> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        (at < self.len).then_some(at)
    }

    /// What adr and adrp make.
    fn address(self, word: u32) -> u64 {
        let here = self.base.wrapping_add(u64::from(self.at));
        let by = field(word, 5, 19) << 2 | i64::from(word >> 29 & 3);
        if word >> 31 == 1 {
            (here & !0xfff).wrapping_add_signed(by << 12)
        } else {
            here.wrapping_add_signed(by)
        }
    }

    fn flow(self, word: u32) -> Flow {
        let to = |by: i64| self.place(self.relative(by));
        if word >> 26 == 0x05 {
            return to(field(word, 0, 26)).map_or(Flow::Stop, Flow::Jump);
        }
        if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
            return to(field(word, 5, 19)).map_or(Flow::Next, Flow::Branch);
        }
        if word & 0x7e00_0000 == 0x3600_0000 {
            return to(field(word, 5, 14)).map_or(Flow::Next, Flow::Branch);
        }
        if word & 0xfe00_0000 == 0xd600_0000 {
            return match word >> 21 & 0xf {
                0 | 8 => Flow::Indirect(Some(rn(word))),
                1 | 9 => Flow::Next,
                2 => Flow::Return,
                _ => Flow::Stop,
            };
        }
        // brk, hlt, udf
        let stops = word & 0xffe0_001f == 0xd420_0000
            || word & 0xffe0_001f == 0xd440_0000
            || word & 0xffff_0000 == 0;
        if stops { Flow::Stop } else { Flow::Next }
    }

    fn lift(self, word: u32, insns: &mut Vec<Insn>) {
        let mut insn = Insn {
            at: self.at,
            len: 4,
            padding: padding(word),
            reads: 0,
            equal: None,
            op: Op::Nothing,
            stack: Stack::Same,
            flow: self.flow(word),
        };
        match word >> 25 & 0xf {
            8 | 9 => {
                (insn.op, insn.stack) = self.immediates(word);
            }
            10 | 11 => {
                insn.op = self.branches(word);
                // cbz and cbnz
                if word & 0x7e00_0000 == 0x3400_0000 {
                    insn.equal = Some(Equal {
                        reg: rd(word),
                        number: 0,
                        taken: word >> 24 & 1 == 0,
                    });
                }
            }
            4 | 6 | 12 | 14 => return memory::lift(word, self, insn, insns),
            5 | 13 => {
                (insn.op, insn.stack) = registers(word);
                insn.reads = reads(word);
            }
            7 | 15 => insn.op = floating(word),
            _ => {}
        }
        insns.push(insn);
    }

    fn branches(self, word: u32) -> Op {
        if word >> 26 == 0x25 {
            let to = self.place(self.relative(field(word, 0, 26)));
            return Op::Call(to.map_or(Callee::Unknown, Callee::At));
        }
        if word & 0xfe00_0000 == 0xd600_0000 && matches!(word >> 21 & 0xf, 1 | 9) {
            return Op::Call(Callee::Reg(rn(word)));
        }
        if svc(word) {
            return Op::Kernel;
        }
        // mrs and sysl
        if word & 0xffe0_0000 == 0xd520_0000 || word & 0xfff0_0000 == 0xd530_0000 {
            return clobber(rd(word));
        }
        Op::Nothing
    }

    fn immediates(self, word: u32) -> (Op, Stack) {
        let same = |op| (op, Stack::Same);
        let rd = rd(word);
        match word >> 23 & 7 {
            0 | 1 if word >> 31 == 1 => same(set(rd, Value::Page(self.address(word)))),
            0 | 1 => same(set(rd, Value::Const(self.address(word)))),
            2 => {
                let by = immediate(word) as i64;
                let by = if word >> 30 & 1 == 1 { -by } else { by };
                let from = rn(word);
                if word >> 29 & 1 == 1 {
                    // with flags, 31 is the zero register: a comparison
                    return same(set(rd, Value::Copy(from, by)));
                }
                if rd != SP {
                    return same(Op::Set(rd, Value::Copy(from, by)));
                }
                let by = i32::try_from(by).unwrap_or_default();
                (
                    Op::Nothing,
                    match from {
                        SP => Stack::Move(by),
                        from if from == ABI.frame => Stack::Frame(by),
                        from => Stack::Reg(from, by),
                    },
                )
            }
            4 => {
                // and, orr, eor, ands; all but the last may write to the stack pointer
                let kind = word >> 29 & 3;
                if rd == SP && kind != 3 {
                    return same(Op::Nothing);
                }
                let made = (kind == 1 && rn(word) == 31)
                    .then(|| bitmask(word))
                    .flatten();
                same(set(rd, made.map_or(Value::Unknown, Value::Const)))
            }
            5 => {
                let shift = 16 * (word >> 21 & 3);
                let number = u64::from(word >> 5 & 0xffff) << shift;
                let wide = word >> 31 == 1;
                let value = match word >> 29 & 3 {
                    0 => Value::Const(if wide { !number } else { !number & 0xffff_ffff }),
                    2 => Value::Const(number),
                    // movk after a movz that left these bits zero
                    3 if shift > 0 => Value::Copy(rd, number as i64),
                    _ => Value::Unknown,
                };
                same(set(rd, value))
            }
            6 => {
                let (low, high) = (word >> 16 & 0x3f, word >> 10 & 0x3f);
                let value = match (word >> 29 & 3, low, high) {
                    (0 | 2, 0, 7) => Value::Low(rn(word)),
                    (0 | 2, 0, 15 | 31 | 63) => Value::Copy(zero(rn(word)), 0),
                    _ => Value::Unknown,
                };
                same(set(rd, value))
            }
            _ => same(set(rd, Value::Unknown)),
        }
    }
}

fn registers(word: u32) -> (Op, Stack) {
    let rd = rd(word);
    // orr with nothing: a move
    if word & 0x7fe0_ffe0 == 0x2a00_03e0 {
        return (set(rd, Value::Copy(zero(rm(word)), 0)), Stack::Same);
    }
    // add and sub of an extended register may write to the stack pointer
    if word & 0x3f20_0000 == 0x0b20_0000 && rd == SP {
        return (Op::Nothing, Stack::Lost);
    }
    // csel and csinc
    if word & 0x7fe0_0800 == 0x1a80_0000 {
        let by = i64::from(word >> 10 & 1);
        let value = Value::Choice(zero(rn(word)), zero(rm(word)), by);
        return (set(rd, value), Stack::Same);
    }
    // ccmp and ccmn
    if word & 0x3fe0_0000 == 0x3a40_0000 {
        return (Op::Nothing, Stack::Same);
    }
    (set(rd, Value::Unknown), Stack::Same)
}

/// The registers that an instruction reads in a way that [`Op`] does not tell.
fn reads(word: u32) -> u32 {
    let compares = rd(word) == 31 || word & 0x3fe0_0000 == 0x3a40_0000;
    let moves = word & 0x7fe0_ffe0 == 0x2a00_03e0 || word & 0x7fe0_0800 == 0x1a80_0000;
    if compares || moves {
        return 0;
    }
    mask(rn(word)) | mask(rm(word))
}

/// Moves between vector and general registers.
fn floating(word: u32) -> Op {
    let converts = word & 0x5f20_fc00 == 0x1e20_0000;
    let copies = word & 0xbfe0_c400 == 0x0e00_0400;
    if converts || copies {
        clobber(rd(word))
    } else {
        Op::Nothing
    }
}

fn svc(word: u32) -> bool {
    word & 0xffe0_001f == 0xd400_0001
}

fn padding(word: u32) -> bool {
    // nop, and what is no instruction
    word == 0xd503_201f || word == 0
}

/// What orr of an immediate makes (DecodeBitMasks in the manual's pseudocode).
fn bitmask(word: u32) -> Option<u64> {
    let (wide, rotate, ones) = (word >> 22 & 1, word >> 16 & 0x3f, word >> 10 & 0x3f);
    let len = 31u32.checked_sub((wide << 6 | (!ones & 0x3f)).leading_zeros())?;
    let size = 1u32 << len;
    let (ones, rotate) = (ones & (size - 1), rotate & (size - 1));
    if len == 0 || ones == size - 1 {
        return None;
    }
    let low = |bits: u32| u64::MAX >> (64 - bits);
    let element = low(ones + 1);
    let turned = match rotate {
        0 => element,
        rotate => (element >> rotate | element << (size - rotate)) & low(size),
    };
    let mut number = 0;
    for at in (0..64).step_by(size as usize) {
        number |= turned << at;
    }
    Some(if word >> 31 == 1 {
        number
    } else {
        number & 0xffff_ffff
    })
}

/// The immediate of add and sub.
fn immediate(word: u32) -> u64 {
    let number = u64::from(word >> 10 & 0xfff);
    if word >> 22 & 1 == 1 {
        number << 12
    } else {
        number
    }
}

/// A signed field of `bits` bits from bit `low`.
fn field(word: u32, low: u32, bits: u32) -> i64 {
    let up = 32 - low - bits;
    i64::from(((word << up) as i32) >> (32 - bits))
}

/// Sets a register; in the instructions that use this, 31 means nothing.
fn set(reg: Reg, value: Value) -> Op {
    if reg == 31 {
        Op::Nothing
    } else {
        Op::Set(reg, value)
    }
}

fn clobber(reg: Reg) -> Op {
    if reg == 31 {
        Op::Nothing
    } else {
        Op::Clobber(mask(reg))
    }
}

fn mask(reg: Reg) -> u32 {
    if reg >= 31 { 0 } else { 1 << reg }
}

/// The register, in an instruction in which 31 means zero.
fn zero(reg: Reg) -> Reg {
    if reg == 31 { ZERO } else { reg }
}

fn rd(word: u32) -> Reg {
    (word & 31) as Reg
}

fn rn(word: u32) -> Reg {
    (word >> 5 & 31) as Reg
}

fn rm(word: u32) -> Reg {
    (word >> 16 & 31) as Reg
}
