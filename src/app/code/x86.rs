//! x86_64: instructions as [`Insn`], and references found without decoding.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

use memchr::memmem;

use super::ir::{Abi, At, Callee, Flow, Insn, Op, Reg, Source, Stack, Value};
use super::lift::Led;

const RSP: Reg = 4;

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
    pushed: 8,
    step: 1,
};

/// Decodes `bytes`, which are at `at` in a text of `len` bytes from `base`.
pub fn lift(bytes: &[u8], at: At, base: u64, len: u32) -> Vec<Insn> {
    let mut lifter = Lifter::new(base, len);
    // the mean instruction has more than four bytes
    let mut insns = Vec::with_capacity(bytes.len() / 4);
    decode(bytes, at, base, |it, at, len| {
        let (op, stack) = if it.is_invalid() {
            (Op::Nothing, Stack::Same)
        } else {
            lifter.effect(it)
        };
        insns.push(Insn {
            at,
            len,
            padding: padding(it),
            op,
            stack,
            flow: lifter.flow(it),
        });
    });
    insns
}

/// Tells of every instruction its length and where it leads.
pub fn flows(bytes: &[u8], at: At, base: u64, len: u32, mut see: impl FnMut(At, u8, Led)) {
    let lifter = Lifter::new(base, len);
    decode(bytes, at, base, |it, at, len| {
        let flow = lifter.flow(it);
        see(
            at,
            len,
            Led {
                open: matches!(flow, Flow::Next | Flow::Branch(_))
                    && it.mnemonic() != Mnemonic::Call,
                padding: padding(it),
                near: match flow {
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

/// Finds where the bytes of `syscall` and of `int $0x80` are.
pub fn entries(bytes: &[u8], at: At, places: &mut Vec<At>) {
    for wanted in [[0x0f, 0x05], [0xcd, 0x80]] {
        places.extend(memmem::find_iter(bytes, &wanted).map(|index| at + index as u32));
    }
}

/// Turns instructions into [`Insn`]s.
struct Lifter {
    info: InstructionInfoFactory,
    /// The lowest address of the text, and one behind its last.
    base: u64,
    end: u64,
}

impl Lifter {
    fn new(base: u64, len: u32) -> Lifter {
        Lifter {
            info: InstructionInfoFactory::new(),
            base,
            end: base.saturating_add(u64::from(len)),
        }
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
            FlowControl::IndirectBranch => match memory(it) {
                Some(Memory::Fixed(address)) => Flow::Tail(address),
                None if it.op0_kind() == OpKind::Memory && it.memory_base() == Register::None => {
                    Flow::Table(it.memory_displacement64())
                }
                _ => Flow::Indirect,
            },
            FlowControl::Return => Flow::Stop,
            // hlt is how programs end that have no way to end
            FlowControl::Exception if it.mnemonic() == Mnemonic::Ud2 => Flow::Stop,
            _ if it.mnemonic() == Mnemonic::Hlt => Flow::Stop,
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
        base => Some(Memory::At(general(base)?, displacement.cast_signed())),
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
        Mnemonic::Add => immediate().map(|by| Value::Copy(own, by.cast_signed())),
        Mnemonic::Sub => immediate().map(|by| Value::Copy(own, by.cast_signed().wrapping_neg())),
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

fn padding(it: &Instruction) -> bool {
    match it.mnemonic() {
        Mnemonic::Nop | Mnemonic::Int3 => true,
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

/// What kind of reference was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A call, jump or branch over any distance.
    Near,
    /// A jump over less than 128 bytes.
    Short,
    /// An address that is taken, relative to the instruction.
    Taken,
    /// A call or jump through memory at an address: bytes from the base, wrapping.
    Through,
}

const NONE: u8 = 0;
const REL32: u8 = 1;
const ESCAPE: u8 = 2;
const LEA: u8 = 3;
const REL8: u8 = 4;
const GROUP: u8 = 5;

const CLASSES: [u8; 256] = {
    let mut classes = [NONE; 256];
    classes[0xe8] = REL32;
    classes[0xe9] = REL32;
    classes[0x0f] = ESCAPE;
    classes[0x8d] = LEA;
    classes[0xeb] = REL8;
    classes[0xe3] = REL8;
    let mut condition = 0x70;
    while condition < 0x80 {
        classes[condition] = REL8;
        condition += 1;
    }
    classes[0xff] = GROUP;
    classes
};

/// Finds everything in `bytes`, at `at`, that would refer elsewhere if an instruction
/// began there. It may see what is none, and misses nothing that has these forms:
/// call, jmp, jcc, lea of an address, and call and jmp through memory.
pub fn references(bytes: &[u8], at: At, mut see: impl FnMut(At, u32, Seen)) {
    let wide = |from: usize| -> Option<u32> {
        let bytes = bytes.get(from..from + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    for (index, byte) in bytes.iter().enumerate() {
        let class = CLASSES[usize::from(*byte)];
        if class == NONE {
            continue;
        }
        let here = at.wrapping_add(index as u32);
        let relative = |from: usize| {
            let next = here.wrapping_add((from + 4) as u32);
            wide(index + from).map(|distance| next.wrapping_add(distance))
        };
        let modrm = |wanted: u8| bytes.get(index + 1).is_some_and(|it| it & 0xc7 == wanted);
        match class {
            REL32 => {
                if let Some(target) = relative(1) {
                    see(here, target, Seen::Near);
                }
            }
            ESCAPE => {
                if bytes.get(index + 1).is_some_and(|it| it & 0xf0 == 0x80) {
                    if let Some(target) = relative(2) {
                        see(here, target, Seen::Near);
                    }
                }
            }
            LEA => {
                // with a REX prefix that makes it 64 bits wide: addresses are
                let rex = index.checked_sub(1).and_then(|before| bytes.get(before));
                if rex.is_some_and(|it| it & 0xf8 == 0x48) && modrm(0x05) {
                    if let Some(target) = relative(2) {
                        see(here.wrapping_sub(1), target, Seen::Taken);
                    }
                }
            }
            REL8 => {
                if let Some(distance) = bytes.get(index + 1) {
                    let distance = i32::from(distance.cast_signed()).cast_unsigned();
                    let target = here.wrapping_add(2).wrapping_add(distance);
                    see(here, target, Seen::Short);
                }
            }
            _ => {
                // call is /2, jmp is /4
                let kind = bytes.get(index + 1).map(|it| it & 0xff);
                if kind == Some(0x15) || kind == Some(0x25) {
                    if let Some(target) = relative(2) {
                        see(here, target, Seen::Through);
                    }
                }
            }
        }
    }
}

/// Finds every number of 32 bits in `bytes` that lies within `len` of `low`, and tells
/// whether it stands where an instruction has one: behind the opcode of mov or push.
pub fn numbers(bytes: &[u8], at: At, low: u32, len: u32, mut see: impl FnMut(At, u32, bool)) {
    for (index, window) in bytes.windows(4).enumerate() {
        let number = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
        if number.wrapping_sub(low) < len {
            let before = index.checked_sub(1).map(|before| bytes[before]);
            let plain = before.is_some_and(|it| it & 0xf8 == 0xb8 || it == 0x68);
            see(at.wrapping_add(index as u32), number, plain);
        }
    }
}
