//! Where code calls a function or takes the address of a string, and what it holds
//! in its registers there.
//!
//! Compilers reach both relative to the instruction: `call rel32` and
//! `lea reg, [rip + disp32]` on x86_64, `bl` and `adrp` with `add` on aarch64. At
//! fixed addresses C compilers also write the address itself.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};
use memchr::{memchr_iter, memchr2_iter, memmem};

use crate::app::binary::Binary;
use crate::units::Arch;

/// Sites that are looked at for one search.
const SITES_MAX: usize = 1 << 15;
/// Targets whose address is looked for as such.
const ABSOLUTE_MAX: usize = 8;
/// The lowest address of a program (Documentation/admin-guide/sysctl/vm.rst,
/// mmap_min_addr); one that can be moved begins at 0.
const LOWEST: u64 = 0x1_0000;
/// Bytes of code before a call in which its arguments are looked for.
const WINDOW: u64 = 512;
/// Registers that can hold an argument.
const REGISTERS: usize = 16;

/// A place in the code and what it leads to, both as addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The instruction.
    pub at: u64,
    /// What it calls, or whose address it takes.
    pub target: u64,
}

/// The executable bytes of a program.
pub struct Sites<'b, 'a> {
    binary: &'b Binary<'a>,
    pieces: Vec<(u64, &'a [u8])>,
}

/// What is held at a place, as far as the code before says: numbers, and addresses
/// that were written relative to the instruction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// The registers by their numbers, which are those of the instruction set.
    pub registers: [Option<u64>; REGISTERS],
    /// The number that was stored in memory last.
    pub stored: Option<u64>,
}

impl<'b, 'a> Sites<'b, 'a> {
    pub fn of(binary: &'b Binary<'a>) -> Sites<'b, 'a> {
        let mut left = binary.bytes.len();
        let mut pieces = Vec::new();
        for segment in binary.segments.iter().filter(|segment| segment.executable) {
            let code = binary.at(segment.address);
            // hostile segments may all hold the same bytes: no more than the file in sum
            let code = &code[..code.len().min(left)];
            left -= code.len();
            pieces.push((segment.address, code));
        }
        Sites { binary, pieces }
    }

    /// Where any of `targets`, which are sorted, is called or jumped to.
    pub fn calls(&self, targets: &[u64]) -> Vec<Site> {
        let mut sites = Vec::new();
        let (Some(first), Some(last)) = (targets.first(), targets.last()) else {
            return sites;
        };
        let mut take = |at: u64, target: u64| {
            let known = target >= *first && target <= *last && sites.len() < SITES_MAX;
            if known && targets.binary_search(&target).is_ok() {
                sites.push(Site { at, target });
            }
        };
        for (base, code) in &self.pieces {
            match self.binary.arch {
                Arch::X86_64 => {
                    // call and jmp with a displacement of 32 bits
                    for at in memchr2_iter(0xe8, 0xe9, code) {
                        if let Some(disp) = word(code, at + 1) {
                            let site = base.wrapping_add(at as u64);
                            take(site, relative(site, 5, disp));
                        }
                    }
                }
                Arch::Aarch64 => {
                    for (number, bytes) in code.chunks_exact(4).enumerate() {
                        let word = instruction(bytes);
                        // bl and b
                        if matches!(word >> 26, 0b10_0101 | 0b00_0101) {
                            let site = base.wrapping_add(number as u64 * 4);
                            let disp = i64::from((word << 6) as i32 >> 6) * 4;
                            take(site, site.wrapping_add_signed(disp));
                        }
                    }
                }
            }
        }
        sites
    }

