//! A kernel that is none: it prints what the loader handed it, and a sum of
//! every MiB that was loaded, over the serial port.

use ampoule::boot::bzimage::{HEADER_LEN, MAGIC, offset};
use iced_x86::IcedError;
use iced_x86::code_asm::registers::*;
use iced_x86::code_asm::{
    AsmMemoryOperand, CodeAssembler, CodeLabel, byte_ptr, dword_ptr, fword_ptr, ptr, word_ptr,
};

type Emitted = Result<(), IcedError>;

/// Sectors of setup code after the boot sector.
const SETUP_SECTS: u8 = 3;
/// Where the descriptor table, the code: offsets in the setup code's segment.
const TABLE: u16 = 0x270;
const CODE: u16 = 0x290;

/// What the header shall say.
pub struct Probe {
    pub pref_address: u64,
    pub init_size: u32,
}

impl Probe {
    /// A bzImage with this protected-mode part, a multiple of 16 bytes.
    pub fn image(&self, system: &[u8]) -> Vec<u8> {
        assert_eq!(system.len() % 16, 0);
        let mut image = vec![0; 512 * (1 + usize::from(SETUP_SECTS))];
        let syssize = u32::try_from(system.len() / 16).expect("32 bits");
        let mut put = |at: u16, bytes: &[u8]| {
            image[usize::from(at)..][..bytes.len()].copy_from_slice(bytes);
        };
        put(offset::SETUP_SECTS, &[SETUP_SECTS]);
        put(offset::SYSSIZE, &syssize.to_le_bytes());
        put(offset::BOOT_FLAG, &[0x55, 0xAA]);
        // the entry point: a jump over the header to another, to CODE
        put(0x200, &[0xEB, 0x66]);
        put(offset::MAGIC, &MAGIC.to_le_bytes());
        put(offset::VERSION, &0x020Fu16.to_le_bytes());
        put(offset::LOADFLAGS, &[1]);
        put(offset::INITRD_ADDR_MAX, &0x7FFF_FFFFu32.to_le_bytes());
        put(offset::CMDLINE_SIZE, &2047u32.to_le_bytes());
        put(offset::PREF_ADDRESS, &self.pref_address.to_le_bytes());
        put(offset::INIT_SIZE, &self.init_size.to_le_bytes());
        assert_eq!(HEADER_LEN, 0x268);
        put(0x268, &[0xEB, u8::try_from(CODE - 0x26A).expect("short")]);
        // null, and 4 GiB of writable data from 0
        put(TABLE + 8, &[0xFF, 0xFF, 0, 0, 0, 0x93, 0xCF, 0]);
        put(TABLE + 16, &[15, 0]);
        put(TABLE + 18, &(0x1_0000 + u32::from(TABLE)).to_le_bytes());
        let code = code(u32::try_from(system.len()).expect("32 bits")).expect("code");
        assert!(code.len() <= 512 * (1 + usize::from(SETUP_SECTS)) - usize::from(CODE));
        put(CODE, &code);
        image.extend_from_slice(system);
        image
    }
}

