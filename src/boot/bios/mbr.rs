//! Stage 1: the boot code of the protective MBR. Reads stage 2, checks that it
//! is whole, and starts it.

use iced_x86::code_asm::byte_ptr;
use iced_x86::code_asm::{CodeAssembler, registers::*};

use super::asm::{Emitted, Program, assemble};
use super::layout::{STAGE1, STAGE2, var};
use super::message::Voice;
use crate::units::{Lba, SECTOR};

/// The reflected polynomial of CRC-32 (IEEE 802.3).
pub const POLYNOMIAL: u32 = 0xEDB8_8320;
/// Attempts at reading stage 2.
const TRIES: u32 = 5;

/// Assembles stage 1 for a stage 2 of `sectors` at `lba` with this CRC-32.
pub fn program(lba: Lba, sectors: u16, crc: u32) -> Result<Program, iced_x86::IcedError> {
    assemble(STAGE1, |a| {
        let voice = Voice::new(a);
        begin(a)?;
        require_lba_reads(a, voice)?;
        read_stage2(a, voice, lba, sectors)?;
        start_stage2(a, voice, sectors, crc)?;
        voice.emit(a)
    })
}

/// Sets segments, stack and direction, and keeps the drive's number.
fn begin(a: &mut CodeAssembler) -> Emitted {
    // Some BIOSes start at 07C0:0000; this jump of five bytes makes it 0000:7C05.
    a.jmp_far(0, u32::from(STAGE1) + 5)?;
    a.cli()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, u32::from(STAGE1))?;
    a.sti()?;
    a.cld()?;
    a.mov(byte_ptr(var::DRIVE), dl)
}

/// INT 13h AH=41h: are there reads by block address (EDD-3, "Check Extensions Present")?
fn require_lba_reads(a: &mut CodeAssembler, voice: Voice) -> Emitted {
    let (mut missing, mut present) = (a.create_label(), a.create_label());
    a.mov(ah, 0x41)?;
    a.mov(bx, 0x55AA)?;
    a.int(0x13)?;
    a.jc(missing)?;
    a.cmp(bx, 0xAA55)?;
    a.jne(missing)?;
    a.test(cl, 1)?;
    a.jnz(present)?;
    a.set_label(&mut missing)?;
    voice.fail(a, "BIOS cannot read by LBA")?;
    a.set_label(&mut present)
}

fn read_stage2(a: &mut CodeAssembler, voice: Voice, lba: Lba, sectors: u16) -> Emitted {
    let (mut again, mut done) = (a.create_label(), a.create_label());
    a.mov(byte_ptr(var::TRIES), TRIES)?;
    a.set_label(&mut again)?;
    // The packet, on the stack, is made anew for each attempt: a BIOS may write into it.
    for word in packet(lba, sectors).into_iter().rev() {
        a.push(word)?;
    }
    a.mov(si, sp)?;
    a.mov(dl, byte_ptr(var::DRIVE))?;
    a.mov(ah, 0x42)?;
    a.int(0x13)?;
    a.mov(sp, u32::from(STAGE1))?;
    a.jnc(done)?;
    a.mov(dl, byte_ptr(var::DRIVE))?;
    a.mov(ah, 0)?;
    a.int(0x13)?;
    a.dec(byte_ptr(var::TRIES))?;
    a.jnz(again)?;
    voice.fail(a, "loader read error")?;
    a.set_label(&mut done)
}

/// The disk address packet of INT 13h AH=42h (EDD-3, table 1), as words to push.
fn packet(lba: Lba, sectors: u16) -> [i32; 8] {
    let [a, b, c, d, e, f, g, h] = lba.0.to_le_bytes();
    let [lba0, lba1, lba2, lba3] = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes);
    // sign-extended, so that small words take the short form of the instruction
    [0x10, sectors, STAGE2, 0, lba0, lba1, lba2, lba3]
        .map(|word| i32::from(i16::from_le_bytes(word.to_le_bytes())))
}

/// CRC-32 over all of stage 2, then off to it with the drive in DL.
fn start_stage2(a: &mut CodeAssembler, voice: Voice, sectors: u16, crc: u32) -> Emitted {
    let (mut byte, mut bit, mut even, mut damaged) = (
        a.create_label(),
        a.create_label(),
        a.create_label(),
        a.create_label(),
    );
    let len = u64::from(sectors) * SECTOR;
    a.cld()?;
    a.mov(si, u32::from(STAGE2))?;
    a.or(ebx, -1)?;
    a.set_label(&mut byte)?;
    a.lodsb()?;
    a.xor(bl, al)?;
    a.mov(cx, 8)?;
    a.set_label(&mut bit)?;
    a.shr(ebx, 1)?;
    a.jnc(even)?;
    a.xor(ebx, POLYNOMIAL)?;
    a.set_label(&mut even)?;
    a.loop_(bit)?;
    // STAGE2 and 32 sectors end well below 64 KiB
    let end = u32::from(STAGE2) + u32::try_from(len).unwrap_or(u32::MAX);
    a.cmp(si, end)?;
    a.jne(byte)?;
    a.cmp(ebx, !crc)?;
    a.jne(damaged)?;
    a.mov(dl, byte_ptr(var::DRIVE))?;
    a.jmp_far(0, u32::from(STAGE2))?;
    a.set_label(&mut damaged)?;
    voice.fail(a, "loader damaged")
}