    /// Where the address of any of `targets`, which are sorted, is taken.
    pub fn references(&self, targets: &[u64]) -> Vec<Site> {
        let mut sites = Vec::new();
        let (Some(first), Some(last)) = (targets.first(), targets.last()) else {
            return sites;
        };
        let mut take = |at: u64, target: u64| {
            let known = target >= *first && target <= *last && sites.len() < SITES_MAX;
            if known && targets.binary_search(&target).is_ok() {
                sites.push(Site { at, target });
            }
        };
        for (base, code) in &self.pieces {
            match self.binary.arch {
                Arch::X86_64 => {
                    for at in memchr_iter(0x8d, code) {
                        // lea with a displacement of 32 bits from the next instruction
                        let modrm = code.get(at + 1).copied().unwrap_or_default();
                        if modrm & 0xc7 == 5 {
                            if let Some(disp) = word(code, at + 2) {
                                let site = base.wrapping_add(at as u64);
                                take(site, relative(site, 6, disp));
                            }
                        }
                    }
                    for target in self.absolute(targets) {
                        for at in memmem::find_iter(code, &target.to_le_bytes()) {
                            take(base.wrapping_add(at as u64), u64::from(target));
                        }
                    }
                }
                Arch::Aarch64 => {
                    for (number, bytes) in code.chunks_exact(4).enumerate() {
                        let page = instruction(bytes);
                        if page & 0x9f00_0000 != 0x9000_0000 {
                            continue;
                        }
                        let site = base.wrapping_add(number as u64 * 4);
                        let (register, address) = adrp(site, page);
                        if address > *last || address.saturating_add(4096) <= *first {
                            continue;
                        }
                        let rest = code.get(number * 4 + 4..).unwrap_or_default();
                        for (at, add) in words(site.wrapping_add(4), rest).take(8) {
                            if let Some((_, from, low)) = add_immediate(add) {
                                if from == register {
                                    take(at, address.wrapping_add(low));
                                }
                            }
                        }
                    }
                }
            }
        }
        sites.sort_unstable();
        sites.dedup();
        sites
    }

    /// Those of `targets` that an instruction can have as they are: in a program at
    /// fixed addresses, which begins above the lowest that Linux lets it have.
    fn absolute(&self, targets: &[u64]) -> Vec<u32> {
        let fixed = self.binary.segments.iter().all(|it| it.address >= LOWEST);
        let targets = targets.iter().filter(|_| fixed).take(ABSOLUTE_MAX);
        targets
            .filter_map(|target| u32::try_from(*target).ok())
            .collect()
    }

    /// The code up to `near` bytes before and behind `at`, and where it begins.
    pub fn around(&self, at: u64, near: u64) -> (u64, &'a [u8]) {
        for (base, code) in &self.pieces {
            let Some(within) = at.checked_sub(*base).filter(|at| *at < code.len() as u64) else {
                continue;
            };
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(code.len());
            let from = within.saturating_sub(near);
            let to = place(within.saturating_add(near));
            return (base + from, &code[place(from)..to]);
        }
        (at, &[])
    }

    /// The addresses that `code` of aarch64, which lies at `base`, takes by `adrp`.
    pub fn addresses(base: u64, code: &[u8]) -> Vec<u64> {
        let mut held = Held::default();
        let mut taken = Vec::new();
        for (at, word) in words(base, code) {
            step_aarch64(at, word, &mut held);
            if let Some((to, _, _)) = add_immediate(word) {
                taken.extend(held.registers.get(to).copied().flatten());
            }
        }
        taken
    }

    /// What is held at `site`, in a function that begins at `start`.
    pub fn held(&self, start: u64, site: u64) -> Held {
        let mut held = Held::default();
        let Some(len) = site.checked_sub(start) else {
            return held;
        };
        let from = site - len.min(WINDOW);
        let code = self.binary.at(from);
        let len = usize::try_from(site - from).unwrap_or_default();
        let code = &code[..len.min(code.len())];
        match self.binary.arch {
            Arch::X86_64 => {
                // begun in the middle of an instruction, decoding falls into step
                // within a few
                let mut decoder = Decoder::with_ip(64, code, from, DecoderOptions::NONE);
                let mut infos = InstructionInfoFactory::new();
                let mut instruction = Instruction::default();
                while decoder.can_decode() {
                    decoder.decode_out(&mut instruction);
                    step(&instruction, &mut infos, &mut held);
                }
            }
            Arch::Aarch64 => {
                for (at, word) in words(from, code) {
                    step_aarch64(at, word, &mut held);
                }
            }
        }
        held
    }
}

