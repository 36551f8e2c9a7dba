//! x86_64: instructions as [`Insn`].

pub mod scan;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

use super::ir::{Abi, At, Callee, Equal, Flow, Insn, Op, Reg, Source, Stack, Value};
use super::lift::Led;

const RSP: Reg = 4;
/// The first vector register.
const VECTOR: Reg = 64;

/// The System V ABI of x86_64, appendix A.2.1 for the kernel's side. Go keeps its own
/// goroutine in r14 and no value in any register across a call.
pub const ABI: Abi = Abi {
    number: 0,
    result: 0,
    stack: RSP,
    frame: 5,
    // rax, rcx, rdx, rsi, rdi, r8 to r11
    volatile: 0b1111_1100_0111,
    // rax, rcx, r11
    kernel: 0b1000_0000_0011,
    first: 7,
    second: 6,
    // rcx, rdx, rsi, rdi, r8, r9
    arguments: 0b0011_1100_0110,
    pushed: 8,
    zero: None,
};

/// Decodes `bytes`, which are at `at` in a text of `len` bytes from `base`.
pub fn lift(bytes: &[u8], at: At, base: u64, len: u32) -> Vec<Insn> {
    let mut lifter = Lifter::new(base, len);
    // the mean instruction has more than four bytes
    let mut insns = Vec::with_capacity(bytes.len() / 4);
    decode(bytes, at, base, |it, at, len| {
        lifter.reads = 0;
        let (op, stack) = if it.is_invalid() {
            (Op::Nothing, Stack::Same)
        } else {
            lifter.effect(it)
        };
        insns.push(Insn {
            at,
            len,
            padding: padding(it),
            reads: lifter.reads,
            equal: lifter.equal(it),
            op,
            stack,
            flow: lifter.flow(it),
        });
    });
    insns
}

/// Tells of every instruction where it leads.
pub fn flows(bytes: &[u8], at: At, base: u64, len: u32, mut see: impl FnMut(At, Led)) {
    let lifter = Lifter::new(base, len);
    decode(bytes, at, base, |it, at, _| {
        let flow = lifter.flow(it);
        see(
            at,
            Led {
                open: matches!(flow, Flow::Next | Flow::Branch(_))
                    && it.mnemonic() != Mnemonic::Call,
                padding: padding(it),
                jump: match flow {
                    Flow::Jump(to) | Flow::Branch(to) => Some(to),
                    _ => None,
                },
            },
        );
    });
}

fn decode(bytes: &[u8], at: At, base: u64, mut see: impl FnMut(&Instruction, At, u8)) {
    let address = base.wrapping_add(u64::from(at));
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let mut it = Instruction::default();
    let mut place = at;
    while decoder.can_decode() {
        decoder.decode_out(&mut it);
        let len = u8::try_from(it.len()).unwrap_or(1).max(1);
        see(&it, place, len);
        place = place.wrapping_add(u32::from(len));
    }
}

/// Turns instructions into [`Insn`]s.
struct Lifter {
    info: InstructionInfoFactory,
    /// The lowest address of the text, and one behind its last.
    base: u64,
    end: u64,
    /// The registers that the last instruction read in a way that its [`Op`] does not tell.
    reads: u32,
    /// The register and the number that the last instruction compared.
    compared: Option<(Reg, u64)>,
}

impl Lifter {
    fn new(base: u64, len: u32) -> Lifter {
        Lifter {
            info: InstructionInfoFactory::new(),
            base,
            end: base.saturating_add(u64::from(len)),
            reads: 0,
            compared: None,
        }
    }

    /// What a branch tells of a register that was compared just before.
    fn equal(&mut self, it: &Instruction) -> Option<Equal> {
        let taken = match it.mnemonic() {
            Mnemonic::Je => true,
            Mnemonic::Jne => false,
            _ => {
                if it.rflags_modified() != 0 {
                    self.compared = compared(it);
                } else if self.compared.is_some_and(|(reg, _)| writes(it, reg)) {
                    self.compared = None;
                }
                return None;
            }
        };
        let (reg, number) = self.compared.take()?;
        Some(Equal { reg, number, taken })
    }

    fn place(&self, address: u64) -> Option<At> {
        let within = address.checked_sub(self.base)?;
        (address < self.end)
            .then(|| u32::try_from(within).ok())
            .flatten()
    }