/// The sum that the probe prints of each MiB.
pub fn sums(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks(1 << 20)
        .map(|chunk| {
            chunk.iter().fold(0u32, |sum, byte| {
                sum.rotate_left(7).wrapping_add(u32::from(*byte))
            })
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Parts {
    put: CodeLabel,
    hex: CodeLabel,
    line: CodeLabel,
    sum: CodeLabel,
}

fn here(at: u16) -> AsmMemoryOperand {
    ptr(at)
}

fn code(system_len: u32) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let a = &mut a;
    let parts = Parts {
        put: a.create_label(),
        hex: a.create_label(),
        line: a.create_label(),
        sum: a.create_label(),
    };
    registers(a, parts)?;
    header(a, parts)?;
    cmdline(a, parts)?;
    reach_all_memory(a)?;
    a.mov(esi, 0x10_0000)?;
    a.mov(ecx, system_len)?;
    a.mov(bp, i32::from(b'k'))?;
    a.call(parts.sum)?;
    a.mov(esi, dword_ptr(here(offset::RAMDISK_IMAGE)))?;
    a.mov(ecx, dword_ptr(here(offset::RAMDISK_SIZE)))?;
    a.mov(bp, i32::from(b'i'))?;
    a.call(parts.sum)?;
    a.mov(al, i32::from(b'.'))?;
    a.call(parts.put)?;
    a.call(parts.line)?;
    let mut halt = a.create_label();
    a.set_label(&mut halt)?;
    a.hlt()?;
    a.jmp(halt)?;
    routines(a, parts)?;
    a.assemble(u64::from(CODE))
}

/// `r`: the segments but CS, which must be alike, and SP.
fn registers(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    a.mov(ax, ds)?;
    a.mov(cx, sp)?;
    a.shl(eax, 16)?;
    a.mov(ax, cx)?;
    a.push(eax)?;
    for segment in [es, fs, gs, ss] {
        let mut same = a.create_label();
        a.mov(bx, segment)?;
        a.mov(dx, ds)?;
        a.cmp(bx, dx)?;
        a.je(same)?;
        a.mov(al, i32::from(b'!'))?;
        a.call(parts.put)?;
        a.set_label(&mut same)?;
        a.nop()?;
    }
    a.mov(al, i32::from(b'r'))?;
    a.call(parts.put)?;
    a.pop(eax)?;
    a.call(parts.hex)?;
    a.call(parts.line)
}

/// `h`: what the loader wrote into the header.
fn header(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    a.mov(al, i32::from(b'h'))?;
    a.call(parts.put)?;
    for (at, bytes) in [
        (offset::VID_MODE, 2),
        (offset::TYPE_OF_LOADER, 1),
        (offset::LOADFLAGS, 1),
        (offset::HEAP_END_PTR, 2),
        (offset::CMD_LINE_PTR, 4),
        (offset::RAMDISK_IMAGE, 4),
        (offset::RAMDISK_SIZE, 4),
    ] {
        match bytes {
            1 => a.movzx(eax, byte_ptr(here(at)))?,
            2 => a.movzx(eax, word_ptr(here(at)))?,
            _ => a.mov(eax, dword_ptr(here(at)))?,
        }
        a.call(parts.hex)?;
    }
    a.call(parts.line)
}

/// `c`: the command line.
fn cmdline(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let (mut next, mut over) = (a.create_label(), a.create_label());
    a.mov(al, i32::from(b'c'))?;
    a.call(parts.put)?;
    a.mov(si, 0xE000)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(over)?;
    a.call(parts.put)?;
    a.jmp(next)?;
    a.set_label(&mut over)?;
    a.call(parts.line)
}

/// A20 on, and FS over 4 GiB: protected mode and back.
fn reach_all_memory(a: &mut CodeAssembler) -> Emitted {
    a.in_(al, 0x92)?;
    a.or(al, 2)?;
    a.and(al, 0xFE)?;
    a.out(0x92, al)?;
    a.lgdt(fword_ptr(here(TABLE + 16)))?;
    a.mov(eax, cr0)?;
    a.or(al, 1)?;
    a.mov(cr0, eax)?;
    a.mov(bx, 8)?;
    a.mov(fs, bx)?;
    a.and(al, 0xFE)?;
    a.mov(cr0, eax)
}

fn routines(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let Parts {
        mut put,
        mut hex,
        mut line,
        mut sum,
    } = parts;
    // prints AL
    let mut busy = a.create_label();
    a.set_label(&mut put)?;
    a.push(dx)?;
    a.push(ax)?;
    a.mov(dx, 0x3FD)?;
    a.set_label(&mut busy)?;
    a.in_(al, dx)?;
    a.test(al, 0x20)?;
    a.jz(busy)?;
    a.pop(ax)?;
    a.mov(dx, 0x3F8)?;
    a.out(dx, al)?;
    a.pop(dx)?;
    a.ret()?;

    // prints a space and EAX in hexadecimal
    let mut digit = a.create_label();
    a.set_label(&mut hex)?;
    a.pushad()?;
    a.mov(ebx, eax)?;
    a.mov(al, i32::from(b' '))?;
    a.call(put)?;
    a.mov(cx, 8)?;
    a.set_label(&mut digit)?;
    a.rol(ebx, 4)?;
    a.mov(al, bl)?;
    a.and(al, 15)?;
    a.cmp(al, 10)?;
    a.sbb(al, 0x69)?;
    a.das()?;
    a.call(put)?;
    a.loop_(digit)?;
    a.popad()?;
    a.ret()?;

    a.set_label(&mut line)?;
    a.mov(al, 10)?;
    a.call(put)?;
    a.ret()?;

    // BP's letter and a sum of each MiB of ECX bytes at ESI
    let (mut mib, mut byte, mut last, mut over) = (
        a.create_label(),
        a.create_label(),
        a.create_label(),
        a.create_label(),
    );
    a.set_label(&mut sum)?;
    a.mov(ax, bp)?;
    a.call(put)?;
    a.set_label(&mut mib)?;
    a.test(ecx, ecx)?;
    a.jz(over)?;
    a.mov(edx, 1 << 20)?;
    a.cmp(edx, ecx)?;
    a.jbe(last)?;
    a.mov(edx, ecx)?;
    a.set_label(&mut last)?;
    a.sub(ecx, edx)?;
    a.xor(ebx, ebx)?;
    a.set_label(&mut byte)?;
    a.rol(ebx, 7)?;
    a.movzx(eax, byte_ptr(esi).fs())?;
    a.add(ebx, eax)?;
    a.inc(esi)?;
    a.dec(edx)?;
    a.jnz(byte)?;
    a.mov(eax, ebx)?;
    a.call(hex)?;
    a.jmp(mib)?;
    a.set_label(&mut over)?;
    a.call(line)?;
    a.ret()
}