/// One instruction of x86_64.
fn step(instruction: &Instruction, infos: &mut InstructionInfoFactory, held: &mut Held) {
    if instruction.is_invalid() || instruction.flow_control() != FlowControl::Next {
        // a call keeps no argument; behind a branch the values are those of one way,
        // which is good enough for what was written just before the call
        if !matches!(instruction.flow_control(), FlowControl::ConditionalBranch) {
            *held = Held::default();
        }
        return;
    }
    let number = |register: Register| {
        let full = register.full_register();
        (full >= Register::RAX && full <= Register::R15)
            .then(|| full as usize - Register::RAX as usize)
    };
    let copied = (instruction.op_count() > 1 && instruction.op1_kind() == OpKind::Register)
        .then(|| number(instruction.op1_register()))
        .flatten()
        .and_then(|from| held.registers[from]);
    for used in infos.info(instruction).used_registers() {
        let writes = matches!(
            used.access(),
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
        );
        if let (true, Some(number)) = (writes, number(used.register())) {
            held.registers[number] = None;
        }
    }
    let immediate = matches!(
        instruction.op1_kind(),
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate32to64
    );
    if instruction.mnemonic() == Mnemonic::Mov
        && immediate
        && instruction.op0_kind() == OpKind::Memory
    {
        held.stored = Some(instruction.immediate(1));
    }
    let Some(to) = (instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register)
        .then(|| number(instruction.op0_register()))
        .flatten()
    else {
        return;
    };
    let slot = &mut held.registers[to];
    *slot = match instruction.mnemonic() {
        Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.ip_rel_memory_address())
        }
        Mnemonic::Mov if immediate => Some(instruction.immediate(1)),
        Mnemonic::Mov => copied,
        Mnemonic::Xor
            if matches!(instruction.code(), Code::Xor_r32_rm32 | Code::Xor_rm32_r32)
                && instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register() =>
        {
            Some(0)
        }
        _ => *slot,
    };
}

/// One instruction of aarch64 (Arm ARM, C4.1): adrp, add, movz and orr make
/// constants, what else writes a register forgets it as far as that shows cheaply.
fn step_aarch64(at: u64, word: u32, held: &mut Held) {
    let value = |held: &Held, register: usize| held.registers.get(register).copied().flatten();
    let mut put = |register: usize, value: Option<u64>| {
        if let Some(slot) = held.registers.get_mut(register) {
            *slot = value;
        }
    };
    if word & 0x9f00_0000 == 0x9000_0000 {
        let (register, page) = adrp(at, word);
        put(register, Some(page));
    } else if let Some((to, from, low)) = add_immediate(word) {
        let base = value(held, from);
        if let Some(slot) = held.registers.get_mut(to) {
            *slot = base.map(|base| base.wrapping_add(low));
        }
    } else if word & 0x7f80_0000 == 0x5280_0000 {
        // movz
        let shift = 16 * ((word >> 21) & 3);
        put(
            field(word, 0),
            Some(u64::from((word >> 5) & 0xffff) << shift),
        );
    } else if word & 0x7f80_03e0 == 0x3200_03e0 {
        // orr with the zero register
        put(field(word, 0), bitmask(word));
    } else if word & 0xffe0_ffe0 == 0xaa00_03e0 {
        // mov, which is orr of the zero register and another
        let copied = value(held, field(word, 16));
        if let Some(slot) = held.registers.get_mut(field(word, 0)) {
            *slot = copied;
        }
    } else if word >> 26 == 0b10_0101 || word & 0xffff_fc1f == 0xd63f_0000 {
        // bl and blr
        *held = Held::default();
    } else if (word >> 26) & 7 == 0b101 {
        // branches, and what the system is told: none writes a register here
    } else if word & 0xffc0_0000 == 0xf900_0000 || word & 0xffe0_0c00 == 0xf800_0000 {
        // str and stur
        held.stored = value(held, field(word, 0)).or(held.stored);
    } else if word & 0x3b00_0000 != 0x3900_0000 && word & 0x3a00_0000 != 0x2800_0000 {
        // not a load or store, and so in most cases one that writes its first register
        put(field(word, 0), None);
    } else if word & 0x0040_0000 != 0 {
        put(field(word, 0), None);
    }
}

/// The value of a logical immediate whose ones lie at the low end (Arm ARM,
/// `DecodeBitMasks`): what compilers write for 1, 3, 7, 15 and so on, and shifted.
fn bitmask(word: u32) -> Option<u64> {
    let wide = word >> 31 == 1;
    let (n, immr, imms) = ((word >> 22) & 1, (word >> 16) & 63, (word >> 10) & 63);
    let size = match (n, imms) {
        (1, _) if wide => 64,
        (0, 0..=31) => 32,
        // repeated patterns are no lengths and no ports
        _ => return None,
    };
    let ones = (1_u64 << (imms + 1).min(63)) - 1;
    let mask = if size == 64 { u64::MAX } else { 0xffff_ffff };
    let rotated = match immr % size {
        0 => ones,
        by => (ones >> by) | (ones << (size - by)),
    };
    // of a 32-bit pattern in a 64-bit register the upper half is a copy
    (size == 64 || !wide).then_some(rotated & mask)
}