    fn flow(&self, it: &Instruction) -> Flow {
        if it.is_invalid() {
            return Flow::Stop;
        }
        let target = || self.place(it.near_branch_target());
        match it.flow_control() {
            FlowControl::UnconditionalBranch => target().map_or(Flow::Stop, Flow::Jump),
            FlowControl::ConditionalBranch => target().map_or(Flow::Next, Flow::Branch),
            FlowControl::XbeginXabortXend if it.mnemonic() == Mnemonic::Xbegin => {
                target().map_or(Flow::Next, Flow::Branch)
            }
            FlowControl::IndirectBranch if it.op0_kind() == OpKind::Register => {
                Flow::Indirect(general(it.op0_register()))
            }
            FlowControl::IndirectBranch => match memory(it) {
                Some(Memory::Fixed(address)) => Flow::Tail(address),
                None if it.memory_base() == Register::None => {
                    Flow::Table(it.memory_displacement64())
                }
                _ => Flow::Indirect(None),
            },
            FlowControl::Return => Flow::Return,
            FlowControl::Exception if it.mnemonic() == Mnemonic::Ud2 => Flow::Stop,
            _ => Flow::Next,
        }
    }

    fn effect(&mut self, it: &Instruction) -> (Op, Stack) {
        let same = |op| (op, Stack::Same);
        match it.mnemonic() {
            Mnemonic::Nop | Mnemonic::Endbr64 | Mnemonic::Int3 | Mnemonic::Cmp | Mnemonic::Test => {
                same(Op::Nothing)
            }
            Mnemonic::Syscall => same(Op::Kernel),
            Mnemonic::Int if it.immediate8() == 0x80 => same(Op::Foreign),
            Mnemonic::Call => {
                let callee = match (it.op0_kind(), memory(it)) {
                    (OpKind::NearBranch64, _) => self
                        .place(it.near_branch_target())
                        .map_or(Callee::Unknown, Callee::At),
                    (OpKind::Memory, Some(Memory::Fixed(address))) => Callee::Slot(address),
                    (OpKind::Memory, Some(Memory::At(base, by))) => Callee::Behind(base, by),
                    (OpKind::Register, _) => {
                        general(it.op0_register()).map_or(Callee::Unknown, Callee::Reg)
                    }
                    _ => Callee::Unknown,
                };
                same(Op::Call(callee))
            }
            Mnemonic::Push => {
                let source = match it.op0_kind() {
                    OpKind::Register => {
                        general(it.op0_register()).map_or(Source::Unknown, Source::Reg)
                    }
                    OpKind::Memory => Source::Unknown,
                    _ => Source::Const(it.immediate(0)),
                };
                (Op::Store(RSP, -8, 8, source), Stack::Move(-8))
            }
            Mnemonic::Pop => match general(it.op0_register()) {
                Some(RSP) => (Op::Nothing, Stack::Lost),
                Some(reg) if it.op0_kind() == OpKind::Register => {
                    (Op::Set(reg, Value::Load(RSP, 0)), Stack::Move(8))
                }
                _ => (Op::Nothing, Stack::Move(8)),
            },
            Mnemonic::Pushfq => (Op::Store(RSP, -8, 8, Source::Unknown), Stack::Move(-8)),
            Mnemonic::Popfq => (Op::Nothing, Stack::Move(8)),
            Mnemonic::Leave => (
                Op::Set(ABI.frame, Value::Load(ABI.frame, 0)),
                Stack::Frame(8),
            ),
            _ => self.arithmetic(it),
        }
    }

    fn arithmetic(&mut self, it: &Instruction) -> (Op, Stack) {
        let same = |op| (op, Stack::Same);
        if let Some(op) = self.vector(it) {
            return same(op);
        }
        let value = value(it);
        // a register of 32 or 64 bits is written whole
        if it.op_count() > 0 && it.op0_kind() == OpKind::Register {
            let wide = it.op0_register().is_gpr32() || it.op0_register().is_gpr64();
            if let (Some(reg), Some(value)) = (general(it.op0_register()), value) {
                if reg == RSP {
                    return (
                        Op::Nothing,
                        match value {
                            Value::Copy(RSP, by) => {
                                i32::try_from(by).map_or(Stack::Lost, Stack::Move)
                            }
                            Value::Copy(reg, by) if reg == ABI.frame => {
                                i32::try_from(by).map_or(Stack::Lost, Stack::Frame)
                            }
                            _ => Stack::Lost,
                        },
                    );
                }
                if wide {
                    return same(Op::Set(reg, value));
                }
                if low(it.op0_register()) {
                    return same(Op::SetLow(reg, value));
                }
            }
        }
        if it.mnemonic() == Mnemonic::And && it.op0_register() == Register::RSP {
            // alignment: places in the frame keep their distances
            return same(Op::Nothing);
        }
        if it.mnemonic() == Mnemonic::Mov && it.op0_kind() == OpKind::Memory {
            let source = match it.op1_kind() {
                OpKind::Register => match general(it.op1_register()) {
                    Some(reg) if it.memory_size().size() >= 2 => Source::Reg(reg),
                    _ => Source::Unknown,
                },
                _ if it.memory_size().size() >= 4 => Source::Const(it.immediate(1)),
                _ => Source::Unknown,
            };
            return same(self.store(it, source));
        }
        self.anything(it)
    }

