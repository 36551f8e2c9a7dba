//! A BIOS as bad as those in the field, each in its own way, taken together: a
//! boot sector that puts itself between the loader and SeaBIOS.
//!
//! Reads: too many sectors at once are refused, and so is a buffer across a
//! multiple of 64 KiB; every fourth read fails for once; a good one changes the
//! packet, all general registers, ES, FS and GS, and comes back with the
//! direction flag set and interrupts on. Copies above 1 MiB change as much.
//! The memory map is the one given. The loader is started at 07C0:0000.

use iced_x86::IcedError;
use iced_x86::code_asm::registers::*;
use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, CodeLabel, dword_ptr, ptr, word_ptr};

type Emitted = Result<(), IcedError>;

/// Where it stays: below what SeaBIOS keeps at the end of low memory.
const HOME: u16 = 0x9000;
/// Offsets in its segment: code after the copy, and what it remembers.
const ENTRY: usize = 0x20;
const OLD_DISK: u16 = 0x200;
const OLD_MISC: u16 = 0x204;
const CALLS: u16 = 0x208;
/// Where the memory map lies in the sector.
const MAP: usize = 0x150;
/// The sector that it loads in its own place.
const MBR_SECTOR: u32 = 1;

/// A bad BIOS.
pub struct Hostile {
    /// The most sectors that it reads at once.
    pub most: u16,
    /// Address, length and kind of each range of memory.
    pub map: &'static [(u64, u64, u32)],
}

/// Something in its own segment.
fn own(at: u16) -> AsmMemoryOperand {
    ptr(at).cs()
}

impl Hostile {
    /// The boot sector. The loader's own goes into sector 1.
    pub fn sector(&self) -> Vec<u8> {
        let mut sector = copy_home().expect("code");
        assert!(sector.len() <= ENTRY);
        sector.resize(ENTRY, 0x90);
        sector.extend(self.code().expect("code"));
        assert!(sector.len() <= MAP, "{:#x}", sector.len());
        sector.resize(MAP, 0);
        for (address, length, kind) in self.map {
            sector.extend(address.to_le_bytes());
            sector.extend(length.to_le_bytes());
            sector.extend(kind.to_le_bytes());
        }
        assert!(sector.len() <= 510);
        sector.resize(510, 0);
        sector.extend([0x55, 0xAA]);
        sector
    }

    fn code(&self) -> Result<Vec<u8>, IcedError> {
        let mut a = CodeAssembler::new(16)?;
        let a = &mut a;
        // the vectors want offsets, so the handlers are found by assembling twice
        let place = |a: &mut CodeAssembler, at: [u32; 2]| -> Result<[u64; 2], IcedError> {
            a.reset();
            let (mut disk, mut misc) = (a.create_label(), a.create_label());
            let mut spoil = a.create_label();
            install(a, at)?;
            a.set_label(&mut disk)?;
            self.disk_handler(a, spoil)?;
            a.set_label(&mut misc)?;
            self.misc_handler(a, spoil)?;
            a.set_label(&mut spoil)?;
            spoil_registers(a)?;
            let done = a.assemble_options(
                ENTRY as u64,
                iced_x86::BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS,
            )?;
            Ok([done.label_ip(&disk)?, done.label_ip(&misc)?])
        };
        let at = place(a, [0x1111, 0x1111])?.map(|at| u32::try_from(at).expect("16 bits"));
        assert_eq!(place(a, at)?.map(|at| at as u32), at);
        a.assemble(ENTRY as u64)
    }

    /// INT 13h.
    fn disk_handler(&self, a: &mut CodeAssembler, spoil: CodeLabel) -> Emitted {
        let (mut chain, mut refuse) = (a.create_label(), a.create_label());
        a.cmp(ah, 0x42)?;
        a.jne(chain)?;
        a.inc(word_ptr(own(CALLS)))?;
        a.test(word_ptr(own(CALLS)), 3)?;
        a.jz(refuse)?;
        a.cmp(word_ptr(si + 2), u32::from(self.most))?;
        a.ja(refuse)?;
        // where the buffer ends in its 64 KiB
        a.mov(bx, word_ptr(si + 6))?;
        a.shl(bx, 4)?;
        a.add(bx, word_ptr(si + 4))?;
        a.movzx(ebx, bx)?;
        a.movzx(ecx, word_ptr(si + 2))?;
        a.shl(ecx, 9)?;
        a.add(ebx, ecx)?;
        a.cmp(ebx, 0x1_0000)?;
        a.ja(refuse)?;
        a.pushf()?;
        call_far(a, OLD_DISK)?;
        a.jc(refuse)?;
        a.mov(word_ptr(si + 2), 0)?;
        a.call(spoil)?;
        a.retf_1(2)?;
        a.set_label(&mut refuse)?;
        a.mov(word_ptr(si + 2), 0)?;
        a.call(spoil)?;
        a.mov(ah, 1)?;
        a.stc()?;
        a.retf_1(2)?;
        a.set_label(&mut chain)?;
        a.jmp(dword_ptr(own(OLD_DISK)))
    }

