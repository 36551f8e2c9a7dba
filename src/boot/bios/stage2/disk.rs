//! Reading the disk: INT 13h AH=42h (EDD-3, "Extended Read").
//!
//! Known of BIOSes: some take at most 127 sectors a call; Hyper-V's loses all
//! of AX; VMware's leaves interrupts on; some change the packet or registers.
//! So nothing is expected to survive a call but memory, CS, SS and SP.

use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};
use iced_x86::code_asm::{byte_ptr, dword_ptr, word_ptr};

use super::Parts;
use crate::boot::bios::asm::{Emitted, bios, here};
use crate::boot::bios::layout::var;

/// Attempts at each read, with a reset of the disk between them.
const TRIES: u32 = 3;
/// Paragraphs (16 bytes) in a sector.
const SECTOR_PARAGRAPHS: u32 = 0x20;

/// Writes [`Parts::read`].
pub fn emit_read(a: &mut CodeAssembler, parts: Parts) -> Emitted {
    let (attempt, failed) = (a.create_label(), a.create_label());
    let mut singly = a.create_label();
    here(a, parts.read)?;
    a.call(attempt)?;
    a.jc(singly)?;
    a.movzx(ecx, cx)?;
    a.add(dword_ptr(var::LBA), ecx)?;
    a.adc(dword_ptr(var::LBA + 4), 0)?;
    a.ret()?;

    // Sector by sector: a BIOS that takes fewer at a time still boots, and a
    // bad sector is named exactly.
    a.set_label(&mut singly)?;
    a.push(cx)?;
    a.mov(cx, 1)?;
    a.call(attempt)?;
    a.pop(cx)?;
    a.jc(failed)?;
    a.add(dword_ptr(var::LBA), 1)?;
    a.adc(dword_ptr(var::LBA + 4), 0)?;
    a.add(bx, SECTOR_PARAGRAPHS)?;
    a.loop_(singly)?;
    a.ret()?;

    emit_attempt(a, attempt)?;
    emit_failed(a, parts, failed)
}

/// Reads CX sectors to BX:0; carry set if it cannot. Keeps all registers.
fn emit_attempt(a: &mut CodeAssembler, attempt: CodeLabel) -> Emitted {
    let (mut again, mut done) = (a.create_label(), a.create_label());
    here(a, attempt)?;
    a.pushad()?;
    a.mov(byte_ptr(var::TRIES), TRIES)?;
    a.set_label(&mut again)?;
    a.mov(word_ptr(var::PACKET), 0x10)?;
    a.mov(word_ptr(var::PACKET + 2), cx)?;
    a.mov(word_ptr(var::PACKET + 4), 0)?;
    a.mov(word_ptr(var::PACKET + 6), bx)?;
    for half in [0, 4] {
        a.mov(eax, dword_ptr(var::LBA + half))?;
        a.mov(dword_ptr(var::PACKET + 8 + half), eax)?;
    }
    a.mov(si, u32::from(var::PACKET))?;
    a.mov(ah, 0x42)?;
    disk_call(a)?;
    a.jnc(done)?;
    // a reset in between, which does not change what is told of the read
    a.push(word_ptr(var::STATUS))?;
    a.mov(ah, 0)?;
    disk_call(a)?;
    a.pop(word_ptr(var::STATUS))?;
    a.dec(byte_ptr(var::TRIES))?;
    a.jnz(again)?;
    a.stc()?;
    a.set_label(&mut done)?;
    a.popad()?;
    a.ret()
}

/// INT 13h on the boot drive. Leaves carry as the BIOS does, AH's last value in
/// [`var::STATUS`], and all registers as they were.
fn disk_call(a: &mut CodeAssembler) -> Emitted {
    a.pushad()?;
    a.mov(dl, byte_ptr(var::DRIVE))?;
    bios(a, 0x13)?;
    a.mov(byte_ptr(var::STATUS), ah)?;
    a.popad()
}

/// Tells which sector could not be read, and why if that is known.
fn emit_failed(a: &mut CodeAssembler, parts: Parts, failed: CodeLabel) -> Emitted {
    let (mut bad, mut outside) = (a.create_label(), a.create_label());
    let digit = a.create_label();
    here(a, failed)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "disk read error at LBA ")?;
    load_qword(a, var::LBA)?;
    a.call(parts.number)?;

    a.push(word_ptr(var::STATUS))?;
    // INT 13h AH=48h tells how many sectors the disk has.
    a.mov(word_ptr(var::PARAMETERS), 26)?;
    a.mov(si, u32::from(var::PARAMETERS))?;
    a.mov(ah, 0x48)?;
    disk_call(a)?;
    a.jc(bad)?;
    load_qword(a, var::LBA)?;
    a.sub(eax, dword_ptr(var::PARAMETERS + 16))?;
    a.sbb(edx, dword_ptr(var::PARAMETERS + 20))?;
    a.jnc(outside)?;

    a.set_label(&mut bad)?;
    parts.voice.say(a, ": BIOS status 0x")?;
    a.pop(ax)?;
    a.push(ax)?;
    a.shr(al, 4)?;
    a.call(digit)?;
    a.pop(ax)?;
    a.call(digit)?;
    parts.voice.end(a)?;

    // The low half of AL as a hexadecimal digit: below 10 the borrow makes it
    // 0x96 and on, else 0xA1 and on, which DAS turns to '0' and on, 'A' and on.
    here(a, digit)?;
    a.and(al, 0x0F)?;
    a.cmp(al, 10)?;
    a.sbb(al, 0x69)?;
    a.das()?;
    parts.voice.put(a)?;
    a.ret()?;

    a.set_label(&mut outside)?;
    parts.voice.say(a, ": the disk is cut short, it has ")?;
    load_qword(a, var::PARAMETERS + 16)?;
    a.call(parts.number)?;
    parts.voice.say(a, " sectors")?;
    parts.voice.end(a)
}

/// Loads EDX:EAX.
fn load_qword(a: &mut CodeAssembler, at: u16) -> Emitted {
    a.mov(eax, dword_ptr(at))?;
    a.mov(edx, dword_ptr(at + 4))
}