    /// A move of sixteen bytes, as structures are copied with.
    fn vector(&self, it: &Instruction) -> Option<Op> {
        let moves = matches!(
            it.mnemonic(),
            Mnemonic::Movups | Mnemonic::Movaps | Mnemonic::Movdqu | Mnemonic::Movdqa
        );
        if !moves {
            return None;
        }
        let reg = |register: Register| {
            let number = register.is_xmm().then(|| register.number())?;
            Some(VECTOR + Reg::try_from(number).ok()?)
        };
        if it.op0_kind() == OpKind::Memory {
            let source = reg(it.op1_register()).map_or(Source::Unknown, Source::Reg);
            return Some(self.store(it, source));
        }
        let value = match memory(it) {
            _ if it.op1_kind() == OpKind::Register => {
                reg(it.op1_register()).map(|it| Value::Copy(it, 0))
            }
            Some(Memory::Fixed(address)) => Some(Value::Global(address)),
            Some(Memory::At(base, by)) => Some(Value::Load(base, by)),
            None => None,
        };
        Some(Op::Set(
            reg(it.op0_register())?,
            value.unwrap_or(Value::Unknown),
        ))
    }

    fn store(&self, it: &Instruction, source: Source) -> Op {
        let size = u8::try_from(it.memory_size().size()).unwrap_or(64);
        match memory(it) {
            Some(Memory::Fixed(address)) => Op::StoreGlobal(address, source),
            Some(Memory::At(base, displacement)) => Op::Store(base, displacement, size, source),
            None => Op::Nothing,
        }
    }

    /// An instruction of which only is known what it writes to.
    fn anything(&mut self, it: &Instruction) -> (Op, Stack) {
        let info = self.info.info(it);
        let written = |access| {
            matches!(
                access,
                OpAccess::Write
                    | OpAccess::CondWrite
                    | OpAccess::ReadWrite
                    | OpAccess::ReadCondWrite
            )
        };
        let mut clobbered = 0u32;
        let mut stack = Stack::Same;
        for used in info.used_registers() {
            if written(used.access()) {
                match general(used.register()) {
                    Some(RSP) => stack = Stack::Lost,
                    Some(reg) => clobbered |= 1 << reg,
                    None => {}
                }
            }
            if let (
                OpAccess::Read | OpAccess::ReadWrite | OpAccess::CondRead | OpAccess::ReadCondWrite,
                Some(reg),
            ) = (used.access(), general(used.register()))
            {
                // what only tells where memory is does not get away
                let pointer = [it.memory_base(), it.memory_index()];
                let named = (0..it.op_count()).any(|op| {
                    it.op_kind(op) == OpKind::Register && general(it.op_register(op)) == Some(reg)
                });
                if named || !pointer.into_iter().any(|it| general(it) == Some(reg)) {
                    self.reads |= 1 << reg;
                }
            }
        }
        let stores = info.used_memory().iter().any(|it| written(it.access()));
        let op = if clobbered != 0 {
            Op::Clobber(clobbered)
        } else if stores {
            self.store(it, Source::Unknown)
        } else {
            Op::Nothing
        };
        (op, stack)
    }
}

enum Memory {
    Fixed(u64),
    At(Reg, i64),
}

/// Where the operand in memory is, unless an index is added or it is another segment's.
fn memory(it: &Instruction) -> Option<Memory> {
    if it.segment_prefix() != Register::None || it.memory_index() != Register::None {
        return None;
    }
    let displacement = it.memory_displacement64();
    match it.memory_base() {
        Register::RIP | Register::EIP | Register::None => Some(Memory::Fixed(displacement)),
        base => Some(Memory::At(general(base)?, displacement as i64)),
    }
}