/// The register and the page of an `adrp`.
fn adrp(at: u64, word: u32) -> (usize, u64) {
    let high = i64::from((word << 8) as i32 >> 13);
    let pages = high * 4 + i64::from((word >> 29) & 3);
    (
        field(word, 0),
        (at & !0xfff).wrapping_add_signed(pages << 12),
    )
}

/// The registers and the number of an `add` of 64 bits without a shift.
fn add_immediate(word: u32) -> Option<(usize, usize, u64)> {
    let is_add = word & 0xffc0_0000 == 0x9100_0000;
    is_add.then(|| {
        (
            field(word, 0),
            field(word, 5),
            u64::from((word >> 10) & 0xfff),
        )
    })
}

/// The number of a register in `word`.
fn field(word: u32, shift: u32) -> usize {
    ((word >> shift) & 31) as usize
}

fn word(code: &[u8], at: usize) -> Option<i32> {
    let bytes = code.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

fn relative(site: u64, len: u64, disp: i32) -> u64 {
    site.wrapping_add(len).wrapping_add_signed(i64::from(disp))
}

/// The words of aarch64 code with their addresses.
fn words(base: u64, code: &[u8]) -> impl Iterator<Item = (u64, u32)> + '_ {
    let words = code.chunks_exact(4).map(instruction);
    (base..).step_by(4).zip(words)
}

/// One instruction of aarch64, which has four bytes.
fn instruction(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::binary::Segment;

    fn held(arch: Arch, code: &[u8]) -> Held {
        let len = code.len() as u64;
        let binary = Binary {
            bytes: code,
            arch,
            entry: 0x1000,
            segments: vec![Segment {
                address: 0x1000,
                offset: 0,
                len,
                memory: len,
                writable: false,
                executable: true,
            }],
            sections: Vec::new(),
            symbols: Vec::new(),
        };
        Sites::of(&binary).held(0x1000, 0x1000 + len)
    }

    #[test]
    fn constants_are_followed_through_registers_and_into_memory() {
        // mov ecx, 2; mov rdi, rcx; lea rsi, [rip + 16]; mov qword [rax + 8], 7233
        let x86_64 = [
            0xb9, 2, 0, 0, 0, 0x48, 0x89, 0xcf, 0x48, 0x8d, 0x35, 16, 0, 0, 0, 0x48, 0xc7, 0x40, 8,
            0x41, 0x1c, 0, 0,
        ];
        let told = held(Arch::X86_64, &x86_64);
        assert_eq!(told.registers[7], Some(2));
        assert_eq!(told.registers[6], Some(0x100f + 16));
        assert_eq!(told.stored, Some(7233));
        // orr x6, xzr, #2; mov x3, x6; b.ne; movz x1, #7233; str x1, [x0, #8]
        let aarch64 = [
            0xb27f_03e6_u32,
            0xaa06_03e3,
            0x5400_0041,
            0xd283_8821,
            0xf900_0401,
        ];
        let code: Vec<u8> = aarch64.iter().flat_map(|word| word.to_le_bytes()).collect();
        let told = held(Arch::Aarch64, &code);
        assert_eq!(told.registers[3], Some(2));
        assert_eq!(told.registers[1], Some(7233));
        assert_eq!(told.stored, Some(7233));
    }

    #[test]
    fn what_is_written_over_or_called_past_is_forgotten() {
        // mov edi, 7; pop rdi
        assert_eq!(
            held(Arch::X86_64, &[0xbf, 7, 0, 0, 0, 0x5f]).registers[7],
            None
        );
        // mov edi, 7; call
        let call = [0xbf, 7, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        assert_eq!(held(Arch::X86_64, &call).registers[7], None);
        // movz x0, #7; bl
        let code: Vec<u8> = [0xd280_00e0_u32, 0x9400_0000]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect();
        assert_eq!(held(Arch::Aarch64, &code).registers[0], None);
    }
}
