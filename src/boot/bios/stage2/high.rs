//! Moving what was read above 1 MiB: INT 15h AH=87h.
//!
//! The BIOS does the move in protected mode, with interrupts and the A20 line
//! as it likes them. The alternative, unreal mode, breaks when a BIOS call
//! resets segment limits.

use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};
use iced_x86::code_asm::{byte_ptr, dword_ptr, word_ptr};

use super::Parts;
use crate::boot::bios::asm::{Emitted, bios, here};
use crate::boot::bios::layout::{BUFFER_SECTORS, BUFFER_SEGMENT, var};
use crate::boot::bios::sum::TURN;

/// Access byte of a descriptor: present data, writable, accessed
/// (Intel SDM volume 3, 3.4.5).
const DATA: u32 = 0x93;
/// Double words in a sector, as a shift.
const SECTOR_DWORDS: u32 = 7;
/// Words in a sector, as a shift.
const SECTOR_WORDS: u32 = 8;
/// Bytes in a sector, as a shift.
const SECTOR_BYTES: u32 = 9;

/// Writes [`Parts::load`].
pub fn emit_load(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let lift = a.create_label();
    let (mut more, mut last) = (a.create_label(), a.create_label());
    here(a, parts.load)?;
    a.mov(dword_ptr(var::LEFT), ecx)?;
    a.mov(dword_ptr(var::SUM), 0)?;
    a.set_label(&mut more)?;
    a.mov(ecx, dword_ptr(var::LEFT))?;
    a.cmp(ecx, u32::from(BUFFER_SECTORS))?;
    a.jbe(last)?;
    a.mov(ecx, u32::from(BUFFER_SECTORS))?;
    a.set_label(&mut last)?;
    a.push(ecx)?;
    a.mov(bx, u32::from(BUFFER_SEGMENT))?;
    a.call(parts.read)?;
    a.pop(ecx)?;
    add_up(a)?;
    a.call(lift)?;
    a.sub(dword_ptr(var::LEFT), ecx)?;
    a.jnz(more)?;
    a.ret()?;

    emit_lift(a, parts, lift)
}

/// Adds CX sectors in the buffer to [`var::SUM`], as [`sum`](crate::boot::bios::sum)
/// says. Keeps ECX.
fn add_up(a: &mut CodeAssembler) -> Emitted {
    let mut word = a.create_label();
    a.push(cx)?;
    a.push(ds)?;
    a.mov(ebx, dword_ptr(var::SUM))?;
    a.shl(cx, SECTOR_DWORDS)?;
    a.mov(ax, u32::from(BUFFER_SEGMENT))?;
    a.mov(ds, ax)?;
    a.xor(si, si)?;
    a.set_label(&mut word)?;
    a.lodsd()?;
    a.rol(ebx, TURN)?;
    a.add(ebx, eax)?;
    a.loop_(word)?;
    a.pop(ds)?;
    a.pop(cx)?;
    a.mov(dword_ptr(var::SUM), ebx)
}

/// Copies CX sectors from the buffer to [`var::TARGET`] and moves that on.
/// Keeps ECX.
fn emit_lift(a: &mut CodeAssembler, parts: Parts, lift: CodeLabel) -> Emitted {
    const SOURCE: u16 = var::DESCRIPTORS + 0x10;
    const TARGET: u16 = var::DESCRIPTORS + 0x18;
    let mut failed = a.create_label();
    here(a, lift)?;
    a.push(ecx)?;
    a.mov(di, u32::from(var::DESCRIPTORS))?;
    a.mov(cx, 24)?;
    a.xor(ax, ax)?;
    a.rep().stosw()?;
    // A descriptor: limit, low three bytes of the base, access, 0, high byte of the base.
    a.mov(word_ptr(SOURCE), 0xFFFF)?;
    a.mov(
        dword_ptr(SOURCE + 2),
        (DATA << 24) | (u32::from(BUFFER_SEGMENT) << 4),
    )?;
    a.mov(word_ptr(TARGET), 0xFFFF)?;
    a.mov(eax, dword_ptr(var::TARGET))?;
    a.mov(dword_ptr(TARGET + 2), eax)?;
    a.mov(byte_ptr(TARGET + 5), DATA)?;
    // Without the fourth byte everything from 16 MiB on would land in the first 16.
    a.shr(eax, 24)?;
    a.mov(byte_ptr(TARGET + 7), al)?;

    a.pop(ecx)?;
    a.pushad()?;
    a.shl(cx, SECTOR_WORDS)?;
    a.mov(si, u32::from(var::DESCRIPTORS))?;
    a.mov(ah, 0x87)?;
    bios(a, 0x15)?;
    a.jc(failed)?;
    a.popad()?;
    a.mov(eax, ecx)?;
    a.shl(eax, SECTOR_BYTES)?;
    a.add(dword_ptr(var::TARGET), eax)?;
    a.ret()?;

    a.set_label(&mut failed)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "this BIOS cannot copy to address ")?;
    a.mov(eax, dword_ptr(var::TARGET))?;
    a.xor(edx, edx)?;
    a.call(parts.number)?;
    parts.voice.end(a)
}