/// What the first operand, a register, gets.
fn value(it: &Instruction) -> Option<Value> {
    let second = || (it.op1_kind() == OpKind::Register).then(|| it.op1_register());
    let immediate = || {
        (it.op_count() == 2 && !matches!(it.op1_kind(), OpKind::Register | OpKind::Memory))
            .then(|| it.immediate(1))
    };
    let own = general(it.op0_register())?;
    let loaded = || match memory(it) {
        _ if it.op1_kind() != OpKind::Memory || it.memory_size().size() < 2 => None,
        Some(Memory::Fixed(address)) => Some(Value::Global(address)),
        Some(Memory::At(base, displacement)) => Some(Value::Load(base, displacement)),
        None => None,
    };
    match it.mnemonic() {
        Mnemonic::Mov => match (immediate(), second()) {
            (Some(number), _) => Some(Value::Const(number)),
            (_, Some(reg)) => Some(Value::Copy(general(reg)?, 0)),
            _ => loaded(),
        },
        Mnemonic::Movsxd | Mnemonic::Movzx | Mnemonic::Movsx => match second() {
            Some(reg) if low(reg) => Some(Value::Low(general(reg)?)),
            Some(reg) => Some(Value::Copy(general(reg)?, 0)),
            None => loaded(),
        },
        Mnemonic::Cdqe | Mnemonic::Cwde => None,
        Mnemonic::Lea => match memory(it) {
            Some(Memory::Fixed(address)) => Some(Value::Const(address)),
            Some(Memory::At(base, displacement)) => Some(Value::Copy(base, displacement)),
            None => None,
        },
        Mnemonic::Xor | Mnemonic::Sub if second() == Some(it.op0_register()) => {
            Some(Value::Const(0))
        }
        Mnemonic::Add => immediate().map(|by| Value::Copy(own, by as i64)),
        Mnemonic::Sub => immediate().map(|by| Value::Copy(own, (by as i64).wrapping_neg())),
        Mnemonic::Inc => Some(Value::Copy(own, 1)),
        Mnemonic::Dec => Some(Value::Copy(own, -1)),
        Mnemonic::Or if immediate() == Some(u64::MAX) => Some(Value::Const(u64::MAX)),
        Mnemonic::And if immediate() == Some(0) => Some(Value::Const(0)),
        Mnemonic::Cmova
        | Mnemonic::Cmovae
        | Mnemonic::Cmovb
        | Mnemonic::Cmovbe
        | Mnemonic::Cmove
        | Mnemonic::Cmovg
        | Mnemonic::Cmovge
        | Mnemonic::Cmovl
        | Mnemonic::Cmovle
        | Mnemonic::Cmovne
        | Mnemonic::Cmovno
        | Mnemonic::Cmovnp
        | Mnemonic::Cmovns
        | Mnemonic::Cmovo
        | Mnemonic::Cmovp
        | Mnemonic::Cmovs => second().and_then(general).map(Value::Either),
        _ => None,
    }
}

/// Whether the first operand of an instruction that is no comparison is `reg`.
fn writes(it: &Instruction, reg: Reg) -> bool {
    it.op0_kind() == OpKind::Register && general(it.op0_register()) == Some(reg)
}

/// A register and a number that it equals if the zero flag says so.
fn compared(it: &Instruction) -> Option<(Reg, u64)> {
    if it.op_count() == 0 || it.op0_kind() != OpKind::Register {
        return None;
    }
    let wide = it.op0_register().is_gpr32() || it.op0_register().is_gpr64();
    let reg = general(it.op0_register()).filter(|_| wide)?;
    match (it.mnemonic(), it.op1_kind()) {
        (Mnemonic::Test, OpKind::Register) if it.op1_register() == it.op0_register() => {
            Some((reg, 0))
        }
        (Mnemonic::Cmp, OpKind::Register | OpKind::Memory) => None,
        (Mnemonic::Cmp, _) => Some((reg, it.immediate(1))),
        (
            Mnemonic::Sub
            | Mnemonic::Add
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Dec
            | Mnemonic::Inc,
            _,
        ) => Some((reg, 0)),
        _ => None,
    }
}

fn padding(it: &Instruction) -> bool {
    match it.mnemonic() {
        // hlt is how programs crash, and compilers do not know that it does not return
        Mnemonic::Nop | Mnemonic::Int3 | Mnemonic::Hlt => true,
        // xchg %ax,%ax is a nop; add %al,(%rax) is two zeroes
        Mnemonic::Add => it.code() == Code::Add_rm8_r8 && it.memory_base() == Register::RAX,
        _ => false,
    }
}

/// The number of the general register that `register` is part of.
fn general(register: Register) -> Option<Reg> {
    if !register.is_gpr() {
        return None;
    }
    let full = register.full_register();
    Reg::try_from(full.number()).ok()
}

/// Whether it is the low byte of a register.
fn low(register: Register) -> bool {
    register.is_gpr8()
        && !matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        )
}
