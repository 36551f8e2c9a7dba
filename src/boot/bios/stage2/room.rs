//! Whether there is enough memory, and where in it kernel and initrd go.

use iced_x86::code_asm::{CodeAssembler, registers::*};
use iced_x86::code_asm::{dword_ptr, word_ptr};

use super::{Job, Parts};
use crate::boot::bios::asm::Emitted;
use crate::boot::bios::layout::{MAP, MAP_ENTRY, var};
use crate::boot::bzimage::LOAD_ADDRESS;

/// One MiB less one byte, and one MiB as a shift.
const MIB_MASK: u32 = 0xF_FFFF;
const MIB_SHIFT: u32 = 20;

/// Is there as much memory as the image needs?
pub fn require_enough(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let mut enough = a.create_label();
    // EAX = MiB, the last begun one counted: firmware keeps a little for itself.
    a.mov(eax, dword_ptr(var::MEMORY))?;
    a.mov(edx, dword_ptr(var::MEMORY + 4))?;
    a.add(eax, MIB_MASK)?;
    a.adc(edx, 0)?;
    a.shrd(eax, edx, MIB_SHIFT)?;
    a.shr(edx, MIB_SHIFT)?;
    a.jnz(enough)?;
    a.cmp(eax, job.memory_mib)?;
    a.jae(enough)?;
    a.push(eax)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "needs ")?;
    say_constant(a, parts, job.memory_mib)?;
    parts.voice.say(a, " MiB of memory, this machine has ")?;
    a.pop(eax)?;
    a.call(parts.number)?;
    parts.voice.say(a, " MiB")?;
    parts.voice.end(a)?;
    a.set_label(&mut enough)
}

/// Is there memory, without a hole, where the kernel is loaded and unpacks itself?
pub fn require_kernel_room(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let (mut climb, mut range, mut next) = (a.create_label(), a.create_label(), a.create_label());
    let (mut hole, mut free) = (a.create_label(), a.create_label());
    // ESI climbs from usable range to usable range until it is past the kernel.
    a.mov(esi, LOAD_ADDRESS)?;
    a.set_label(&mut climb)?;
    a.mov(bp, u32::from(MAP))?;
    a.set_label(&mut range)?;
    a.cmp(bp, word_ptr(var::MAP_END))?;
    a.je(hole)?;
    a.cmp(dword_ptr(bp + 8), 0)?;
    a.je(next)?;
    a.cmp(dword_ptr(bp), esi)?;
    a.ja(next)?;
    a.cmp(dword_ptr(bp + 4), esi)?;
    a.jbe(next)?;
    a.mov(esi, dword_ptr(bp + 4))?;
    a.cmp(esi, job.floor)?;
    a.jae(free)?;
    a.jmp(climb)?;
    a.set_label(&mut next)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.jmp(range)?;
    a.set_label(&mut hole)?;
    a.push(esi)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "no memory for the kernel at address ")?;
    a.pop(eax)?;
    a.xor(edx, edx)?;
    a.call(parts.number)?;
    parts.voice.end(a)?;
    a.set_label(&mut free)
}

/// Finds the highest place for the initrd and puts it into [`var::INITRD`].
///
/// In each usable range it is pushed against the top; what reserved range it
/// then touches (BIOSes do tell overlapping ones) pushes it further down.
pub fn place_initrd(a: &mut CodeAssembler, parts: Parts, job: &Job) -> Emitted {
    let (mut range, mut next, mut push) = (a.create_label(), a.create_label(), a.create_label());
    let (mut other, mut clear, mut end) = (a.create_label(), a.create_label(), a.create_label());
    let mut found = a.create_label();
    // EAX = best so far, EBX = top, EDX = bottom, BP = range, DI = the others
    a.xor(eax, eax)?;
    a.mov(bp, u32::from(MAP))?;
    a.set_label(&mut range)?;
    a.cmp(bp, word_ptr(var::MAP_END))?;
    a.je(end)?;
    a.cmp(dword_ptr(bp + 8), 0)?;
    a.je(next)?;
    a.mov(ebx, dword_ptr(bp + 4))?;
    a.cmp(ebx, job.ceiling)?;
    a.jbe(push)?;
    a.mov(ebx, job.ceiling)?;
    a.set_label(&mut push)?;
    a.mov(edx, ebx)?;
    a.sub(edx, job.initrd_room)?;
    a.jc(next)?;
    a.cmp(edx, job.floor)?;
    a.jb(next)?;
    a.cmp(edx, dword_ptr(bp))?;
    a.jb(next)?;
    a.mov(di, u32::from(MAP))?;
    a.set_label(&mut other)?;
    a.cmp(dword_ptr(di + 8), 0)?;
    a.jne(clear)?;
    a.cmp(dword_ptr(di), ebx)?;
    a.jae(clear)?;
    a.cmp(dword_ptr(di + 4), edx)?;
    a.jbe(clear)?;
    a.mov(ebx, dword_ptr(di))?;
    a.jmp(push)?;
    a.set_label(&mut clear)?;
    a.add(di, u32::from(MAP_ENTRY))?;
    a.cmp(di, word_ptr(var::MAP_END))?;
    a.jne(other)?;
    a.cmp(edx, eax)?;
    a.jbe(next)?;
    a.mov(eax, edx)?;
    a.set_label(&mut next)?;
    a.add(bp, u32::from(MAP_ENTRY))?;
    a.jmp(range)?;

    a.set_label(&mut end)?;
    a.mov(dword_ptr(var::INITRD), eax)?;
    a.test(eax, eax)?;
    a.jnz(found)?;
    parts.voice.begin(a)?;
    parts.voice.say(a, "no room in memory for an initrd of ")?;
    say_constant(a, parts, job.initrd_len)?;
    parts.voice.say(a, " bytes")?;
    parts.voice.end(a)?;
    a.set_label(&mut found)
}

fn say_constant(a: &mut CodeAssembler, parts: Parts, number: u32) -> Emitted {
    a.mov(eax, number)?;
    a.xor(edx, edx)?;
    a.call(parts.number)
}