    /// INT 15h.
    fn misc_handler(&self, a: &mut CodeAssembler, spoil: CodeLabel) -> Emitted {
        let (mut other, mut chain, mut more) =
            (a.create_label(), a.create_label(), a.create_label());
        let end = u32::try_from(self.map.len() * 20).expect("a few");
        a.cmp(ax, 0xE820)?;
        a.jne(other)?;
        a.push(ds)?;
        a.mov(ax, cs)?;
        a.mov(ds, ax)?;
        a.mov(si, bx)?;
        a.add(si, MAP as u32)?;
        a.mov(cx, 20)?;
        a.rep().movsb()?;
        a.pop(ds)?;
        a.add(ebx, 20)?;
        a.cmp(bx, end)?;
        a.jne(more)?;
        a.xor(ebx, ebx)?;
        a.set_label(&mut more)?;
        a.push(ebx)?;
        a.call(spoil)?;
        a.pop(ebx)?;
        a.mov(eax, 0x534D_4150)?;
        a.mov(ecx, 20)?;
        a.retf_1(2)?;

        a.set_label(&mut other)?;
        a.cmp(ah, 0x87)?;
        a.jne(chain)?;
        a.pushf()?;
        call_far(a, OLD_MISC)?;
        a.call(spoil)?;
        a.retf_1(2)?;
        a.set_label(&mut chain)?;
        a.jmp(dword_ptr(own(OLD_MISC)))
    }
}

/// The first instructions, at 0000:7C00: moves the sector to its home.
fn copy_home() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, 0x7000)?;
    a.mov(ax, u32::from(HOME))?;
    a.mov(es, ax)?;
    a.mov(si, 0x7C00)?;
    a.xor(di, di)?;
    a.mov(cx, 512)?;
    a.cld()?;
    a.rep().movsb()?;
    a.jmp_far(HOME, ENTRY as u32)?;
    a.assemble(0x7C00)
}

/// Loads the loader, takes over both interrupts, and starts it.
fn install(a: &mut CodeAssembler, handlers: [u32; 2]) -> Emitted {
    a.push(dx)?;
    // the packet on the stack, as in any boot sector
    a.push(0)?;
    a.push(0)?;
    a.push(0)?;
    a.push(i32::try_from(MBR_SECTOR).expect("small"))?;
    a.push(0)?;
    a.push(0x7C00)?;
    a.push(1)?;
    a.push(0x10)?;
    a.mov(si, sp)?;
    a.mov(ah, 0x42)?;
    a.int(0x13)?;
    a.add(sp, 16)?;
    a.mov(word_ptr(own(CALLS)), 0)?;
    for ((vector, old), handler) in [(0x13u16, OLD_DISK), (0x15, OLD_MISC)]
        .into_iter()
        .zip(handlers)
    {
        a.mov(eax, dword_ptr(vector * 4))?;
        a.mov(dword_ptr(own(old)), eax)?;
        a.mov(dword_ptr(vector * 4), (u32::from(HOME) << 16) | handler)?;
    }
    a.pop(dx)?;
    a.jmp_far(0x07C0, 0)
}

/// Changes what a BIOS may change, and leaves carry clear.
fn spoil_registers(a: &mut CodeAssembler) -> Emitted {
    a.mov(ax, 0x5A5A)?;
    for segment in [es, fs, gs] {
        a.mov(segment, ax)?;
    }
    for register in [eax, ebx, ecx, edx, edi, ebp] {
        a.mov(register, 0xDEAD_BEEFu32)?;
    }
    a.std()?;
    a.sti()?;
    a.clc()?;
    a.ret()
}

fn call_far(a: &mut CodeAssembler, at: u16) -> Emitted {
    a.call(dword_ptr(own(at)))
}
